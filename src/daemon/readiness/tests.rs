use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::daemon::board::SnapshotView;
use crate::engine::PartitionStats;
use crate::series::observation::{NextOffset, Partition};

fn partition(number: i32, phase: PartitionPhase) -> PartitionReport {
    PartitionReport {
        id: PartitionId {
            topic: 0,
            partition: Partition(number),
        },
        phase,
        position: NextOffset(250),
        committed: NextOffset(500),
        end: Some(NextOffset(600)),
        base: NextOffset(100),
        model: None,
        streams: 7,
        stats: PartitionStats::default(),
        switches: 1,
        rebuilt: false,
        lost: 0,
        snapshot: None,
        degraded: false,
    }
}

fn board(stage: Stage, partitions: Vec<PartitionReport>) -> Board {
    let pipeline = PipelineBoard::new("plant", &["sensors".to_owned()], 1);
    pipeline.set_stage(stage);
    pipeline.model_version.store(12, Ordering::Relaxed);
    lock(&pipeline.workers[0].view).partitions = partitions;
    Board {
        pipelines: vec![Arc::new(pipeline)],
        stopping: AtomicBool::new(false),
    }
}

fn reasons(board: &Board) -> Vec<String> {
    let readiness = look(board, Duration::ZERO);
    assert_eq!(readiness.ready, readiness.reasons.is_empty());
    readiness
        .reasons
        .into_iter()
        .map(|reason| reason.reason)
        .collect()
}

#[test]
fn readiness_of_running_partitions_is_a_summary() {
    let board = board(
        Stage::Running,
        vec![
            partition(0, PartitionPhase::Running),
            partition(1, PartitionPhase::Running),
        ],
    );
    let readiness = look(&board, Duration::ZERO);
    assert!(readiness.ready);
    let summary = Summary {
        pipeline: "plant".to_owned(),
        partitions: 2,
        streams: 14,
        lag: 700,
        model_version: 12,
    };
    assert_eq!(readiness.pipelines, [summary]);
    assert_eq!(
        serde_json::to_string(&readiness).unwrap(),
        r#"{"ready":true,"reasons":[],"pipelines":[{"pipeline":"plant","partitions":2,"streams":14,"lag":700,"model_version":12}]}"#
    );
}

#[test]
fn readiness_names_what_a_pipeline_waits_for() {
    let waiting = Stage::Waiting("waiting for Kafka at 127.0.0.1:9092: refused".to_owned());
    assert_eq!(
        reasons(&board(waiting, vec![])),
        ["waiting for Kafka at 127.0.0.1:9092: refused"]
    );
    assert_eq!(reasons(&board(Stage::Starting, vec![])), ["starting"]);
    assert_eq!(
        reasons(&board(Stage::Failed("no such topic".to_owned()), vec![])),
        ["failed: no such topic"]
    );
}

#[test]
fn readiness_names_the_partition_that_is_restoring_or_parked() {
    let board = board(
        Stage::Running,
        vec![
            partition(0, PartitionPhase::Restoring),
            partition(1, PartitionPhase::Running),
            partition(
                2,
                PartitionPhase::Parked("delivery refused: too large".to_owned()),
            ),
            partition(3, PartitionPhase::Waiting(None)),
            partition(4, PartitionPhase::Waiting(Some("coordinator away".to_owned()))),
        ],
    );
    assert_eq!(
        reasons(&board),
        [
            "restoring: 150 of 400 records",
            "parked at offset 250: delivery refused: too large",
            "reading its committed offset",
            "cannot be restored yet: coordinator away",
        ]
    );
    let readiness = look(&board, Duration::ZERO);
    assert_eq!(
        serde_json::to_string(&readiness.reasons[0]).unwrap(),
        r#"{"pipeline":"plant","worker":0,"topic":"sensors","partition":0,"reason":"restoring: 150 of 400 records"}"#
    );
}

#[test]
fn readiness_of_a_worker_in_trouble_is_its_sentence() {
    let board = board(Stage::Running, vec![partition(0, PartitionPhase::Running)]);
    lock(&board.pipelines[0].workers[0].view).trouble = Some("begins again: commit timed out".to_owned());
    assert_eq!(reasons(&board), ["begins again: commit timed out"]);
    lock(&board.pipelines[0].workers[0].view).failed = Some("property refused".to_owned());
    assert_eq!(reasons(&board), ["failed: property refused"]);
}

#[test]
fn readiness_of_a_worker_without_partitions_comes_with_time() {
    let board = board(Stage::Running, vec![]);
    assert!(!look(&board, Duration::from_secs(29)).ready);
    assert!(
        look(&board, Duration::from_secs(30)).ready,
        "a stand-by is ready to take over"
    );
}

#[test]
fn readiness_ends_with_the_stop() {
    let board = board(Stage::Running, vec![partition(0, PartitionPhase::Running)]);
    board.stopping.store(true, Ordering::Relaxed);
    assert_eq!(reasons(&board), ["stopping"]);
}

