//! Whether streams live in more than one partition, from a topic's newest records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::kafka::admin::Error;
use crate::kafka::lookup::{Visitor, now};
use crate::kafka::{Config, client};

/// A record of the sample.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// As received.
    pub key: Option<&'a [u8]>,
    /// As received.
    pub value: Option<&'a [u8]>,
    /// Kafka timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its place.
    pub offset: i64,
}

/// Hands each stream id of a record to its second argument.
pub type Ids<'a> = dyn FnMut(&Sampled<'_>, &mut dyn FnMut(&str)) + 'a;

/// Streams of a topic that were seen in more than one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Records looked at.
    pub records: usize,
    /// Distinct streams seen.
    pub streams: usize,
    /// Stream and its partitions, by name.
    pub split: Vec<(String, Vec<i32>)>,
}

/// Reads the last `per_partition` records of each partition of a topic and says which streams live in two. `ids` hands
/// each stream id of a record to its second argument. Ends at every partition's end or after `deadline`.
///
/// # Errors
/// [`Error`]: the client was refused or the topic does not answer.
pub fn sample(
    config: &Config,
    (pipeline, topic): (&str, &str),
    per_partition: u32,
    deadline: Duration,
    ids: &mut Ids<'_>,
) -> Result<Sample, Error> {
    let call = |source| Error::Call {
        doing: format!("reading topic `{topic}`"),
        source,
    };
    let mut settings = client::visitor(config, pipeline, "sample");
    settings.set("auto.offset.reset", "earliest"); // a partition with fewer records than asked for
    let consumer: BaseConsumer<Visitor> = settings.create_with_context(Visitor).map_err(Error::client)?;
    let metadata = consumer.fetch_metadata(Some(topic), deadline).map_err(call)?;
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
    {
        open.insert(partition.id());
        list.add_partition_offset(
            topic,
            partition.id(),
            KafkaOffset::OffsetTail(i64::from(per_partition)),
        )
        .map_err(call)?;
    }
    consumer.assign(&list).map_err(call)?;
    let mut seen: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    let mut records = 0;
    let until = now() + deadline;
    while !open.is_empty() && now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                records += 1;
                let record = Sampled {
                    key: message.key(),
                    value: message.payload(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    offset: message.offset(),
                };
                ids(&record, &mut |id| {
                    seen.entry(id.to_owned()).or_default().insert(message.partition());
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(_)) | None => {}
        }
    }
    let streams = seen.len();
    let split = seen
        .into_iter()
        .filter(|(_, partitions)| partitions.len() > 1)
        .map(|(id, partitions)| (id, partitions.into_iter().collect()))
        .collect();
    Ok(Sample {
        records,
        streams,
        split,
    })
}
