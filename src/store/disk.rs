//! Blocking calls onto an object store that lives on its own thread.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};

use crate::store::error::{io_kind, way_out};
use crate::store::{Config, Error, directory};

/// Requests waiting at most; the next caller is told [`Error::Busy`]. Model files are few: one per publish interval
/// and pipeline, so more than this means that the disk hangs.
const QUEUED_MAX: usize = 64;
/// A network of 3 layers of 512 units has some 20 MB; ten times that is no file of ours.
const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// Seconds on a healthy disk are milliseconds; a spun-down or remote one may take a few.
const DEADLINE: Duration = Duration::from_secs(10);

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Written and synced.
    Stored,
    /// Something was there already and is unchanged.
    Exists,
}

/// The objects `<number:08><suffix>` of a folder, however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbered {
    /// The highest numbers.
    pub newest: BTreeSet<u64>,
    /// The lowest numbers; the same where there are few.
    pub oldest: BTreeSet<u64>,
    /// Objects of other names that were passed over.
    pub others: u64,
}

impl Numbered {
    fn add(&mut self, number: u64, most: usize) {
        self.newest.insert(number);
        if self.newest.len() > most {
            self.newest.pop_first();
        }
        self.oldest.insert(number);
        if self.oldest.len() > most {
            self.oldest.pop_last();
        }
    }
}

enum Call {
    Put(Path, Bytes, PutMode),
    Get(Path),
    List(Path, &'static str, usize),
    Delete(Path),
}

#[derive(Debug)]
enum Answer {
    Put(Put),
    Get(Option<Vec<u8>>),
    List(Numbered),
    Deleted,
}

struct Request {
    call: Call,
    reply: SyncSender<Result<Answer, Error>>,
}

/// A read that nobody waits for; see [`Store::begin_get`].
#[derive(Debug)]
pub struct Getting {
    answer: Receiver<Result<Answer, Error>>,
    path: String,
    begun: Instant,
}

#[allow(
    clippy::disallowed_methods,
    reason = "bounds how long a disk is waited for; no state depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

/// An object store behind one thread; share it in an `Arc`. Dropping it ends the thread after the request in hand.
#[derive(Debug)]
pub struct Store {
    url: String,
    trouble: Option<String>,
    deadline: Duration,
    /// Invariant: `Some` until drop.
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store, makes its directory, tries to write there, and removes temporaries that a crash left. Where the disk
    /// is full or read-only it is opened all the same, since what is there can be served: see [`Store::trouble`].
    ///
    /// # Errors
    /// The URL is not a `file://` one, or its directory cannot be made or written.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let url = config.url.clone();
        let root = directory::path_of(&url)?;
        let (requests, queue) = sync_channel(QUEUED_MAX);
        let (ready, opened) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn({
                let url = url.clone();
                move || serve(&url, &root, &ready, &queue)
            })
            .map_err(|source| Error::Disk {
                url: url.clone(),
                path: "the store's thread".into(),
                action: "start",
                way_out: "raise the limit of threads (`TasksMax=`)",
                source: source.into(),
            })?;
        let mut store = Self {
            url,
            trouble: None,
            deadline: DEADLINE,
            requests: Some(requests),
            thread: Some(thread),
        };
        match opened.recv_timeout(store.deadline) {
            Ok(Ok(trouble)) => {
                store.trouble = trouble;
                Ok(store)
            }
            Ok(Err(error)) => Err(error),
            Err(error) => Err(store.silence(error, "/")),
        }
    }

