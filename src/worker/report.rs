//! What a worker tells its observer after each turn.

use std::time::Duration;

use crate::engine::{ModelVersion, PartitionStats};
use crate::series::observation::NextOffset;
use crate::worker::ports::PartitionId;

/// Counts by what became of the observations. An outcome counts when its transaction is known to be committed, and one of
/// warm-up history when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Published.
    pub forecast: u64,
    /// Refused and published to the dead-letter topic, by reason code, ascending.
    pub dead_letter: Vec<(&'static str, u64)>,
    /// Its step was filled.
    pub duplicate: u64,
    /// Before the stream's newest step.
    pub late: u64,
    /// A null.
    pub missing: u64,
    /// The partition is full.
    pub over_capacity: u64,
    /// Warm-up history, or not ready.
    pub muted: u64,
}

impl Outcomes {
    /// Counts a dead letter.
    pub(crate) fn count_letter(&mut self, reason: &'static str) {
        *self.letters(reason) += 1;
    }

    fn letters(&mut self, reason: &'static str) -> &mut u64 {
        let found = self.dead_letter.binary_search_by_key(&reason, |entry| entry.0);
        let index = found.unwrap_or_else(|index| {
            self.dead_letter.insert(index, (reason, 0));
            index
        });
        &mut self.dead_letter[index].1
    }

    /// Counts those of `other` too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.forecast += other.forecast;
        for &(reason, count) in &other.dead_letter {
            *self.letters(reason) += count;
        }
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.missing += other.missing;
        self.over_capacity += other.over_capacity;
        self.muted += other.muted;
    }

    /// Zeroes the counts and keeps the memory.
    pub(crate) fn clear(&mut self) {
        let mut dead_letter = std::mem::take(&mut self.dead_letter);
        dead_letter.clear();
        *self = Self {
            dead_letter,
            ..Self::default()
        };
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let letters: u64 = self.dead_letter.iter().map(|entry| entry.1).sum();
        self.forecast + letters + self.duplicate + self.late + self.missing + self.over_capacity + self.muted
    }
}

/// How far the reading of a snapshot is, bytes of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// At most `whole`.
    pub read: u64,
    /// 0 while no file is read: it is looked for.
    pub whole: u64,
}

/// How far a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionPhase {
    /// Its committed offset, log and models are being read; with the sentence of the last failure.
    Waiting(Option<String>),
    /// Its snapshot is being read.
    Loading(Loading),
    /// Reading history with the mouth shut up to the committed offset.
    Restoring,
    /// In service.
    Running,
    /// Out of service until somebody looks; with the sentence why.
    Parked(String),
}

/// One assigned partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionReport {
    /// Which.
    pub id: PartitionId,
    /// How far.
    pub phase: PartitionPhase,
    /// Where the next record is expected.
    pub position: NextOffset,
    /// What is committed.
    pub committed: NextOffset,
    /// The log's end as last heard.
    pub end: Option<NextOffset>,
    /// Before it nothing ever entered the state.
    pub base: NextOffset,
    /// Version that serves.
    pub model: Option<ModelVersion>,
    /// Streams with state.
    pub streams: usize,
    /// What the state says about itself: coverage, skill, anomalies. Default where there is no state yet.
    pub stats: PartitionStats,
    /// Entries of the switch log. From [`SWITCHES_LEARNT_MAX`](crate::worker::switch_log::SWITCHES_LEARNT_MAX) on only
    /// rollbacks are adopted, from [`SWITCHES_MAX`](crate::worker::switch_log::SWITCHES_MAX) on nothing is.
    pub switches: usize,
    /// Whether state was made anew from `rebuild` ago.
    pub rebuilt: bool,
    /// Records that were deleted before they were read, since the assignment.
    pub lost: u64,
    /// Offset of the newest snapshot that is known.
    pub snapshot: Option<NextOffset>,
    /// Whether horizons are left out because it lags.
    pub degraded: bool,
}

/// How a snapshot has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Whose.
    pub id: PartitionId,
    /// Bytes of the file; or why there is none, and the way out.
    pub written: Result<u64, String>,
    /// From its first row's copy on.
    pub took: Duration,
}

impl PartitionReport {
    /// Records between the position and the log's end, as last heard.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end.0 - self.position.0).max(0))
    }
}

/// A commit that is known to have succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitReport {
    /// From sending offsets to the answer.
    pub latency: Duration,
    /// Age of the oldest outcome in it: from its record's poll to the answer.
    pub oldest: Duration,
    /// Observations whose outcome it made visible.
    pub observations: u64,
}

/// Since the turn before.
#[derive(Clone, Debug)]
pub struct TurnReport<'a> {
    /// When it ended, by the worker's clock.
    pub now: Duration,
    /// How long it took, waiting for records included.
    pub took: Duration,
    /// Records taken.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Records that only restored state: their outcomes were published before.
    pub replayed: u64,
    /// What became of observations, as far as it became final in this turn.
    pub outcomes: &'a Outcomes,
    /// Bytes published.
    pub bytes_published: u64,
    /// Where this turn committed.
    pub commit: Option<CommitReport>,
    /// Every assigned partition, ascending.
    pub partitions: &'a [PartitionReport],
    /// Tape rows that the trainer did not take.
    pub tape_rows_dropped: u64,
    /// Versions that a log names and the store does not hold.
    pub models_missing: u64,
    /// Records that were deleted before they were read, since the worker started; counted with the first commit beyond.
    pub records_lost: u64,
    /// Times that the worker began again (new producer, state restored), since it started.
    pub restarts: u64,
    /// Where a snapshot has ended.
    pub snapshot: Option<&'a SnapshotReport>,
    /// Snapshots that did not fit, each a sentence with its name and the reason.
    pub snapshots_refused: &'a [String],
    /// Why it began again or what it waits for, as a sentence.
    pub trouble: Option<&'a str>,
}
