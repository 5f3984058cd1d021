//! The producing side of a worker: one transactional producer at a time.
//!
//! There is no abort here. Whatever goes wrong, the producer is dropped; the next one, under the same id, fences it and
//! ends its transaction in `init_transactions`. So an abort cannot stall, and one that follows a timed-out commit (which
//! librdkafka refuses for ever) cannot be tried.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};

use crate::kafka::client::{self, ASK_TIMEOUT, COMMIT_TIMEOUT};
use crate::kafka::errors::{classify, transient};
use crate::kafka::lookup::now;
use crate::kafka::rebalance::lock;
use crate::kafka::{Config, log};
use crate::series::observation::Partition;
use crate::worker;
use crate::worker::ports::{Commit, Destination, Error, Outgoing, PartitionId, Sink};

/// Below this a letter is not cut any further: its headers alone are larger.
const LETTER_BYTES_MIN: usize = 1024;

/// A transactional producer behind the worker's port.
pub struct KafkaSink {
    config: Config,
    worker: usize,
    pipeline: String,
    topics: Vec<String>,
    outputs: [String; 2],
    /// Partitions of each input topic, and of both outputs, as of the last connect.
    input_counts: Vec<i32>,
    output_counts: [i32; 2],
    producer: Option<ThreadedProducer<Deliveries>>,
    open: bool,
    /// A letter whose value is longer goes without it. Halved whenever a broker finds one too large, so that the second
    /// try passes.
    letter_bytes_max: usize,
}

/// What is on its way, and the first failure.
#[derive(Default)]
struct Flight {
    queued: u64,
    delivered: u64,
    failure: Option<(RDKafkaErrorCode, usize)>,
}

/// Told by the library's delivery reports, on rdkafka's polling thread.
#[derive(Clone, Default)]
struct Deliveries(Arc<(Mutex<Flight>, Condvar)>);

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// The input partition to blame, packed.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, origin: usize) {
        let mut flight = lock(&self.0.0);
        flight.delivered += 1;
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            flight.failure.get_or_insert((code, origin));
        }
        if flight.delivered == flight.queued || flight.failure.is_some() {
            self.0.1.notify_all();
        }
    }
}

impl Deliveries {
    fn queued(&self) {
        lock(&self.0.0).queued += 1;
    }

    fn failure(&self) -> Option<(RDKafkaErrorCode, usize)> {
        lock(&self.0.0).failure
    }

    /// Waits until at most `left` records are on their way, or one has failed. Whether it came to that in time.
    fn wait(&self, left: u64, timeout: Duration) -> bool {
        let (flight, changed) = &*self.0;
        let busy = |flight: &mut Flight| flight.failure.is_none() && flight.queued - flight.delivered > left;
        let (flight, waited) = changed
            .wait_timeout_while(lock(flight), timeout, busy)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(flight);
        !waited.timed_out()
    }
}

/// A blocking call of the client, with the time that is left for it.
type Call<'a> = &'a dyn Fn(&ThreadedProducer<Deliveries>, Duration) -> Result<(), KafkaError>;

fn pack(id: PartitionId) -> usize {
    let partition = usize::try_from(id.partition.0).unwrap_or(0);
    (id.topic << 32) | partition
}

fn unpack(packed: usize) -> PartitionId {
    PartitionId {
        topic: packed >> 32,
        partition: Partition(i32::try_from(packed & 0xffff_ffff).unwrap_or(0)),
    }
}

impl KafkaSink {
    /// Connects nothing yet.
    pub(crate) fn new(config: &Config, worker: &worker::Config, index: usize) -> Self {
        Self {
            config: config.clone(),
            worker: index,
            pipeline: worker.pipeline.clone(),
            topics: worker.topics.clone(),
            outputs: [worker.output_topic.clone(), worker.dead_letter_topic.clone()],
            input_counts: Vec::new(),
            output_counts: [0; 2],
            producer: None,
            open: false,
            letter_bytes_max: usize::MAX,
        }
    }

    fn producer(&self) -> Result<&ThreadedProducer<Deliveries>, Error> {
        self.producer
            .as_ref()
            .ok_or_else(|| transient("producing", "there is no producer: it was dropped"))
    }

    /// Sorts an error; of a fatal one the library says the reason only when asked.
    fn failure(&self, doing: &'static str, error: &KafkaError) -> Error {
        let fatal = self
            .producer
            .as_ref()
            .and_then(|producer| producer.client().fatal_error());
        match fatal {
            // A fenced epoch alone: a later producer of this worker, or a transaction that took too long.
            Some((code, reason)) => transient(doing, format!("{code}: {reason}")),
            None => classify(&self.config, doing, error),
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.open {
            self.producer()?
                .begin_transaction()
                .map_err(|error| self.failure("beginning a transaction", &error))?;
            self.open = true;
        }
        Ok(())
    }

    /// The same partition where both topics have as many, else by key.
    fn partition(&self, to: usize, origin: PartitionId) -> Option<i32> {
        let count = *self.input_counts.get(origin.topic)?;
        (count == self.output_counts[to] && origin.partition.0 < count).then_some(origin.partition.0)
    }

    /// The failure of an earlier record, if there is one.
    fn check(&mut self, doing: &'static str) -> Result<(), Error> {
        let Some((code, packed)) = self.producer()?.client().context().failure() else {
            return Ok(());
        };
        if code == RDKafkaErrorCode::MessageSizeTooLarge {
            let half = self.letter_bytes_max.min(1 << 20) / 2;
            self.letter_bytes_max = half.max(LETTER_BYTES_MIN);
        }
        Err(Error::Transient {
            doing,
            reason: format!("a record was not delivered: {code}"),
            partition: Some(unpack(packed)),
        })
    }

    /// Queues one record; waits for room where the queue is full.
    fn send(&self, to: usize, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let Some(producer) = &self.producer else {
            return Err(KafkaError::Canceled);
        };
        let deliveries = producer.client().context();
        let deadline = now() + COMMIT_TIMEOUT;
        loop {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in record.headers {
                headers = headers.insert(Header { key, value: *value });
            }
            let mut base =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.outputs[to], pack(record.origin))
                    .headers(headers);
            base.timestamp = Some(record.timestamp_ms).filter(|timestamp| *timestamp >= 0);
            base.partition = self.partition(to, record.origin);
            base.key = record.key;
            base.payload = record.value;
            // Counted before: the report may come before this thread goes on.
            deliveries.queued();
            let Err((error, _)) = producer.send(base) else {
                return Ok(());
            };
            deliveries.unqueued();
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || now() > deadline {
                return Err(error);
            }
            deliveries.wait_for_room();
        }
    }

