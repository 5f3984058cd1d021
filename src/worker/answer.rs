//! What a worker does when the group speaks, and when something fails.

use std::time::Duration;

use crate::faults::{self, Mechanism, Point};
use crate::worker::ports::{
    Activity, Clock, Error, Event, Models, Observer, PartitionId, Sink, Snapshots, Source, Tape,
};
use crate::worker::run::{Link, Worker, back_off};
use crate::worker::slot::Slot;

/// After so long without a failure the next one is a first one again, though nothing was committed: a quiet pipeline may
/// have nothing to commit. Longer than the longest back-off and the slowest commit, so that a cluster that fails every
/// commit is not asked without a pause.
const CALM: Duration = Duration::from_secs(60);

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
    /// Answers what the group said; rows in hand are settled or dropped by now. The event is kept until the state of its
    /// partitions is dropped, so that whatever fails in between, a panic included, it is answered by the next turn.
    pub(super) fn answer(&mut self) -> Result<(), Error> {
        match self.pending.clone() {
            None | Some(Event::Idle | Event::Record | Event::End(_)) => Ok(()),
            Some(Event::Assigned(ids)) => self.take_over(&ids),
            Some(Event::Revoked(ids)) => {
                faults::point(Point::Revoke);
                self.hand_back(&ids)
            }
            Some(Event::Lost(ids)) => {
                self.begin_again(&Error::NotMember {
                    reason: "its partitions were given to others".to_owned(),
                });
                self.forget(&ids);
                self.source.release(&ids)
            }
            Some(Event::OutOfRange) => {
                self.pending = None;
                Err(Error::Transient {
                    doing: "reading the input topics",
                    reason: "an offset is not in its log any more".to_owned(),
                })
            }
        }
    }

    /// Answers what a turn that failed has left unanswered: a client that still waits for it does not close.
    pub(super) fn answer_leaving(&mut self) {
        let answered = match self.pending.take() {
            Some(Event::Assigned(_)) => self.source.hold(&[]),
            Some(Event::Revoked(ids) | Event::Lost(ids)) => self.source.release(&ids),
            _ => Ok(()),
        };
        if let Err(error) = answered {
            self.note(&error);
        }
    }

    fn take_over(&mut self, ids: &[PartitionId]) -> Result<(), Error> {
        self.pending = None;
        self.source.hold(ids)?;
        let now = self.clock.now();
        self.crew.change(|slots| {
            slots.extend(ids.iter().map(|id| Slot::new(*id, now)));
        });
        Ok(())
    }

    /// Commit, drop the state, only then unassign: no transaction is open across an unassign, and whoever gets the
    /// partition reads what we committed.
    fn hand_back(&mut self, ids: &[PartitionId]) -> Result<(), Error> {
        let committed = if self.link == Link::Up {
            self.commit_now()
        } else {
            Ok(())
        };
        if let Err(error) = &committed {
            // The transaction spans all partitions: it must be gone before any of them is given away.
            self.begin_again(error);
        }
        self.forget(ids);
        self.source.release(ids)?;
        match committed {
            Err(error) if error.ends_worker() => Err(error),
            _ => Ok(()),
        }
    }

    fn forget(&mut self, ids: &[PartitionId]) {
        self.pending = None;
        if faults::is_off(Mechanism::DropOnRevoke) {
            return;
        }
        self.give_up(Some(ids));
        self.trial.forget(ids);
        self.crew
            .change(|slots| slots.retain(|slot| !ids.contains(&slot.id)));
    }

    /// The one recovery path: drops the producer and the state of all partitions.
    pub(super) fn begin_again(&mut self, error: &Error) {
        self.observer.activity(Activity::Connecting);
        self.crew.publisher.discard();
        self.source.forget();
        let now = self.clock.now();
        // Measured from the connect: what an outage takes by itself, back-off and time-outs, is no calm.
        if self.link == Link::Up && now.saturating_sub(self.connected) >= CALM {
            self.failures = 0;
        }
        let pause = if self.failures == 0 {
            Duration::ZERO
        } else {
            back_off(self.failures)
        };
        self.failures += 1;
        self.restarts += 1;
        self.link = Link::Down { due: now + pause };
        if !faults::is_off(Mechanism::LossOnAbort) {
            self.blame(error);
            self.give_up(None);
            self.crew.slots.iter_mut().for_each(|slot| slot.close(now));
        }
        self.oldest = None;
        self.note(error);
        if let Err(error) = self.source.pause(&self.crew.ids()) {
            // A record of a partition without state is not stepped, and a restore seeks: this costs traffic only.
            self.note(&error);
        }
    }
}
