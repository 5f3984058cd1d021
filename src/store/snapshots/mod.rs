//! Snapshots of partitions: `<group>/<pipeline>/snapshots/<topic>/<partition>/<next_offset:020>`.
//!
//! One [`SnapshotStore`] per process. Each worker has a [`SnapshotPort`] to threads of its own and never waits for a disk:
//! one that compresses and writes what it hands over, and some that read beside it, so that no restore waits for a snapshot
//! that is being written, and nobody for a disk that hangs under somebody else. A snapshot is streamed block by block both
//! ways: a gigabyte of it is never in memory.
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

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use object_store::path::Path;

use crate::engine::ModelVersion;
use crate::engine::snapshot::Block;
use crate::series::observation::NextOffset;
use crate::store::disk::parse;
use crate::store::snapshots::disk::Disk;
use crate::store::snapshots::loader::Loader;
use crate::store::snapshots::writer::Writer;
use crate::store::{Config, Error};
use crate::worker::ports::PartitionId;
use crate::worker::snapshots::Ended;

pub use disk::NamedVersions;
pub use port::SnapshotPort;

/// Requests to a writer waiting at most; further ones wait in its port, which bounds them by the blocks that a worker has.
const REQUESTS_MAX: usize = 256;
/// Searches waiting at most: one per partition that is restored. Beyond, the worker asks again.
const SEARCHES_MAX: usize = 4096;
/// Answers that a worker has not taken: it takes all of them in each turn.
const ANSWERS_MAX: usize = 4096;
/// Signs of a search's progress that a worker has not taken; those beyond say nothing new.
const SIGNS_MAX: usize = 256;
/// Empty blocks on their way home; those beyond are freed.
const EMPTIES_MAX: usize = 256;
/// Partitions of a pipeline that are read at once: reading is decoding, and more would take cores from those that are
/// served already.
const LOADERS_MAX: usize = 4;
/// A worker's share of them at least: past a file that hangs, the next older one can be read.
const LOADERS_MIN: usize = 2;

/// Where a worker's answers go, and what it still wants.
#[derive(Debug)]
struct Home {
    /// Ticket of the snapshot that its worker writes: another one is given up.
    writes: AtomicU64,
    /// Requests that the writer has done with; all there can be once it has ended.
    handled: AtomicU64,
    /// Nobody is there any more.
    gone: AtomicBool,
    /// The newest search of each partition: an older one is asked for no more.
    tickets: Mutex<std::collections::BTreeMap<PartitionId, u64>>,
    empties: SyncSender<Block>,
    ended: SyncSender<Ended>,
    reading: SyncSender<(u64, NextOffset)>,
}

impl Home {
    /// One that nobody writes to yet, and what comes back from there.
    fn new() -> (Arc<Self>, Answers) {
        let (empties, blocks) = sync_channel(EMPTIES_MAX);
        let (ended, ends) = sync_channel(ANSWERS_MAX);
        let (reading, signs) = sync_channel(SIGNS_MAX);
        let home = Self {
            writes: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            tickets: Mutex::default(),
            empties,
            ended,
            reading,
        };
        let answers = Answers {
            empties: blocks,
            ended: ends,
            reading: signs,
        };
        (Arc::new(home), answers)
    }

    fn still_writes(&self, ticket: u64) -> bool {
        !self.gone.load(Ordering::Relaxed) && self.writes.load(Ordering::Relaxed) == ticket
    }

    fn still_wants(&self, id: PartitionId, ticket: u64) -> bool {
        !self.gone.load(Ordering::Relaxed) && lock(&self.tickets).get(&id) == Some(&ticket)
    }
}

/// What a port listens to.
#[derive(Debug)]
struct Answers {
    empties: Receiver<Block>,
    ended: Receiver<Ended>,
    reading: Receiver<(u64, NextOffset)>,
}

/// A lock whose holder panicked still holds plain data.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Snapshots at rest and the threads that read and write them; share it in an `Arc`. A port's threads end after what they
/// have in hand when it is dropped; dropping the store waits for them.
#[derive(Debug)]
pub struct SnapshotStore {
    disk: Arc<Disk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SnapshotStore {
    /// Opens the store's directory, which is there (see [`Store::open`](crate::store::Store::open)).
    ///
    /// # Errors
    /// The URL is not a `file://` one, or its directory cannot be opened.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            disk: Arc::new(Disk::open(config)?),
            threads: Mutex::default(),
        })
    }

    fn url(&self) -> &str {
        &self.disk.url
    }

    fn start(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let started = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = started.map_err(|source| Error::Disk {
            url: self.url().to_owned(),
            path: "the snapshots' threads".into(),
            action: "start",
            way_out: "raise the limit of threads (`TasksMax=`)",
            source: source.into(),
        })?;
        let mut threads = lock(&self.threads);
        // Those of workers that have left: a pipeline may begin again as often as it likes.
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Which versions `among` those given the snapshots of `<group>/<pipeline>` name, whoever wrote them: without one of them
    /// a restore would not be the same. Reads every header there; blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The disk's: nothing may be concluded.
    pub fn versions_named(
        &self,
        group: &str,
        pipeline: &str,
        among: &BTreeSet<ModelVersion>,
    ) -> Result<NamedVersions, Error> {
        let folder = parse(&format!("{group}/{pipeline}/snapshots"))?;
        let runtime = self.disk.runtime()?;
        let named = runtime.block_on(self.disk.versions_named(&folder, among));
        runtime.shutdown_timeout(Duration::from_secs(1));
        named
    }

    /// The way of one of the `workers` of `<group>/<pipeline>`, with threads of its own; names match `[a-z0-9-]+`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn port(
        self: &Arc<Self>,
        group: &str,
        pipeline: &str,
        workers: usize,
    ) -> Result<SnapshotPort, Error> {
        let (home, answers) = Home::new();
        let (requests, to_write) = sync_channel(REQUESTS_MAX);
        let (searches, to_find) = sync_channel(SEARCHES_MAX);
        let writer = Writer::new(Arc::clone(&self.disk), Arc::clone(&home))?;
        self.start("snapshots", move || writer.run(&to_write))?;
        let to_find = Arc::new(Mutex::new(to_find));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let loaders = (cores.min(LOADERS_MAX) / workers.max(1)).max(LOADERS_MIN);
        for index in 0..loaders {
            let (loader, to_find) = (Loader::new(Arc::clone(&self.disk))?, Arc::clone(&to_find));
            self.start(&format!("restore.{index}"), move || loader.run(&to_find))?;
        }
        let directory = format!("{group}/{pipeline}/snapshots");
        Ok(SnapshotPort::new(
            Arc::clone(self),
            directory,
            (home, answers),
            (requests, searches),
        ))
    }
}

impl Drop for SnapshotStore {
    fn drop(&mut self) {
        for thread in lock(&self.threads).drain(..) {
            // A panic there was told to every caller; a second one while dropping would abort.
            let _ = thread.join();
        }
    }
}

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
