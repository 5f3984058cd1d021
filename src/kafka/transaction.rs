//! The producing side of a worker: one transactional producer at a time.
//!
//! There is no abort here. Whatever goes wrong, the producer is dropped; the next one, under the same id, fences it and
//! ends its transaction in `init_transactions`. So an abort cannot stall, and one that follows a timed-out commit (which
//! librdkafka refuses for ever) cannot be tried.
//!
//! Nor can the client hold up the worker: its blocking calls, its end among them, are made by a thread of the producer's
//! own ([`apart`](crate::kafka::apart)). One that overstays its deadline is left, and its producer with it; the next one
//! fences it as it would fence another process's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::faults::{self, Mechanism, Point};
use crate::kafka::apart::{Apart, NotStarted};
use crate::kafka::client::{self, ASK_TIMEOUT, COMMIT_TIMEOUT};
use crate::kafka::deliveries::{Deliveries, pack};
use crate::kafka::errors::{Meaning, classify, meaning, transient};
use crate::kafka::leaving::{Budget, Leaving};
use crate::kafka::letter::Cut;
use crate::kafka::{Config, lookup};
use crate::worker;
use crate::worker::ports::{Commit, Destination, Error, Outgoing, PartitionId, ReadMembership, Sink};

/// A topic that takes no letter of so few bytes is set up wrongly: the headers that say why are about as large.
const LETTER_BYTES_MIN: usize = 1024;
/// Producers that send each record in a batch of its own, after one whose batch was refused: as many as a worker tries
/// before it is sure of a record, and one more.
const ALONE_TRIES: u8 = 4;

/// A call that can be taken up again waits for so long at a time, so that a stop is seen in between.
const SLICE: Duration = Duration::from_millis(500);
/// Time-out of the call that cannot: below the 14.9 s that a request of a transactional client may take. With more, the
/// library sends a second request after the first has timed out, and is not back before twice that time.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(14);
/// A call is told to be back so long before nobody waits for it any more: one that keeps to its time-out is heard.
const MARGIN: Duration = Duration::from_millis(250);
/// Waiting time for a producer's end, which purges what is queued and takes half a second at most where nothing hangs.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// Producers that are left end by themselves once a cluster or a name server is back. Where none has after so long, only
/// a new process helps.
const CROWDED_MAX: Duration = Duration::from_secs(120);

type Producer = ThreadedProducer<Deliveries>;

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
    line: Option<Line>,
    open: bool,
    /// A larger letter is cut. Lowered whenever a broker finds one too large, so that a later try passes.
    letter_bytes_max: usize,
    /// Producers that are still to send each record alone, and whether this one does.
    alone_tries: u8,
    is_alone: bool,
    /// Since when no further producer was made because too many were left.
    crowded_since: Option<Instant>,
    leaving: Leaving,
}

/// A producer, and the thread that makes its blocking calls and drops it.
struct Line {
    producer: Producer,
    calls: Apart<Producer>,
}

