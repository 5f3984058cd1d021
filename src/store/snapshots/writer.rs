//! The thread that writes one worker's snapshots, one after the other. Each worker has its own, so that a disk that is slow
//! or hangs under one of them holds up no other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::engine::snapshot::{Block, Encoder, Header};
use crate::faults::{Point, point};
use crate::store::Error;
use crate::store::error::chain;
use crate::store::snapshots::Home;
use crate::store::snapshots::disk::{Disk, Staged};
use crate::worker::snapshots::Ended;

/// How often it is looked whether a snapshot was given up while nothing else happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What its worker asks of the writer. Blocks and ends are of the snapshot begun with their ticket.
#[derive(Debug)]
pub(super) enum Request {
    Begin(Box<Begin>),
    Block(u64, Block),
    Finish(u64),
}

/// A snapshot that is to be written.
#[derive(Debug)]
pub(super) struct Begin {
    /// One of another ticket than the home's is given up.
    pub(super) ticket: u64,
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

pub(super) struct Writer {
    disk: Arc<Disk>,
    home: Arc<Home>,
    runtime: Runtime,
    open: Option<Writing>,
    _end: End,
}

/// Once its thread has ended, by a panic too, nobody waits for it: what is sent to it is refused.
struct End(Arc<Home>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.handled.store(u64::MAX, Ordering::Release);
    }
}

impl Writer {
    pub(super) fn new(disk: Arc<Disk>, home: Arc<Home>) -> Result<Self, Error> {
        Ok(Self {
            runtime: disk.runtime()?,
            disk,
            _end: End(Arc::clone(&home)),
            home,
            open: None,
        })
    }

    /// Until its worker has left.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let next = if self.open.is_none() {
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
        if let Some(writing) = self.open.take() {
            self.disk.remove(writing.staged);
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }

    /// Removes the temporary of a snapshot that is not wanted any more.
    pub(super) fn drop_given_up(&mut self) {
        let home = &self.home;
        let given_up = |writing: &mut Writing| !home.still_writes(writing.begin.ticket);
        if let Some(writing) = self.open.take_if(given_up) {
            self.disk.remove(writing.staged);
        }
    }

    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Begin(begin) => self.begin(*begin),
            Request::Block(ticket, block) => {
                if let Some(writing) = self.take(ticket) {
                    self.block(writing, &block);
                }
                // Full or gone: its memory is freed.
                let _ = self.home.empties.try_send(block);
            }
            Request::Finish(ticket) => {
                if let Some(writing) = self.take(ticket) {
                    self.finish(writing);
                }
            }
        }
        // Release: who counts it finds its block among the empties.
        self.home.handled.fetch_add(1, Ordering::Release);
    }

    fn take(&mut self, ticket: u64) -> Option<Writing> {
        let home = &self.home;
        self.open
            .take_if(|writing| writing.begin.ticket == ticket && home.still_writes(ticket))
    }

    fn begin(&mut self, begin: Begin) {
        if !self.home.still_writes(begin.ticket) {
            return;
        }
        let mut buffer = Vec::new();
        let encoder = Encoder::new(&begin.header, &mut buffer);
        let staged = self
            .runtime
            .block_on(self.disk.stage(&begin.folder, begin.header.next));
        match staged {
            Ok(staged) => {
                self.open = Some(Writing {
                    begin,
                    encoder,
                    buffer,
                    staged,
                });
            }
            Err(error) => self.fail(&begin, &error),
        }
    }

    fn block(&mut self, mut writing: Writing, block: &Block) {
        writing.encoder.block(block, &mut writing.buffer);
        let appended = self.disk.append(&mut writing.staged, &mut writing.buffer);
        if let Err(error) = self.runtime.block_on(appended) {
            self.disk.remove(writing.staged);
            self.fail(&writing.begin, &error);
        } else {
            self.open = Some(writing);
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
            Err(error) => self.fail(&begin, &error),
            Ok(()) => {
                let pruned = self.disk.prune(&begin.folder, &begin.header);
                self.send(Ended::Written {
                    ticket: begin.ticket,
                    next: begin.header.next,
                    bytes,
                    // It is written all the same, and the next one prunes again.
                    oldest: self.runtime.block_on(pruned).ok(),
                });
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

    fn fail(&self, begin: &Begin, error: &Error) {
        self.send(Ended::Failed {
            ticket: begin.ticket,
            reason: chain(error),
        });
    }

    fn send(&self, ended: Ended) {
        let _ = self.home.ended.send(ended); // its worker may have left
    }
}