    /// Gives up on a call after `deadline` (10 s unless told).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Why nothing could be written when it was opened, and the way out; `None` where it could.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// As configured.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes an object unless one of that path is there; synced with its directory before it answers.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn put_if_absent(&self, path: &str, bytes: Vec<u8>) -> Result<Put, Error> {
        self.put(path, bytes, PutMode::Create)
    }

    /// Writes an object in place of what is there, if anything is: readers see the one or the other, whole. Synced with its
    /// directory before it answers.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn replace(&self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.put(path, bytes, PutMode::Overwrite).map(|_| ())
    }

    fn put(&self, path: &str, bytes: Vec<u8>, mode: PutMode) -> Result<Put, Error> {
        let size = bytes.len() as u64;
        if size > OBJECT_BYTES_MAX {
            return Err(Error::TooLarge {
                path: path.into(),
                bytes: size,
                max: OBJECT_BYTES_MAX,
            });
        }
        match self.ask(Call::Put(parse(path)?, bytes.into(), mode), path)? {
            Answer::Put(put) => Ok(put),
            _ => unreachable!("a put is answered by a put"),
        }
    }

    /// An object's bytes; `None` where there is none.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.ask(Call::Get(parse(path)?), path)? {
            Answer::Get(bytes) => Ok(bytes),
            _ => unreachable!("a get is answered by a get"),
        }
    }

    /// The objects `<number:08><suffix>` of `folder`: at most `most` of the highest and of the lowest numbers, so that no
    /// folder is too full to be listed.
    ///
    /// # Errors
    /// The disk's, the deadline.
    pub fn list(&self, folder: &str, suffix: &'static str, most: usize) -> Result<Numbered, Error> {
        match self.ask(Call::List(parse(folder)?, suffix, most), folder)? {
            Answer::List(entries) => Ok(entries),
            _ => unreachable!("a list is answered by a list"),
        }
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// The disk's, the deadline.
    pub fn delete(&self, path: &str) -> Result<(), Error> {
        self.ask(Call::Delete(parse(path)?), path).map(|_| ())
    }

    /// Begins to read an object's bytes: nothing waits for it.
    ///
    /// # Errors
    /// Nothing was begun: too many requests wait.
    pub fn begin_get(&self, path: &str) -> Result<Getting, Error> {
        Ok(Getting {
            answer: self.begin(Call::Get(parse(path)?))?,
            path: path.to_owned(),
            begun: now(),
        })
    }

    /// What has become of a read; `None` while it goes on.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn got(&self, getting: &Getting) -> Option<Result<Option<Vec<u8>>, Error>> {
        let silence = |error| Some(Err(self.silence(error, &getting.path)));
        match getting.answer.try_recv() {
            Ok(Ok(Answer::Get(bytes))) => Some(Ok(bytes)),
            Ok(Ok(_)) => unreachable!("a get is answered by a get"),
            Ok(Err(error)) => Some(Err(error)),
            Err(TryRecvError::Empty) if now() - getting.begun < self.deadline => None,
            Err(TryRecvError::Empty) => silence(RecvTimeoutError::Timeout),
            Err(TryRecvError::Disconnected) => silence(RecvTimeoutError::Disconnected),
        }
    }

    fn ask(&self, call: Call, path: &str) -> Result<Answer, Error> {
        match self.begin(call)?.recv_timeout(self.deadline) {
            Ok(answer) => answer,
            Err(error) => Err(self.silence(error, path)),
        }
    }

    fn begin(&self, call: Call) -> Result<Receiver<Result<Answer, Error>>, Error> {
        let requests = self.requests.as_ref().expect("the sender lives until drop");
        let (reply, answer) = sync_channel(1);
        match requests.try_send(Request { call, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Error::Busy {
                    url: self.url.clone(),
                    queued: QUEUED_MAX,
                });
            }
            Err(TrySendError::Disconnected(_)) => {
                return Err(Error::Stopped {
                    url: self.url.clone(),
                });
            }
        }
        Ok(answer)
    }

    fn silence(&self, error: RecvTimeoutError, path: &str) -> Error {
        let url = self.url.clone();
        match error {
            RecvTimeoutError::Timeout => Error::Deadline {
                url,
                path: path.into(),
                deadline: self.deadline,
            },
            RecvTimeoutError::Disconnected => Error::Stopped { url },
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told to every caller as `Stopped`; a second one while dropping would abort.
            let _ = thread.join();
        }
    }
}

pub(super) fn parse(path: &str) -> Result<Path, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    match Path::parse(path) {
        Ok(parsed) if path.chars().all(plain) => Ok(parsed),
        _ => Err(Error::Path { path: path.into() }),
    }
}

