//! What the daemon is fed: numbered records, good and bad, each with the outcomes that it must have.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::broker::daemon::pass;

/// Event time of the first record, and its Kafka timestamp: long before the broker's clock, whose limit for timestamps in
/// the future is an hour.
pub(crate) const START_MS: i64 = 1_767_607_200_000;
const MINUTE_MS: i64 = 60_000;
/// Specials begin here: before, a stream has no newest step to be late for.
const QUIET_MINUTES: i64 = 4;

/// A record as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp_ms: i64,
    /// Of each of its observations: `forecast` or the code of a dead letter.
    pub(crate) outcomes: Vec<&'static str>,
    /// Whether the outcomes are sure: where clocks jump only their number is.
    pub(crate) foretold: bool,
}

/// What a feed holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    /// Streams of each partition.
    pub(crate) streams: usize,
    /// Records of each partition per second.
    pub(crate) rate: u32,
    /// Null readings take a step and publish nothing: where versions of the weights switch, nobody outside can tell which
    /// one took it.
    pub(crate) nulls: bool,
    /// Records that cannot be read, of a hundred; at most 94.
    pub(crate) refused_percent: u32,
    /// Minutes between two jumps of the clock; 0 for none.
    pub(crate) jump_minutes: i64,
    /// Added to the Kafka timestamps.
    pub(crate) shift_ms: i64,
    /// Readings of ids that never come back, of a hundred records; at most 90. The partition has room for the others only.
    pub(crate) strangers_percent: u32,
}

/// The records of one partition, in order.
pub(crate) struct Feed {
    recipe: Recipe,
    partition: i32,
    random: Pcg64,
    number: u64,
    minute: i64,
    stream: usize,
    jumped_ms: i64,
}

impl Feed {
    pub(crate) fn new(recipe: Recipe, partition: i32) -> Self {
        let seed = recipe.seed.wrapping_mul(1000) + u64::from(partition.unsigned_abs());
        Self {
            recipe,
            partition,
            random: Pcg64::seed_from_u64(seed),
            number: 0,
            minute: 0,
            stream: 0,
            jumped_ms: 0,
        }
    }

    fn time_ms(&self) -> i64 {
        START_MS + self.minute * MINUTE_MS + self.jumped_ms
    }

