//! The files behind snapshots: what is there, what is staged, what is published, what goes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetResultPayload, MultipartUpload, ObjectStore as _, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};

use crate::engine::snapshot::{Header, read_header};
use crate::series::observation::NextOffset;
use crate::store::disk::{LISTED_MAX, failed, open_files};
use crate::store::snapshots::lock;
use crate::store::{Config, Error, directory};
use crate::worker::SwitchLog;

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

    /// Snapshots in a folder, ascending by offset; anything else is passed over.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<(NextOffset, Path)>, Error> {
        let listed = match self.files.list_with_delimiter(Some(folder)).await {
            Ok(listed) => listed.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(failed(&self.url, folder.as_ref(), "list", error)),
        };
        if listed.len() > LISTED_MAX {
            return Err(Error::TooMany {
                prefix: folder.to_string(),
                max: LISTED_MAX,
            });
        }
        let mut found: Vec<_> = listed
            .into_iter()
            .filter_map(|meta| Some((offset_of(meta.location.filename()?)?, meta.location)))
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// A snapshot's file; `None` where it is gone.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<File>, Error> {
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
    fn find_room(&self, staged: &Staged, bytes: u64) -> Result<(), Error> {
        let mut room = lock(&self.room);
        let Some(left) = *room else { return Ok(()) };
        *room = Some(left.saturating_sub(bytes));
        if bytes <= left {
            return Ok(());
        }
        let source = object_store::Error::Generic {
            store: "test",
            source: Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull)),
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
                let found = self.header(&path, header).await;
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
    /// that a crash left. Returns the offset of the oldest one that counts. What is newer is somebody else's.
    pub(super) async fn prune(&self, folder: &Path, header: &Header) -> Result<NextOffset, Error> {
        let mut kept = 1; // the one just written
        let mut oldest = header.next;
        let listed = self.list(folder).await?;
        for (next, path) in listed.iter().rev().filter(|(next, _)| *next < header.next) {
            if kept >= self.keep {
                self.delete(path).await?;
            } else if self
                .header(path, header)
                .await
                .is_some_and(|found| found.next == *next)
            {
                kept += 1;
                oldest = *next;
            }
        }
        directory::sweep_folder(&self.root.join(folder.as_ref()), &name_of(header.next));
        Ok(oldest)
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
    async fn header(&self, path: &Path, ours: &Header) -> Option<Header> {
        if lock(&self.refused).contains(path.as_ref()) {
            return None;
        }
        let file = self.read(path).await.ok().flatten()?;
        let header = read_header(&mut BufReader::new(file)).ok()?;
        is_past(&header, ours).then_some(header)
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
