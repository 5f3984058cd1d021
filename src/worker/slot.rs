//! One assigned partition as its worker holds it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::snapshot::Anchor;
use crate::engine::{Model, PartitionState};
use crate::faults::{self, Mechanism};
use crate::series::observation::{NextOffset, Offset};
use crate::worker::batch::Batch;
use crate::worker::inquiry::{Facts, Wish};
use crate::worker::metadata;
use crate::worker::ports::PartitionId;
use crate::worker::publisher::Voice;
use crate::worker::report::{PartitionPhase, PartitionReport};
use crate::worker::snapshots::Progress;
use crate::worker::switch_log::SwitchLog;

/// How often another state is tried where what steps from a snapshot panics: an older snapshot's, then one from the base.
/// All of them would take a restore each, which every other partition of the worker has to take, too.
const DISTRUSTS_MAX: u32 = 2;

/// Whether a partition has state.
pub(crate) enum Phase {
    /// Paused, without state: to be restored at `due`.
    Waiting {
        /// By the worker's clock.
        due: Duration,
        /// Failures so far, for the back-off.
        attempts: u32,
        /// What the last failure said.
        sentence: Option<String>,
    },
    /// Paused, without state: something was asked for, and the others are served meanwhile.
    Asking(Box<Asking>),
    /// Reading and stepping.
    Open(Box<Open>),
    /// Paused until somebody looks.
    Parked(String),
}

/// A restore that waits for an answer.
pub(crate) struct Asking {
    /// Of what was asked last: the answer to anything else is too late.
    pub(crate) ticket: u64,
    /// What that was.
    pub(crate) wish: Wish,
    /// The snapshot that is being read, where a search has come so far.
    pub(crate) reading: Option<NextOffset>,
    /// How far that is read.
    pub(crate) progress: Arc<Progress>,
    /// When a search came further last, or anything was asked for.
    pub(crate) moved: Duration,
    /// Failures so far, for the back-off.
    pub(crate) attempts: u32,
    /// What the last failure said.
    pub(crate) sentence: Option<String>,
    pub(crate) facts: Facts,
}

/// State and place of a partition that is read.
pub(crate) struct Open {
    pub(crate) state: PartitionState,
    /// Rows in hand.
    pub(crate) batch: Batch,
    /// Where the next record is expected. Invariant: everything before it is in the state or in the batch.
    pub(crate) position: NextOffset,
    /// Invariant: `committed <= position` once `position` has passed `muted_until`.
    pub(crate) committed: NextOffset,
    /// A record before it changes state and publishes nothing.
    pub(crate) muted_until: NextOffset,
    /// What a muted record is.
    pub(crate) history: Voice,
    /// What lies before it was put onto the tape by this process.
    pub(crate) taped_until: NextOffset,
    pub(crate) log: SwitchLog,
    /// The log as text.
    pub(crate) log_text: String,
    /// What that was when it was committed last; `None` where it was made anew at the restore and nothing was committed
    /// since: another restore may make it otherwise.
    pub(crate) noted: Option<String>,
    /// Entries of the log that are adopted.
    pub(crate) adopted: usize,
    /// Versions of the entries that were in the log at the restore.
    pub(crate) versions: Vec<Arc<Model>>,
    /// No switch before it.
    pub(crate) next_switch: Duration,
    /// The last record that was taken.
    pub(crate) anchor: Option<Anchor>,
    /// Offset of the newest snapshot that is known.
    pub(crate) snapshot: Option<NextOffset>,
    /// No snapshot before it.
    pub(crate) next_snapshot: Duration,
    /// Whether it lags so much that horizons are left out.
    pub(crate) thin: bool,
    /// Whether the log's end was seen since the restore.
    pub(crate) end_seen: bool,
    pub(crate) rebuilt: bool,
    pub(crate) lost: u64,
    /// Of these, what is not counted yet: it is once a commit lies beyond them.
    pub(crate) lost_uncounted: u64,
}

/// What a record means before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It continues the batch.
    None,
    /// The batch ends before it: another version serves, the partition begins to speak, or is new to the trainer.
    Before,
    /// It was stepped before: the client handed it out twice.
    Seen,
}

impl Open {
    /// Whether what is read now was read before the commit that was restored.
    pub(crate) fn voice(&self, offset: Offset) -> Voice {
        if self.muted_until.is_past(offset) && !faults::is_off(Mechanism::MutedReplay) {
            self.history
        } else {
            Voice::Speaking
        }
    }

    /// The last record of the batch in hand, for the whole of it: a batch is cut where what follows from it changes.
    const fn batch_offset(&self) -> Offset {
        Offset(self.position.0 - 1)
    }

