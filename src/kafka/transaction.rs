//! The producing side of a worker: one transactional producer at a time.
//!
//! There is no abort here. Whatever goes wrong, the producer is dropped; the next one, under the same id, fences it and
//! ends its transaction in `init_transactions`. So an abort cannot stall, and one that follows a timed-out commit (which
//! librdkafka refuses for ever) cannot be tried.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};

use crate::kafka::client::{self, COMMIT_TIMEOUT};
use crate::kafka::errors::{classify, transient};
use crate::kafka::leaving::{Budget, Leaving};
use crate::kafka::letter::Cut;
use crate::kafka::rebalance::lock;
use crate::kafka::{Config, log, lookup};
use crate::series::observation::Partition;
use crate::worker;
use crate::worker::ports::{Commit, Destination, Error, Outgoing, PartitionId, Sink};

/// A topic that takes no letter of so few bytes is set up wrongly: the headers that say why are about as large.
const LETTER_BYTES_MIN: usize = 1024;

/// A call that can be taken up again waits for so long at a time, so that a stop is seen in between.
const SLICE: Duration = Duration::from_millis(500);
/// Time-out of the call that cannot: below the 14.9 s that a request of a transactional client may take. With more, the
/// library sends a second request after the first has timed out, and is not back before twice that time.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(14);

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
    /// A larger letter is cut. Halved whenever a broker finds one too large, so that a later try passes.
    letter_bytes_max: usize,
    leaving: Leaving,
}

/// What is on its way, and the first failure.
#[derive(Default)]
struct Flight {
    queued: u64,
    delivered: u64,
    failure: Option<(RDKafkaErrorCode, Blame)>,
}

