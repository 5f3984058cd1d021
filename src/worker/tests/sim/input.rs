//! What the input topics hold: records, and offsets without one.

use std::rc::Rc;

use super::rng::Rng;
use crate::series::observation::{Offset, Partition};
use crate::worker::ports::{Headers, PartitionId};

/// A record as a producer wrote it.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp_ms: i64,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Observations in it, by how it was made.
    pub(super) observations: usize,
    /// How often its topic had been created, and its number among the records written there.
    pub(super) tag: (u32, i64),
}

/// Digits behind the point of a reading that say which one it is: partition, tag, index in its record.
const TAG_DIGITS: f64 = 1e8;

/// A reading's number: no other reading of any partition has the same.
fn reading(tenths: usize, id: PartitionId, tag: (u32, i64), index: usize) -> String {
    let Partition(partition) = id.partition;
    let place = id.topic * 3 + usize::try_from(partition).expect("three at most");
    format!(
        "{}.{}{place}{:02}{:03}{index}",
        tenths / 10,
        tenths % 10,
        tag.0 % 100,
        tag.1 % 1000
    )
}

/// Partition, tag, and index in its record of the reading with that number.
pub(super) fn reading_of(value: f64) -> (PartitionId, (u32, i64), usize) {
    #[allow(clippy::cast_possible_truncation, reason = "eleven digits")]
    let digits = (value * TAG_DIGITS).round() as i64;
    let part = |from: i64, count: i64| (digits / from) % count;
    let place = index(part(1_000_000, 10));
    let id = PartitionId {
        topic: place / 3,
        partition: Partition(i32::try_from(place % 3).expect("one digit")),
    };
    let creations = u32::try_from(part(10_000, 100)).expect("two digits");
    (id, (creations, part(10, 1000)), index(part(1, 10)))
}

pub(super) struct InputHeaders<'a>(pub(super) &'a Input);

impl Headers for InputHeaders<'_> {
    fn count(&self) -> usize {
        self.0.headers.len()
    }

    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        let (name, value) = &self.0.headers[index];
        (name, value.as_deref())
    }
}

/// One offset.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// With the transaction that it is of.
    Record(Rc<Input>, Option<usize>),
    /// A transaction's marker, or compacted away before anybody read it.
    Hole,
}

/// What became of a transaction of the input side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pending,
    Committed,
    Aborted,
}

/// One partition of an input topic.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// Oldest offset left.
    pub(super) start: i64,
    /// Counts how often the topic was created.
    pub(super) incarnation: u32,
    /// Event time of the newest record, milliseconds.
    time_ms: i64,
    written: i64,
}

const BEGIN_MS: i64 = 1_700_000_000_000;

pub(super) fn index(offset: i64) -> usize {
    usize::try_from(offset).expect("offsets are not negative")
}

pub(super) fn offset_of(index: usize) -> i64 {
    i64::try_from(index).expect("logs are short")
}

impl Log {
    pub(super) const fn new(incarnation: u32) -> Self {
        Self {
            entries: Vec::new(),
            start: 0,
            incarnation,
            time_ms: BEGIN_MS + 500_000 * incarnation as i64,
            written: 0,
        }
    }

    /// The same without what lies from `end` on: what is written next is another log's.
    pub(super) fn without_tail(&self, end: i64) -> Self {
        let mut log = self.clone();
        log.entries.truncate(index(end));
        log.incarnation += 1;
        log.time_ms += 1;
        log
    }

    pub(super) fn len(&self) -> i64 {
        offset_of(self.entries.len())
    }

    /// One past what a `read_committed` reader sees.
    pub(super) fn end(&self, fates: &[Fate]) -> i64 {
        let pending =
            |entry: &Entry| matches!(entry, Entry::Record(_, Some(tx)) if fates[*tx] == Fate::Pending);
        offset_of(
            self.entries
                .iter()
                .position(pending)
                .unwrap_or(self.entries.len()),
        )
    }