#[test]
fn status_line_says_numbers_or_the_first_reason() {
    let serving = board(Stage::Running, vec![partition(0, PartitionPhase::Running)]);
    let line = status_line(&look(&serving, Duration::ZERO), &[1203.4]);
    assert_eq!(line, "plant: 1203 records/s, lag 350, 7 streams, model 12");
    let restoring = board(
        Stage::Running,
        vec![
            partition(0, PartitionPhase::Restoring),
            partition(1, PartitionPhase::Restoring),
        ],
    );
    let line = status_line(&look(&restoring, Duration::ZERO), &[9.0]);
    assert_eq!(
        line,
        "plant: sensors/0 restoring: 150 of 400 records (and 1 more), 9 records/s"
    );
}

#[test]
fn readiness_of_a_restore_counts_from_the_snapshot() {
    let of = |snapshot: i64, position, committed| PartitionReport {
        snapshot: Some(NextOffset(snapshot)),
        position: NextOffset(position),
        committed: NextOffset(committed),
        ..partition(0, PartitionPhase::Restoring)
    };
    for (report, expected) in [
        (of(1_000, 13_345, 41_000), "restoring: 12,345 of 40,000 records"),
        (of(50, 150, 1_000_100), "restoring: 50 of 1,000,000 records"),
        (of(500, 499, 500), "restoring: 0 of 0 records"),
    ] {
        assert_eq!(reasons(&board(Stage::Running, vec![report])), [expected]);
    }
}

#[test]
fn readiness_of_a_snapshot_counts_its_bytes() {
    for ((read, whole), expected) in [
        ((0, 0), "looking for its newest snapshot"),
        ((0, 99_999), "reading its newest snapshot: 0.0 of 0.0 MB"),
        (
            (12_345_678, 322_800_000),
            "reading its newest snapshot: 12.3 of 322.8 MB",
        ),
    ] {
        let phase = PartitionPhase::Loading(Loading { read, whole });
        let loading = board(Stage::Running, vec![partition(0, phase)]);
        assert_eq!(reasons(&loading), [expected]);
    }
}

#[test]
fn weights_that_cannot_be_stored_warn_and_leave_it_ready() {
    let board = board(Stage::Running, vec![partition(0, PartitionPhase::Running)]);
    lock(&board.pipelines[0].training).failure = Some("the disk is full".to_owned());
    let readiness = look(&board, Duration::ZERO);
    assert!(readiness.ready);
    let [warning] = &readiness.warnings[..] else {
        panic!("{readiness:?}")
    };
    assert_eq!(warning.reason, "weights cannot be stored: the disk is full");
}

#[test]
fn failing_snapshots_warn_and_leave_it_ready() {
    let board = board(Stage::Running, vec![partition(0, PartitionPhase::Running)]);
    let failing = SnapshotView {
        since: Duration::ZERO,
        failure: Some("the disk is full".to_owned()),
    };
    let id = partition(0, PartitionPhase::Running).id;
    lock(&board.pipelines[0].workers[0].view)
        .snapshots
        .insert(id, failing);
    let readiness = look(&board, Duration::ZERO);
    assert!(readiness.ready);
    let text = serde_json::to_string(&readiness).unwrap();
    assert!(
        text.contains(
            r#""warnings":[{"pipeline":"plant","worker":0,"topic":"sensors","partition":0,"reason":"snapshots fail: the disk is full"}]"#
        ),
        "{text}"
    );
}

#[test]
fn what_is_left_out_under_lag_or_made_anew_warns_and_stands_in_the_status() {
    let lagging = PartitionReport {
        end: Some(NextOffset(150_250)),
        degraded: true,
        ..partition(0, PartitionPhase::Running)
    };
    let rebuilt = PartitionReport {
        rebuilt: true,
        ..partition(1, PartitionPhase::Running)
    };
    let board = board(Stage::Running, vec![lagging, rebuilt]);
    board.pipelines[0].set_share(0, true, 150_000);
    let warnings = |board: &Board| -> Vec<_> {
        let readiness = look(board, Duration::ZERO);
        assert!(readiness.ready);
        let warnings = readiness.warnings.into_iter();
        warnings
            .map(|warning| (warning.partition, warning.reason))
            .collect()
    };
    let thin = "horizons are left out: it lags by 150,000 records, `output.lag_thin` bounds that".to_owned();
    let anew =
        "rebuilt: its state was made anew from a part of its past, no snapshot reached back".to_owned();
    let of_partitions = [(Some(0), thin), (Some(1), anew)];
    assert_eq!(warnings(&board), of_partitions);
    lock(&board.pipelines[0].training).paused = true;
    assert_eq!(warnings(&board), of_partitions, "another process trains");
    lock(&board.pipelines[0].training).owner = true;
    let paused = "training is paused: a partition lags by 150,000 records, `training.lag_pause` bounds that"
        .to_owned();
    assert_eq!(warnings(&board)[0], (None, paused));
    assert_eq!(
        status_line(&look(&board, Duration::ZERO), &[20.0]),
        "plant: 20 records/s, lag 150350, 14 streams, model 12, warning: training is paused: a partition lags by \
         150,000 records, `training.lag_pause` bounds that (and 2 more)"
    );
    lock(&board.pipelines[0].training).paused = false;
    lock(&board.pipelines[0].workers[0].view).partitions.remove(0);
    assert_eq!(warnings(&board).len(), 1, "it comes back");
}
