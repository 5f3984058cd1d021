//! What the log says about partitions: once per change, not per record.

use crate::daemon::board::PipelineBoard;
use crate::worker::ports::PartitionId;
use crate::worker::report::{PartitionPhase, PartitionReport, SnapshotReport};
use crate::worker::switch_log::{SWITCHES_LEARNT_MAX, SWITCHES_MAX};

/// A partition's change between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Assigned,
    /// A snapshot is looked for and read.
    Loading,
    /// Committed offset and base are known, history is read.
    Restoring,
    /// In service.
    Running,
    Parked(String),
    /// Could not be restored; tried again.
    Failing(String),
    Gone,
    /// Serves another version.
    Switched(u64),
    /// Records deleted before they were read, that many more.
    Lost(u64),
    /// State was made anew from a part of the past.
    Rebuilt,
    /// Leaves horizons out because it lags, that many records.
    Degraded(i64),
    /// Publishes all horizons again.
    Whole,
    /// Its switch log has room for rollbacks only.
    LogReserved,
    /// Its switch log has room for nothing.
    LogFull,
}

/// Changes in the order of `after`, then of what is gone.
fn changes(before: &[PartitionReport], after: &[PartitionReport]) -> Vec<(PartitionId, Change)> {
    let mut changes = Vec::new();
    for partition in after {
        let old = before.iter().find(|old| old.id == partition.id);
        changes.extend(
            changes_of(old, partition)
                .into_iter()
                .map(|change| (partition.id, change)),
        );
    }
    let gone = before
        .iter()
        .filter(|old| !after.iter().any(|partition| partition.id == old.id));
    changes.extend(gone.map(|old| (old.id, Change::Gone)));
    changes
}

fn changes_of(old: Option<&PartitionReport>, partition: &PartitionReport) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.is_none() {
        changes.push(Change::Assigned);
    }
    if old.is_none_or(|old| old.phase != partition.phase) {
        match &partition.phase {
            PartitionPhase::Waiting(None) => {}
            PartitionPhase::Waiting(Some(failure)) => changes.push(Change::Failing(failure.clone())),
            PartitionPhase::Loading(_)
                if old.is_some_and(|old| matches!(old.phase, PartitionPhase::Loading(_))) => {}
            PartitionPhase::Loading(_) => changes.push(Change::Loading),
            PartitionPhase::Restoring => changes.push(Change::Restoring),
            PartitionPhase::Running => changes.push(Change::Running),
            PartitionPhase::Parked(cause) => changes.push(Change::Parked(cause.clone())),
        }
    }
    let switched = old
        .and_then(|old| old.model)
        .zip(partition.model)
        .is_some_and(|(old, new)| old != new);
    if let Some(version) = partition.model.filter(|_| switched) {
        changes.push(Change::Switched(version.0));
    }
    let lost = partition.lost.saturating_sub(old.map_or(0, |old| old.lost));
    if lost > 0 {
        changes.push(Change::Lost(lost));
    }
    if partition.rebuilt && !old.is_some_and(|old| old.rebuilt) {
        changes.push(Change::Rebuilt);
    }
    match (old.is_some_and(|old| old.degraded), partition.degraded) {
        (false, true) => changes.push(Change::Degraded(partition.lag().unwrap_or(0))),
        (true, false) => changes.push(Change::Whole),
        _ => {}
    }
    let before = old.map_or(0, |old| old.switches);
    let reaches = |max| before < max && partition.switches >= max;
    if reaches(SWITCHES_MAX) {
        changes.push(Change::LogFull);
    } else if reaches(SWITCHES_LEARNT_MAX) {
        changes.push(Change::LogReserved);
    }
    changes
}

/// Logs what changed between two looks at a worker's partitions.
pub(crate) fn log(
    pipeline: &PipelineBoard,
    worker: usize,
    before: &[PartitionReport],
    after: &[PartitionReport],
) {
    for (id, change) in changes(before, after) {
        let topic = pipeline.topics.get(id.topic).map_or("?", String::as_str);
        let place = format!("{topic}/{}", id.partition);
        let found = after.iter().find(|partition| partition.id == id);
        log_change(&pipeline.name, worker, &place, &change, found);
    }
}

