//! A worker's end: nothing here waits for a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use crate::engine::snapshot::{Block, Header};
use crate::series::observation::NextOffset;
use crate::store::error::chain;
use crate::store::snapshots::loader::Search;
use crate::store::snapshots::writer::{Begin, Request};
use crate::store::snapshots::{Answers, Home, SEARCHES_MAX, SnapshotStore, folder, lock};
use crate::worker::ports::{Error, PartitionId, Snapshots};
use crate::worker::snapshots::{Ended, Wanted};

/// The [port](Snapshots) of one worker; see [`SnapshotStore::port`].
#[derive(Debug)]
pub struct SnapshotPort {
    /// `<group>/<pipeline>/snapshots`.
    directory: String,
    home: Arc<Home>,
    answers: Answers,
    requests: SyncSender<Request>,
    searches: SyncSender<Search>,
    /// Of the snapshot that is being written, or was written last.
    ticket: u64,
    /// Requests that the writer was sent so far.
    sent: u64,
    /// What the writer had no room for, in order. Bounded by the worker: it hands over no further block while its bound of
    /// blocks has not come back.
    backlog: VecDeque<Request>,
    /// Dropped last: where it is the last owner's it joins the threads, which wait for the senders above.
    store: Arc<SnapshotStore>,
}

impl SnapshotPort {
    pub(super) fn new(
        store: Arc<SnapshotStore>,
        directory: String,
        (home, answers): (Arc<Home>, Answers),
        (requests, searches): (SyncSender<Request>, SyncSender<Search>),
    ) -> Self {
        Self {
            directory,
            home,
            answers,
            requests,
            searches,
            ticket: 0,
            sent: 0,
            backlog: VecDeque::new(),
            store,
        }
    }

    /// Hands the backlog over as far as there is room. Where the writer has ended nothing comes back, and the worker gives
    /// up after a while.
    fn push_on(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            match self.requests.try_send(request) {
                Ok(()) => self.sent += 1,
                Err(TrySendError::Full(request)) => {
                    self.backlog.push_front(request);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    fn hand_over(&mut self, request: Request) {
        self.backlog.push_back(request);
        self.push_on();
    }

    /// What is written of another snapshot than that of `ticket` is given up.
    fn renew(&mut self, ticket: u64) {
        self.ticket = ticket;
        self.home.writes.store(ticket, Ordering::Relaxed);
        self.backlog.clear();
    }

    fn refused<T>(&self, doing: &'static str, error: &TrySendError<T>, queued: usize) -> Error {
        let url = self.store.url().to_owned();
        let reason = match error {
            TrySendError::Full(_) => chain(&crate::store::Error::Busy { url, queued }),
            TrySendError::Disconnected(_) => chain(&crate::store::Error::Stopped { url }),
        };
        transient(doing, reason)
    }
}

fn transient(doing: &'static str, reason: String) -> Error {
    Error::Transient { doing, reason }
}

impl Snapshots for SnapshotPort {
    fn load(&mut self, wanted: Wanted) -> Result<(), Error> {
        let doing = "load a snapshot";
        let (id, ticket) = (wanted.id, wanted.ticket);
        let folder = folder(&self.directory, &wanted.topic, id.partition.0)
            .map_err(|error| transient(doing, chain(&error)))?;
        lock(&self.home.tickets).insert(id, ticket);
        let search = Search {
            home: Arc::clone(&self.home),
            folder,
            wanted,
        };
        let sent = self.searches.try_send(search);
        sent.map_err(|error| self.refused(doing, &error, SEARCHES_MAX))
    }

    fn reading(&mut self) -> Option<(u64, NextOffset)> {
        self.answers.reading.try_recv().ok()
    }

    fn is_busy(&mut self) -> bool {
        self.push_on();
        // Acquire: what was handled is among the empties.
        if !self.backlog.is_empty() || self.home.handled.load(Ordering::Acquire) < self.sent {
            return true;
        }
        // Blocks of one that was given up are none of the next one's.
        while self.answers.empties.try_recv().is_ok() {}
        false
    }

    fn begin(&mut self, ticket: u64, id: PartitionId, header: Header) -> Result<(), Error> {
        let doing = "write a snapshot";
        let folder = folder(&self.directory, &header.topic, id.partition.0)
            .map_err(|error| transient(doing, chain(&error)))?;
        self.renew(ticket);
        let begin = Request::Begin(Box::new(Begin {
            ticket,
            folder,
            header,
        }));
        if let Err(error) = self.requests.try_send(begin) {
            return Err(self.refused(doing, &error, super::REQUESTS_MAX));
        }
        self.sent += 1;
        Ok(())
    }

    fn write(&mut self, block: Block) {
        self.hand_over(Request::Block(self.ticket, block));
    }

    fn empty(&mut self, wait: Duration) -> Option<Block> {
        self.push_on();
        if wait.is_zero() {
            self.answers.empties.try_recv().ok()
        } else {
            self.answers.empties.recv_timeout(wait).ok()
        }
    }

    fn finish(&mut self) {
        self.hand_over(Request::Finish(self.ticket));
    }

    fn abandon(&mut self) {
        self.renew(0);
    }

    fn ended(&mut self) -> Option<Ended> {
        self.push_on();
        self.answers.ended.try_recv().ok()
    }
}

#[cfg(test)]
impl SnapshotPort {
    /// Waits for the next end.
    pub(super) fn wait(&mut self) -> Ended {
        while !self.backlog.is_empty() {
            self.push_on();
            std::thread::yield_now();
        }
        let ended = self.answers.ended.recv_timeout(Duration::from_secs(60));
        ended.expect("it ends")
    }
}

impl Drop for SnapshotPort {
    fn drop(&mut self) {
        self.home.gone.store(true, Ordering::Relaxed);
    }
}
