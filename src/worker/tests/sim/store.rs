//! Snapshots at rest: shared files that are damaged, lost, late or refused for want of room, behind the worker's port.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::coverage::Cover;
use super::process::Sim;
use super::reference::Past;
use super::rng::Rng;
use super::world::{Check, Opened, Pid, World};
use crate::engine::snapshot::{Block, Content, Encoder, Header, read, read_header};
use crate::faults::{self, Point};
use crate::series::observation::NextOffset;
use crate::worker::SwitchLog;
use crate::worker::ports::{Error, PartitionId, Snapshots};
use crate::worker::snapshots::{Ended, Wanted};

/// Snapshots of the same past that stay.
const KEEP: usize = 2;

/// Blocks that a worker may have on their way.
const BLOCKS_MAX: usize = 64;

/// A snapshot under its name.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// What its state hangs on.
    pub(super) past: Past,
    pub(super) serial: u64,
    /// What steps from its state panics.
    poisoned: bool,
}

/// All files, by partition and offset.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) files: BTreeMap<PartitionId, BTreeMap<i64, File>>,
    serial: u64,
}

/// One that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    ticket: u64,
    pub(super) id: PartitionId,
    pub(super) header: Header,
    encoder: Encoder,
    bytes: Vec<u8>,
    opened: Opened,
    /// Blocks written so far.
    blocks: usize,
    /// When it is durable, once it is complete.
    due: Duration,
}

/// What the store does for one process.
#[derive(Debug, Default)]
pub(super) struct Handle {
    writing: Option<Writing>,
    finishing: VecDeque<Writing>,
    /// Blocks that are written, and from when on.
    empties: VecDeque<(Duration, Block)>,
    /// Searches, when they are answered, and which assignment they are for.
    searches: VecDeque<(Duration, usize, Wanted)>,
    ended: VecDeque<Ended>,
    refused: BTreeSet<u64>,
    /// What the last search of a partition gave: its offset and past.
    pub(super) handed: BTreeMap<PartitionId, (i64, Past)>,
    /// Partitions whose state is of a snapshot that is poisoned.
    pub(super) poisoned: BTreeSet<PartitionId>,
    /// Counts assignments, per partition.
    pub(super) held: BTreeMap<PartitionId, usize>,
}

/// The worker's port.
pub(super) struct SimSnapshots {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
}

fn away(doing: &'static str) -> Error {
    Error::Transient {
        doing,
        reason: "the store is away".to_owned(),
    }
}

/// Whether `theirs` is of the same partition and history as `ours`, as far as headers tell.
fn is_past(theirs: &Header, ours: &Header) -> bool {
    let logs = (
        ours.switch_log.parse::<SwitchLog>(),
        theirs.switch_log.parse::<SwitchLog>(),
    );
    theirs.fingerprint == ours.fingerprint
        && matches!(logs, (Ok(ours), Ok(log)) if ours.continues(&log, theirs.next))
}

impl World {
    /// How long something takes on the disk.
    pub(super) fn disk_time(&mut self, pid: Pid) -> Duration {
        let slow = self.trouble.disk_slow;
        let rng = &mut self.processes[pid].rng;
        let millis = if slow {
            200 + rng.below(4_000)
        } else {
            rng.below(20)
        };
        Duration::from_millis(millis as u64)
    }

    /// Names a complete snapshot, as far as the name is free or what has it is of another past.
    fn publish(&mut self, pid: Pid, writing: Writing) -> (NextOffset, u64) {
        let Writing {
            id,
            header,
            bytes,
            opened,
            ..
        } = writing;
        let past = self.check_snapshot(id, &header, &bytes, &opened);
        // The log forgets by it, also where nothing was committed since the restore.
        if let Some(current) = self.processes[pid].opened.get_mut(&id) {
            current.past.get_or_insert_with(|| past.clone());
        }
        self.store.serial += 1;
        let file = File {
            bytes,
            past,
            serial: self.store.serial,
            poisoned: false,
        };
        let size = file.bytes.len() as u64;
        let refused = &self.processes[pid].snapshots.refused;
        let files = self.store.files.entry(id).or_default();
        let counts = |file: &File, next: i64| {
            !refused.contains(&file.serial)
                && read_header(&mut &file.bytes[..])
                    .is_ok_and(|found| found.next.0 == next && is_past(&found, &header))
        };
        let stays = files
            .get(&header.next.0)
            .is_some_and(|found| counts(found, header.next.0));
        if !stays {
            files.insert(header.next.0, file);
        }
        let (mut kept, mut oldest) = (1, header.next.0);
        let older: Vec<i64> = files.range(..header.next.0).rev().map(|entry| *entry.0).collect();
        for next in older {
            if kept >= KEEP {
                files.remove(&next);
            } else if counts(&files[&next], next) {
                kept += 1;
                oldest = next;
            }
        }
        self.cover(Cover::SnapshotWritten);
        (NextOffset(oldest), size)
    }

