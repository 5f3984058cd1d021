//! How a worker gets to where it can turn: a producer, and partitions with state.

use std::time::Duration;

use crate::worker::ports::{Activity, Clock, Committed, Error, Models, Observer, Sink, Source, Tape};
use crate::worker::restore::{self, Verdict};
use crate::worker::run::{Link, Worker, back_off};
use crate::worker::slot::Phase;

/// Partitions restored between two turns at most: the others keep running.
const RESTORES_PER_TURN: usize = 8;
/// Longest pause before a partition's restore is tried again: what it waits for most is the transaction of a killed
/// member, 15 s.
const RETRY_MAX: Duration = Duration::from_secs(4);

impl<S, K, M, T, C, O> Worker<S, K, M, T, C, O>
where
    S: Source,
    K: Sink<Membership = S::Membership>,
    M: Models,
    T: Tape,
    C: Clock,
    O: Observer,
{
    pub(super) fn connect_if_due(&mut self, now: Duration) -> Result<(), Error> {
        match self.link {
            Link::Down { due } if due <= now => {}
            _ => return Ok(()),
        }
        let observer = &mut self.observer;
        let mut alive = || observer.activity(Activity::Connecting);
        alive();
        self.crew.publisher.sink.connect(&mut alive)?;
        self.link = Link::Up;
        self.trouble = None;
        // Only now is C stable: what the old producer left has been ended.
        let now = self.clock.now();
        self.connected = now;
        self.last_commit = now;
        self.crew.slots.iter_mut().for_each(|slot| {
            if matches!(slot.phase, Phase::Waiting { .. }) {
                slot.close(now);
            }
        });
        Ok(())
    }

    pub(super) fn restore_due(&mut self) -> Result<(), Error> {
        if self.link != Link::Up {
            return Ok(());
        }
        let now = self.clock.now();
        let due: Vec<usize> = (0..self.crew.slots.len())
            .filter(|place| matches!(self.crew.slots[*place].phase, Phase::Waiting { due, .. } if due <= now))
            .take(RESTORES_PER_TURN)
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        self.observer.activity(Activity::Restoring);
        let ids: Vec<_> = due.iter().map(|place| self.crew.slots[*place].id).collect();
        let committed = self.source.committed(&ids);
        for (index, place) in due.into_iter().enumerate() {
            self.observer.activity(Activity::Restoring);
            let restored = match &committed {
                Ok(committed) => self.restore(place, &committed[index]),
                Err(error) => Err(error.clone()),
            };
            match restored {
                Ok(()) => {}
                Err(error) if error.ends_worker() => return Err(error),
                Err(error) => self.wait(place, error.to_string()),
            }
        }
        Ok(())
    }

    fn restore(&mut self, place: usize, committed: &Committed) -> Result<(), Error> {
        let slot = &mut self.crew.slots[place];
        let id = slot.id;
        let plan = match restore::plan(&mut self.source, &self.config, slot, committed)? {
            Verdict::Go(plan) => plan,
            Verdict::Park(sentence) => {
                slot.phase = Phase::Parked(sentence);
                return Ok(());
            }
            Verdict::Wait(sentence) => {
                self.wait(place, sentence);
                return Ok(());
            }
        };
        let from = plan.from;
        let now = self.clock.now();
        let about = (&self.config, id);
        let (opened, missing) = restore::open(&self.crew.engine, &mut self.models, about, *plan, now)?;
        self.source.start(id, from)?;
        self.models_missing += missing;
        let slot = &mut self.crew.slots[place];
        slot.remembered = Some(opened.committed);
        slot.phase = Phase::Open(Box::new(opened));
        Ok(())
    }

    fn wait(&mut self, place: usize, reason: String) {
        let now = self.clock.now();
        if let Phase::Waiting {
            due,
            attempts,
            sentence,
        } = &mut self.crew.slots[place].phase
        {
            *attempts += 1;
            *due = now + back_off(*attempts).min(RETRY_MAX);
            *sentence = Some(reason);
        }
    }
}