    /// The record at `offset` as a `read_committed` reader sees it.
    pub(super) fn visible(&self, offset: i64, fates: &[Fate]) -> Option<&Rc<Input>> {
        match self.entries.get(index(offset))? {
            Entry::Record(input, None) => Some(input),
            Entry::Record(input, Some(tx)) => (fates[*tx] == Fate::Committed).then_some(input),
            Entry::Hole => None,
        }
    }

    /// Whatever is there, transaction or not.
    pub(super) fn raw(&self, offset: i64) -> Option<&Rc<Input>> {
        match self.entries.get(index(offset))? {
            Entry::Record(input, _) => Some(input),
            Entry::Hole => None,
        }
    }

    /// Appends a record that hangs on `rng` alone.
    pub(super) fn write(&mut self, id: PartitionId, rng: &mut Rng, tx: Option<usize>) {
        self.time_ms += match rng.below(40) {
            0 => 40_000, // a long gap, and other streams become idle
            1 => 3_000,
            2 | 3 => 0,
            _ => 500,
        };
        let tag = (self.incarnation, self.written);
        let input = make(id, self.time_ms, tag, rng);
        self.written += 1;
        self.entries.push(Entry::Record(Rc::new(input), tx));
    }
}

fn stream(id: PartitionId, written: i64, rng: &mut Rng) -> String {
    let Partition(partition) = id.partition;
    if rng.once_in(12) {
        format!("new{}/{partition}/{written}", id.topic)
    } else {
        format!("s{}/{partition}/{}", id.topic, rng.below(3))
    }
}

fn make(id: PartitionId, time_ms: i64, tag: (u32, i64), rng: &mut Rng) -> Input {
    let written = tag.1;
    let stream = stream(id, written, rng);
    let tenths = rng.below(200);
    let reading = |tenths, index| reading(tenths, id, tag, index);
    let (value, observations) = match rng.below(24) {
        0 => (Some("no json".to_owned()), 1),
        1 => (None, 1),
        2 => (
            Some(format!(
                r#"{{"id":"{stream}","t":{},"v":{}}}"#,
                time_ms - 60_000,
                reading(10, 0)
            )),
            1,
        ),
        3 => (Some(format!(r#"{{"id":"{stream}","t":{time_ms},"v":null}}"#)), 1),
        4 => {
            let second = format!(
                r#"{{"id":"{stream}","t":{},"v":{}}}"#,
                time_ms + 1000,
                reading(tenths, 4)
            );
            let other = self::stream(id, written, rng);
            let value = format!(
                r#"[{{"id":"{stream}","t":{time_ms},"v":{}}},3,{{"id":"{other}","t":{time_ms},"v":{}}},{{"t":1}},{second}]"#,
                reading(20, 0),
                reading(40, 2)
            );
            (Some(value), 5)
        }
        5 => (Some(format!(r#"{{"id":"{stream}","t":{time_ms}}}"#)), 1),
        _ => (
            Some(format!(
                r#"{{"id":"{stream}","t":{time_ms},"v":{}}}"#,
                reading(tenths, 0)
            )),
            1,
        ),
    };
    let trace = ("trace".to_owned(), Some(written.to_le_bytes().to_vec()));
    let headers = match rng.below(3) {
        0 => vec![trace, ("null".to_owned(), None)],
        1 => vec![trace],
        _ => Vec::new(),
    };
    Input {
        key: rng.once_in(2).then(|| stream.into_bytes()),
        value: value.map(String::into_bytes),
        timestamp_ms: time_ms + 5,
        headers,
        observations,
        tag,
    }
}

/// The last visible record before `next`.
pub(super) fn last_before(log: &Log, fates: &[Fate], next: i64) -> Option<(Offset, i64)> {
    let end = next.min(log.end(fates));
    (log.start..end)
        .rev()
        .find_map(|offset| Some((Offset(offset), log.visible(offset, fates)?.timestamp_ms)))
}

#[test]
fn sim_readings_say_which_they_are() {
    let id = PartitionId {
        topic: 1,
        partition: Partition(0),
    };
    for (tenths, tag, index) in [(0, (0, 0), 0), (199, (12, 345), 4)] {
        let value: f64 = reading(tenths, id, tag, index).parse().expect("a number");
        assert_eq!(reading_of(value), (id, tag, index));
    }
}