    fn offsets(&self, offsets: &[Commit<'_>]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for commit in offsets {
            let topic = &self.topics[commit.partition.topic];
            let partition = commit.partition.partition.0;
            let mut element = list.add_partition(topic, partition);
            element.set_offset(KafkaOffset::Offset(commit.next.0))?;
            element.set_metadata(commit.metadata);
        }
        Ok(list)
    }

    /// The same call again while the library says so, until the deadline.
    fn retry(&self, doing: &'static str, deadline: Instant, call: Call<'_>) -> Result<(), Error> {
        let producer = self.producer()?;
        loop {
            let left = deadline.saturating_duration_since(now());
            match call(producer, left) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    // Nothing is on its way that a wait for room would wait for: this is a short pause.
                    producer.client().context().pause();
                }
                Err(error) => return Err(self.failure(doing, &error)),
            }
        }
    }
}

impl Deliveries {
    fn unqueued(&self) {
        lock(&self.0.0).queued -= 1;
    }

    fn wait_for_room(&self) {
        let left = {
            let flight = lock(&self.0.0);
            (flight.queued - flight.delivered) / 2
        };
        self.wait(left, Duration::from_millis(100));
    }

    /// A pause that is not slept through when a record fails.
    fn pause(&self) {
        let (flight, changed) = &*self.0;
        let never = |flight: &mut Flight| flight.failure.is_none();
        drop(changed.wait_timeout_while(lock(flight), Duration::from_millis(50), never));
    }
}

impl Sink for KafkaSink {
    type Membership = ConsumerGroupMetadata;

    fn connect(&mut self) -> Result<(), Error> {
        self.discard();
        let producer: ThreadedProducer<Deliveries> =
            client::producer(&self.config, &self.pipeline, self.worker)
                .create_with_context(Deliveries::default())
                .map_err(|error| classify(&self.config, "opening the producer", &error))?;
        let count = |topic: &String| partition_count(&self.config, &producer, topic);
        self.input_counts = self.topics.iter().map(count).collect::<Result<_, _>>()?;
        self.output_counts = [count(&self.outputs[0])?, count(&self.outputs[1])?];
        self.producer = Some(producer);
        let begun = self.retry(
            "starting transactions",
            now() + COMMIT_TIMEOUT,
            &|producer, left| producer.init_transactions(left),
        );
        if begun.is_err() {
            self.discard();
        }
        begun
    }

    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error> {
        let doing = "producing";
        self.begin()?;
        let to = to as usize;
        let too_long = to == 1
            && record
                .value
                .is_some_and(|value| value.len() > self.letter_bytes_max);
        let sent = if too_long {
            Err(KafkaError::MessageProduction(
                RDKafkaErrorCode::MessageSizeTooLarge,
            ))
        } else {
            self.send(to, record)
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error)
                if to == 1 && error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) =>
            {
                self.send_truncated(record)
                    .map_err(|error| self.failure(doing, &error))
            }
            Err(error) => Err(self.failure(doing, &error)),
        }
    }

    fn commit(&mut self, offsets: &[Commit<'_>], membership: &ConsumerGroupMetadata) -> Result<(), Error> {
        let deadline = now() + COMMIT_TIMEOUT;
        self.begin()?;
        self.check("committing")?;
        let list = self
            .offsets(offsets)
            .map_err(|error| classify(&self.config, "committing", &error))?;
        // While the records are on their way: both take a round trip.
        self.retry(
            "putting offsets into the transaction",
            deadline,
            &|producer, left| producer.send_offsets_to_transaction(&list, membership, left),
        )?;
        if !self
            .producer()?
            .client()
            .context()
            .wait(0, deadline.saturating_duration_since(now()))
        {
            return Err(transient("committing", "records were not delivered in time"));
        }
        self.check("committing")?;
        self.retry("committing", deadline, &|producer, left| {
            producer.commit_transaction(left)
        })?;
        self.open = false;
        Ok(())
    }

    fn discard(&mut self) {
        // Its drop purges what is queued, so that it takes half a second at most.
        self.producer = None;
        self.open = false;
    }
}

impl KafkaSink {
    /// A letter that its topic has no room for keeps its key and headers, and says how long its value was.
    fn send_truncated(&self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let bytes = record.value.map_or(0, <[u8]>::len).to_string();
        let mut headers = record.headers.to_vec();
        headers.push(("tidecast.truncated", Some(bytes.as_bytes())));
        let letter = Outgoing {
            value: None,
            headers: &headers,
            ..*record
        };
        self.send(Destination::DeadLetters as usize, &letter)
    }
}

fn partition_count(
    config: &Config,
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
) -> Result<i32, Error> {
    let doing = "asking for the partitions of a topic";
    let metadata = producer
        .client()
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
