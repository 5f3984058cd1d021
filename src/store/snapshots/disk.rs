//! The files behind snapshots: what is there, what is staged, what is published, what goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetResultPayload, MultipartUpload, ObjectStore as _, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};

use crate::engine::ModelVersion;
use crate::engine::snapshot::{Header, Refusal, read_header};
use crate::series::observation::NextOffset;
use crate::store::disk::{failed, open_files};
use crate::store::snapshots::lock;
use crate::store::{Config, Error, directory};
use crate::worker::SwitchLog;

/// Snapshots of a folder that are looked at, the newest: `keep` of them stay, so that more are there only where somebody
/// put them. What is older is found once these are pruned.
const LISTED_MAX: usize = 4096;
/// Digits of an offset in a name.
const DIGITS: usize = 20;

/// The store's directory as the threads of snapshots see it.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) url: String,
    root: PathBuf,
    files: LocalFileSystem,
    /// Snapshots of the same past that stay.
    keep: usize,
    /// Temporaries so far: their names do not meet within this process.
    staged: AtomicU64,
    /// Paths that were refused here: they do not count as kept. Those that are deleted leave it.
    refused: Mutex<BTreeSet<String>>,
    /// Bytes that still fit, for tests of a full disk.
    #[cfg(test)]
    pub(super) room: Mutex<Option<u64>>,
    /// Paths that cannot be read just now, for tests.
    #[cfg(test)]
    pub(super) unreadable: Mutex<BTreeSet<String>>,
    /// Calls about what begins so hang, for tests, until it changes.
    #[cfg(test)]
    pub(super) hangs: Mutex<Option<String>>,
    #[cfg(test)]
    pub(super) moves: std::sync::Condvar,
}

/// Which versions the headers of snapshots name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedVersions {
    /// Named.
    pub versions: BTreeSet<ModelVersion>,
    /// Snapshots of a newer release: what they name cannot be told.
    pub newer: usize,
}

/// A temporary that is being written.
pub(super) struct Staged {
    upload: Box<dyn MultipartUpload>,
    path: Path,
    /// Bytes appended.
    pub(super) bytes: u64,
}