    /// The store's thread may have come further than the process that is killed.
    pub(super) fn kill_writer(&mut self, pid: Pid) {
        let handle = std::mem::take(&mut self.processes[pid].snapshots);
        if handle.writing.as_ref().is_some_and(|writing| writing.blocks > 0) {
            self.cover(Cover::KilledBetweenBlocks);
        }
        for writing in handle.finishing {
            if self.processes[pid].rng.once_in(2) {
                self.publish(pid, writing);
            }
        }
    }

    /// The newest file that fits.
    fn search(
        &mut self,
        pid: Pid,
        wanted: &Wanted,
        refused: &mut Vec<String>,
    ) -> Option<Box<(Header, Content)>> {
        let handle = &mut self.processes[pid].snapshots;
        handle.handed.remove(&wanted.id);
        handle.poisoned.remove(&wanted.id);
        let files = self.store.files.get(&wanted.id)?;
        for (next, file) in files.range(..=wanted.at_most.0).rev() {
            let fits = read_header(&mut &file.bytes[..])
                .map_err(|refusal| refusal.to_string())
                .and_then(|header| match wanted.refuses(&header) {
                    _ if header.next.0 != *next => Err("of another offset".to_owned()),
                    Some(reason) => Err(reason),
                    None => read(&mut &file.bytes[..], &wanted.form).map_err(|refusal| refusal.to_string()),
                });
            match fits {
                Ok(found) => {
                    handle.handed.insert(wanted.id, (*next, file.past.clone()));
                    if file.poisoned {
                        handle.poisoned.insert(wanted.id);
                    }
                    return Some(Box::new(found));
                }
                Err(reason) => {
                    handle.refused.insert(file.serial);
                    refused.push(format!("snapshot {next}: {reason}"));
                }
            }
        }
        None
    }

    fn answer_search(&mut self, pid: Pid, held: usize, wanted: &Wanted) -> Ended {
        let now_held = self.processes[pid].snapshots.held.get(&wanted.id).copied();
        if !self.processes[pid].client.held.contains_key(&wanted.id) || now_held != Some(held) {
            self.cover(Cover::LoadTooLate);
        }
        if self.trouble.store_away {
            self.cover(Cover::StoreAway);
            return Ended::Loaded {
                ticket: wanted.ticket,
                found: Err(away("loading a snapshot")),
                refused: Vec::new(),
            };
        }
        let mut refused = Vec::new();
        let found = self.search(pid, wanted, &mut refused);
        for _ in &refused {
            self.cover(Cover::SnapshotRefused);
        }
        Ended::Loaded {
            ticket: wanted.ticket,
            found: Ok(found),
            refused,
        }
    }

    /// A file is damaged, in one of the ways that disks know.
    pub(super) fn damage(&mut self, rng: &mut Rng) {
        let ids: Vec<PartitionId> = self
            .store
            .files
            .iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|entry| *entry.0)
            .collect();
        if ids.is_empty() {
            return;
        }
        let id = rng.pick(&ids);
        let Some(files) = self.store.files.get_mut(&id) else {
            return;
        };
        let newest = files.keys().next_back().copied().unwrap_or(0);
        let Some(file) = files.get_mut(&newest) else {
            return;
        };
        let size = file.bytes.len();
        let kind = rng.below(7);
        if kind > 4 {
            file.poisoned = true;
            self.excused = true;
            return self.cover(Cover::SnapshotPoisoned);
        }
        match kind {
            0 | 1 if size > 0 => file.bytes[rng.below(size)] ^= 1 << rng.below(8),
            2 => file.bytes.truncate(rng.below(size)),
            3 => file.bytes.clear(),
            _ => {
                files.remove(&newest);
            }
        }
        self.excused = true;
        self.cover(Cover::SnapshotDamaged);
    }
}

impl Snapshots for SimSnapshots {
    fn load(&mut self, wanted: Wanted) -> Result<(), Error> {
        if self.sim.enter(self.pid) {
            return Err(away("asking for a snapshot"));
        }
        let mut world = self.sim.world.borrow_mut();
        let due = world.now + world.disk_time(self.pid);
        let handle = &mut world.processes[self.pid].snapshots;
        let held = handle.held.get(&wanted.id).copied().unwrap_or(0);
        handle.searches.push_back((due, held, wanted));
        Ok(())
    }

