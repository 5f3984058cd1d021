//! A `read_committed` reader that reads while the faults happen, and says at once when something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::oracle::{Allowance, Check, Violation};
use crate::broker::Names;
use crate::broker::daemon::{Stopwatch, await_until};

/// A reader that waits for the end of transactions.
pub(crate) const COMMITTED: &str = "read_committed";
/// A careless one.
pub(crate) const UNCOMMITTED: &str = "read_uncommitted";

/// A record to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.map(<[u8]>::to_vec).unwrap_or_default(),
                    )
                })
                .collect()
        });
        Self {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    /// The last header of that name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rev().find(|(key, _)| key == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Of the weights that served.
    pub(crate) fn version(&self) -> Option<u64> {
        self.header("tidecast.model")?.rsplit('/').next()?.parse().ok()
    }

    /// The observation that it is about.
    pub(crate) fn source(&self) -> Option<Place> {
        let mut parts = self.header("tidecast.source")?.rsplit('/');
        let mut next = || parts.next()?.parse().ok();
        let (index, offset, partition) = (next()?, next()?, next()?);
        Some(Place {
            partition: i32::try_from(partition).ok()?,
            offset,
            index,
        })
    }
}

/// Place of an observation in the input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) index: i64,
}

/// Which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Input,
    Forecasts,
    Letters,
}

/// Everything seen, in the order of each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) records: BTreeMap<(Topic, i32), Vec<Record>>,
    /// Outcomes up to these offsets are of an input topic that is there no more.
    gone: BTreeMap<(Topic, i32), i64>,
}

impl Seen {
    pub(crate) fn of(&self, topic: Topic) -> impl Iterator<Item = (i32, &Record)> {
        let of_topic = self.records.iter().filter(move |((of, _), _)| *of == topic);
        of_topic.flat_map(|((_, partition), records)| records.iter().map(move |record| (*partition, record)))
    }

    /// Forecasts and dead letters.
    pub(crate) fn outcomes(&self) -> usize {
        self.count(Topic::Forecasts) + self.count(Topic::Letters)
    }

    /// Without the outcomes that are of an input topic that `live` has seen go.
    pub(crate) fn without_gone(mut self, live: &Self) -> Self {
        for (of, last) in &live.gone {
            let records = self.records.entry(*of).or_default();
            records.retain(|record| record.offset > *last);
        }
        self.records.retain(|_, records| !records.is_empty());
        self
    }

    pub(crate) fn count(&self, topic: Topic) -> usize {
        let of_topic = self.records.iter().filter(|((of, _), _)| *of == topic);
        of_topic.map(|(_, records)| records.len()).sum()
    }
}

/// What is judged record by record.
#[derive(Default)]
struct Judge {
    seen: Seen,
    /// Where its first outcome was seen.
    sources: BTreeMap<Place, (Topic, i32, i64)>,
    /// Newest place of what each output partition says of each stream, and of each partition's letters.
    newest: BTreeMap<(Topic, i32, Vec<u8>), Place>,
    /// How long nothing of an input partition was served, while that is measured.
    silences: BTreeMap<i32, Silence>,
    allowance: Allowance,
    /// The input topic is being made anew: its records are not looked at.
    is_input_going: bool,
    violation: Option<Violation>,
}

/// Time without a forecast.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Stopwatch,
    longest: Duration,
}

impl Silence {
    fn begin() -> Self {
        Self {
            since: Stopwatch::start(),
            longest: Duration::ZERO,
        }
    }

    fn longest(self) -> Duration {
        self.longest.max(self.since.elapsed())
    }

    fn end(&mut self) {
        self.longest = self.longest();
        self.since = Stopwatch::start();
    }
}

impl Judge {
    fn take(&mut self, topic: Topic, partition: i32, record: Record) {
        if topic == Topic::Input && self.is_input_going {
            return;
        }
        let records = self.seen.records.entry((topic, partition)).or_default();
        if let Some(last) = records.last().filter(|last| last.offset >= record.offset) {
            let text = format!(
                "{topic:?}/{partition}: offset {} after {}",
                record.offset, last.offset
            );
            self.violation.get_or_insert(Violation::new(Check::Changed, text));
            return;
        }
        if topic != Topic::Input {
            match record.source() {
                None => {
                    let text = format!("{topic:?}/{partition}/{} names no source", record.offset);
                    self.violation.get_or_insert(Violation::new(Check::Set, text));
                }
                Some(place) => self.check(topic, partition, &record, place),
            }
        }
        let records = self.seen.records.entry((topic, partition)).or_default();
        records.push(record);
    }

