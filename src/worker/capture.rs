//! Snapshots between turns: which partition's is due, copying its rows in pieces, and what becomes of it.

use std::time::Duration;

use crate::engine::snapshot::Header;
use crate::faults::{self, Mechanism, Point};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Clock, Models, Observer, PartitionId, Sink, Snapshots, Source, Tape};
use crate::worker::report::SnapshotReport;
use crate::worker::run::{Link, Worker};
use crate::worker::slot::Open;
use crate::worker::snapshots::Ended;

/// Rows copied between two turns: at 12 KB each some 3 ms, too short for a reader to notice.
///
/// Tests have few rows, and step some while others are still to be copied.
const ROWS_PER_TURN: usize = if cfg!(test) { 1 } else { 256 };
/// Blocks that may wait to be written, some 50 MB: beyond it no record is taken until one is, since stepping a row makes
/// its copy necessary at once.
const BLOCKS_MAX: usize = 64;
/// How long a turn waits for a block to be written where too many wait.
const BLOCK_WAIT: Duration = Duration::from_millis(20);
/// Where no block is written for so long the disk hangs: the snapshot is given up, service goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same while no record can be taken for it: readers notice.
const PATIENCE_PRESSED: Duration = Duration::from_secs(1);

/// A snapshot whose rows are all handed over is durable after so long, or it has failed: a gigabyte at a megabyte a second
/// takes longer, on a disk that nobody serves from.
const DURABLE_WITHIN: Duration = Duration::from_secs(600);

/// A snapshot that is being taken.
pub(super) struct Capture {
    ticket: u64,
    id: PartitionId,
    began: Duration,
    /// When a block was last written, or nothing waited.
    moved: Duration,
    /// Blocks handed over and not written yet.
    waiting: usize,
}

/// A snapshot that is complete and not durable yet.
pub(super) struct Finishing {
    ticket: u64,
    id: PartitionId,
    /// When its first row was copied.
    began: Duration,
    /// When its last block was handed over.
    complete: Duration,
    /// Its partition's state was dropped: how it ends says nothing about the state that there may be by then.
    orphaned: bool,
}

