//! Plain clients beside the daemon: one that writes observations, one that reads what was published.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};

use crate::kafka::lookup::{Visitor, now};
use crate::kafka::properties::hide;
use crate::kafka::rebalance::lock;
use crate::kafka::{Config, client, log};

/// Longest question to the cluster.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two looks at a full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// Trouble of a plain client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library refused the client.
    #[error("no {what} client: correct `kafka.brokers` and `kafka.client`")]
    Client {
        /// Which one.
        what: &'static str,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// A call failed.
    #[error("{doing} topic `{topic}` failed")]
    Call {
        /// What was tried.
        doing: &'static str,
        /// On what.
        topic: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// Nothing left the queue for so long.
    #[error("the cluster took nothing for {} s while writing to topic `{topic}`; is it reachable?", waited.as_secs())]
    Stuck {
        /// Where to.
        topic: String,
        /// How long.
        waited: Duration,
    },
    /// Records that the cluster refused for good.
    #[error("the cluster refused {count} records, the last one because: {reason}")]
    Refused {
        /// How many.
        count: u64,
        /// The last reason.
        reason: String,
    },
}

/// Counts what could not be delivered.
#[derive(Clone, Default)]
struct Deliveries {
    refused: Arc<AtomicU64>,
    reason: Arc<Mutex<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.refused.fetch_add(1, Ordering::Relaxed);
            *lock(&self.reason) = error.to_string();
        }
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a str,
    /// Id of the stream: it chooses the partition.
    pub key: &'a str,
    /// As readers get it.
    pub value: &'a [u8],
    /// Kafka timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Writes records in order, each once (idempotent producer). Bounded: where the queue is full, `send` waits.
pub struct Feeder {
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
}

impl Feeder {
    /// Makes the client; connects later.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn open(config: &Config) -> Result<Self, Error> {
        let mut settings = client::base(
            config,
            &format!("{}.feeder", config.instance),
            &[("linger.ms", "5"), ("queue.buffering.max.messages", "20000")],
        );
        settings.set("enable.idempotence", "true");
        settings.set("acks", "all");
        settings.set("partitioner", "murmur2_random"); // a stream's records stay in one partition
        let deliveries = Deliveries::default();
        let producer = settings
            .create_with_context(deliveries.clone())
            .map_err(|error| Error::Client {
                what: "writing",
                source: hide(error),
            })?;
        Ok(Self { producer, deliveries })
    }

    /// Queues one record. Waits for room at most `patience`.
    ///
    /// # Errors
    /// [`Error::Stuck`], [`Error::Call`], or [`Error::Refused`] where earlier records were refused for good.
    pub fn send(&self, outgoing: &Outgoing<'_>, patience: Duration) -> Result<(), Error> {
        self.check()?;
        let Outgoing {
            topic,
            key,
            value,
            timestamp_ms,
        } = *outgoing;
        let mut record = BaseRecord::to(topic)
            .key(key)
            .payload(value)
            .timestamp(timestamp_ms);
        let deadline = now() + patience;
        loop {
            let (error, back) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(Error::Call {
                    doing: "writing to",
                    topic: topic.to_owned(),
                    source: error,
                });
            }
            if now() >= deadline {
                return Err(Error::Stuck {
                    topic: topic.to_owned(),
                    waited: patience,
                });
            }
            record = back;
            self.producer.poll(QUEUE_PAUSE);
        }
    }

    /// Serves delivery reports without waiting. To be called at least once a second.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn check(&self) -> Result<(), Error> {
        self.producer.poll(Duration::ZERO);
        let count = self.deliveries.refused.load(Ordering::Relaxed);
        if count == 0 {
            return Ok(());
        }
        Err(Error::Refused {
            count,
            reason: lock(&self.deliveries.reason).clone(),
        })
    }

    /// Waits until everything queued is delivered, or `timeout` is over.
    ///
    /// # Errors
    /// [`Error::Call`] on a time-out, [`Error::Refused`].
    pub fn flush(&self, topic: &str, timeout: Duration) -> Result<(), Error> {
        self.producer.flush(timeout).map_err(|source| Error::Call {
            doing: "writing to",
            topic: topic.to_owned(),
            source,
        })?;
        self.check()
    }
}

/// A record as the reader sees it, borrowed from the client's buffer.
pub struct Received<'a>(BorrowedMessage<'a>);