impl Disk {
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let root = directory::path_of(&config.url)?;
        Ok(Self {
            files: open_files(&config.url, &root)?,
            url: config.url.clone(),
            root,
            keep: config.keep,
            staged: AtomicU64::new(0),
            refused: Mutex::default(),
            #[cfg(test)]
            room: Mutex::default(),
            #[cfg(test)]
            unreadable: Mutex::default(),
            #[cfg(test)]
            hangs: Mutex::default(),
            #[cfg(test)]
            moves: std::sync::Condvar::new(),
        })
    }

    /// A runtime for one thread's calls.
    pub(super) fn runtime(&self) -> Result<Runtime, Error> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .thread_name("snapshots-disk")
            .build();
        runtime.map_err(|e| directory::failed(&self.url, &self.root, "serve", e))
    }

    /// The newest snapshots in a folder up to `at_most`, ascending by offset; anything else is passed over.
    pub(super) async fn list(
        &self,
        folder: &Path,
        at_most: NextOffset,
    ) -> Result<Vec<(NextOffset, Path)>, Error> {
        let mut newest = BTreeMap::new();
        let mut listed = self.files.list(Some(folder));
        while let Some(next) = listed.next().await {
            let location = match next {
                Ok(meta) => meta.location,
                Err(object_store::Error::NotFound { .. }) => continue, // deleted while it was listed
                Err(error) => return Err(failed(&self.url, folder.as_ref(), "list", error)),
            };
            let Some(offset) = location.filename().and_then(offset_of) else {
                continue;
            };
            if offset > at_most || folder.clone().join(name_of(offset)) != location {
                continue;
            }
            newest.insert(offset, location);
            if newest.len() > LISTED_MAX {
                newest.pop_first();
            }
        }
        Ok(newest.into_iter().collect())
    }

    /// A snapshot's file; `None` where it is gone.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<File>, Error> {
        #[cfg(test)]
        self.hang(path);
        #[cfg(test)]
        if lock(&self.unreadable).contains(path.as_ref()) {
            return Err(self.unread(path, io::ErrorKind::TimedOut.into()));
        }
        match self.files.get(path).await {
            Ok(found) => match found.payload {
                GetResultPayload::File(file, _) => Ok(Some(file)),
                GetResultPayload::Stream(_) => unreachable!("a local file is handed out as a file"),
            },
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&self.url, path.as_ref(), "read", error)),
        }
    }

    /// Begins a temporary beside where the snapshot of `next` will be.
    pub(super) async fn stage(&self, folder: &Path, next: NextOffset) -> Result<Staged, Error> {
        let count = self.staged.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{}-{count}.part", name_of(next), std::process::id());
        let path = folder.clone().join(name);
        #[cfg(test)]
        self.hang(&path);
        match self.files.put_multipart(&path).await {
            Ok(upload) => Ok(Staged {
                upload,
                path,
                bytes: 0,
            }),
            Err(error) => Err(failed(&self.url, path.as_ref(), "write", error)),
        }
    }

    /// Appends to a temporary and leaves `bytes` empty.
    pub(super) async fn append(&self, staged: &mut Staged, bytes: &mut Vec<u8>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let size = bytes.len() as u64;
        #[cfg(test)]
        self.find_room(staged, size)?;
        let part = std::mem::replace(bytes, Vec::with_capacity(bytes.len()));
        let written = staged.upload.put_part(part.into()).await;
        written.map_err(|error| failed(&self.url, staged.path.as_ref(), "write", error))?;
        staged.bytes += size;
        Ok(())
    }

    #[cfg(test)]
    fn hang(&self, path: &Path) {
        let hangs = |hangs: &mut Option<String>| {
            hangs
                .as_ref()
                .is_some_and(|below| path.as_ref().starts_with(below))
        };
        let waited = self.moves.wait_while(lock(&self.hangs), hangs);
        drop(waited);
    }

    #[cfg(test)]
    fn find_room(&self, staged: &Staged, bytes: u64) -> Result<(), Error> {
        let mut room = lock(&self.room);
        let Some(left) = *room else { return Ok(()) };
        *room = Some(left.saturating_sub(bytes));
        if bytes <= left {
            return Ok(());
        }
        let source = object_store::Error::Generic {
            store: "test",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        };
        Err(failed(&self.url, staged.path.as_ref(), "write", source))
    }

    /// Makes a temporary durable, still under its own name.
    pub(super) async fn complete(&self, staged: &mut Staged) -> Result<(), Error> {
        let completed = staged.upload.complete().await;
        completed
            .map(|_| ())
            .map_err(|error| failed(&self.url, staged.path.as_ref(), "write", error))
    }

    /// Gives a durable temporary its name. One that is there already stays if it is of the same past as `header`; else
    /// it is replaced: readers have refused it, or will.
    pub(super) async fn publish(&self, staged: &Staged, folder: &Path, header: &Header) -> Result<(), Error> {
        let path = folder.clone().join(name_of(header.next));
        let place = |error| failed(&self.url, path.as_ref(), "write", error);
        match self.files.copy_if_not_exists(&staged.path, &path).await {
            Ok(()) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = self.header(&path, header).await.ok().flatten();
                if !found.is_some_and(|found| found.next == header.next && found.anchor == header.anchor) {
                    self.files.rename(&staged.path, &path).await.map_err(place)?;
                }
            }
            Err(error) => return Err(place(error)),
        }
        lock(&self.refused).remove(path.as_ref());
        Ok(())
    }

    /// Removes a temporary, whatever became of it. To be called outside of a runtime, so that it is gone on return.
    pub(super) fn remove(&self, staged: Staged) {
        let path = self.root.join(staged.path.as_ref());
        drop(staged);
        directory::remove_staged(&path);
    }

    /// Deletes what is older than the newest `keep` snapshots up to `header`'s that are of its past, and temporaries
    /// that a crash left. Returns the offset of the oldest one that may be read back: what cannot be read just now does not
    /// count as kept, but it may be tomorrow. What is newer is somebody else's.
    pub(super) async fn prune(&self, folder: &Path, header: &Header) -> Result<NextOffset, Error> {
        let mut kept = 1; // the one just written
        let mut oldest = header.next;
        let listed = self.list(folder, header.next).await?;
        for (next, path) in listed.iter().rev().filter(|(next, _)| *next < header.next) {
            if kept >= self.keep {
                // What stays because it cannot be deleted is tried again after the next one.
                let _ = self.delete(path).await;
                continue;
            }
            match self.header(path, header).await {
                Ok(found) if found.as_ref().is_some_and(|found| found.next == *next) => {
                    kept += 1;
                    oldest = *next;
                }
                Ok(_) => {}
                Err(_) => oldest = *next,
            }
        }
        directory::sweep_folder(&self.root.join(folder.as_ref()), &name_of(header.next));
        Ok(oldest)
    }

    /// Versions `among` those given that a header below `folder` names. What is refused for good names none.
    pub(super) async fn versions_named(
        &self,
        folder: &Path,
        among: &BTreeSet<ModelVersion>,
    ) -> Result<NamedVersions, Error> {
        let mut named = NamedVersions::default();
        let mut listed = self.files.list(Some(folder));
        while let Some(next) = listed.next().await {
            let location = match next {
                Ok(meta) => meta.location,
                Err(object_store::Error::NotFound { .. }) => continue, // deleted while it was listed
                Err(error) => return Err(failed(&self.url, folder.as_ref(), "list", error)),
            };
            if location.filename().and_then(offset_of).is_none() {
                continue;
            }
            let Some(file) = self.read(&location).await? else {
                continue;
            };
            match read_header(&mut BufReader::new(file)) {
                Ok(header) => {
                    let log = header.switch_log.parse::<SwitchLog>().ok();
                    let entries = log.iter().flat_map(|log| log.entries());
                    let versions = entries.map(|entry| entry.1);
                    named
                        .versions
                        .extend(versions.filter(|version| among.contains(version)));
                    named.newer += usize::from(log.is_none() && SwitchLog::is_newer(&header.switch_log));
                }
                Err(Refusal::Read { source, .. }) => return Err(self.unread(&location, source)),
                Err(Refusal::Format { found, newest }) if found > newest => named.newer += 1,
                Err(_) => {}
            }
        }
        Ok(named)
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.files.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                lock(&self.refused).remove(path.as_ref());
                Ok(())
            }
            Err(error) => Err(failed(&self.url, path.as_ref(), "delete", error)),
        }
    }

    /// The header of a snapshot that is of the past of `ours` and was not refused.
    ///
    /// # Errors
    /// It cannot be read now, which says nothing about it.
    async fn header(&self, path: &Path, ours: &Header) -> Result<Option<Header>, Error> {
        if lock(&self.refused).contains(path.as_ref()) {
            return Ok(None);
        }
        let Some(file) = self.read(path).await? else {
            return Ok(None);
        };
        match read_header(&mut BufReader::new(file)) {
            Ok(header) => Ok(is_past(&header, ours).then_some(header)),
            Err(Refusal::Read { source, .. }) => Err(self.unread(path, source)),
            Err(_) => Ok(None),
        }
    }

    fn unread(&self, path: &Path, source: io::Error) -> Error {
        directory::failed(&self.url, &self.root.join(path.as_ref()), "read", source)
    }

    /// It does not count as kept any more.
    pub(super) fn refuse(&self, path: &Path) {
        lock(&self.refused).insert(path.to_string());
    }
}

/// Whether `theirs` is of the same partition, configuration and history as `ours`, as far as headers tell.
fn is_past(theirs: &Header, ours: &Header) -> bool {
    let same = theirs.cluster == ours.cluster
        && theirs.topic == ours.topic
        && theirs.partition == ours.partition
        && theirs.fingerprint == ours.fingerprint;
    let logs = (
        ours.switch_log.parse::<SwitchLog>(),
        theirs.switch_log.parse::<SwitchLog>(),
    );
    same && matches!(logs, (Ok(ours), Ok(log)) if ours.continues(&log, theirs.next))
}

fn name_of(next: NextOffset) -> String {
    format!("{:0DIGITS$}", next.0)
}

fn offset_of(name: &str) -> Option<NextOffset> {
    let plain = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| name.parse().ok().map(NextOffset)).flatten()
}