    fn object(&mut self, stream: usize, minutes_before: i64, value: Option<f64>) -> String {
        let seconds = self.time_ms() / 1000 - 60 * minutes_before;
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("{value:.3}"));
        format!(
            r#"{{"id":"s{}-{stream}","t":{seconds},"v":{value},"n":{}}}"#,
            self.partition, self.number
        )
    }

    fn value(&mut self) -> f64 {
        let phase = std::f64::consts::TAU * (self.minute % 12) as f64 / 12.0;
        20.0 + 3.0 * phase.sin() + self.random.random_range(-0.5..0.5)
    }

    fn message(
        &self,
        value: Option<Vec<u8>>,
        headers: &[(&str, &[u8])],
        outcomes: &[&'static str],
    ) -> Message {
        Message {
            key: (!self.number.is_multiple_of(11)).then(|| format!("k\u{e9}{}", self.stream).into_bytes()),
            value,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .chain([("number".to_owned(), self.number.to_string().into_bytes())])
                .collect(),
            timestamp_ms: self.time_ms() + self.recipe.shift_ms,
            outcomes: outcomes.to_vec(),
            foretold: self.recipe.jump_minutes == 0,
        }
    }

    /// A reading of an id that never comes back.
    fn stranger(&self) -> Message {
        let seconds = self.time_ms() / 1000;
        let text = format!(
            r#"{{"id":"pump-{}-{:016x}","t":{seconds},"v":1}}"#,
            self.partition, self.number
        );
        self.message(Some(text.into_bytes()), &[], &["over_capacity"])
    }

    /// A record that is no reading, or not a plain one; it takes no stream's turn.
    fn special(&mut self) -> Option<Message> {
        if self.minute < QUIET_MINUTES || self.stream == 0 {
            return None;
        }
        let strangers = self.recipe.strangers_percent;
        if strangers > 0 && self.random.random_range(0..100) < strangers {
            return Some(self.stranger());
        }
        let (last, value) = (self.stream - 1, self.value());
        let trace: &[(&str, &[u8])] = &[("trace", b"4b\xfff9"), ("tidecast.source", b"not/ours")];
        let refused = self.recipe.refused_percent;
        let draw = self.random.random_range(0..100);
        if draw < refused {
            return Some(match draw % 3 {
                0 => self.message(Some(b"\xff\xfe{\"v\":\x03}\x80".to_vec()), trace, &["not_utf8"]),
                1 => self.message(Some(br#"{"id":"s"#.to_vec()), trace, &["malformed"]),
                _ => self.message(None, &[], &["empty"]),
            });
        }
        Some(match draw - refused {
            0..3 => {
                let text = self.object(last, 0, Some(value));
                self.message(Some(text.into_bytes()), &[], &["duplicate"])
            }
            3..5 => {
                let text = self.object(last, 3, Some(value));
                self.message(Some(text.into_bytes()), trace, &["late"])
            }
            5 => {
                let text = format!("[{},7]", self.object(last, 0, Some(value)));
                self.message(Some(text.into_bytes()), &[], &["duplicate", "malformed"])
            }
            _ => return None,
        })
    }

    /// The next reading: of one stream, or of two in one record.
    fn reading(&mut self) -> Message {
        let stream = self.stream;
        self.stream += 1;
        let settled = self.minute >= QUIET_MINUTES;
        let draw = self.random.random_range(0..100);
        let value = self.value();
        if settled && draw < 3 && self.recipe.nulls {
            let text = self.object(stream, 0, None);
            return self.message(Some(text.into_bytes()), &[], &["missing"]);
        }
        let first = self.object(stream, 0, Some(value));
        if draw < 8 && self.stream < self.recipe.streams {
            let value = self.value();
            let second = self.object(self.stream, 0, Some(value));
            self.stream += 1;
            let text = format!("[{first},{second}]");
            return self.message(Some(text.into_bytes()), &[], &["forecast", "forecast"]);
        }
        self.message(Some(first.into_bytes()), &[], &["forecast"])
    }

    /// Both clocks jump: days ahead, or back.
    fn jump(&mut self) {
        let every = self.recipe.jump_minutes;
        if every > 0 && self.minute % every == 0 {
            const HOURS: [i64; 4] = [50, -49, 3, -1];
            let index = usize::try_from(self.minute / every - 1).unwrap();
            self.jumped_ms += HOURS[index % HOURS.len()] * 60 * MINUTE_MS;
        }
    }
}

impl Iterator for Feed {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.number += 1;
        if let Some(special) = self.special() {
            return Some(special);
        }
        if self.stream >= self.recipe.streams {
            self.stream = 0;
            self.minute += 1;
            self.jump();
        }
        Some(self.reading())
    }
}

/// What was sent, by partition.
pub(crate) type Fed = Arc<Mutex<Vec<Vec<Message>>>>;

const FEEDING: u8 = 0;
const PAUSING: u8 = 1;
const PAUSED: u8 = 2;
const ENDING: u8 = 3;

/// A thread that feeds a topic at a steady rate, through outages too.
pub(crate) struct Feeder {
    state: Arc<AtomicU8>,
    /// Partitions that are fed.
    partitions: Arc<AtomicU8>,
    pub(crate) fed: Fed,
    thread: Option<JoinHandle<()>>,
}

/// A producer that gets everything through, in order, however long the brokers are away.
///
/// One request at a time: a broker forgets a producer whose newest Kafka timestamp is older than
/// `producer.id.expiration.ms` (a day) when it starts, and all timestamps here are. It then takes any sequence number, so
/// that of two requests under way the second may be taken alone; the client thinks that the first was, too, and reports it
/// as delivered. Records that come twice for the same reason are expected ([`as_sent`](super::oracle::as_sent)).
pub(crate) fn producer(servers: &str, more: &[(&str, &str)]) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("max.in.flight.requests.per.connection", "1")
        .set("linger.ms", "5")
        .set("message.timeout.ms", "600000")
        .set("reconnect.backoff.max.ms", "500");
    for (name, value) in more {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Queues one record.
pub(crate) fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    (topic, partition): (&str, i32),
    message: &Message,
) {
    loop {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &message.headers {
            let value = Some(value.as_slice());
            headers = headers.insert(Header { key, value });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(partition)
            .timestamp(message.timestamp_ms)
            .headers(headers);
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        match producer.send(record) {
            Ok(()) => return,
            // No room, or a partition that was made a moment ago.
            Err((error, _)) if passes(&error) => pass(Duration::from_millis(20)),
            Err((error, _)) => panic!("feeding {topic}/{partition}: {error}"),
        }
    }
}

fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::UnknownPartition)
    )
}

