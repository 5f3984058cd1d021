//! The thread that writes snapshots: several workers' at once, a block of one after a block of another.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::engine::snapshot::{Block, Encoder, Header};
use crate::faults::{Point, point};
use crate::series::observation::NextOffset;
use crate::store::Error;
use crate::store::error::chain;
use crate::store::snapshots::Home;
use crate::store::snapshots::disk::{Disk, Staged};
use crate::worker::ports::PartitionId;
use crate::worker::snapshots::Ended;

/// How often it is looked whether a snapshot was given up while nothing else happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What workers ask of the writer.
#[derive(Debug)]
pub(super) enum Request {
    Begin(Box<Begin>),
    Block(Arc<Home>, u64, Block),
    Finish(Arc<Home>, u64),
}

/// A snapshot that is to be written.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) home: Arc<Home>,
    /// Of the home: one of another generation is given up.
    pub(super) generation: u64,
    pub(super) id: PartitionId,
    pub(super) folder: Path,
    pub(super) header: Header,
}

/// One that is being written.
struct Writing {
    begin: Begin,
    encoder: Encoder,
    /// Encoded and not appended.
    buffer: Vec<u8>,
    staged: Staged,
}

impl Writing {
    fn is_of(&self, home: &Arc<Home>, generation: u64) -> bool {
        Arc::ptr_eq(&self.begin.home, home) && self.begin.generation == generation
    }
}

pub(super) struct Writer {
    disk: Arc<Disk>,
    runtime: Runtime,
    /// One per worker at most.
    open: Vec<Writing>,
}

impl Writer {
    pub(super) fn new(disk: Arc<Disk>) -> Result<Self, Error> {
        Ok(Self {
            runtime: disk.runtime()?,
            disk,
            open: Vec::new(),
        })
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let next = if self.open.is_empty() {
                requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                requests.recv_timeout(LOOK_INTERVAL)
            };
            self.drop_given_up();
            match next {
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for writing in self.open.drain(..) {
            self.disk.remove(writing.staged);
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }

    /// Removes the temporaries of snapshots that are not wanted any more.
    pub(super) fn drop_given_up(&mut self) {
        let given_up = |writing: &mut Writing| !writing.begin.home.still_writes(writing.begin.generation);
        for writing in self.open.extract_if(.., given_up) {
            self.disk.remove(writing.staged);
        }
    }

    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Begin(begin) => self.begin(*begin),
            Request::Block(home, generation, block) => {
                if let Some(index) = self.find(&home, generation) {
                    self.block(index, &block);
                }
                // Full or gone: its memory is freed.
                let _ = home.empties.try_send(block);
            }
            Request::Finish(home, generation) => {
                if let Some(index) = self.find(&home, generation) {
                    let writing = self.open.swap_remove(index);
                    self.finish(writing);
                }
            }
        }
    }

    fn find(&self, home: &Arc<Home>, generation: u64) -> Option<usize> {
        let found = self
            .open
            .iter()
            .position(|writing| writing.is_of(home, generation));
        found.filter(|_| home.still_writes(generation))
    }

    fn begin(&mut self, begin: Begin) {
        if !begin.home.still_writes(begin.generation) {
            return;
        }
        let mut buffer = Vec::new();
        let encoder = Encoder::new(&begin.header, &mut buffer);
        let staged = self
            .runtime
            .block_on(self.disk.stage(&begin.folder, begin.header.next));
        match staged {
            Ok(staged) => self.open.push(Writing {
                begin,
                encoder,
                buffer,
                staged,
            }),
            Err(error) => fail(&begin, &error),
        }
    }

    fn block(&mut self, index: usize, block: &Block) {
        let writing = &mut self.open[index];
        writing.encoder.block(block, &mut writing.buffer);
        let appended = self.disk.append(&mut writing.staged, &mut writing.buffer);
        if let Err(error) = self.runtime.block_on(appended) {
            let writing = self.open.swap_remove(index);
            self.disk.remove(writing.staged);
            fail(&writing.begin, &error);
        } else {
            point(Point::SnapshotWrite);
        }
    }

    fn finish(&self, writing: Writing) {
        let Writing {
            begin,
            encoder,
            mut buffer,
            mut staged,
        } = writing;
        encoder.finish(&mut buffer);
        let published = self.publish(&begin, &mut staged, &mut buffer);
        let bytes = staged.bytes;
        self.disk.remove(staged);
        match published {
            Err(error) => fail(&begin, &error),
            Ok(()) => {
                let oldest = self
                    .runtime
                    .block_on(self.disk.prune(&begin.folder, &begin.header));
                send(
                    &begin.home,
                    Ended::Written {
                        id: begin.id,
                        next: begin.header.next,
                        bytes,
                        // It is written all the same. What could not be looked through may go back to the beginning, and
                        // the next one prunes again.
                        oldest: oldest.unwrap_or(NextOffset(0)),
                    },
                );
            }
        }
    }

    fn publish(&self, begin: &Begin, staged: &mut Staged, rest: &mut Vec<u8>) -> Result<(), Error> {
        self.runtime.block_on(async {
            self.disk.append(staged, rest).await?;
            self.disk.complete(staged).await
        })?;
        point(Point::SnapshotRename);
        let published = self.disk.publish(staged, &begin.folder, &begin.header);
        self.runtime.block_on(published)
    }
}

fn fail(begin: &Begin, error: &Error) {
    send(
        &begin.home,
        Ended::Failed {
            id: begin.id,
            reason: chain(error),
        },
    );
}

fn send(home: &Home, ended: Ended) {
    let _ = home.ended.send(ended); // its worker may have left
}
