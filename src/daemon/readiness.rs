//! Whether the process serves, and if not, why not: for `/readyz` and STATUS.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::daemon::board::{Board, PipelineBoard, Stage, lock};
use crate::worker::ports::PartitionId;
use crate::worker::report::{Loading, PartitionPhase, PartitionReport};

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
    /// What somebody should look at although it is ready: snapshots and weights that cannot be stored, state made anew, what
    /// is left out under lag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Reason>,
    /// By name.
    pub pipelines: Vec<Summary>,
}

/// Looks at everything at `now`.
#[must_use]
pub fn look(board: &Board, now: Duration) -> Readiness {
    let (mut reasons, mut warnings) = (Vec::new(), Vec::new());
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
        warnings.extend(paused_training(pipeline));
        warnings.extend(of_partitions(pipeline));
        warnings.extend(failing_models(pipeline));
    }
    Readiness {
        ready: reasons.is_empty(),
        reasons,
        warnings,
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

fn paused_training(pipeline: &PipelineBoard) -> Option<Reason> {
    let view = lock(&pipeline.training);
    (view.owner && view.paused).then(|| Reason {
        pipeline: pipeline.name.clone(),
        worker: None,
        topic: None,
        partition: None,
        reason: format!(
            "training is paused: a partition lags by {} records, `training.lag_pause` bounds that",
            grouped(pipeline.lag_max())
        ),
    })
}

/// Of each partition: snapshots that fail, state made anew, horizons left out.
fn of_partitions(pipeline: &PipelineBoard) -> Vec<Reason> {
    let mut warnings = Vec::new();
    for (index, worker) in pipeline.workers.iter().enumerate() {
        let mut warn = |id: PartitionId, reason: String| {
            warnings.push(Reason {
                pipeline: pipeline.name.clone(),
                worker: Some(index),
                topic: pipeline.topics.get(id.topic).cloned(),
                partition: Some(id.partition.0),
                reason,
            });
        };
        let view = lock(&worker.view);
        for (id, snapshot) in &view.snapshots {
            if let Some(failure) = &snapshot.failure {
                warn(*id, format!("snapshots fail: {failure}"));
            }
        }
        for partition in &view.partitions {
            if partition.degraded {
                let lag = grouped(partition.lag().unwrap_or(0));
                warn(
                    partition.id,
                    format!("horizons are left out: it lags by {lag} records, `output.lag_thin` bounds that"),
                );
            }
            if partition.rebuilt {
                warn(
                    partition.id,
                    "rebuilt: its state was made anew from a part of its past, no snapshot reached back"
                        .to_owned(),
                );
            }
        }
    }
    warnings
}

fn failing_models(pipeline: &PipelineBoard) -> Option<Reason> {
    let failure = lock(&pipeline.training).failure.clone()?;
    Some(Reason {
        pipeline: pipeline.name.clone(),
        worker: None,
        topic: None,
        partition: None,
        reason: format!("weights cannot be stored: {failure}"),
    })
}

fn phase_reason(partition: &PartitionReport) -> Option<String> {
    match &partition.phase {
        PartitionPhase::Running => None,
        PartitionPhase::Waiting(None) => Some("reading its committed offset".to_owned()),
        PartitionPhase::Waiting(Some(failure)) => Some(format!("cannot be restored yet: {failure}")),
        PartitionPhase::Loading(loading) => Some(loaded(*loading)),
        PartitionPhase::Restoring => Some(restored(partition)),
        PartitionPhase::Parked(cause) => Some(format!("parked at offset {}: {cause}", partition.position)),
    }
}

/// How far its snapshot is read.
fn loaded(Loading { read, whole }: Loading) -> String {
    if whole == 0 {
        return "looking for its newest snapshot".to_owned();
    }
    let megabytes = |bytes: u64| format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10);
    format!(
        "reading its newest snapshot: {} of {} MB",
        megabytes(read),
        megabytes(whole)
    )
}

/// How far it is from its snapshot, or its base, to the committed offset.
fn restored(partition: &PartitionReport) -> String {
    let begun = partition.snapshot.unwrap_or(partition.base).max(partition.base).0;
    let whole = (partition.committed.0 - begun).max(0);
    let done = (partition.position.0 - begun).clamp(0, whole);
    format!("restoring: {} of {} records", grouped(done), grouped(whole))
}

/// `12,345`.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
                let (place, more) = (place_of(first), and_more(others.len()));
                write!(
                    line,
                    "{}: {place}{}{more}, {rate:.0} records/s",
                    summary.pipeline, first.reason
                )
            }
        };
        push_warnings(&mut line, readiness, &summary.pipeline);
    }
    line
}

/// The first of a pipeline's warnings, and how many there are.
fn push_warnings(line: &mut String, readiness: &Readiness, pipeline: &str) {
    let mut warnings = readiness
        .warnings
        .iter()
        .filter(|warning| warning.pipeline == pipeline);
    if let Some(first) = warnings.next() {
        let (place, more) = (place_of(first), and_more(warnings.count()));
        let _ = write!(line, ", warning: {place}{}{more}", first.reason);
    }
}

fn place_of(reason: &Reason) -> String {
    match (&reason.topic, reason.partition) {
        (Some(topic), Some(partition)) => format!("{topic}/{partition} "),
        _ => String::new(),
    }
}

fn and_more(others: usize) -> String {
    if others == 0 {
        String::new()
    } else {
        format!(" (and {others} more)")
    }
}

#[cfg(test)]
mod tests;