/// The thread: one request after the other, so that a hanging disk holds one thread and not many.
fn serve(
    url: &str,
    root: &std::path::Path,
    ready: &SyncSender<Result<Option<String>, Error>>,
    queue: &Receiver<Request>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .thread_name("store-disk")
        .build();
    let opened = directory::prepare(url, root).and_then(|trouble| {
        let runtime = runtime.map_err(|e| directory::failed(url, root, "serve", e))?;
        Ok((runtime, open_files(url, root)?, trouble))
    });
    let (runtime, files, trouble) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let _ = ready.send(Err(error)); // the opener may have given up waiting
            return;
        }
    };
    let _ = ready.send(Ok(trouble));
    while let Ok(Request { call, reply }) = queue.recv() {
        let _ = reply.send(runtime.block_on(answer(url, &files, call))); // as above
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
}

pub(super) fn open_files(url: &str, root: &std::path::Path) -> Result<LocalFileSystem, Error> {
    let files = LocalFileSystem::new_with_prefix(root).map_err(|e| failed(url, "/", "open", e))?;
    Ok(files.with_fsync(true))
}

async fn answer(url: &str, files: &LocalFileSystem, call: Call) -> Result<Answer, Error> {
    match call {
        Call::Put(path, bytes, mode) => {
            match files
                .put_opts(&path, PutPayload::from_bytes(bytes), mode.into())
                .await
            {
                Ok(_) => Ok(Answer::Put(Put::Stored)),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Answer::Put(Put::Exists)),
                Err(error) => Err(failed(url, path.as_ref(), "write", error)),
            }
        }
        Call::Get(path) => read(url, files, &path).await.map(Answer::Get),
        Call::List(folder, suffix, most) => {
            let listed = list(files, &folder, (suffix, most)).await;
            listed
                .map(Answer::List)
                .map_err(|error| failed(url, folder.as_ref(), "list", error))
        }
        Call::Delete(path) => match files.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(Answer::Deleted),
            Err(error) => Err(failed(url, path.as_ref(), "delete", error)),
        },
    }
}

async fn read(url: &str, files: &LocalFileSystem, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let found = match files.get(path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(url, path.as_ref(), "read", error)),
    };
    let bytes = found.meta.size;
    if bytes > OBJECT_BYTES_MAX {
        return Err(Error::TooLarge {
            path: path.to_string(),
            bytes,
            max: OBJECT_BYTES_MAX,
        });
    }
    let read = found
        .bytes()
        .await
        .map_err(|e| failed(url, path.as_ref(), "read", e))?;
    Ok(Some(read.into()))
}

async fn list(
    files: &LocalFileSystem,
    folder: &Path,
    (suffix, most): (&str, usize),
) -> object_store::Result<Numbered> {
    let mut found = files.list(Some(folder));
    let mut numbered = Numbered::default();
    while let Some(next) = found.next().await {
        let location = match next {
            Ok(meta) => meta.location,
            Err(object_store::Error::NotFound { .. }) => continue, // deleted while it was listed
            Err(error) => return Err(error),
        };
        let name = location.filename().unwrap_or_default();
        let number = name.strip_suffix(suffix).and_then(|number| number.parse().ok());
        // One name per number, and none of a folder below: `1.safetensors` is not version 1.
        match number.filter(|number| folder.clone().join(numbered_name(*number, suffix)) == location) {
            Some(number) => numbered.add(number, most),
            None => numbered.others += 1,
        }
    }
    Ok(numbered)
}

/// Name of a numbered object.
pub(super) fn numbered_name(number: u64, suffix: &str) -> String {
    format!("{number:08}{suffix}")
}

pub(super) fn failed(url: &str, path: &str, action: &'static str, source: object_store::Error) -> Error {
    let way_out = way_out(io_kind(&source));
    Error::Disk {
        url: url.into(),
        path: path.into(),
        action,
        way_out,
        source: source.into(),
    }
}
