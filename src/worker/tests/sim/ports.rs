//! The other ports of a process: versions, time, an observer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::coverage::Cover;
use super::process::Sim;
use super::sink::POISON;
use super::source::failed;
use super::versions::{lineage, model};
use super::world::{Check, Pid, World};
use crate::engine::{Model, ModelVersion};
use crate::worker::TurnReport;
use crate::worker::bring_up::MODELS_MAX;
use crate::worker::ports::{Activity, Clock, Error, Loaded, Models, Observer, PartitionId};
use crate::worker::report::{PartitionPhase, PartitionReport};

/// Versions that a process knows.
pub(super) struct SimModels {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
}

impl Models for SimModels {
    fn newest(&mut self) -> Arc<Model> {
        let mut world = self.sim.world.borrow_mut();
        let newest = world.newest;
        let away = world.trouble.store_away;
        let process = &mut world.processes[self.pid];
        if process.newest < newest && !away && process.rng.once_in(2) {
            process.newest = newest;
        }
        model(process.newest)
    }

    fn load(&mut self, version: ModelVersion) -> Result<(), Error> {
        if self.sim.enter(self.pid) {
            return Err(failed("loading a version"));
        }
        let mut world = self.sim.world.borrow_mut();
        let due = world.now + world.disk_time(self.pid);
        let loads = &mut world.processes[self.pid].loads;
        loads.push_back((due, version.0));
        let loading = loads.len();
        if loading > MODELS_MAX {
            world.violate(Check::Bound, format!("{loading} versions are loaded at once"));
        }
        Ok(())
    }

    fn loaded(&mut self) -> Option<Loaded> {
        let mut world = self.sim.world.borrow_mut();
        let now = world.now;
        let loads = &mut world.processes[self.pid].loads;
        let due = loads.iter().position(|load| load.0 <= now)?;
        let (_, version) = loads.remove(due)?;
        let found = if world.trouble.store_away {
            Err(failed("loading a version"))
        } else if world.trouble.missing_versions.contains(&version) {
            world.cover(Cover::VersionMissing);
            Ok(None)
        } else {
            Ok(Some(model(version)))
        };
        Some(Loaded {
            version: ModelVersion(version),
            found,
        })
    }
}

/// Time of the world: processes run on one machine.
pub(super) struct SimClock {
    pub(super) sim: Rc<Sim>,
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.sim.world.borrow().now
    }
}

/// What a process tells.
pub(super) struct SimObserver {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
}

impl World {
    /// A partition is parked for what is in it, or because its offset lies beyond its log.
    fn hear_parked(&mut self, pid: Pid, id: PartitionId, sentence: &str) {
        if !self.processes[pid].parked.insert(id) {
            return;
        }
        self.cover(Cover::Parked);
        self.tell(|| format!("process {pid} parks {id:?}: {sentence}"));
        // As it was told: the log may have grown since then.
        let seen = self.processes[pid].seen_ends.get(&id).copied();
        let end = seen.map_or(i64::MAX, |seen| seen.1);
        let beyond = self.committed.get(&id).is_some_and(|entry| entry.0.0 > end);
        let poisoned = self.trouble.poison.keys().any(|entry| entry.0 == id);
        // Where its offset has gone with the topic, the process asked for it before.
        let another_log = self.of_another_log.contains_key(&id) || self.is_new(id);
        if another_log && !beyond {
            self.cover(Cover::AnotherLogParked);
        }
        if !beyond && !poisoned && !another_log {
            self.violate(Check::Parked, format!("{id:?} has no cause: {sentence}"));
        }
    }