    /// The input topic is another one: what was seen of the one before is forgotten.
    fn begin_anew(&mut self) {
        self.is_input_going = false;
        let records = std::mem::take(&mut self.seen.records);
        for ((topic, partition), records) in records {
            if let Some(last) = records.last().filter(|_| topic != Topic::Input) {
                self.seen.gone.insert((topic, partition), last.offset);
            }
        }
        self.sources.clear();
        self.newest.clear();
    }

    fn check(&mut self, topic: Topic, partition: i32, record: &Record, place: Place) {
        let repeats = self.allowance.repeats(place);
        let here = (topic, partition, record.offset);
        let first = *self.sources.entry(place).or_insert(here);
        if first != here && !repeats {
            let text = format!("{place:?} has an outcome at {first:?} and another at {here:?}");
            self.violation.get_or_insert(Violation::new(Check::Doubled, text));
        }
        if topic == Topic::Forecasts
            && let Some(silence) = self.silences.get_mut(&place.partition)
        {
            silence.end();
        }
        let stream = match topic {
            Topic::Forecasts => record.key.clone().unwrap_or_default(),
            _ => place.partition.to_be_bytes().to_vec(),
        };
        let before = self.newest.insert((topic, partition, stream), place);
        if let Some(before) = before.filter(|before| *before >= place)
            && !repeats
        {
            let text = format!("{topic:?}/{partition}: {place:?} after {before:?}");
            self.violation.get_or_insert(Violation::new(Check::Order, text));
        }
    }
}

/// Where what is fed later begins, by partition.
pub(crate) struct Mark(pub(crate) Vec<i64>);

/// The reading thread.
pub(crate) struct Observer {
    judge: Arc<Mutex<Judge>>,
    partitions: Arc<AtomicI32>,
    /// Whether the input topic is to be read from its beginning once more.
    anew: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn topic_of(names: &Names, topic: &str) -> Topic {
    match topic {
        _ if topic == names.input => Topic::Input,
        _ if topic == names.forecasts => Topic::Forecasts,
        _ => Topic::Letters,
    }
}

/// These partitions of some topics, from their beginnings.
fn list(topics: &[&String], partitions: std::ops::Range<i32>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        for topic in topics {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
    }
    list
}

/// A reader that sees what is committed, or all that was ever published.
pub(super) fn consumer(servers: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "observer")
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("auto.offset.reset", "earliest")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("reconnect.backoff.max.ms", "500")
        .create()
        .unwrap()
}

