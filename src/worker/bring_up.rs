//! How a worker gets to where it can turn: a producer, and partitions with state.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::snapshot::{Content, Header};
use crate::faults::{self, Point};
use crate::series::observation::NextOffset;
use crate::worker::ports::{
    Activity, Clock, Committed, Error, Models, Observer, Sink, Snapshots, Source, Tape,
};
use crate::worker::restore::{self, Plan, Prospect, Verdict};
use crate::worker::run::{Link, Worker, back_off};
use crate::worker::slot::Phase;
use crate::worker::snapshots::{Progress, Wanted};

/// Partitions restored between two turns at most: the others keep running.
const RESTORES_PER_TURN: usize = 8;
/// Longest pause before a partition's restore is tried again: what it waits for most is the transaction of a killed
/// member, 15 s.
const RETRY_MAX: Duration = Duration::from_secs(4);

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
        self.choose_suspect();
        let due: Vec<usize> = (0..self.crew.slots.len())
            .filter(|place| matches!(self.crew.slots[*place].phase, Phase::Waiting { due, .. } if due <= now))
            .filter(|place| self.trial.admits(self.crew.slots[*place].id))
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
            self.crew.busy = Some(self.crew.slots[place].id);
            let restored = match &committed {
                Ok(committed) => self.restore(place, &committed[index]),
                Err(error) => Err(error.clone()),
            };
            self.crew.busy = None;
            match restored {
                Ok(()) => {}
                Err(error) if error.ends_worker() => return Err(error),
                Err(error) => self.wait(place, error.to_string()),
            }
        }
        Ok(())
    }

    fn restore(&mut self, place: usize, committed: &Committed) -> Result<(), Error> {
        faults::point(Point::Restore);
        if self.cluster.is_none() {
            // A first snapshot needs it too, so not only where one is searched.
            self.cluster = Some(self.source.cluster()?);
        }
        let slot = &mut self.crew.slots[place];
        match restore::survey(&mut self.source, &self.config, slot, committed)? {
            Verdict::Search(prospect) => {
                let at_most = prospect.next;
                self.search(place, prospect, at_most)
            }
            Verdict::Go(plan) => self.open(place, *plan),
            Verdict::Park(sentence) => {
                slot.phase = Phase::Parked(sentence);
                Ok(())
            }
            Verdict::Wait(sentence) => {
                self.wait(place, sentence);
                Ok(())
            }
        }
    }

    /// Asks for the newest snapshot of a partition at `at_most` or before.
    pub(super) fn search(
        &mut self,
        place: usize,
        prospect: Box<Prospect>,
        at_most: NextOffset,
    ) -> Result<(), Error> {
        self.ticket += 1;
        let cluster = self
            .cluster
            .clone()
            .expect("asked for before anything is restored");
        let slot = &mut self.crew.slots[place];
        let progress = Arc::<Progress>::default();
        self.snapshots.load(Wanted {
            ticket: self.ticket,
            id: slot.id,
            topic: self.config.topics[slot.id.topic].clone(),
            at_most,
            cluster,
            fingerprint: self.fingerprint,
            log: prospect.known.clone(),
            form: Arc::clone(&self.form),
            progress: Arc::clone(&progress),
        })?;
        let attempts = match slot.phase {
            Phase::Waiting { attempts, .. } => attempts,
            _ => 0,
        };
        slot.phase = Phase::Loading {
            ticket: self.ticket,
            reading: None,
            moved: self.clock.now(),
            attempts,
            prospect,
            progress,
        };
        Ok(())
    }

    /// The answer to a search. One that was asked for before the partition was taken away, or began again, is dropped.
    pub(super) fn loaded(&mut self, ticket: u64, found: Result<Option<Box<(Header, Content)>>, Error>) {
        let searched =
            |phase: &Phase| matches!(phase, Phase::Loading { ticket: asked, .. } if *asked == ticket);
        let Some(place) = self.crew.slots.iter().position(|slot| searched(&slot.phase)) else {
            return;
        };
        let Some(prospect) = self.end_search(place) else {
            return;
        };
        self.crew.busy = Some(self.crew.slots[place].id);
        self.observer.activity(Activity::Restoring);
        let opened = match found {
            Ok(Some(found)) => self.open_snapshot(place, prospect, *found),
            Ok(None) => restore::from_base(
                &mut self.source,
                &self.config,
                self.crew.slots[place].id,
                *prospect,
            )
            .and_then(|plan| self.open(place, plan)),
            Err(error) => Err(error),
        };
        self.crew.busy = None;
        if let Err(error) = opened {
            self.wait(place, error.to_string());
        }
    }

    /// The partition waits again instead of being loaded; gives what was known of it.
    pub(super) fn end_search(&mut self, place: usize) -> Option<Box<Prospect>> {
        let slot = &mut self.crew.slots[place];
        let &mut Phase::Loading { attempts, .. } = &mut slot.phase else {
            return None;
        };
        let waiting = Phase::Waiting {
            due: self.clock.now(),
            attempts,
            sentence: None,
        };
        match mem::replace(&mut slot.phase, waiting) {
            Phase::Loading { prospect, .. } => Some(prospect),
            _ => unreachable!("it was just looked at"),
        }
    }

    fn open_snapshot(
        &mut self,
        place: usize,
        prospect: Box<Prospect>,
        (header, content): (Header, Content),
    ) -> Result<(), Error> {
        let id = self.crew.slots[place].id;
        let other = restore::other_log(&mut self.source, id, prospect.ends.start, &header)?;
        if let Some(reason) = other {
            let topic = &self.config.topics[id.topic];
            self.snapshots_refused.push(format!(
                "snapshot of topic `{topic}` partition {} at {}: {reason}",
                id.partition, header.next
            ));
            return self.search(place, prospect, NextOffset(header.next.0 - 1));
        }
        self.open(place, restore::from_snapshot(*prospect, &header, content))
    }

    fn open(&mut self, place: usize, plan: Plan) -> Result<(), Error> {
        let from = plan.from;
        let now = self.clock.now();
        let id = self.crew.slots[place].id;
        let about = (&self.config, id);
        let (opened, missing) = restore::open(&self.crew.engine, &mut self.models, about, plan, now)?;
        self.source.start(id, from)?;
        self.models_missing += missing;
        let slot = &mut self.crew.slots[place];
        slot.phase = Phase::Open(Box::new(opened));
        Ok(())
    }

    pub(super) fn wait(&mut self, place: usize, reason: String) {
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
