//! When a worker commits, and what.

use std::mem;
use std::time::Duration;

use crate::worker::ports::{Activity, Clock, Commit, Error, Models, Observer, Sink, Snapshots, Source, Tape};
use crate::worker::report::CommitReport;
use crate::worker::run::{Link, Worker};
use crate::worker::slot::{Open, Slot};

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
    pub(super) fn is_commit_due(&self) -> bool {
        let now = self.clock.now();
        let interval_over = now.saturating_sub(self.last_commit) >= self.config.commit_interval;
        let transaction_old = self
            .oldest
            .is_some_and(|oldest| now.saturating_sub(oldest) >= self.config.transaction_age_max);
        self.link == Link::Up
            && (interval_over || transaction_old)
            && self.crew.slots.iter().any(is_uncommitted)
    }

    /// Commits everything that was settled.
    pub(super) fn commit_now(&mut self) -> Result<(), Error> {
        let uncommitted = self.crew.slots.iter().filter(|slot| is_uncommitted(slot));
        let positions: Vec<_> = uncommitted
            .filter_map(|slot| Some((slot.id, slot.open()?)))
            .map(|(id, open)| (id, open.position, open.metadata()))
            .collect();
        let offsets: Vec<_> = positions
            .iter()
            .map(|(partition, next, metadata)| Commit {
                partition: *partition,
                next: *next,
                metadata,
            })
            .collect();
        if offsets.is_empty() {
            return Ok(());
        }
        self.observer.activity(Activity::Committing);
        let began = self.clock.now();
        let source = &mut self.source;
        let sink = &mut self.crew.publisher.sink;
        sink.commit(&offsets, &mut || source.membership())?;
        let now = self.clock.now();
        for slot in &mut self.crew.slots {
            if !is_uncommitted(slot) {
                continue;
            }
            if let Some(open) = slot.open_mut() {
                open.committed = open.position;
                open.noted = Some(open.log_text.clone());
                self.records_lost += mem::take(&mut open.lost_uncounted);
                slot.remembered = slot.open().map(|open| open.committed);
                slot.succeeded();
            }
            self.trial.passed(slot.id);
        }
        self.commit = Some(CommitReport {
            latency: now.saturating_sub(began),
            oldest: self
                .oldest
                .map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest)),
            observations: self.crew.publisher.uncommitted(),
        });
        self.crew.publisher.confirm();
        self.oldest = None;
        self.last_commit = now;
        self.failures = 0;
        self.trouble = None;
        Ok(())
    }

    pub(super) fn note(&mut self, error: &Error) {
        self.trouble = Some((error.to_string(), self.clock.now()));
    }
}

pub(super) fn is_uncommitted(slot: &Slot) -> bool {
    slot.open().is_some_and(Open::is_uncommitted)
}