    fn hear_partition(&mut self, pid: Pid, partition: &PartitionReport) {
        let id = partition.id;
        self.processes[pid].phases.insert(id, partition.phase.clone());
        if partition.switches > 64 {
            self.violate(Check::Bound, format!("{} switches of {id:?}", partition.switches));
        }
        let streams_max = self.scenario.config.engine.streams_max;
        if partition.streams > streams_max {
            let text = format!("{} streams of {id:?}, {streams_max} at most", partition.streams);
            self.violate(Check::Bound, text);
        }
        if let PartitionPhase::Parked(sentence) = &partition.phase {
            self.hear_parked(pid, id, sentence);
        } else {
            self.processes[pid].parked.remove(&id);
        }
        let process = &mut self.processes[pid];
        if partition.model.is_some() {
            process.lost_told.insert(id, partition.lost);
            if process.lost_due.remove(&id) && partition.lost == 0 {
                let text = format!("records of {id:?} were lost, and process {pid} does not say so");
                self.violate(Check::Count, text);
            }
        }
        let stats = &partition.stats;
        if stats.outcomes.over_capacity > 0 {
            self.cover(Cover::OverCapacity);
        }
        if partition.degraded {
            self.cover(Cover::Degraded);
        }
        let served = partition.model.map(|version| version.0);
        if let Some(version) = served {
            let before = Some(self.audit(id).serving);
            if before.is_some_and(|before| before != 0 && before != version) {
                self.cover(Cover::Switched);
                if before.map(lineage) != Some(lineage(version)) {
                    self.cover(Cover::LineageSwitched);
                }
            }
            self.audit(id).serving = version;
        }
    }
}

impl Observer for SimObserver {
    fn activity(&mut self, _activity: Activity) {
        if !self.sim.is_dead(self.pid) {
            let mut world = self.sim.world.borrow_mut();
            world.processes[self.pid].last_call = world.now;
        }
    }

    fn turn(&mut self, report: &TurnReport<'_>) {
        if self.sim.is_dead(self.pid) {
            return;
        }
        let mut world = self.sim.world.borrow_mut();
        // History before the start is muted as it is read, and in no commit.
        let process = &mut world.processes[self.pid];
        process.told += report.outcomes.total() - report.outcomes.muted;
        let (told, heard) = (process.told, process.heard);
        if told != heard {
            let text = format!("process {} told of {told} outcomes, committed {heard}", self.pid);
            world.violate(Check::Count, text);
        }
        let trouble = report.trouble.map(str::to_owned);
        if trouble.is_some() && world.processes[self.pid].trouble != trouble {
            world.tell(|| {
                format!(
                    "process {} is in trouble: {}",
                    self.pid,
                    trouble.clone().unwrap_or_default()
                )
            });
        }
        world.processes[self.pid].trouble = trouble;
        if report
            .snapshots_refused
            .iter()
            .any(|text| text.contains("panics"))
        {
            world.cover(Cover::SnapshotDistrusted);
        }
        if report.replayed > 0 {
            world.cover(Cover::Replayed);
        }
        world.hear_dropped(self.pid, report.tape_rows_dropped);
        world.processes[self.pid].phases.clear();
        for partition in report.partitions {
            world.hear_partition(self.pid, partition);
        }
        if let Some(trouble) = report.trouble
            && trouble.contains("panicked")
            && !trouble.contains(POISON)
        {
            world.violate(Check::Panic, trouble.to_owned());
        }
        let one_overshoots = 1;
        if report.records > (world.scenario.config.turn_records_max + one_overshoots) as u64 {
            world.violate(Check::Bound, format!("a turn of {} records", report.records));
        }
    }
}

impl World {
    /// A worker that ended by itself.
    pub(super) fn note_end(&mut self, pid: Pid, error: &Error) {
        if matches!(error, Error::InstanceInUse { .. }) && self.processes[pid].client.fenced {
            self.cover(Cover::InstanceInUse);
        } else {
            self.violate(Check::Panic, format!("process {pid} ended: {error}"));
        }
    }
}

/// A pause between rounds once everything is healed: longer than most back-offs' first.
pub(super) const ROUND: Duration = Duration::from_millis(500);