    /// Voice of the batch in hand.
    pub(crate) fn batch_voice(&self) -> Voice {
        self.voice(self.batch_offset())
    }

    /// Whether a record is new to the trainer: warm-up history is, a replay is not, nor what this process stepped before in
    /// a transaction that failed.
    fn is_new_to_tape(&self, offset: Offset) -> bool {
        let is_replay = self.history == Voice::Replay && self.muted_until.is_past(offset);
        let is_new = !is_replay && !self.taped_until.is_past(offset);
        is_new || faults::is_off(Mechanism::TapeOnce)
    }

    /// Whether the batch in hand is new to the trainer.
    pub(crate) fn batch_is_new_to_tape(&self) -> bool {
        self.is_new_to_tape(self.batch_offset())
    }

    pub(crate) fn cut(&self, offset: Offset) -> Cut {
        if self.position.is_past(offset) {
            return Cut::Seen;
        }
        let switches = self.log.due(self.adopted, offset) > 0;
        let differs = self.voice(offset) != self.batch_voice()
            || self.is_new_to_tape(offset) != self.batch_is_new_to_tape();
        if switches || (differs && !self.batch.is_empty()) {
            Cut::Before
        } else {
            Cut::None
        }
    }

    /// Adopts what the log says for a record at `offset`.
    pub(crate) fn adopt_due(&mut self, offset: Offset) {
        let due = self.log.due(self.adopted, offset);
        if due == 0 {
            return;
        }
        self.adopted += due;
        if let Some(model) = self.versions.get(self.adopted - 1) {
            self.state.adopt(Arc::clone(model));
        }
    }

    /// Whether every switch of the log has been adopted.
    pub(crate) fn is_current(&self) -> bool {
        self.adopted == self.log.entries().len()
    }

    /// Serves `model` from the position on, and notes it.
    pub(crate) fn switch(&mut self, model: Arc<Model>, now: Duration) {
        self.log.switch(self.position, model.version);
        self.adopted = self.log.entries().len();
        self.log_text = self.log.to_string();
        self.next_switch = now + self.log.spacing();
        self.state.adopt(model);
    }

    /// Whether what is read next is published.
    pub(crate) fn speaks(&self) -> bool {
        self.position >= self.muted_until
    }

    /// What is committed with the position.
    pub(crate) fn metadata(&self) -> String {
        let last = self.anchor.filter(|anchor| self.position.is_past(anchor.offset));
        metadata::write(&self.log_text, last)
    }

    /// Something to be committed.
    pub(crate) fn is_uncommitted(&self) -> bool {
        self.position > self.committed && self.position > self.muted_until
    }

    /// A snapshot down to `oldest` is kept: what served before it is needed no more.
    pub(crate) fn forget_before(&mut self, oldest: NextOffset) {
        if !self.is_current() {
            return;
        }
        let before = self.log.entries().len();
        self.log.forget_before(oldest);
        let gone = before - self.log.entries().len();
        self.adopted -= gone;
        self.versions.drain(..gone.min(self.versions.len()));
        self.log_text = self.log.to_string();
    }

    pub(crate) fn is_restored(&self) -> bool {
        self.end_seen || self.speaks()
    }
}

/// One assigned partition.
pub(crate) struct Slot {
    pub(crate) id: PartitionId,
    pub(crate) phase: Phase,
    /// What was last known to be committed, in this process: never read back as "none".
    pub(crate) remembered: Option<NextOffset>,
    /// Warm-up history before it was counted by this process: after a failure it is read, not counted, again.
    warmed: NextOffset,
    /// Whether a read of the committed offsets showed none here and some beside it.
    pub(crate) seems_new: bool,
    /// Failures that are this partition's own: at which committed offset, and how many.
    pub(crate) failures: (NextOffset, u32),
    /// Offset of the snapshot that its state was made of last; `None` where that began at the base.
    pub(crate) made_of: Option<NextOffset>,
    /// Snapshots from there on are not restored from: what steps from them panics.
    pub(crate) distrusted_from: Option<NextOffset>,
    /// How often that was lowered since the last commit.
    pub(crate) distrusts: u32,
}

impl Slot {
    pub(crate) const fn new(id: PartitionId, now: Duration) -> Self {
        Self {
            id,
            phase: Phase::Waiting {
                due: now,
                attempts: 0,
                sentence: None,
            },
            remembered: None,
            warmed: NextOffset(0),
            seems_new: false,
            failures: (NextOffset(0), 0),
            made_of: None,
            distrusted_from: None,
            distrusts: 0,
        }
    }

    /// Reads warm-up history at `offset`; whether it is to be counted.
    pub(crate) fn warm_up(&mut self, offset: Offset) -> bool {
        let counts = !self.warmed.is_past(offset);
        if counts {
            self.warmed = offset.next();
        }
        counts
    }

