//! The trainer's end of the tape, and what may arrive there: each reading once, as it was stepped aloud, or counted as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::coverage::Cover;
use super::input::{Entry, Log, offset_of, reading_of};
use super::process::Sim;
use super::reference::{Expected, What};
use super::rng::Rng;
use super::world::{Check, Pid, World};
use crate::engine::TapeChunk;
use crate::worker::ports::{PartitionId, Tape};

/// A reading: partition, tag of its record, index there.
type Reading = (PartitionId, (u32, i64), usize);

/// What a process' trainer has.
#[derive(Debug)]
pub(super) struct Taped {
    /// Apart from that of the process: a tape changes nothing else.
    rng: Rng,
    /// Readings on the tape.
    taken: BTreeSet<Reading>,
    /// The newest of each stream, by its key.
    newest: BTreeMap<u64, Reading>,
    /// Readings whose forecasts it has committed.
    spoken: BTreeSet<Reading>,
    /// The committed offsets that it was told first: what lies before them was on the tape of another.
    pub(super) first_told: BTreeMap<PartitionId, i64>,
    /// Rows that it says are lost.
    dropped: u64,
    /// When the worker has passed on last what it had.
    passed: Duration,
    /// Partitions whose log lost records, or was another's: what took their places may be left out.
    pub(super) excused: BTreeSet<PartitionId>,
}

impl Taped {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed ^ 0x7a9e),
            taken: BTreeSet::new(),
            newest: BTreeMap::new(),
            spoken: BTreeSet::new(),
            first_told: BTreeMap::new(),
            dropped: 0,
            passed: Duration::ZERO,
            excused: BTreeSet::new(),
        }
    }
}

/// The worker's port.
pub(super) struct SimTape {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
    pub(super) spare: Vec<TapeChunk>,
}

impl Tape for SimTape {
    fn offer(&mut self, chunk: TapeChunk) -> Result<(), TapeChunk> {
        if self.sim.is_dead(self.pid) {
            return Err(chunk);
        }
        let mut world = self.sim.world.borrow_mut();
        if !world.healed && world.processes[self.pid].taped.rng.once_in(8) {
            world.cover(Cover::TapeRefused);
            return Err(chunk);
        }
        world.judge_tape(self.pid, &chunk);
        self.spare.push(chunk);
        Ok(())
    }

    fn empty(&mut self) -> Option<TapeChunk> {
        if self.sim.is_dead(self.pid) {
            return None;
        }
        let mut world = self.sim.world.borrow_mut();
        let now = world.now;
        let taped = &mut world.processes[self.pid].taped;
        taped.passed = now;
        if taped.rng.once_in(3) {
            return None; // the trainer has not looked at it yet
        }
        self.spare.pop()
    }
}

impl World {
    /// Rows of a chunk that the trainer takes. One without a reading says nothing of itself.
    fn judge_tape(&mut self, pid: Pid, chunk: &TapeChunk) {
        let rows = chunk.stream.iter().zip(&chunk.observed);
        for (&stream, &value) in rows.filter(|(_, value)| value.is_finite()) {
            self.cover(Cover::Taped);
            let reading = reading_of(value);
            if let Err(text) = self.judge_row(pid, stream, reading) {
                let text = format!("process {pid}, {reading:?}: {text}");
                return self.violate(Check::Tape, text);
            }
        }
    }

    fn judge_row(&mut self, pid: Pid, stream: u64, reading: Reading) -> Result<(), String> {
        let (id, tag, _) = reading;
        let offset = self.place_of(id, tag).ok_or("no such record is committed")?;
        let taped = &mut self.processes[pid].taped;
        if !taped.taken.insert(reading) {
            return Err("it is on the tape already".to_owned());
        }
        let before = taped.newest.insert(stream, reading);
        if before.is_some_and(|before| before >= reading) {
            return Err(format!("it comes after {before:?}"));
        }
        let first = taped.first_told.get(&id).copied();
        if first.is_some_and(|first| offset < first) {
            return Err(format!("its outcome was committed by another, before {first:?}"));
        }
        Ok(())
    }

    /// Offset of the record with a tag, where a reader of committed records sees it, or saw it before it was lost.
    fn place_of(&self, id: PartitionId, tag: (u32, i64)) -> Option<i64> {
        let find = |log: &Log| {
            let is_it = |entry: &Entry| matches!(entry, Entry::Record(input, _) if input.tag == tag);
            let offset = offset_of(log.entries.iter().position(is_it)?);
            log.visible(offset, &self.fates).map(|_| offset)
        };
        let old = self.old_logs.iter().filter(|entry| entry.0.0 == id);
        let mut logs = self.logs.get(&id).into_iter().chain(old.map(|entry| entry.1));
        logs.find_map(find)
    }

    /// A process has committed these.
    pub(super) fn note_spoken(
        &mut self,
        pid: Pid,
        (id, incarnation): (PartitionId, u32),
        expected: &[Expected],
    ) {
        for outcome in expected {
            if matches!(outcome.what, What::Forecast(..))
                && let Some(input) = self.log_of(id, incarnation).raw(outcome.offset)
            {
                let reading = (id, input.tag, outcome.index);
                self.processes[pid].taped.spoken.insert(reading);
            }
        }
    }

    /// A process tells how many rows were lost, since it was started.
    pub(super) fn hear_dropped(&mut self, pid: Pid, dropped: u64) {
        let before = std::mem::replace(&mut self.processes[pid].taped.dropped, dropped);
        if dropped < before {
            let text = format!("process {pid} lost {before} rows of the tape, and then {dropped}");
            self.violate(Check::Count, text);
        }
        if dropped > before {
            self.cover(Cover::TapeDropped);
        }
    }

    /// What was committed and is not on the tape has to be counted as lost. Of those that have passed on all they had
    /// since `since`.
    pub(super) fn judge_tapes(&mut self, since: Duration) {
        for pid in 0..self.processes.len() {
            let process = &self.processes[pid];
            let taped = &process.taped;
            if !process.alive || taped.passed < since {
                continue;
            }
            // Without its first records a state that is made anew may give a reading a forecast that was a duplicate before.
            let is_whole = |id: &PartitionId| self.logs[id].start == 0 && !taped.excused.contains(id);
            let missing = taped.spoken.difference(&taped.taken);
            let missing: Vec<_> = missing.filter(|reading| is_whole(&reading.0)).collect();
            if missing.len() as u64 > taped.dropped {
                let text = format!(
                    "process {pid} counts {} rows as lost, and these are not on its tape: {missing:?}",
                    taped.dropped
                );
                return self.violate(Check::Tape, text);
            }
            self.cover(Cover::TapeComplete);
        }
    }
}
