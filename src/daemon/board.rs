//! What everybody may see: written by workers and pipelines, read by HTTP, STATUS and the watchdog.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::training;
use crate::worker::ports::{Activity, PartitionId};
use crate::worker::report::PartitionReport;

/// A lock whose holder panicked still holds plain data that is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far a pipeline is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Its thread has not run yet.
    #[default]
    Starting,
    /// Waits for Kafka or the store, with the sentence of the last failure.
    Waiting(String),
    /// Its workers run.
    Running,
    /// Out of service until its next try or for good, with the cause.
    Failed(String),
    /// Its workers have left.
    Stopped,
}

/// A partition's snapshots as far as this process made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotView {
    /// When the last one was durable, or the partition was assigned, whatever is later.
    pub since: Duration,
    /// Why the last one could not be written, and the way out; `None` where it was, or none was tried.
    pub failure: Option<String>,
}

/// What a worker said last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerView {
    /// Turns ended.
    pub turns: u64,
    /// Assigned partitions as of the last turn.
    pub partitions: Vec<PartitionReport>,
    /// By assigned partition.
    pub snapshots: BTreeMap<PartitionId, SnapshotView>,
    /// When the newest snapshot was durable, its bytes, and what it took.
    pub snapshot: Option<(Duration, u64, Duration)>,
    /// Why it began again or what it waits for.
    pub trouble: Option<String>,
    /// When its first partition came or its last trouble ended, whatever is later; before that, its start.
    pub calm_since: Duration,
    /// Why it ended, where it did not end because of a stop.
    pub failed: Option<String>,
}

/// One worker. The atomics are its pulse: they are stored before each blocking call and between turns.
#[derive(Debug, Default)]
pub struct WorkerBoard {
    /// When it last gave a sign of life, by the app's clock, milliseconds.
    sign_ms: AtomicU64,
    /// 0: does not run; else 1 + the activity.
    activity: AtomicU8,
    /// Never held while anything blocks.
    pub view: Mutex<WorkerView>,
}

const ACTIVITIES: [Activity; 5] = [
    Activity::Turn,
    Activity::Committing,
    Activity::Connecting,
    Activity::Restoring,
    Activity::Closing,
];

impl WorkerBoard {
    /// A sign of life at `now`: `activity` begins.
    pub fn sign(&self, activity: Activity, now: Duration) {
        let index = ACTIVITIES
            .iter()
            .position(|&known| known == activity)
            .unwrap_or(0);
        self.sign_ms.store(
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        // Release: who sees the activity sees its time.
        self.activity
            .store(u8::try_from(index + 1).unwrap_or(1), Ordering::Release);
    }

    /// The worker's thread does not run: nobody waits for a sign of life.
    pub fn rest(&self) {
        self.activity.store(0, Ordering::Release);
    }

    /// What it is doing, and since when it gave no sign of life; `None` while it does not run.
    #[must_use]
    pub fn pulse(&self, now: Duration) -> Option<(Activity, Duration)> {
        let activity = self.activity.load(Ordering::Acquire);
        let sign = Duration::from_millis(self.sign_ms.load(Ordering::Relaxed));
        let activity = *ACTIVITIES.get(usize::from(activity).checked_sub(1)?)?;
        Some((activity, now.saturating_sub(sign)))
    }
}

/// The trainer of a pipeline as metrics and STATUS see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingView {
    /// Trains here: owner of the first partition, with a share of CPU.
    pub owner: bool,
    /// Paused for lag.
    pub paused: bool,
    /// CPU time of its thread, seconds.
    pub cpu_seconds: f64,
    /// Why weights, or where training stands, could not be stored last, and the way out; `None` where they could.
    pub failure: Option<String>,
    /// Times that this happened.
    pub failures: u64,
    /// Partitions and snapshots of which it cannot be told which versions they name, as of the newest pruning.
    pub unnamed: usize,
    /// Its counters; `None` before it trains.
    pub stats: Option<training::Stats>,
}

/// One pipeline.
#[derive(Debug)]
pub struct PipelineBoard {
    /// Its name.
    pub name: String,
    /// Its input topics, by index of the partitions' ids.
    pub topics: Vec<String>,
    /// How far it is.
    pub stage: Mutex<Stage>,
    /// Its workers.
    pub workers: Vec<WorkerBoard>,
    /// Its trainer.
    pub training: Mutex<TrainingView>,
    /// Newest version known; 0 before the first.
    pub model_version: AtomicU64,
    /// Records taken, for the rate that STATUS says.
    pub records: AtomicU64,
    /// Per worker: whether it owns partition 0 of the first topic, and its largest lag. Read by the trainer.
    owners: Vec<AtomicBool>,
    lags: Vec<AtomicI64>,
}

impl PipelineBoard {
    /// A pipeline that has not started.
    #[must_use]
    pub fn new(name: &str, topics: &[String], workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            topics: topics.to_vec(),
            stage: Mutex::default(),
            workers: (0..workers).map(|_| WorkerBoard::default()).collect(),
            training: Mutex::default(),
            model_version: AtomicU64::new(0),
            records: AtomicU64::new(0),
            owners: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            lags: (0..workers).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        lock(&self.stage).clone()
    }

    /// It is that far; true where it was not before.
    pub fn set_stage(&self, stage: Stage) -> bool {
        let mut current = lock(&self.stage);
        let changed = *current != stage;
        *current = stage;
        changed
    }

    /// What a worker's partitions mean for training.
    pub fn set_share(&self, worker: usize, owns_first: bool, lag: i64) {
        self.owners[worker].store(owns_first, Ordering::Relaxed);
        self.lags[worker].store(lag, Ordering::Relaxed);
    }

    /// Whether a worker of this process owns partition 0 of the first topic: then training is this process's affair.
    #[must_use]
    pub fn owns_first(&self) -> bool {
        self.owners.iter().any(|owner| owner.load(Ordering::Relaxed))
    }

    /// The largest lag of an assigned partition, records.
    #[must_use]
    pub fn lag_max(&self) -> i64 {
        self.lags
            .iter()
            .map(|lag| lag.load(Ordering::Relaxed))
            .max()
            .unwrap_or(0)
    }
}

/// The whole process.
#[derive(Debug)]
pub struct Board {
    /// By name, ascending.
    pub pipelines: Vec<std::sync::Arc<PipelineBoard>>,
    /// Whether the process is going down.
    pub stopping: AtomicBool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulse_tells_activity_and_silence_of_a_running_worker_only() {
        let worker = WorkerBoard::default();
        assert_eq!(worker.pulse(Duration::from_secs(9)), None);
        for activity in ACTIVITIES {
            worker.sign(activity, Duration::from_secs(3));
            assert_eq!(
                worker.pulse(Duration::from_secs(5)),
                Some((activity, Duration::from_secs(2)))
            );
        }
        worker.rest();
        assert_eq!(worker.pulse(Duration::from_secs(9)), None);
    }

    #[test]
    fn pipeline_trains_where_one_of_its_workers_owns_the_first_partition() {
        let pipeline = PipelineBoard::new("plant", &["sensors".to_owned()], 2);
        assert!(!pipeline.owns_first());
        pipeline.set_share(1, true, 7);
        assert!(pipeline.owns_first());
        assert_eq!(pipeline.lag_max(), 7);
    }
}