    /// Forgets the state: to be restored, unless it is parked.
    pub(crate) fn close(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Parked(_)) {
            return;
        }
        self.phase = Phase::Waiting {
            due: now,
            attempts: 0,
            sentence: None,
        };
        self.seems_new = false;
    }

    /// The newest offset up to `next` whose snapshot may be restored from; `None` where none may.
    pub(crate) fn newest_trusted(&self, next: NextOffset) -> Option<NextOffset> {
        let Some(from) = self.distrusted_from else {
            return Some(next);
        };
        (from.0 > 0).then(|| next.min(NextOffset(from.0 - 1)))
    }

    /// The state was made of a snapshot, and may be what fails: an older one is to be tried, and then the base. The snapshot
    /// that is not trusted any more; `None` where everything was tried.
    pub(crate) fn distrust(&mut self) -> Option<NextOffset> {
        let snapshot = self.made_of.filter(|_| self.distrusts < DISTRUSTS_MAX)?;
        self.distrusts += 1;
        self.failures.1 = 0;
        self.distrusted_from = Some(if self.distrusts < DISTRUSTS_MAX {
            snapshot
        } else {
            NextOffset(0)
        });
        Some(snapshot)
    }

    /// The offset was committed: the state does not fail. What is distrusted is so until there is a newer snapshot.
    pub(crate) fn succeeded(&mut self) {
        self.failures.1 = 0;
        self.distrusts = 0;
        let newest = self.open().and_then(|open| open.snapshot);
        if newest >= self.distrusted_from {
            self.distrusted_from = None;
        }
    }

    /// The restore that waits for the answer with `ticket`, if this is it.
    pub(crate) fn asking(&mut self, ticket: u64) -> Option<&mut Asking> {
        match &mut self.phase {
            Phase::Asking(asking) if asking.ticket == ticket => Some(asking),
            _ => None,
        }
    }

    pub(crate) fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(crate) const fn open(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn report(&self, end: Option<NextOffset>) -> PartitionReport {
        let unknown = self.remembered.unwrap_or(NextOffset(0));
        let Some(open) = self.open() else {
            return PartitionReport {
                id: self.id,
                phase: match &self.phase {
                    Phase::Parked(sentence) => PartitionPhase::Parked(sentence.clone()),
                    Phase::Waiting { sentence, .. } => PartitionPhase::Waiting(sentence.clone()),
                    Phase::Asking(asking) => match asking.wish {
                        Wish::Snapshot(_) => PartitionPhase::Loading(asking.progress.loading()),
                        _ => PartitionPhase::Waiting(asking.sentence.clone()),
                    },
                    Phase::Open(_) => unreachable!("handled below"),
                },
                position: unknown,
                committed: unknown,
                end,
                base: unknown,
                model: None,
                streams: 0,
                stats: crate::engine::PartitionStats::default(),
                switches: 0,
                rebuilt: false,
                lost: 0,
                snapshot: None,
                degraded: false,
            };
        };
        PartitionReport {
            id: self.id,
            phase: if open.is_restored() {
                PartitionPhase::Running
            } else {
                PartitionPhase::Restoring
            },
            position: open.position,
            committed: open.committed,
            end,
            base: open.log.base(),
            model: Some(open.state.model().version),
            streams: open.state.streams(),
            stats: *open.state.stats(),
            switches: open.log.entries().len(),
            rebuilt: open.rebuilt,
            lost: open.lost,
            snapshot: open.snapshot,
            degraded: open.thin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::observation::Partition;

    #[test]
    fn slot_distrusts_the_newest_snapshot_then_all_of_them_then_nothing_is_left() {
        let id = PartitionId {
            topic: 0,
            partition: Partition(0),
        };
        let mut slot = Slot::new(id, Duration::ZERO);
        let next = NextOffset(20);
        assert_eq!((slot.distrust(), slot.newest_trusted(next)), (None, Some(next)));
        slot.made_of = Some(NextOffset(10));
        slot.failures.1 = 3;
        assert_eq!(slot.distrust(), Some(NextOffset(10)));
        assert_eq!(slot.newest_trusted(next), Some(NextOffset(9)));
        assert_eq!(slot.failures.1, 0, "it is another state");
        slot.succeeded();
        assert_eq!(
            slot.newest_trusted(next),
            Some(NextOffset(9)),
            "until there is a newer snapshot"
        );
        slot.distrusts = 1;
        slot.made_of = Some(NextOffset(5));
        assert_eq!(slot.distrust(), Some(NextOffset(5)));
        assert_eq!(slot.newest_trusted(next), None, "the base");
        assert_eq!(slot.distrust(), None, "it is the record");
    }
}