impl Received<'_> {
    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its key, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Value of the last header of that name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0.headers()?;
        let last = headers.iter().filter(|header| header.key == name).last()?;
        std::str::from_utf8(last.value?).ok()
    }
}

/// Reads topics from their beginning as any team downstream would: `read_committed`, no group.
pub struct Reader {
    consumer: BaseConsumer<Visitor>,
}

impl Reader {
    /// Takes every partition of `topics`.
    ///
    /// # Errors
    /// [`Error`]: the client was refused, or a topic is not there.
    pub fn open(config: &Config, topics: &[&str]) -> Result<Self, Error> {
        let mut settings = client::base(config, &format!("{}.reader", config.instance), &[]);
        settings.set("group.id", format!("{}.reader", config.group)); // the library wants a name; nothing is committed
        settings.set("enable.auto.commit", "false");
        settings.set("auto.offset.reset", "earliest");
        settings.set("isolation.level", "read_committed");
        settings.set("fetch.queue.backoff.ms", "10");
        settings.set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer<Visitor> =
            settings
                .create_with_context(Visitor)
                .map_err(|error| Error::Client {
                    what: "reading",
                    source: hide(error),
                })?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            add_partitions(&consumer, topic, &mut list).map_err(|source| reading(topic, source))?;
        }
        consumer
            .assign(&list)
            .map_err(|source| reading(&topics.join(", "), source))?;
        Ok(Self { consumer })
    }

    /// Hands the next record to `each`; false if none came within `timeout`. Trouble that the library heals by itself
    /// counts as none.
    ///
    /// # Errors
    /// [`Error::Call`] where a topic cannot be read.
    pub fn poll(&self, timeout: Duration, each: &mut dyn FnMut(&Received<'_>)) -> Result<bool, Error> {
        match self.consumer.poll(timeout) {
            None => Ok(false),
            Some(Ok(message)) => {
                each(&Received(message));
                Ok(true)
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic,
                ) => Err(reading("of the demo", error)),
                _ => Ok(false),
            },
        }
    }
}

fn reading(topic: &str, source: KafkaError) -> Error {
    Error::Call {
        doing: "reading",
        topic: topic.to_owned(),
        source,
    }
}

fn add_partitions(
    consumer: &BaseConsumer<Visitor>,
    topic: &str,
    list: &mut TopicPartitionList,
) -> Result<(), KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
    let partitions = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .map_or(&[][..], rdkafka::metadata::MetadataTopic::partitions);
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic));
    }
    for partition in partitions {
        list.add_partition_offset(topic, partition.id(), KafkaOffset::Beginning)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kafka::embedded::EmbeddedBroker;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn config(broker: &EmbeddedBroker) -> Config {
        Config {
            brokers: vec![broker.bootstrap().to_owned()],
            group: "g".to_owned(),
            instance: "i".to_owned(),
            client: BTreeMap::new(),
        }
    }

    #[test]
    fn feeder_and_reader_meet_on_the_embedded_broker() {
        let broker = EmbeddedBroker::start(&[("a", 2)]).unwrap();
        let config = config(&broker);
        let feeder = Feeder::open(&config).unwrap();
        for value in ["1", "2", "3"] {
            let outgoing = Outgoing {
                topic: "a",
                key: "s",
                value: value.as_bytes(),
                timestamp_ms: 7,
            };
            feeder.send(&outgoing, PATIENCE).unwrap();
        }
        feeder.flush("a", PATIENCE).unwrap();
        let reader = Reader::open(&config, &["a"]).unwrap();
        let mut values = Vec::new();
        let deadline = now() + PATIENCE;
        while values.len() < 3 && now() < deadline {
            let mut take = |record: &Received<'_>| {
                assert_eq!(
                    (record.topic(), record.key(), record.header("x")),
                    ("a", Some(&b"s"[..]), None)
                );
                values.push(record.value().unwrap().to_vec());
            };
            reader.poll(Duration::from_millis(100), &mut take).unwrap();
        }
        assert_eq!(
            values,
            [b"1", b"2", b"3"],
            "one stream's records keep their order"
        );
    }

    #[test]
    fn reader_names_a_topic_that_is_not_there() {
        let broker = EmbeddedBroker::start(&[("a", 1)]).unwrap();
        let error = Reader::open(&config(&broker), &["elsewhere"]).err().unwrap();
        assert!(error.to_string().contains("`elsewhere`"), "{error}");
    }
}