impl Feeder {
    pub(crate) fn start(servers: &str, topic: &str, partitions: u8, recipe: Recipe) -> Self {
        let mut feeder = Self {
            state: Arc::new(AtomicU8::new(FEEDING)),
            partitions: Arc::new(AtomicU8::new(partitions)),
            fed: Fed::default(),
            thread: None,
        };
        let (state, count, fed) = (
            Arc::clone(&feeder.state),
            Arc::clone(&feeder.partitions),
            Arc::clone(&feeder.fed),
        );
        // New partitions are found soon.
        let producer = producer(servers, &[("topic.metadata.refresh.interval.ms", "1000")]);
        let topic = topic.to_owned();
        let body = move || run(&producer, &topic, recipe, (&state, &count, &fed));
        let thread = std::thread::Builder::new().name("feeder".to_owned());
        feeder.thread = Some(thread.spawn(body).unwrap());
        feeder
    }

    /// Returns once everything sent is in the topic.
    pub(crate) fn pause(&self) {
        self.state.store(PAUSING, Ordering::Release);
        crate::broker::daemon::await_until("what was fed is in the topic", Duration::from_secs(120), || {
            (self.state.load(Ordering::Acquire) == PAUSED).then_some(())
        });
    }

    pub(crate) fn resume(&self) {
        self.state.store(FEEDING, Ordering::Release);
    }

    /// Feeds a further partition from its beginning on.
    pub(crate) fn widen(&self) {
        self.partitions.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.state.store(ENDING, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the feeder panicked");
        }
    }
}

fn run(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    recipe: Recipe,
    (state, count, fed): (&AtomicU8, &AtomicU8, &Fed),
) {
    let beat = Duration::from_millis(50);
    let burst = (recipe.rate / 20).max(1) as usize;
    let mut feeds: Vec<Feed> = Vec::new();
    loop {
        match state.load(Ordering::Acquire) {
            ENDING => break,
            PAUSING if producer.flush(Duration::from_millis(500)).is_ok() => {
                // Unless told otherwise meanwhile.
                let _ = state.compare_exchange(PAUSING, PAUSED, Ordering::AcqRel, Ordering::Acquire);
            }
            FEEDING => {
                while feeds.len() < usize::from(count.load(Ordering::Acquire)) {
                    feeds.push(Feed::new(recipe, feeds.len() as i32));
                    fed.lock().unwrap().push(Vec::new());
                }
                for (partition, feed) in feeds.iter_mut().enumerate() {
                    for message in feed.by_ref().take(burst) {
                        send(producer, (topic, partition as i32), &message);
                        fed.lock().unwrap()[partition].push(message);
                    }
                }
            }
            _ => {}
        }
        pass(beat);
    }
}