impl<S, K, M, N, T, C, O> Worker<S, K, M, N, T, C, O>
where
    S: Source,
    K: Sink<Membership = S::Membership>,
    M: Models,
    N: Snapshots,
    T: Tape,
    C: Clock,
    O: Observer,
{
    /// What has ended, and a piece of the snapshot that is being taken or due.
    pub(super) fn snapshot(&mut self) {
        while let Some(ended) = self.snapshots.ended() {
            self.heed(ended);
        }
        self.watch_searches();
        self.watch_finishing();
        if self.capture.is_none() {
            self.begin_due();
        }
        self.take_back(Duration::ZERO);
        self.copy_some();
    }

    /// How long a turn may wait for a record while a snapshot is taken: not at all while there are rows to be copied, and
    /// for blocks to be written where their half is waiting. `None` where none is taken.
    pub(super) fn copying_patience(&self) -> Option<Duration> {
        let capture = self.capture.as_ref()?;
        Some(if capture.waiting < BLOCKS_MAX / 2 {
            Duration::ZERO
        } else {
            BLOCK_WAIT
        })
    }

    /// Whether no record should be taken, after a short wait for that to pass.
    pub(super) fn is_pressed(&mut self) -> bool {
        let pressed = |capture: &Option<Capture>| {
            capture
                .as_ref()
                .is_some_and(|capture| capture.waiting >= BLOCKS_MAX)
        };
        if pressed(&self.capture) {
            self.take_back(BLOCK_WAIT);
        }
        pressed(&self.capture)
    }

    /// Gives up the snapshot that is being taken where its partition's state is dropped: of `ids`, or of any.
    pub(super) fn give_up(&mut self, ids: Option<&[PartitionId]>) {
        let concerns = |id: PartitionId| ids.is_none_or(|ids| ids.contains(&id));
        if self.capture.take_if(|capture| concerns(capture.id)).is_some() {
            self.snapshots.abandon();
        }
        if let Some(finishing) = &mut self.finishing {
            finishing.orphaned |= concerns(finishing.id);
        }
    }

    fn begin_due(&mut self) {
        let now = self.clock.now();
        let due = |open: &Open| {
            let complete = open.batch.is_empty()
                && (open.position == open.committed || faults::is_off(Mechanism::SnapshotAfterCommit));
            let news = open.snapshot.is_none_or(|newest| newest < open.committed);
            complete && news && open.noted.is_some() && open.speaks() && now >= open.next_snapshot
        };
        // A store that is slow is no failure: the one that is due longest comes first once there is room.
        if self.link != Link::Up || self.finishing.is_some() || self.snapshots.is_busy() {
            return;
        }
        let Some(cluster) = &self.cluster else { return };
        let slots = &mut self.crew.slots;
        let first = slots
            .iter_mut()
            .filter_map(|slot| Some((slot.id, slot.open_mut()?)))
            .filter(|(_, open)| due(open))
            .min_by_key(|(_, open)| open.next_snapshot);
        let Some((id, open)) = first else { return };
        open.next_snapshot = now + self.config.snapshot_interval;
        open.state.begin_capture();
        let header = Header {
            cluster: cluster.clone(),
            topic: self.config.topics[id.topic].clone(),
            partition: id.partition,
            next: open.committed,
            // Of the past that is committed: no other is sure to be there after a crash.
            switch_log: open.noted.clone().unwrap_or_default(),
            anchor: open.anchor,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            ..open.state.capture_header()
        };
        self.ticket += 1;
        if let Err(error) = self.snapshots.begin(self.ticket, id, header) {
            open.state.end_capture();
            self.note_snapshot(id, Err(error.to_string()), Duration::ZERO);
            return;
        }
        self.capture = Some(Capture {
            ticket: self.ticket,
            id,
            began: now,
            moved: now,
            waiting: 0,
        });
    }

    /// Memory of blocks that are written.
    fn take_back(&mut self, wait: Duration) {
        let mut wait = wait;
        while let Some(block) = self.snapshots.empty(wait) {
            wait = Duration::ZERO;
            let Some(capture) = &mut self.capture else {
                continue;
            };
            capture.moved = self.clock.now();
            capture.waiting = capture.waiting.saturating_sub(1);
            if let Some(place) = self.crew.place(capture.id)
                && let Some(open) = self.crew.slots[place].open_mut()
            {
                open.state.give_back(block);
            }
        }
    }

    fn copy_some(&mut self) {
        let now = self.clock.now();
        let Some(capture) = &mut self.capture else { return };
        if capture.waiting == 0 {
            capture.moved = now;
        }
        let patience = if capture.waiting >= BLOCKS_MAX {
            PATIENCE_PRESSED
        } else {
            PATIENCE
        };
        if now.saturating_sub(capture.moved) > patience {
            let (id, took) = (capture.id, now.saturating_sub(capture.began));
            self.end_capture(id);
            self.give_up(None);
            let reason = "the store has written nothing for a while: look at the disk or mount behind it";
            self.note_snapshot(id, Err(reason.to_owned()), took);
            return;
        }
        let Some(place) = self.crew.place(capture.id) else {
            return;
        };
        let Some(open) = self.crew.slots[place].open_mut() else {
            return;
        };
        // The other half is for rows that are stepped.
        if capture.waiting < BLOCKS_MAX / 2 {
            open.state.capture(ROWS_PER_TURN);
        }
        while let Some(block) = open.state.take_block() {
            capture.waiting += 1;
            self.snapshots.write(block);
        }
        faults::point(Point::SnapshotCopy);
        if open.state.is_captured() {
            open.state.end_capture();
            self.snapshots.finish();
            self.finishing = Some(Finishing {
                ticket: capture.ticket,
                id: capture.id,
                began: capture.began,
                complete: now,
                orphaned: false,
            });
            self.capture = None;
        }
    }

    /// One that does not become durable has failed; what is heard of it later is too late.
    fn watch_finishing(&mut self) {
        let now = self.clock.now();
        let late = |finishing: &mut Finishing| now.saturating_sub(finishing.complete) >= DURABLE_WITHIN;
        if let Some(finishing) = self.finishing.take_if(late)
            && !finishing.orphaned
        {
            let reason =
                "the store has not made it durable within ten minutes: look at the disk or mount behind it";
            let took = now.saturating_sub(finishing.began);
            self.note_snapshot(finishing.id, Err(reason.to_owned()), took);
        }
    }

    fn heed(&mut self, ended: Ended) {
        match ended {
            Ended::Loaded {
                ticket,
                found,
                refused,
            } => {
                self.heard = self.clock.now();
                self.snapshots_refused.extend(refused);
                self.loaded(ticket, found);
            }
            Ended::Written {
                ticket,
                next,
                bytes,
                oldest,
            } => {
                if let Some((id, took)) = self.finished(ticket) {
                    self.note_snapshot(id, Ok(bytes), took);
                    self.note_written(id, (next, oldest), bytes);
                }
            }
            Ended::Failed { ticket, reason } => {
                let failed = self.capture.take_if(|capture| capture.ticket == ticket);
                let failed = failed.map(|capture| {
                    self.end_capture(capture.id);
                    (capture.id, self.clock.now().saturating_sub(capture.began))
                });
                if let Some((id, took)) = failed.or_else(|| self.finished(ticket)) {
                    self.note_snapshot(id, Err(reason), took);
                }
            }
        }
    }

    /// The partition of the complete snapshot with that ticket, and what it took; `None` where nobody waits for it any more.
    fn finished(&mut self, ticket: u64) -> Option<(PartitionId, Duration)> {
        let finishing = self.finishing.take_if(|finishing| finishing.ticket == ticket)?;
        let took = self.clock.now().saturating_sub(finishing.began);
        (!finishing.orphaned).then_some((finishing.id, took))
    }

    fn end_capture(&mut self, id: PartitionId) {
        if let Some(place) = self.crew.place(id)
            && let Some(open) = self.crew.slots[place].open_mut()
        {
            open.state.end_capture();
        }
    }

    fn note_written(
        &mut self,
        id: PartitionId,
        (next, oldest): (NextOffset, Option<NextOffset>),
        bytes: u64,
    ) {
        let now = self.clock.now();
        // The rate is that of the worker: its partitions take turns.
        let bytes = bytes.saturating_mul(u64::try_from(self.crew.slots.len()).unwrap_or(u64::MAX));
        let at_rate =
            Duration::from_millis(bytes.saturating_mul(1000) / self.config.snapshot_bytes_per_s.max(1));
        let interval = self.config.snapshot_interval.max(at_rate);
        let Some(place) = self.crew.place(id) else { return };
        if let Some(open) = self.crew.slots[place].open_mut()
            && next <= open.committed
        {
            open.snapshot = open.snapshot.max(Some(next));
            open.next_snapshot = now + interval;
            if let Some(oldest) = oldest {
                open.forget_before(oldest);
            }
        }
    }

    fn note_snapshot(&mut self, id: PartitionId, written: Result<u64, String>, took: Duration) {
        self.snapshot_report = Some(SnapshotReport { id, written, took });
    }
}