fn log_change(
    pipeline: &str,
    worker: usize,
    partition: &str,
    change: &Change,
    found: Option<&PartitionReport>,
) {
    let position = found.map_or(-1, |found| found.position.0);
    match change {
        Change::Assigned => tracing::info!(pipeline, worker, partition, "partition assigned"),
        Change::Loading => tracing::debug!(pipeline, worker, partition, "its newest snapshot is looked for"),
        Change::Whole => {
            tracing::info!(pipeline, worker, partition, "all horizons are published again");
        }
        Change::Restoring => {
            let committed = found.map_or(-1, |found| found.committed.0);
            let records = committed.saturating_sub(position);
            let snapshot = found.and_then(|found| found.snapshot).map(|next| next.0);
            tracing::info!(
                pipeline,
                worker,
                partition,
                position,
                committed,
                records,
                snapshot,
                "restoring: history is read again without publishing, up to the committed offset"
            );
        }
        Change::Running => {
            let streams = found.map_or(0, |found| found.streams);
            let lag = found.and_then(PartitionReport::lag);
            tracing::info!(
                pipeline,
                worker,
                partition,
                position,
                streams,
                lag,
                "partition in service"
            );
        }
        Change::Gone => tracing::info!(pipeline, worker, partition, "partition given back"),
        Change::Switched(version) if found.is_some_and(|found| found.phase == PartitionPhase::Restoring) => {
            tracing::debug!(
                pipeline,
                worker,
                partition,
                version,
                position,
                "replayed a switch of versions"
            );
        }
        Change::Switched(version) => {
            tracing::info!(
                pipeline,
                worker,
                partition,
                version,
                position,
                "partition serves another version"
            );
        }
        Change::Parked(_)
        | Change::Failing(_)
        | Change::Lost(_)
        | Change::Rebuilt
        | Change::Degraded(_)
        | Change::LogReserved
        | Change::LogFull => {
            log_harm(pipeline, worker, partition, change);
        }
    }
}

/// What an operator should look at.
fn log_harm(pipeline: &str, worker: usize, partition: &str, change: &Change) {
    match change {
        Change::Parked(cause) => tracing::error!(
            pipeline,
            worker,
            partition,
            cause,
            "partition parked: it stays out of service until the cause is gone and the service is started again"
        ),
        Change::Failing(failure) => {
            tracing::warn!(
                pipeline,
                worker,
                partition,
                failure,
                "partition cannot be restored yet, trying again"
            );
        }
        Change::Lost(records) => tracing::error!(
            pipeline,
            worker,
            partition,
            records,
            "records were deleted from the topic before they were read: raise its retention or add workers"
        ),
        Change::Rebuilt => tracing::warn!(
            pipeline,
            worker,
            partition,
            "state was made anew from a part of the past: its forecasts may differ from those before"
        ),
        Change::Degraded(lag) => tracing::warn!(
            pipeline,
            worker,
            partition,
            lag,
            "lags by more than `output.lag_thin`: the first and the last horizon only are published until it has caught up"
        ),
        Change::LogReserved => tracing::warn!(
            pipeline,
            worker,
            partition,
            entries = SWITCHES_LEARNT_MAX,
            "switch log nearly full: what is learnt is not adopted any more, only rollbacks are; a restart \
             forgets what is older than `store.rebuild` and so makes room"
        ),
        Change::LogFull => tracing::warn!(
            pipeline,
            worker,
            partition,
            entries = SWITCHES_MAX,
            "switch log full: no version is adopted any more, not even a rollback; a restart forgets what is \
             older than `store.rebuild` and so makes room"
        ),
        Change::Assigned
        | Change::Loading
        | Change::Restoring
        | Change::Running
        | Change::Whole
        | Change::Gone
        | Change::Switched(_) => {}
    }
}

/// Logs how a snapshot has ended: each at debug, and once that they begin to fail (`fail.0`: before, `fail.1`: now) or
/// succeed again.
pub(crate) fn log_snapshot(
    board: &PipelineBoard,
    worker: usize,
    fail: (bool, bool),
    ended: Option<&SnapshotReport>,
) {
    let Some(SnapshotReport { id, written, took }) = ended else {
        return;
    };
    let pipeline = &board.name;
    let topic = board.topics.get(id.topic).map_or("?", String::as_str);
    let partition = format!("{topic}/{}", id.partition);
    match (fail, written) {
        ((false, true), Err(reason)) => tracing::warn!(
            pipeline,
            worker,
            partition,
            reason,
            "snapshots fail, service goes on: after a crash more records are read again"
        ),
        ((true, false), Ok(_)) => {
            tracing::info!(pipeline, worker, partition, "snapshots are written again");
        }
        (_, Err(reason)) => tracing::debug!(pipeline, worker, partition, reason, "snapshot failed"),
        (_, Ok(bytes)) => {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(pipeline, worker, partition, bytes, took_ms, "snapshot written");
        }
    }
}