/// What a record that failed was: where it went to, and the input partition that it is about.
type Blame = (usize, PartitionId);

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
    /// A packed [`Blame`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, packed: usize) {
        let mut flight = lock(&self.0.0);
        flight.delivered += 1;
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            flight.failure.get_or_insert((code, unpack(packed)));
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

    fn failure(&self) -> Option<(RDKafkaErrorCode, Blame)> {
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

fn pack((to, id): Blame) -> usize {
    let partition = usize::try_from(id.partition.0).unwrap_or(0);
    (id.topic << 33) | (to << 32) | partition
}

fn unpack(packed: usize) -> Blame {
    let id = PartitionId {
        topic: packed >> 33,
        partition: Partition(i32::try_from(packed & 0xffff_ffff).unwrap_or(0)),
    };
    ((packed >> 32) & 1, id)
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

impl KafkaSink {
    /// Connects nothing yet.
    pub(crate) fn new(config: &Config, worker: &worker::Config, index: usize, leaving: Leaving) -> Self {
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
            leaving,
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
        let Some((code, (to, partition))) = self.producer()?.client().context().failure() else {
            return Ok(());
        };
        if code == RDKafkaErrorCode::MessageSizeTooLarge {
            if to == Destination::Forecasts as usize || self.letter_bytes_max == LETTER_BYTES_MIN {
                return Err(self.no_room(to));
            }
            let half = self.letter_bytes_max.min(1 << 20) / 2;
            self.letter_bytes_max = half.max(LETTER_BYTES_MIN);
        }
        Err(Error::Transient {
            doing,
            reason: format!("a record was not delivered: {code}"),
            partition: Some(partition),
        })
    }

    /// With the bounds of the configuration a forecast takes a quarter of the clients' and the brokers' default limit, so
    /// somebody has lowered one.
    fn no_room(&self, to: usize) -> Error {
        let less = if to == Destination::Forecasts as usize {
            "; fewer `horizons` and `quantiles` make a forecast smaller"
        } else {
            ""
        };
        Error::Fatal {
            doing: "producing",
            reason: format!(
                "topic `{}` does not take a record, or the batch that it is in; raise the topic's `max.message.bytes`, or \
                 set `batch.size` in `kafka.client` below it and leave `message.max.bytes` there as it is{less}",
                self.outputs[to]
            ),
        }
    }

    /// Queues one record; waits for room where the queue is full.
    fn send(&self, to: usize, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let Some(producer) = &self.producer else {
            return Err(KafkaError::Canceled);
        };
        let deliveries = producer.client().context();
        let budget = self.leaving.budget(COMMIT_TIMEOUT);
        loop {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in record.headers {
                headers = headers.insert(Header { key, value: *value });
            }
            let mut base =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.outputs[to], pack((to, record.origin)))
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
            if !full || budget.left().is_zero() {
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

    /// The same call again while the library says so and there is time, for at most `slice` each.
    fn retry(
        &self,
        doing: &'static str,
        budget: &Budget<'_>,
        slice: Duration,
        call: Call<'_>,
    ) -> Result<(), Error> {
        let producer = self.producer()?;
        loop {
            match call(producer, budget.left().min(slice)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && budget.left() >= SLICE => {
                    // Nothing is on its way that a wait for room would wait for: this is a short pause.
                    producer.client().context().pause();
                }
                Err(error) => return Err(self.failure(doing, &error)),
            }
        }
    }

    /// Waits until every record is delivered, or one has failed.
    fn deliver(&self, budget: &Budget<'_>) -> Result<(), Error> {
        let deliveries = self.producer()?.client().context();
        loop {
            let left = budget.left();
            if deliveries.wait(0, left.min(SLICE)) {
                return Ok(());
            }
            if left.is_zero() {
                return Err(transient("committing", "records were not delivered in time"));
            }
        }
    }

    /// Whether anybody is there for the last commit before a stop: the call that puts offsets into a transaction keeps to
    /// no time-out of ours where nobody answers.
    fn probe(&self, budget: &Budget<'_>) -> Result<(), Error> {
        let asked = self
            .producer()?
            .client()
            .fetch_metadata(Some(&self.outputs[0]), budget.left() / 2);
        asked.map(drop).map_err(|error| {
            let reason = format!("left out, since the cluster does not answer a stopping process: {error}");
            transient("committing", reason)
        })
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

    fn connect(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error> {
        self.discard();
        let producer: ThreadedProducer<Deliveries> =
            client::producer(&self.config, &self.pipeline, self.worker)
                .create_with_context(Deliveries::default())
                .map_err(|error| classify(&self.config, "opening the producer", &error))?;
        let mut count = |topic: &String| {
            alive();
            self.leaving.stay("asking for the partitions of a topic")?;
            lookup::partition_count(&self.config, producer.client(), topic)
        };
        let inputs = self.topics.iter().map(&mut count);
        let input_counts = inputs.collect::<Result<_, _>>()?;
        let output_counts = [count(&self.outputs[0])?, count(&self.outputs[1])?];
        (self.input_counts, self.output_counts) = (input_counts, output_counts);
        alive();
        self.producer = Some(producer);
        let budget = self.leaving.budget(COMMIT_TIMEOUT);
        let begun = self.retry("starting transactions", &budget, SLICE, &|producer, left| {
            producer.init_transactions(left)
        });
        if begun.is_err() {
            self.discard();
        }
        begun
    }

    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error> {
        self.begin()?;
        let sent = match to {
            Destination::Forecasts => self.send(to as usize, record),
            Destination::DeadLetters => self.send_letter(record),
        };
        match sent {
            Err(error) if is_too_large(&error) => Err(self.no_room(to as usize)),
            sent => sent.map_err(|error| self.failure("producing", &error)),
        }
    }

    fn commit(&mut self, offsets: &[Commit<'_>], membership: &ConsumerGroupMetadata) -> Result<(), Error> {
        let leaving = self.leaving.clone();
        let budget = leaving.budget(COMMIT_TIMEOUT);
        self.begin()?;
        if leaving.is_asked() {
            self.probe(&budget)?;
        }
        // Before the offsets: this wait can be cut short by a stop, that call cannot.
        self.deliver(&budget)?;
        self.check("committing")?;
        let list = self
            .offsets(offsets)
            .map_err(|error| classify(&self.config, "committing", &error))?;
        self.retry(
            "putting offsets into the transaction",
            &budget,
            OFFSETS_TIMEOUT,
            &|producer, left| producer.send_offsets_to_transaction(&list, membership, left),
        )?;
        self.retry("committing", &budget, SLICE, &|producer, left| {
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
    /// Cuts the letter until the client takes it.
    fn send_letter(&self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let mut cut = Cut::to_fit(record, self.letter_bytes_max);
        loop {
            let sent = cut.apply(record, |letter| {
                self.send(Destination::DeadLetters as usize, letter)
            });
            match (sent, cut.further()) {
                (Err(error), Some(further)) if is_too_large(&error) => cut = further,
                (sent, _) => return sent,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::headers;
    use crate::kafka::embedded::EmbeddedBroker;
    use crate::kafka::feed::{Reader, Received};
    use crate::kafka::lookup::now;

    const PATIENCE: Duration = Duration::from_secs(10);
    const ORIGIN: PartitionId = PartitionId {
        topic: 0,
        partition: Partition(0),
    };

    fn connected() -> (EmbeddedBroker, KafkaSink) {
        let broker = EmbeddedBroker::start(&[("in", 1), ("out", 1), ("dead", 1)]).unwrap();
        let config = Config {
            brokers: vec![broker.bootstrap().to_owned()],
            group: "g".to_owned(),
            instance: "i".to_owned(),
            client: BTreeMap::new(),
        };
        let mut sink = KafkaSink {
            config,
            worker: 0,
            pipeline: "p".to_owned(),
            topics: vec!["in".to_owned()],
            outputs: ["out".to_owned(), "dead".to_owned()],
            input_counts: Vec::new(),
            output_counts: [0; 2],
            producer: None,
            open: false,
            letter_bytes_max: usize::MAX,
            leaving: Leaving::new(|| false, PATIENCE),
        };
        let mut signs = 0;
        sink.connect(&mut || signs += 1).unwrap();
        assert_eq!(
            signs, 4,
            "before each of three topics, and before the producer starts"
        );
        (broker, sink)
    }

    fn fail(sink: &KafkaSink, to: Destination) {
        let failure = (RDKafkaErrorCode::MessageSizeTooLarge, (to as usize, ORIGIN));
        lock(&sink.producer().unwrap().client().context().0.0).failure = Some(failure);
    }

    #[test]
    fn sink_cuts_a_letter_whose_key_and_headers_are_larger_than_the_client_takes() {
        let (_broker, mut sink) = connected();
        let large = vec![b'x'; 1_048_000];
        let headers = [
            ("received", Some(&large[..])),
            (headers::SOURCE, Some(b"in/0/0/0")),
            (headers::REASON, Some(b"malformed")),
            (headers::MESSAGE, Some(b"no JSON")),
        ];
        let letter = Outgoing {
            origin: ORIGIN,
            timestamp_ms: 7,
            key: Some(&large),
            value: Some(b"{"),
            headers: &headers,
        };
        sink.publish(Destination::DeadLetters, &letter).unwrap();
        assert!(sink.producer().unwrap().client().context().wait(0, PATIENCE));
        sink.check("testing").unwrap();
        let reader = Reader::open(&sink.config, &["dead"]).unwrap();
        let mut found = Vec::new();
        let deadline = now() + PATIENCE;
        let names = [
            headers::TRUNCATED,
            headers::TRUNCATED_HEADERS,
            headers::TRUNCATED_KEY,
        ];
        while found.is_empty() && now() < deadline {
            let mut take = |record: &Received<'_>| {
                assert_eq!((record.key(), record.value()), (None, None));
                assert_eq!(record.header(headers::REASON), Some("malformed"));
                found.extend(names.map(|name| record.header(name).unwrap().to_owned()));
            };
            reader.poll(Duration::from_millis(100), &mut take).unwrap();
        }
        assert_eq!(found, ["1", "1", "1048000"]);
    }

    #[test]
    fn sink_says_what_to_do_where_a_forecast_finds_no_room() {
        let (_broker, mut sink) = connected();
        let large = vec![b'x'; 1_048_000];
        let forecast = Outgoing {
            origin: ORIGIN,
            timestamp_ms: 7,
            key: Some(b"s"),
            value: Some(&large),
            headers: &[],
        };
        let error = sink.publish(Destination::Forecasts, &forecast).unwrap_err();
        assert!(error.ends_worker());
        let text = error.to_string();
        assert!(
            text.contains("`out`") && text.contains("message.max.bytes") && text.contains("horizons"),
            "{text}"
        );
        fail(&sink, Destination::Forecasts);
        assert_eq!(
            sink.check("testing"),
            Err(error),
            "a broker's refusal says the same"
        );
    }

    #[test]
    fn sink_makes_letters_smaller_until_the_topic_takes_them_or_cannot_be_right() {
        let (_broker, mut sink) = connected();
        let mut bounds = Vec::new();
        fail(&sink, Destination::DeadLetters);
        let last = loop {
            let error = sink.check("testing").unwrap_err();
            if error.ends_worker() {
                break error;
            }
            bounds.push(sink.letter_bytes_max);
        };
        assert_eq!((bounds[0], bounds.last()), (1 << 19, Some(&LETTER_BYTES_MIN)));
        assert!(last.to_string().contains("`dead`"), "{last}");
    }
}
