//! The threads that read one worker's snapshots, each for one partition at a time.

use std::io::{self, BufReader, Read, Seek as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::engine::snapshot::{Content, Header, read, read_header};
use crate::series::observation::NextOffset;
use crate::store::Error;
use crate::store::error::chain;
use crate::store::snapshots::disk::Disk;
use crate::store::snapshots::{Home, lock};
use crate::worker::ports;
use crate::worker::snapshots::{Ended, Wanted};

/// Read at once: few calls, and a search that is asked for no more ends within one of them.
const READ_BYTES: usize = 1 << 20;

/// A search for the newest snapshot that fits.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) home: Arc<Home>,
    pub(super) folder: Path,
    pub(super) wanted: Wanted,
}

impl Search {
    fn is_wanted(&self) -> bool {
        self.home.still_wants(self.wanted.id, self.wanted.ticket)
    }

    /// Tells how far it is: at the snapshot of `next`, and further than before.
    fn sign(&self, next: NextOffset) {
        let _ = self.home.reading.try_send((self.wanted.ticket, next)); // full: it is told already
    }
}

/// What became of one file.
enum Look {
    Fits(Box<(Header, Content)>),
    Refused(String),
    Gone,
}

pub(super) struct Loader {
    disk: Arc<Disk>,
    runtime: Runtime,
}

impl Loader {
    pub(super) fn new(disk: Arc<Disk>) -> Result<Self, Error> {
        Ok(Self {
            runtime: disk.runtime()?,
            disk,
        })
    }

    /// Until nobody can ask any more.
    pub(super) fn run(self, searches: &Mutex<Receiver<Search>>) {
        loop {
            let next = lock(searches).recv(); // the others wait for the lock meanwhile
            let Ok(search) = next else { break };
            if let Some(ended) = self.search(&search) {
                let _ = search.home.ended.send(ended); // its worker may have left
            }
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }

    /// The answer; `None` where it is asked for no more.
    pub(super) fn search(&self, search: &Search) -> Option<Ended> {
        let mut refused = Vec::new();
        let found = self.newest(search, &mut refused);
        search.is_wanted().then(|| Ended::Loaded {
            ticket: search.wanted.ticket,
            found: found.map_err(|error| ports::Error::Transient {
                doing: "load a snapshot",
                reason: chain(&error),
            }),
            refused,
        })
    }

    fn newest(
        &self,
        search: &Search,
        refused: &mut Vec<String>,
    ) -> Result<Option<Box<(Header, Content)>>, Error> {
        let listed = self
            .runtime
            .block_on(self.disk.list(&search.folder, search.wanted.at_most))?;
        for (next, path) in listed.iter().rev() {
            if !search.is_wanted() {
                break;
            }
            search.sign(*next); // before a file is touched that may hang
            match self.look(search, *next, path)? {
                Look::Fits(found) => return Ok(Some(found)),
                Look::Gone => {}
                Look::Refused(_) if !search.is_wanted() => break, // cut short by ourselves
                Look::Refused(reason) => {
                    self.disk.refuse(path);
                    refused.push(format!("snapshot `{path}` is refused: {reason}"));
                }
            }
        }
        Ok(None)
    }

    fn look(&self, search: &Search, next: NextOffset, path: &Path) -> Result<Look, Error> {
        let Some(mut file) = self.runtime.block_on(self.disk.read(path))? else {
            return Ok(Look::Gone);
        };
        let header = match read_header(&mut BufReader::new(&file)) {
            Ok(header) => header,
            Err(error) => return Ok(Look::Refused(chain(&error))),
        };
        if header.next != next {
            let reason = format!("its header says that it is of offset {}", header.next);
            return Ok(Look::Refused(reason));
        }
        if let Some(reason) = search.wanted.refuses(&header) {
            return Ok(Look::Refused(reason));
        }
        if let Err(error) = file.rewind() {
            return Ok(Look::Refused(error.to_string()));
        }
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        search.wanted.progress.begin(bytes);
        let mut input = BufReader::with_capacity(READ_BYTES, Wanting { file, search, next });
        // Whatever the bytes are: a partition that waits for an answer that never comes is worse than a replay.
        let body = catch_unwind(AssertUnwindSafe(|| read(&mut input, &search.wanted.form)));
        Ok(match body {
            Ok(Ok(found)) => Look::Fits(Box::new(found)),
            Ok(Err(error)) => Look::Refused(chain(&error)),
            Err(_) => Look::Refused("reading it panicked; report it with the file".to_owned()),
        })
    }
}

/// A file that ends with an error once nobody asks for it any more.
struct Wanting<'s> {
    file: std::fs::File,
    search: &'s Search,
    /// Which snapshot it is.
    next: NextOffset,
}

impl Read for Wanting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.search.is_wanted() {
            return Err(io::Error::other("asked for no more"));
        }
        let bytes = self.file.read(buffer)?;
        self.search.wanted.progress.add(bytes);
        self.search.sign(self.next);
        Ok(bytes)
    }
}
