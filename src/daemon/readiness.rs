//! Whether the process serves, and if not, why not: for `/readyz` and STATUS.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::daemon::board::{Board, PipelineBoard, Stage, lock};
use crate::worker::report::{PartitionPhase, PartitionReport};

/// A worker without a partition is a stand-by, once the group had this long to give it one.
const STANDBY_AFTER: Duration = Duration::from_secs(30);

/// One thing that keeps the process from being ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Index of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    /// Input topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Number of the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The sentence.
    pub reason: String,
}

/// A pipeline in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its name.
    pub pipeline: String,
    /// Assigned to this process.
    pub partitions: usize,
    /// With state in this process.
    pub streams: usize,
    /// Records, all partitions together.
    pub lag: i64,
    /// Newest version known.
    pub model_version: u64,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether there is no reason against it.
    pub ready: bool,
    /// Against it.
    pub reasons: Vec<Reason>,
    /// By name.
    pub pipelines: Vec<Summary>,
}

/// Looks at everything at `now`.
#[must_use]
pub fn look(board: &Board, now: Duration) -> Readiness {
    let mut reasons = Vec::new();
    if board.stopping.load(Ordering::Relaxed) {
        reasons.push(Reason {
            pipeline: "*".to_owned(),
            worker: None,
            topic: None,
            partition: None,
            reason: "stopping".to_owned(),
        });
    }
    for pipeline in &board.pipelines {
        reasons.extend(against(pipeline, now));
    }
    Readiness {
        ready: reasons.is_empty(),
        reasons,
        pipelines: board.pipelines.iter().map(|pipeline| summary(pipeline)).collect(),
    }
}

fn summary(pipeline: &PipelineBoard) -> Summary {
    let mut summary = Summary {
        pipeline: pipeline.name.clone(),
        partitions: 0,
        streams: 0,
        lag: 0,
        model_version: pipeline.model_version.load(Ordering::Relaxed),
    };
    for worker in &pipeline.workers {
        let view = lock(&worker.view);
        summary.partitions += view.partitions.len();
        summary.streams += view
            .partitions
            .iter()
            .map(|partition| partition.streams)
            .sum::<usize>();
        summary.lag += view
            .partitions
            .iter()
            .filter_map(PartitionReport::lag)
            .sum::<i64>();
    }
    summary
}

fn against(pipeline: &PipelineBoard, now: Duration) -> Vec<Reason> {
    let whole = |reason: String| Reason {
        pipeline: pipeline.name.clone(),
        worker: None,
        topic: None,
        partition: None,
        reason,
    };
    match pipeline.stage() {
        Stage::Starting => return vec![whole("starting".to_owned())],
        Stage::Waiting(what) => return vec![whole(what)],
        Stage::Failed(cause) => return vec![whole(format!("failed: {cause}"))],
        Stage::Stopped => return vec![whole("stopped".to_owned())],
        Stage::Running => {}
    }
    let mut reasons = Vec::new();
    for (index, worker) in pipeline.workers.iter().enumerate() {
        let view = lock(&worker.view);
        let of_worker = |reason: String| Reason {
            worker: Some(index),
            ..whole(reason)
        };
        if let Some(cause) = &view.failed {
            reasons.push(of_worker(format!("failed: {cause}")));
        } else if let Some(trouble) = &view.trouble {
            reasons.push(of_worker(trouble.clone()));
        } else if view.partitions.is_empty() && now.saturating_sub(view.calm_since) < STANDBY_AFTER {
            reasons.push(of_worker("waits for the group to assign partitions".to_owned()));
        }
        for partition in &view.partitions {
            if let Some(reason) = phase_reason(partition) {
                reasons.push(Reason {
                    topic: pipeline.topics.get(partition.id.topic).cloned(),
                    partition: Some(partition.id.partition.0),
                    ..of_worker(reason)
                });
            }
        }
    }
    reasons
}

fn phase_reason(partition: &PartitionReport) -> Option<String> {
    match &partition.phase {
        PartitionPhase::Running => None,
        PartitionPhase::Waiting(None) => Some("reading its committed offset".to_owned()),
        PartitionPhase::Waiting(Some(failure)) => Some(format!("cannot be restored yet: {failure}")),
        PartitionPhase::Restoring => Some(format!(
            "restoring, at offset {} of {} ({} %)",
            partition.position,
            partition.committed,
            restored_percent(partition)
        )),
        PartitionPhase::Parked(cause) => Some(format!("parked at offset {}: {cause}", partition.position)),
    }
}

/// Share of the way from the base to the committed offset, rounded down.
fn restored_percent(partition: &PartitionReport) -> i64 {
    let whole = (partition.committed.0 - partition.base.0).max(1);
    ((partition.position.0 - partition.base.0).clamp(0, whole)) * 100 / whole
}

/// One line for `systemctl status`. `rates` are records per second, by pipeline.
#[must_use]
pub fn status_line(readiness: &Readiness, rates: &[f64]) -> String {
    let mut line = String::new();
    for (index, summary) in readiness.pipelines.iter().enumerate() {
        if index > 0 {
            line.push_str("; ");
        }
        let rate = rates.get(index).copied().unwrap_or(0.0);
        let reasons: Vec<_> = readiness
            .reasons
            .iter()
            .filter(|reason| reason.pipeline == summary.pipeline)
            .collect();
        let _ = match reasons.split_first() {
            None => write!(
                line,
                "{}: {rate:.0} records/s, lag {}, {} streams, model {}",
                summary.pipeline, summary.lag, summary.streams, summary.model_version
            ),
            Some((first, others)) => {
                let more = if others.is_empty() {
                    String::new()
                } else {
                    format!(" (and {} more)", others.len())
                };
                let place = match (&first.topic, first.partition) {
                    (Some(topic), Some(partition)) => format!("{topic}/{partition} "),
                    _ => String::new(),
                };
                write!(
                    line,
                    "{}: {place}{}{more}, {rate:.0} records/s",
                    summary.pipeline, first.reason
                )
            }
        };
    }
    line
}

#[cfg(test)]
mod tests;