/// Logs that a snapshot was not restored from.
pub(crate) fn log_refused(pipeline: &str, worker: usize, sentence: &str) {
    tracing::warn!(
        pipeline,
        worker,
        "{sentence}; an older one is read, or more records are"
    );
}

/// Logs that a worker's trouble began, became another, or ended.
pub(crate) fn log_trouble(pipeline: &str, worker: usize, cause: Option<&str>) {
    match cause {
        Some(cause) => tracing::warn!(pipeline, worker, cause, "worker in trouble, trying again"),
        None => tracing::info!(pipeline, worker, "worker out of trouble"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ModelVersion, PartitionStats};
    use crate::series::observation::{NextOffset, Partition};

    fn report(number: i32, phase: PartitionPhase) -> PartitionReport {
        PartitionReport {
            id: PartitionId {
                topic: 0,
                partition: Partition(number),
            },
            phase,
            position: NextOffset(1),
            committed: NextOffset(1),
            end: None,
            base: NextOffset(0),
            model: Some(ModelVersion(1)),
            streams: 0,
            stats: PartitionStats::default(),
            switches: 0,
            rebuilt: false,
            lost: 0,
            snapshot: None,
            degraded: false,
        }
    }

    fn found(before: &[PartitionReport], after: &[PartitionReport]) -> Vec<Change> {
        changes(before, after)
            .into_iter()
            .map(|(_, change)| change)
            .collect()
    }

    #[test]
    fn transitions_of_a_partition_are_told_once_each() {
        let waiting = report(0, PartitionPhase::Waiting(None));
        let restoring = report(0, PartitionPhase::Restoring);
        let running = report(0, PartitionPhase::Running);
        assert_eq!(found(&[], std::slice::from_ref(&waiting)), [Change::Assigned]);
        assert_eq!(
            found(std::slice::from_ref(&waiting), std::slice::from_ref(&restoring)),
            [Change::Restoring]
        );
        assert_eq!(
            found(std::slice::from_ref(&restoring), std::slice::from_ref(&running)),
            [Change::Running]
        );
        assert_eq!(
            found(std::slice::from_ref(&running), std::slice::from_ref(&running)),
            []
        );
        assert_eq!(found(std::slice::from_ref(&running), &[]), [Change::Gone]);
    }

    #[test]
    fn transitions_tell_once_that_a_switch_log_fills() {
        let of = |switches| PartitionReport {
            switches,
            ..report(0, PartitionPhase::Running)
        };
        for (before, after, expected) in [
            (54, 55, None),
            (55, 56, Some(Change::LogReserved)),
            (56, 57, None),
            (63, 64, Some(Change::LogFull)),
            (64, 64, None),
            (3, 64, Some(Change::LogFull)),
        ] {
            let changes = found(&[of(before)], &[of(after)]);
            assert_eq!(changes.first(), expected.as_ref(), "{before} to {after}");
        }
        assert_eq!(found(&[], &[of(60)]).last(), Some(&Change::LogReserved));
    }

    #[test]
    fn transitions_tell_once_that_horizons_are_left_out_and_come_back() {
        let whole = report(0, PartitionPhase::Running);
        let thin = PartitionReport {
            degraded: true,
            end: Some(NextOffset(101)),
            ..whole.clone()
        };
        let (whole, thin) = (std::slice::from_ref(&whole), std::slice::from_ref(&thin));
        assert_eq!(found(whole, thin), [Change::Degraded(100)]);
        assert_eq!(found(thin, thin), []);
        assert_eq!(found(thin, whole), [Change::Whole]);
        assert_eq!(found(whole, whole), []);
    }

    #[test]
    fn transitions_name_switch_loss_and_rebuild() {
        let before = report(0, PartitionPhase::Running);
        let after = PartitionReport {
            model: Some(ModelVersion(2)),
            lost: 7,
            rebuilt: true,
            ..before.clone()
        };
        assert_eq!(
            found(&[before], std::slice::from_ref(&after)),
            [Change::Switched(2), Change::Lost(7), Change::Rebuilt]
        );
        assert_eq!(
            found(std::slice::from_ref(&after), std::slice::from_ref(&after)),
            []
        );
    }
}
