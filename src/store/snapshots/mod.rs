//! Snapshots of partitions: `<group>/<pipeline>/snapshots/<topic>/<partition>/<next_offset:020>`.
//!
//! One [`SnapshotStore`] per process: a thread that compresses and writes what workers hand over, and threads that read
//! beside it, so that no restore waits for a snapshot that is being written. Each worker has a [`SnapshotPort`] to them
//! and never waits for a disk. A snapshot is streamed block by block both ways: a gigabyte of it is never in memory.
//!
//! ```text
//! worker: begin, write.. finish ──► writer: encode, append to `<offset>.<process>-<count>.part`, fsync, link, fsync folder
//!         empty ◄── blocks ──┘       then prune: the newest `keep` that are of the same past stay
//! worker: load ──► loader: newest first; what does not fit is refused with a sentence, then the next older one
//!         ended ◄── both
//! ```

mod disk;
mod loader;
mod port;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use object_store::path::Path;

use crate::engine::snapshot::Block;
use crate::store::disk::parse;
use crate::store::snapshots::disk::Disk;
use crate::store::snapshots::loader::{Loader, Search};
use crate::store::snapshots::writer::{Request, Writer};
use crate::store::{Config, Error};
use crate::worker::ports::PartitionId;
use crate::worker::snapshots::Ended;

pub use port::SnapshotPort;

/// Requests to the writer waiting at most, all workers together; a worker's further ones wait in its port, which bounds
/// them by the blocks that a worker has.
const REQUESTS_MAX: usize = 256;
/// Searches waiting at most: one per partition that is restored. Beyond, the worker asks again.
const SEARCHES_MAX: usize = 4096;
/// Answers that a worker has not taken: it takes all of them in each turn.
const ANSWERS_MAX: usize = 4096;
/// Empty blocks on their way home; those beyond are freed.
const EMPTIES_MAX: usize = 256;
/// Partitions that are read at once: reading is decoding, and more would take cores from those that are served already.
const LOADERS_MAX: usize = 4;

/// Where a worker's answers go, and what it still wants.
#[derive(Debug)]
struct Home {
    /// Of the snapshot that its worker writes: one of another generation is given up.
    generation: AtomicU64,
    /// Nobody is there any more.
    gone: AtomicBool,
    /// The newest search of each partition: an older one is asked for no more.
    tickets: Mutex<std::collections::BTreeMap<PartitionId, u64>>,
    empties: SyncSender<Block>,
    ended: SyncSender<Ended>,
}

impl Home {
    fn still_writes(&self, generation: u64) -> bool {
        !self.gone.load(Ordering::Relaxed) && self.generation.load(Ordering::Relaxed) == generation
    }

    fn still_wants(&self, id: PartitionId, ticket: u64) -> bool {
        !self.gone.load(Ordering::Relaxed) && lock(&self.tickets).get(&id) == Some(&ticket)
    }
}

/// A lock whose holder panicked still holds plain data.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Snapshots at rest and the threads that read and write them; share it in an `Arc`. Dropping it ends the threads after
/// what they have in hand.
#[derive(Debug)]
pub struct SnapshotStore {
    url: String,
    /// Invariant: `Some` until drop, as the searches.
    requests: Option<SyncSender<Request>>,
    searches: Option<SyncSender<Search>>,
    threads: Vec<JoinHandle<()>>,
}

impl SnapshotStore {
    /// Opens the store's directory, which is there (see [`Store::open`](crate::store::Store::open)), and starts the
    /// threads.
    ///
    /// # Errors
    /// The URL is not a `file://` one, its directory cannot be opened, or a thread cannot be started.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let disk = Arc::new(Disk::open(config)?);
        let (requests, to_write) = sync_channel(REQUESTS_MAX);
        let (searches, to_find) = sync_channel(SEARCHES_MAX);
        let mut store = Self {
            url: config.url.clone(),
            requests: Some(requests),
            searches: Some(searches),
            threads: Vec::new(),
        };
        let writer = Writer::new(Arc::clone(&disk))?;
        store.start("snapshots", move || writer.run(&to_write))?;
        let to_find = Arc::new(Mutex::new(to_find));
        let loaders = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for index in 0..loaders.min(LOADERS_MAX) {
            let (loader, to_find) = (Loader::new(Arc::clone(&disk))?, Arc::clone(&to_find));
            store.start(&format!("restore.{index}"), move || loader.run(&to_find))?;
        }
        Ok(store)
    }

    fn start(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let started = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = started.map_err(|source| Error::Disk {
            url: self.url.clone(),
            path: "the snapshots' threads".into(),
            action: "start",
            way_out: "raise the limit of threads (`TasksMax=`)",
            source: source.into(),
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// The way of one worker of `<group>/<pipeline>`; names match `[a-z0-9-]+`.
    #[must_use]
    pub fn port(self: &Arc<Self>, group: &str, pipeline: &str) -> SnapshotPort {
        let (empties, blocks) = sync_channel(EMPTIES_MAX);
        let (ended, answers) = sync_channel(ANSWERS_MAX);
        let home = Arc::new(Home {
            generation: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            tickets: Mutex::default(),
            empties,
            ended,
        });
        let directory = format!("{group}/{pipeline}/snapshots");
        SnapshotPort::new(Arc::clone(self), directory, home, (blocks, answers))
    }

    const fn requests(&self) -> &SyncSender<Request> {
        self.requests.as_ref().expect("the sender lives until drop")
    }

    const fn searches(&self) -> &SyncSender<Search> {
        self.searches.as_ref().expect("the sender lives until drop")
    }
}

impl Drop for SnapshotStore {
    fn drop(&mut self) {
        (self.requests, self.searches) = (None, None);
        for thread in self.threads.drain(..) {
            // A panic there was told to every caller; a second one while dropping would abort.
            let _ = thread.join();
        }
    }
}

/// What a port listens to.
type Answers = (Receiver<Block>, Receiver<Ended>);

/// The folder of a partition's snapshots.
fn folder(directory: &str, topic: &str, partition: i32) -> Result<Path, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topic.is_empty() || matches!(topic, "." | "..") || !topic.chars().all(plain) || partition < 0 {
        return Err(Error::Path {
            path: format!("{directory}/{topic}/{partition}"),
        });
    }
    parse(&format!("{directory}/{topic}/{partition}"))
}

#[cfg(test)]
mod tests;
