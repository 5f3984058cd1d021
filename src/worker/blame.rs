//! Which partition a failure is due to, and when it is put out of service for it.
//!
//! Only what trying again does not mend counts ([`Error::Refused`]): an outage parks nothing.

use std::collections::BTreeSet;

use crate::series::observation::NextOffset;
use crate::worker::commit::is_uncommitted;
use crate::worker::ports::{Clock, Error, Models, Observer, PartitionId, Sink, Snapshots, Source, Tape};
use crate::worker::run::{STEPPING, Worker};
use crate::worker::slot::{Open, Phase};

/// Failures at one committed offset after which a partition is parked. One may be chance (memory, a race); three at the
/// same place are the record.
const FAILURES_MAX: u32 = 3;

/// Failed restores after which a suspect is set aside: the others must not wait for a partition that is away.
const RESTORES_MAX: u32 = 2;

/// Where nobody knows which partition a failure is due to, they are taken into service one at a time, each alone until it
/// was in a commit, or has nothing to commit: whatever fails then is its own. Afterwards all go on.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Failures without a culprit, until each that had a part in the last one has been in a commit.
    unexplained: u32,
    /// Those that have not: of the others' commits nothing follows.
    unproven: BTreeSet<PartitionId>,
    /// Those that have been in a commit since the trial began; `None` where there is no trial.
    cleared: Option<BTreeSet<PartitionId>>,
    suspect: Option<PartitionId>,
}

impl Trial {
    /// Whether a partition may be restored now.
    pub(super) fn admits(&self, id: PartitionId) -> bool {
        self.cleared.is_none() || self.suspect == Some(id)
    }

    /// Why a partition waits that is not admitted.
    pub(super) const SENTENCE: &str =
        "a failure names no partition: they are tried one at a time, and this one waits for its turn";

    /// A partition's offset was committed: what it had in hand did not fail.
    pub(super) fn passed(&mut self, id: PartitionId) {
        self.unproven.remove(&id);
        if self.unproven.is_empty() {
            self.unexplained = 0;
        }
        if let Some(cleared) = &mut self.cleared {
            cleared.insert(id);
            self.suspect = self.suspect.filter(|suspect| *suspect != id);
        }
    }

    /// A partition was taken away: it is somebody else's now.
    pub(super) fn forget(&mut self, ids: &[PartitionId]) {
        self.unproven.retain(|id| !ids.contains(id));
    }
}

impl<S, K, M, N, T, C, O> Worker<S, K, M, N, T, C, O>
where
    S: Source,
    K: Sink<Membership = S::Membership>,
    M: Models,
    N: Snapshots,
    T: Tape,
    C: Clock,
    O: Observer,
{
    /// Counts a failure against the partition that it is due to, and parks it at the third at one place.
    pub(super) fn blame(&mut self, error: &Error) {
        let Error::Refused { partition, doing, .. } = error else {
            return;
        };
        let Some(id) = partition.or(self.trial.suspect) else {
            self.trial.unexplained += 1;
            let had_a_part = self.crew.slots.iter().filter(|slot| is_uncommitted(slot));
            self.trial.unproven = had_a_part.map(|slot| slot.id).collect();
            if self.trial.unexplained >= FAILURES_MAX {
                self.trial.cleared = Some(BTreeSet::new());
            }
            return;
        };
        let Some(place) = self.crew.place(id) else { return };
        let slot = &mut self.crew.slots[place];
        let at = slot
            .open()
            .map(|open| open.committed)
            .or(slot.remembered)
            .unwrap_or(NextOffset(0));
        slot.failures = match slot.failures {
            (offset, count) if offset == at => (at, count + 1),
            _ => (at, 1),
        };
        // What fails once more with another state fails by the record.
        let failures_max = if slot.distrusts == 0 { FAILURES_MAX } else { 1 };
        if slot.failures.1 < failures_max {
            return;
        }
        let topic = &self.config.topics[id.topic];
        if *doing == STEPPING
            && let Some(snapshot) = slot.distrust()
        {
            self.snapshots_refused.push(format!(
                "snapshot of topic `{topic}` partition {} at {snapshot}: what steps from it panics: {error}",
                id.partition
            ));
            return;
        }
        let anew = if slot.distrusts == 0 {
            ""
        } else {
            ", also without the newest snapshots"
        };
        slot.phase = Phase::Parked(format!(
            "topic `{topic}` partition {}: failed {FAILURES_MAX} times from offset {at} on{anew}: {error}; the others go on; \
             mend the cause, or set the group's offset past the record, and restart",
            id.partition
        ));
        if self.trial.suspect == Some(id) {
            self.trial.suspect = None;
        }
    }

    /// While there is a trial: the next partition to be tried, once the one before has passed.
    pub(super) fn choose_suspect(&mut self) {
        let Trial {
            cleared: Some(cleared),
            suspect,
            ..
        } = &mut self.trial
        else {
            return;
        };
        let slots = &self.crew.slots;
        let quiet = |open: &Open| open.end_seen && open.position == open.committed;
        if let Some(id) = *suspect {
            // Given away, without anything that could fail, or away itself.
            let is_done = match slots.iter().find(|slot| slot.id == id).map(|slot| &slot.phase) {
                None | Some(Phase::Parked(_)) => true,
                Some(Phase::Open(open)) => quiet(open),
                Some(Phase::Waiting { attempts, .. }) => *attempts >= RESTORES_MAX,
                Some(Phase::Asking(asking)) => asking.attempts >= RESTORES_MAX,
            };
            if is_done {
                cleared.insert(id);
                *suspect = None;
            }
        }
        if suspect.is_none() {
            let untried = |phase: &Phase| !matches!(phase, Phase::Parked(_));
            *suspect = slots
                .iter()
                .find(|slot| untried(&slot.phase) && !cleared.contains(&slot.id))
                .map(|slot| slot.id);
        }
        let Some(suspect) = *suspect else {
            self.trial = Trial::default();
            return;
        };
        self.leave_alone(suspect);
    }

    /// Takes every other partition out of service until the trial is over. Those that passed have nothing uncommitted.
    fn leave_alone(&mut self, suspect: PartitionId) {
        let now = self.clock.now();
        let mut passed = Vec::new();
        for slot in self.crew.slots.iter_mut().filter(|slot| slot.id != suspect) {
            if slot.open().is_some() && !is_uncommitted(slot) {
                passed.push(slot.id);
                slot.close(now);
            }
            if let Phase::Waiting { sentence, .. } = &mut slot.phase {
                sentence.get_or_insert_with(|| Trial::SENTENCE.to_owned());
            }
        }
        if passed.is_empty() {
            return;
        }
        self.give_up(Some(&passed));
        if let Err(error) = self.source.pause(&passed) {
            // A record of a partition without state is not stepped: this costs traffic only.
            self.note(&error);
        }
    }
}
