//! Questions about offsets and times, asked by a client that is no member of the group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};

use crate::engine::snapshot::Anchor;
use crate::kafka::client::{self, ASK_TIMEOUT};
use crate::kafka::errors::{classify, transient};
use crate::kafka::{Config, log};
use crate::series::observation::{NextOffset, Offset, Partition};
use crate::worker::ports::{Error, Log};

/// How far before an offset the last record before it is looked for, in turn. A record that far off is missing only
/// where a topic holds nothing but markers of aborted transactions.
const LOOK_BACK: [i64; 4] = [1, 16, 1024, 65536];

/// A client that joins no group: rdkafka's own answers to a rebalance will do.
pub(crate) struct Visitor;

impl ClientContext for Visitor {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }
}

impl ConsumerContext for Visitor {}

/// See [`committed`]. A healthy coordinator answers within milliseconds.
const COMMITTED_TIMEOUT: Duration = Duration::from_millis(1500);

/// Reads single records and asks for offsets.
pub(crate) struct Lookup {
    config: Config,
    consumer: BaseConsumer<Visitor>,
    /// Of a call.
    timeout: Duration,
}

impl Lookup {
    /// Sees what is committed.
    pub(crate) fn open(config: &Config, pipeline: &str) -> Result<Self, Error> {
        Self::isolated(config, pipeline, "read_committed")
    }

    /// Also sees what a pending transaction holds, and committed offsets on which one is pending: waits for none.
    pub(crate) fn glance(config: &Config, pipeline: &str) -> Result<Self, Error> {
        Self::isolated(config, pipeline, "read_uncommitted")
    }

    fn isolated(config: &Config, pipeline: &str, isolation: &str) -> Result<Self, Error> {
        let consumer = client::visitor(config, pipeline, "lookup")
            .set("isolation.level", isolation)
            .create_with_context(Visitor)
            .map_err(|error| classify(config, "opening the lookup client", &error))?;
        Ok(Self {
            config: config.clone(),
            consumer,
            timeout: ASK_TIMEOUT,
        })
    }

    /// Gives each call so long.
    pub(crate) const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<Visitor> {
        &self.consumer
    }

    /// Ends of a log: oldest record, and one past what a `read_committed` reader sees.
    pub(crate) fn log(&self, topic: &str, partition: Partition) -> Result<Log, Error> {
        let doing = "asking for the log's ends";
        let (start, end) = self
            .consumer
            .fetch_watermarks(topic, partition.0, self.timeout)
            .map_err(|error| classify(&self.config, doing, &error))?;
        if start < 0 || end < 0 {
            return Err(transient(doing, "the broker does not know them yet"));
        }
        Ok(Log {
            start: NextOffset(start),
            end: NextOffset(end),
        })
    }

    /// First offset at or after a Kafka time.
    pub(crate) fn offset_at(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Option<NextOffset>, Error> {
        let doing = "asking for the offset of a time";
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition.0, KafkaOffset::Offset(timestamp_ms.max(0)))
            .map_err(|error| classify(&self.config, doing, &error))?;
        let found = self
            .consumer
            .offsets_for_times(list, self.timeout)
            .map_err(|error| classify(&self.config, doing, &error))?;
        for element in found.elements() {
            element
                .error()
                .map_err(|error| classify(&self.config, doing, &error))?;
            if let KafkaOffset::Offset(offset) = element.offset() {
                return Ok(Some(NextOffset(offset)));
            }
        }
        Ok(None)
    }

    /// The last record before `next`, as far as one is left. What lies between the two was compacted away, or is a marker
    /// of a transaction, or a record of one that was aborted.
    pub(crate) fn record_before(
        &self,
        topic: &str,
        partition: Partition,
        next: NextOffset,
        log: Log,
    ) -> Result<Option<Anchor>, Error> {
        let limit = next.min(log.end);
        for back in LOOK_BACK {
            let from = NextOffset((limit.0 - back).max(log.start.0));
            if from >= limit {
                return Ok(None);
            }
            let found = self.last_record(topic, partition, from, limit)?;
            if found.is_some() || from == log.start {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The last record in `[from, to)`.
    fn last_record(
        &self,
        topic: &str,
        partition: Partition,
        from: NextOffset,
        to: NextOffset,
    ) -> Result<Option<Anchor>, Error> {
        let doing = "reading the last record before an offset";
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition.0, KafkaOffset::Offset(from.0))
            .map_err(|error| classify(&self.config, doing, &error))?;
        self.consumer
            .assign(&list)
            .map_err(|error| classify(&self.config, doing, &error))?;
        let found = self.read_until(to);
        // An idle assignment would go on prefetching.
        self.consumer
            .unassign()
            .map_err(|error| classify(&self.config, doing, &error))?;
        found
    }

    fn read_until(&self, to: NextOffset) -> Result<Option<Anchor>, Error> {
        let doing = "reading the last record before an offset";
        let mut newest = None;
        let deadline = now() + self.timeout;
        while now() < deadline {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) if message.offset() < to.0 => {
                    newest = Some(Anchor {
                        offset: Offset(message.offset()),
                        // As a worker takes it.
                        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    });
                    if message.offset() + 1 == to.0 {
                        return Ok(newest);
                    }
                }
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(newest),
                // A client that lives through an outage hands out old connection errors first: the deadline decides.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                )))
                | None => {}
                Some(Err(error)) => return Err(classify(&self.config, doing, &error)),
            }
        }
        Err(transient(doing, "no answer in time"))
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a blocking call of the client is bounded by its own clock; no state depends on it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Partitions of a topic.
pub(crate) fn partition_count<C: ClientContext>(
    config: &Config,
    client: &Client<C>,
    topic: &str,
) -> Result<i32, Error> {
    let doing = "asking for the partitions of a topic";
    let metadata = client
        .fetch_metadata(Some(topic), ASK_TIMEOUT)
        .map_err(|error| classify(config, doing, &error))?;
    let count = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .map_or(0, |found| found.partitions().len());
    if count == 0 {
        return Err(transient(
            doing,
            format!("topic `{topic}` is not there; create it"),
        ));
    }
    Ok(i32::try_from(count).expect("a topic has fewer than 2^31 partitions"))
}

/// Stable committed offsets of a list. Gives up soon: a transaction of a killed member may be pending for as long as
/// its time-out, and who asks has other partitions to serve.
pub(crate) fn committed<C: ConsumerContext>(
    config: &Config,
    consumer: &BaseConsumer<C>,
    list: TopicPartitionList,
) -> Result<TopicPartitionList, Error> {
    let doing = "reading the committed offsets";
    let list = consumer
        .committed_offsets(list, COMMITTED_TIMEOUT)
        .map_err(|error| classify(config, doing, &error))?;
    for element in list.elements() {
        element.error().map_err(|error| classify(config, doing, &error))?;
    }
    Ok(list)
}

/// Offset and metadata of an entry of [`committed`]. rdkafka panics on metadata that is no UTF-8; such is foreign.
pub(crate) fn entry(element: &TopicPartitionListElem<'_>) -> (Option<NextOffset>, String) {
    let next = match element.offset() {
        KafkaOffset::Offset(offset) => Some(NextOffset(offset)),
        _ => None,
    };
    let metadata = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned()));
    (next, metadata.unwrap_or_default())
}