/// A blocking call of the client, with the time that is left for it.
type Call = dyn Fn(&Producer, Duration) -> Result<(), KafkaError> + Send + Sync;

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
            line: None,
            open: false,
            letter_bytes_max: usize::MAX,
            alone_tries: 0,
            is_alone: false,
            crowded_since: None,
            leaving,
        }
    }

    fn line(&self) -> Result<&Line, Error> {
        self.line
            .as_ref()
            .ok_or_else(|| transient("producing", "there is no producer: it was dropped"))
    }

    /// Sorts an error; of a fatal one the library says the reason only when asked.
    fn failure(&self, doing: &'static str, error: &KafkaError) -> Error {
        let fatal = self
            .line
            .as_ref()
            .and_then(|line| line.producer.client().fatal_error());
        match fatal {
            // A fenced epoch alone: a later producer of this worker, or a transaction that took too long.
            Some((code, reason)) => transient(doing, format!("{code}: {reason}")),
            None => classify(&self.config, doing, error),
        }
    }

    /// The same call again while the library says so and there is time, for at most `slice` each.
    fn retry(
        &self,
        doing: &'static str,
        budget: &Budget<'_>,
        slice: Duration,
        call: Arc<Call>,
    ) -> Result<(), Error> {
        let line = self.line()?;
        loop {
            let time = budget.left().saturating_sub(MARGIN).min(slice);
            let call = Arc::clone(&call);
            let called = line
                .calls
                .call(|| budget.left(), move |producer| call(producer, time));
            match called.map_err(|missing| transient(doing, missing))? {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && budget.left() >= SLICE => {
                    // Nothing is on its way that a wait for room would wait for: this is a short pause.
                    line.producer.client().context().pause();
                }
                Err(error) => return Err(self.failure(doing, &error)),
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.open {
            // Local: asks no broker.
            self.line()?
                .producer
                .begin_transaction()
                .map_err(|error| self.failure("beginning a transaction", &error))?;
            self.open = true;
        }
        Ok(())
    }

    /// The same partition where both topics have as many, else by key.
    fn partition(&self, to: Destination, origin: PartitionId) -> Option<i32> {
        let count = *self.input_counts.get(origin.topic)?;
        (count == self.output_counts[to as usize] && origin.partition.0 < count).then_some(origin.partition.0)
    }

    /// The failure of an earlier record, if there is one.
    fn check(&mut self, doing: &'static str) -> Result<(), Error> {
        let Some((code, (to, partition))) = self.line()?.producer.client().context().failure() else {
            return Ok(());
        };
        let (meaning, why) = meaning(code);
        let topic = &self.outputs[to as usize];
        if meaning != Meaning::Refused {
            let reason = format!("a record for topic `{topic}` was not delivered: {code}");
            return Err(transient(doing, reason));
        }
        if !self.is_alone {
            // The whole batch fails with the one record that is refused, or is too large by itself.
            self.alone_tries = ALONE_TRIES;
            let reason = format!("topic `{topic}` refuses a batch: {code}; trying again record by record");
            return Err(transient(doing, reason));
        }
        if code == RDKafkaErrorCode::MessageSizeTooLarge {
            if to == Destination::Forecasts || self.letter_bytes_max == LETTER_BYTES_MIN {
                return Err(self.no_room(to, partition));
            }
            let less = self.letter_bytes_max.min(1 << 20) / 8;
            self.letter_bytes_max = less.max(LETTER_BYTES_MIN);
            self.alone_tries = ALONE_TRIES;
            let reason = format!("topic `{topic}` has no room for a dead letter; cutting it");
            return Err(transient(doing, reason));
        }
        Err(Error::Refused {
            doing,
            reason: format!("topic `{topic}` refuses a record: {code}: {why}"),
            partition: Some(partition),
        })
    }

    /// With the bounds of the configuration a forecast takes a quarter of the clients' and the brokers' default limit, its
    /// key aside.
    fn no_room(&self, to: Destination, partition: PartitionId) -> Error {
        let less = if to == Destination::Forecasts {
            "; fewer `horizons` and `quantiles` make a forecast smaller, and so does a shorter key of the input record"
        } else {
            ""
        };
        Error::Refused {
            doing: "producing",
            reason: format!(
                "topic `{}` has no room for a record; raise the topic's `max.message.bytes`, and leave \
                 `message.max.bytes` in `kafka.client` as it is{less}",
                self.outputs[to as usize]
            ),
            partition: Some(partition),
        }
    }

    /// Queues one record; waits for room where the queue is full.
    fn send(&self, to: Destination, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let Some(Line { producer, .. }) = &self.line else {
            return Err(KafkaError::Canceled);
        };
        let deliveries = producer.client().context();
        let budget = self.leaving.budget(COMMIT_TIMEOUT);
        loop {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in record.headers {
                headers = headers.insert(Header { key, value: *value });
            }
            let topic = &self.outputs[to as usize];
            let mut base = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, pack((to, record.origin)))
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

    /// Cuts the letter until the client takes it.
    fn send_letter(&self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let mut cut = Cut::to_fit(record, self.letter_bytes_max);
        loop {
            let sent = cut.apply(record, |letter| self.send(Destination::DeadLetters, letter));
            match (sent, cut.further()) {
                (Err(error), Some(further)) if is_too_large(&error) => cut = further,
                (sent, _) => return sent,
            }
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

    /// Waits until every record is delivered, or one has failed.
    fn deliver(&self, budget: &Budget<'_>) -> Result<(), Error> {
        let deliveries = self.line()?.producer.client().context();
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

    fn put_offsets(
        &self,
        budget: &Budget<'_>,
        list: TopicPartitionList,
        membership: Arc<ConsumerGroupMetadata>,
    ) -> Result<(), Error> {
        self.retry(
            "putting offsets into the transaction",
            budget,
            OFFSETS_TIMEOUT,
            Arc::new(move |producer, left| {
                faults::point(Point::BeforeOffsets);
                producer.send_offsets_to_transaction(&list, &membership, left)
            }),
        )
    }

    fn end_transaction(&mut self, budget: &Budget<'_>) -> Result<(), Error> {
        faults::point(Point::BeforeCommit);
        self.retry(
            "committing",
            budget,
            SLICE,
            Arc::new(|producer, left| producer.commit_transaction(left)),
        )?;
        self.open = false;
        Ok(())
    }

    /// A producer with its thread; nothing is asked of the cluster yet.
    fn open_line(&mut self) -> Result<Line, Error> {
        let doing = "opening the producer";
        let mut settings = client::producer(&self.config, &self.pipeline, self.worker);
        self.is_alone = self.alone_tries > 0;
        self.alone_tries = self.alone_tries.saturating_sub(1);
        if self.is_alone {
            settings.set("batch.size", "1");
        }
        let producer: Producer = settings
            .create_with_context(Deliveries::default())
            .map_err(|error| classify(&self.config, doing, &error))?;
        let owner = format!(
            "{} producer",
            client::worker_id(&self.config, &self.pipeline, self.worker)
        );
        let name = format!("p{}.{}", self.worker, self.pipeline);
        match Apart::start(&owner, &name, producer.clone()) {
            Ok(calls) => {
                self.crowded_since = None;
                Ok(Line { producer, calls })
            }
            Err(NotStarted::Crowded) => Err(self.crowded(lookup::now())),
            Err(error) => Err(transient(doing, error)),
        }
    }

    /// Too many are left: for a while others may end, then only a new process helps.
    fn crowded(&mut self, now: Instant) -> Error {
        let doing = "opening the producer";
        let since = *self.crowded_since.get_or_insert(now);
        if now.saturating_duration_since(since) < CROWDED_MAX {
            return transient(doing, NotStarted::Crowded);
        }
        Error::Fatal {
            doing,
            reason: format!(
                "{}, for {} s now: restart the process",
                NotStarted::Crowded,
                CROWDED_MAX.as_secs()
            ),
        }
    }

    /// Asks for the partitions of every topic, then fences what was before.
    fn start(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error> {
        let doing = "asking for the partitions of a topic";
        let mut counts = Vec::with_capacity(self.topics.len() + self.outputs.len());
        for topic in self.topics.iter().chain(&self.outputs) {
            alive();
            self.leaving.stay(doing)?;
            let budget = self.leaving.budget(ASK_TIMEOUT + MARGIN);
            let (config, topic) = (self.config.clone(), topic.clone());
            let count = self.line()?.calls.call(
                || budget.left(),
                move |producer| lookup::partition_count(&config, producer.client(), &topic),
            );
            counts.push(count.map_err(|missing| transient(doing, missing))??);
        }
        let outputs = counts.split_off(self.topics.len());
        (self.input_counts, self.output_counts) = (counts, [outputs[0], outputs[1]]);
        alive();
        let budget = self.leaving.budget(COMMIT_TIMEOUT);
        self.retry(
            "starting transactions",
            &budget,
            SLICE,
            Arc::new(|producer, left| producer.init_transactions(left)),
        )
    }
}

impl Sink for KafkaSink {
    type Membership = Arc<ConsumerGroupMetadata>;

    fn connect(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error> {
        self.discard();
        self.line = Some(self.open_line()?);
        let started = self.start(alive);
        if started.is_err() {
            self.discard();
        }
        started
    }

    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error> {
        self.begin()?;
        let sent = match to {
            Destination::Forecasts => self.send(to, record),
            Destination::DeadLetters => self.send_letter(record),
        };
        let Err(error) = sent else { return Ok(()) };
        if is_too_large(&error) {
            return Err(self.no_room(to, record.origin));
        }
        // An earlier record that failed ends the transaction for those after it: it says more.
        self.check("producing")?;
        Err(self.failure("producing", &error))
    }

    fn commit(
        &mut self,
        offsets: &[Commit<'_>],
        membership: &mut ReadMembership<'_, Self::Membership>,
    ) -> Result<(), Error> {
        let leaving = self.leaving.clone();
        let budget = leaving.budget(COMMIT_TIMEOUT);
        self.begin()?;
        self.deliver(&budget)?;
        self.check("committing")?;
        let list = self
            .offsets(offsets)
            .map_err(|error| classify(&self.config, "committing", &error))?;
        if faults::is_off(Mechanism::OffsetsInTransaction) {
            self.end_transaction(&budget)?;
            self.begin()?;
        }
        self.put_offsets(&budget, list, membership()?)?;
        faults::point(Point::AfterOffsets);
        self.end_transaction(&budget)?;
        faults::point(Point::AfterCommit);
        Ok(())
    }

    fn discard(&mut self) {
        self.open = false;
        let Some(Line { producer, calls }) = self.line.take() else {
            return;
        };
        // This one first: the thread's is the last one then, and the client ends there.
        drop(producer);
        let budget = self.leaving.budget(END_PATIENCE);
        calls.end(|| budget.left());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::codec::headers;
    use crate::kafka::embedded::EmbeddedBroker;
    use crate::kafka::feed::{Reader, Received};
    use crate::kafka::lookup::now;
    use crate::series::observation::{NextOffset, Partition};

    const PATIENCE: Duration = Duration::from_secs(10);
    const ORIGIN: PartitionId = PartitionId {
        topic: 0,
        partition: Partition(0),
    };

    fn connected() -> (EmbeddedBroker, KafkaSink) {
        // Threads are counted by owner: tests that run beside each other are workers of different groups.
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let broker = EmbeddedBroker::start(&[("in", 1), ("out", 1), ("dead", 1)]).unwrap();
        let config = Config {
            brokers: vec![broker.bootstrap().to_owned()],
            group: format!("g{}", GROUPS.fetch_add(1, Ordering::Relaxed)),
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
            line: None,
            open: false,
            letter_bytes_max: usize::MAX,
            alone_tries: 0,
            is_alone: false,
            crowded_since: None,
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

    fn fail(sink: &KafkaSink, code: RDKafkaErrorCode, to: Destination) {
        let deliveries = sink.line().unwrap().producer.client().context();
        deliveries.fail(code, (to, ORIGIN));
    }

    const TOO_LARGE: RDKafkaErrorCode = RDKafkaErrorCode::MessageSizeTooLarge;

    #[test]
    fn sink_reads_membership_only_once_everything_is_delivered() {
        let (_broker, mut sink) = connected();
        let not_member = Error::NotMember {
            reason: "testing".to_owned(),
        };
        let commits = [Commit {
            partition: ORIGIN,
            next: NextOffset(1),
            metadata: "",
        }];
        let mut reads = 0;
        let mut read = || {
            reads += 1;
            Err(not_member.clone())
        };
        assert_eq!(sink.commit(&commits, &mut read), Err(not_member.clone()));
        fail(&sink, RDKafkaErrorCode::MessageTimedOut, Destination::Forecasts);
        let undelivered = sink.commit(&commits, &mut read).unwrap_err();
        assert!(matches!(undelivered, Error::Transient { .. }), "{undelivered:?}");
        assert_eq!(reads, 1, "a failed delivery comes before it");
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
        assert!(sink.line().unwrap().producer.client().context().wait(0, PATIENCE));
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
        assert!(is_refused(&error), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("`out`") && text.contains("max.message.bytes") && text.contains("horizons"),
            "{text}"
        );
        sink.is_alone = true;
        fail(&sink, TOO_LARGE, Destination::Forecasts);
        assert_eq!(
            sink.check("testing"),
            Err(error),
            "a broker's refusal says the same"
        );
    }

    fn is_refused(error: &Error) -> bool {
        matches!(error, Error::Refused { partition, .. } if *partition == Some(ORIGIN))
    }

    #[test]
    fn sink_makes_letters_smaller_until_the_topic_takes_them_or_cannot_be_right() {
        let (_broker, mut sink) = connected();
        sink.is_alone = true;
        let mut bounds = Vec::new();
        fail(&sink, TOO_LARGE, Destination::DeadLetters);
        let last = loop {
            let error = sink.check("testing").unwrap_err();
            if is_refused(&error) {
                break error;
            }
            bounds.push(sink.letter_bytes_max);
        };
        assert_eq!((bounds[0], bounds.last()), (1 << 17, Some(&LETTER_BYTES_MIN)));
        assert!(last.to_string().contains("`dead`"), "{last}");
    }

    #[test]
    fn sink_blames_a_record_only_when_it_was_alone_in_its_batch() {
        let (_broker, mut sink) = connected();
        fail(&sink, RDKafkaErrorCode::InvalidTimestamp, Destination::Forecasts);
        let first = sink.check("testing").unwrap_err();
        assert!(matches!(first, Error::Transient { .. }), "{first:?}");
        for _ in 0..ALONE_TRIES - 1 {
            sink.connect(&mut || {}).unwrap();
            fail(&sink, RDKafkaErrorCode::InvalidTimestamp, Destination::Forecasts);
            let error = sink.check("testing").unwrap_err();
            assert!(is_refused(&error), "{error:?}");
        }
        sink.connect(&mut || {}).unwrap();
        sink.connect(&mut || {}).unwrap();
        assert!(!sink.is_alone, "not for ever: it costs speed");
    }

    #[test]
    fn sink_blames_nobody_for_what_an_outage_causes() {
        let (_broker, mut sink) = connected();
        sink.is_alone = true;
        fail(&sink, RDKafkaErrorCode::MessageTimedOut, Destination::Forecasts);
        let error = sink.check("testing").unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error:?}");
    }

    #[test]
    fn sink_leaves_a_producer_that_hangs_and_makes_a_new_one() {
        let (_broker, mut sink) = connected();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let calls = &sink.line().unwrap().calls;
        let hung = calls.call(|| Duration::ZERO, move |_| stuck.recv().is_err());
        assert!(hung.is_err());
        let leaving = sink.leaving.clone();
        let budget = leaving.budget(COMMIT_TIMEOUT);
        let begun = now();
        let error = sink.end_transaction(&budget).unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error:?}");
        sink.connect(&mut || {}).unwrap();
        assert!(
            now() - begun < COMMIT_TIMEOUT,
            "nobody waited for the one that hangs"
        );
        drop(release);
    }

    #[test]
    fn sink_ends_the_worker_only_where_producers_hang_for_long() {
        let (_broker, mut sink) = connected();
        let start = now();
        let early = [start, start + CROWDED_MAX / 2].map(|now| sink.crowded(now));
        assert!(early.iter().all(|error| matches!(error, Error::Transient { .. })));
        let late = sink.crowded(start + CROWDED_MAX);
        assert!(
            late.ends_worker() && late.to_string().contains("restart"),
            "{late}"
        );
        sink.connect(&mut || {}).unwrap();
        assert_eq!(sink.crowded_since, None, "one that was made again ends that");
    }
}
