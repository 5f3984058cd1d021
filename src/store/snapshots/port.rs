//! A worker's end: nothing here waits for a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TrySendError};
use std::time::Duration;

use crate::engine::snapshot::{Block, Header};
use crate::store::error::chain;
use crate::store::snapshots::loader::Search;
use crate::store::snapshots::writer::{Begin, Request};
use crate::store::snapshots::{Answers, Home, REQUESTS_MAX, SEARCHES_MAX, SnapshotStore, folder, lock};
use crate::worker::ports::{Error, PartitionId, Snapshots};
use crate::worker::snapshots::{Ended, Wanted};

/// The [port](Snapshots) of one worker; see [`SnapshotStore::port`].
#[derive(Debug)]
pub struct SnapshotPort {
    store: Arc<SnapshotStore>,
    /// `<group>/<pipeline>/snapshots`.
    directory: String,
    home: Arc<Home>,
    empties: Receiver<Block>,
    ended: Receiver<Ended>,
    /// Of the snapshot that is being written.
    generation: u64,
    /// What the writer had no room for, in order. Bounded by the worker: it hands over no further block while its bound of
    /// blocks has not come back.
    backlog: VecDeque<Request>,
}

impl SnapshotPort {
    pub(super) fn new(
        store: Arc<SnapshotStore>,
        directory: String,
        home: Arc<Home>,
        (empties, ended): Answers,
    ) -> Self {
        Self {
            store,
            directory,
            home,
            empties,
            ended,
            generation: 0,
            backlog: VecDeque::new(),
        }
    }

    /// Hands the backlog over as far as there is room. Where the writer has ended nothing comes back, and the worker gives
    /// up after a while.
    fn push_on(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(request)) = self.store.requests().try_send(request) {
                self.backlog.push_front(request);
                return;
            }
        }
    }

    fn hand_over(&mut self, request: Request) {
        self.backlog.push_back(request);
        self.push_on();
    }

    /// Another generation: what is written of the one before is given up.
    fn renew(&mut self) {
        self.generation += 1;
        self.home.generation.store(self.generation, Ordering::Relaxed);
        self.backlog.clear();
    }

    fn refused<T>(&self, doing: &'static str, error: &TrySendError<T>, queued: usize) -> Error {
        let url = self.store.url.clone();
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
        let sent = self.store.searches().try_send(search);
        sent.map_err(|error| self.refused(doing, &error, SEARCHES_MAX))
    }

    fn begin(&mut self, id: PartitionId, header: Header) -> Result<(), Error> {
        let doing = "write a snapshot";
        let folder = folder(&self.directory, &header.topic, id.partition.0)
            .map_err(|error| transient(doing, chain(&error)))?;
        self.renew();
        let begin = Request::Begin(Box::new(Begin {
            home: Arc::clone(&self.home),
            generation: self.generation,
            id,
            folder,
            header,
        }));
        let sent = self.store.requests().try_send(begin);
        sent.map_err(|error| self.refused(doing, &error, REQUESTS_MAX))
    }

    fn write(&mut self, block: Block) {
        self.hand_over(Request::Block(Arc::clone(&self.home), self.generation, block));
    }

    fn empty(&mut self, wait: Duration) -> Option<Block> {
        self.push_on();
        if wait.is_zero() {
            self.empties.try_recv().ok()
        } else {
            self.empties.recv_timeout(wait).ok()
        }
    }

    fn finish(&mut self) {
        self.hand_over(Request::Finish(Arc::clone(&self.home), self.generation));
    }

    fn abandon(&mut self) {
        self.renew();
    }

    fn ended(&mut self) -> Option<Ended> {
        self.push_on();
        self.ended.try_recv().ok()
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
        self.ended.recv_timeout(Duration::from_secs(60)).expect("it ends")
    }
}

impl Drop for SnapshotPort {
    fn drop(&mut self) {
        self.home.gone.store(true, Ordering::Relaxed);
    }
}