    fn reading(&mut self) -> Option<(u64, NextOffset)> {
        None
    }

    fn is_busy(&mut self) -> bool {
        false
    }

    fn begin(&mut self, ticket: u64, id: PartitionId, header: Header) -> Result<(), Error> {
        if self.sim.enter(self.pid) {
            return Err(away("beginning a snapshot"));
        }
        let mut world = self.sim.world.borrow_mut();
        let process = &mut world.processes[self.pid];
        let opened = process.opened.get(&id).cloned();
        assert!(process.snapshots.writing.is_none(), "one at a time");
        let mut bytes = Vec::new();
        process.snapshots.writing = Some(Writing {
            ticket,
            id,
            encoder: Encoder::new(&header, &mut bytes),
            header,
            bytes,
            opened: opened.unwrap_or_default(),
            blocks: 0,
            due: Duration::ZERO,
        });
        Ok(())
    }

    fn write(&mut self, block: Block) {
        if self.sim.is_dead(self.pid) {
            return;
        }
        {
            let mut world = self.sim.world.borrow_mut();
            let due = world.now + world.disk_time(self.pid);
            let handle = &mut world.processes[self.pid].snapshots;
            if let Some(writing) = &mut handle.writing {
                writing.encoder.block(&block, &mut writing.bytes);
                writing.blocks += 1;
            }
            handle.empties.push_back((due, block));
            let waiting = handle.empties.len();
            if waiting > BLOCKS_MAX {
                world.violate(Check::Bound, format!("{waiting} blocks are outstanding"));
            }
        }
        faults::point(Point::SnapshotWrite);
    }

    fn empty(&mut self, wait: Duration) -> Option<Block> {
        let mut world = self.sim.world.borrow_mut();
        if !wait.is_zero() {
            world.pass(wait);
        }
        let now = world.now;
        let empties = &mut world.processes[self.pid].snapshots.empties;
        let is_due = empties.front().is_some_and(|(due, _)| *due <= now);
        is_due.then(|| empties.pop_front()).flatten().map(|entry| entry.1)
    }

    fn finish(&mut self) {
        if self.sim.is_dead(self.pid) {
            return;
        }
        let mut world = self.sim.world.borrow_mut();
        let due = world.now + world.disk_time(self.pid);
        let handle = &mut world.processes[self.pid].snapshots;
        let several = handle.writing.as_ref().is_some_and(|writing| writing.blocks > 1);
        if let Some(mut writing) = handle.writing.take() {
            let encoder = writing.encoder;
            encoder.finish(&mut writing.bytes);
            writing.encoder = Encoder::new(&writing.header, &mut Vec::new());
            writing.due = due;
            handle.finishing.push_back(writing);
        }
        if several {
            world.cover(Cover::SnapshotOfBlocks);
        }
    }

    fn abandon(&mut self) {
        if !self.sim.is_dead(self.pid) {
            let mut world = self.sim.world.borrow_mut();
            let given_up = world.processes[self.pid].snapshots.writing.take();
            if given_up.is_some_and(|writing| writing.blocks > 0) {
                world.cover(Cover::GivenUpBetweenBlocks);
            }
        }
    }

    fn ended(&mut self) -> Option<Ended> {
        if self.sim.is_dead(self.pid) {
            return None;
        }
        let now = self.sim.world.borrow().now;
        let finished = {
            let mut world = self.sim.world.borrow_mut();
            let handle = &mut world.processes[self.pid].snapshots;
            if let Some(ended) = handle.ended.pop_front() {
                return Some(ended);
            }
            let is_due = handle.finishing.front().is_some_and(|writing| writing.due <= now);
            is_due.then(|| handle.finishing.pop_front()).flatten()
        };
        if let Some(writing) = finished {
            faults::point(Point::SnapshotRename);
            let mut world = self.sim.world.borrow_mut();
            let (ticket, next) = (writing.ticket, writing.header.next);
            if world.trouble.disk_full || world.trouble.store_away {
                world.cover(Cover::SnapshotFailed);
                let reason = "no space left on device".to_owned();
                return Some(Ended::Failed { ticket, reason });
            }
            let (oldest, bytes) = world.publish(self.pid, writing);
            return Some(Ended::Written {
                ticket,
                next,
                bytes,
                oldest: Some(oldest),
            });
        }
        let mut world = self.sim.world.borrow_mut();
        let searches = &mut world.processes[self.pid].snapshots.searches;
        let due = searches.iter().position(|search| search.0 <= now)?;
        let (_, held, wanted) = searches.remove(due)?;
        Some(world.answer_search(self.pid, held, &wanted))
    }
}