impl Observer {
    pub(crate) fn start(servers: &str, names: &Names, partitions: i32) -> Self {
        let mut observer = Self {
            judge: Arc::default(),
            partitions: Arc::new(AtomicI32::new(partitions)),
            anew: Arc::default(),
            ending: Arc::default(),
            thread: None,
        };
        let consumer = consumer(servers, COMMITTED);
        let (judge, ending) = (Arc::clone(&observer.judge), Arc::clone(&observer.ending));
        let (partitions, names) = (Arc::clone(&observer.partitions), names.clone());
        let anew = Arc::clone(&observer.anew);
        let body = move || {
            let mut assigned = 0;
            while !ending.load(Ordering::Acquire) {
                let wanted = partitions.load(Ordering::Acquire);
                if wanted > assigned {
                    let all = [&names.input, &names.forecasts, &names.letters];
                    let list = list(&all, assigned..wanted);
                    consumer.incremental_assign(&list).unwrap();
                    assigned = wanted;
                }
                if anew.load(Ordering::Acquire) {
                    let list = list(&[&names.input], 0..assigned);
                    consumer.incremental_unassign(&list).unwrap();
                    judge.lock().unwrap().begin_anew();
                    consumer.incremental_assign(&list).unwrap();
                    anew.store(false, Ordering::Release);
                }
                // Errors of an outage pass; whether everything was seen is asked at the end.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let topic = topic_of(&names, message.topic());
                    let record = Record::of(&message);
                    judge.lock().unwrap().take(topic, message.partition(), record);
                }
            }
        };
        let thread = std::thread::Builder::new().name("observer".to_owned());
        observer.thread = Some(thread.spawn(body).unwrap());
        observer
    }

    /// Reads a further partition of every topic.
    pub(crate) fn widen(&self) {
        self.partitions.fetch_add(1, Ordering::AcqRel);
    }

    /// The input topic is about to be deleted: nothing is looked at there until [`Self::read_anew`].
    pub(crate) fn let_input_go(&self) {
        self.judge.lock().unwrap().is_input_going = true;
    }

    /// The input topic is another one now: it is read from its beginning, and what was seen of the one before, outcomes too,
    /// is forgotten.
    pub(crate) fn read_anew(&self) {
        self.anew.store(true, Ordering::Release);
        await_until("the input is read anew", Duration::from_secs(30), || {
            (!self.anew.load(Ordering::Acquire)).then_some(())
        });
    }

    /// The newest version of the weights that a forecast names.
    pub(crate) fn version(&self) -> u64 {
        self.with_seen(|seen| {
            let of = |record: &Record| record.version();
            let forecasts = seen
                .records
                .iter()
                .filter(|((topic, _), _)| *topic == Topic::Forecasts);
            let newest = forecasts.filter_map(|(_, records)| records.last().and_then(of));
            newest.max().unwrap_or(0)
        })
    }

    /// From here on, these are no violations.
    pub(crate) fn allow(&self, allowance: Allowance) {
        self.judge.lock().unwrap().allowance = allowance;
    }

    pub(crate) fn with_seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.judge.lock().unwrap().seen)
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.judge.lock().unwrap().violation.clone()
    }

    /// Forecasts and dead letters.
    pub(crate) fn outcomes(&self) -> usize {
        self.with_seen(Seen::outcomes)
    }

    /// Whether there is a forecast of something that was fed behind the mark.
    pub(crate) fn is_past(&self, mark: &Mark) -> bool {
        !self.past(mark).is_empty()
    }

    /// The input partitions of which there is one.
    pub(crate) fn past(&self, mark: &Mark) -> BTreeSet<i32> {
        let is_new = |place: &Place| {
            let end = usize::try_from(place.partition)
                .ok()
                .and_then(|index| mark.0.get(index));
            end.is_none_or(|&end| place.offset >= end)
        };
        self.with_seen(|seen| {
            let forecasts = seen
                .records
                .iter()
                .filter(|((topic, _), _)| *topic == Topic::Forecasts);
            forecasts
                .filter_map(|(_, records)| records.last()?.source())
                .filter(is_new)
                .map(|place| place.partition)
                .collect()
        })
    }

    /// Measures from now on how long nothing of each of these input partitions is served.
    pub(crate) fn begin_silences(&self, partitions: i32) {
        let silences = (0..partitions).map(|partition| (partition, Silence::begin()));
        self.judge.lock().unwrap().silences = silences.collect();
    }

    /// The longest so far, by partition.
    pub(crate) fn silences(&self) -> Vec<Duration> {
        let judge = self.judge.lock().unwrap();
        judge.silences.values().map(|silence| silence.longest()).collect()
    }

    /// Whether something of this input partition was served.
    pub(crate) fn has_forecast_of(&self, partition: i32) -> bool {
        self.with_seen(|seen| {
            let mut forecasts = seen.of(Topic::Forecasts);
            forecasts.any(|(_, record)| record.source().is_some_and(|place| place.partition == partition))
        })
    }

    /// Ends the thread; what it saw.
    pub(crate) fn finish(mut self) -> (Seen, Option<Violation>) {
        self.end();
        let mut judge = self.judge.lock().unwrap();
        (std::mem::take(&mut judge.seen), judge.violation.take())
    }

    fn end(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the observer panicked");
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Both output topics from their beginnings to their ends as they are now, by a reader of its own.
pub(crate) fn read_again(
    servers: &str,
    names: &Names,
    (partitions, isolation): (i32, &str),
) -> Result<Seen, KafkaError> {
    let consumer = consumer(servers, isolation);
    let mut seen = Seen::default();
    for topic in [&names.forecasts, &names.letters] {
        for partition in 0..partitions {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
            // One at a time: the end of a partition is told without its topic's name.
            consumer.assign(&list)?;
            let records = seen
                .records
                .entry((topic_of(names, topic), partition))
                .or_default();
            loop {
                match consumer.poll(Duration::from_secs(30)) {
                    None => panic!("{topic}/{partition} gave nothing for 30 s"),
                    Some(Err(KafkaError::PartitionEOF(_))) => break,
                    Some(Err(error)) => return Err(error),
                    Some(Ok(message)) => records.push(Record::of(&message)),
                }
            }
        }
    }
    seen.records.retain(|_, records| !records.is_empty());
    Ok(seen)
}

/// Where the forecasts of each partition end for a reader of that kind.
pub(crate) fn ends(servers: &str, names: &Names, (partitions, isolation): (i32, &str)) -> Vec<i64> {
    let consumer = consumer(servers, isolation);
    let end = |partition| {
        let ends = consumer.fetch_watermarks(&names.forecasts, partition, Duration::from_secs(30));
        ends.unwrap().1
    };
    (0..partitions).map(end).collect()
}
