//! Where a partition's state is made anew from, and what is waited for.

use super::cluster::Fault;
use super::fakes::{config, id, worker_with};
use super::{SECOND, assert_exactly_once, cluster, run, sources, turn_until_done, visible, worker};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Error, Event, Source as _};
use crate::worker::report::PartitionPhase;
use crate::worker::{Metadata, SwitchLog};

const RECORDS: i64 = 30;

fn commit(cluster: &super::Shared, partition: i32, next: i64, metadata: &str) {
    let entry = (NextOffset(next), metadata.to_owned());
    cluster.borrow_mut().committed.insert(id(partition), entry);
}

fn metadata(cluster: &super::Shared, partition: i32) -> Metadata {
    cluster.borrow().committed[&id(partition)].1.parse().unwrap()
}

/// Base and switch log of partition 0.
fn log_of(cluster: &super::Shared) -> String {
    metadata(cluster, 0).log.to_string()
}

#[test]
fn history_before_the_start_is_read_muted() {
    let cluster = cluster(RECORDS);
    for partition in 0..2 {
        commit(&cluster, partition, 20, "1;4;"); // resolved: start at 20, base at 4, nothing served yet
    }
    let observer = run(&cluster);
    let first = sources(&cluster).iter().map(|source| offset(source)).min();
    assert_eq!(first, Some(20));
    let heard = observer.0.borrow();
    assert_eq!(
        heard.replayed, 0,
        "warm-up is no replay: its observations are muted"
    );
    assert_eq!(heard.muted, 2 * (16 + 3));
    assert_eq!(log_of(&cluster), "1;4;4:1");
}

fn offset(source: &str) -> i64 {
    source.split('/').nth(2).unwrap().parse().unwrap()
}

#[test]
fn replay_before_the_committed_offset_is_counted_by_itself() {
    let cluster = cluster(RECORDS);
    for partition in 0..2 {
        commit(&cluster, partition, 20, "1;4;4:1");
    }
    let observer = run(&cluster);
    assert_eq!(observer.0.borrow().replayed, 32);
    assert_eq!(
        sources(&cluster).iter().map(|source| offset(source)).min(),
        Some(20)
    );
}

#[test]
fn a_log_that_was_truncated_is_read_from_its_start_and_the_loss_is_counted() {
    let cluster = cluster(RECORDS);
    commit(&cluster, 0, 5, "1;0;0:1,3:2");
    cluster.borrow_mut().starts.insert(id(0), 12);
    let (mut worker, observer, _) = worker(&cluster);
    assert!(turn_until_done(&cluster, &mut worker));
    worker.turn().unwrap();
    let heard = observer.0.borrow();
    assert_eq!(
        (heard.partitions[0].lost, heard.partitions[0].base),
        (7, NextOffset(12))
    );
    assert_eq!(log_of(&cluster), "1;12;12:2");
}

#[test]
fn a_committed_offset_beyond_the_log_parks_its_partition_alone() {
    let cluster = cluster(RECORDS);
    commit(&cluster, 0, 31, "1;0;0:1");
    let (mut worker, observer, _) = worker(&cluster);
    for _ in 0..100 {
        worker.turn().unwrap();
    }
    let heard = observer.0.borrow();
    let PartitionPhase::Parked(sentence) = &heard.partitions[0].phase else {
        panic!("{:?}", heard.partitions[0]);
    };
    assert!(
        sentence.contains("31") && sentence.contains("30") && sentence.contains("sensors"),
        "{sentence}"
    );
    assert_eq!(heard.partitions[1].phase, PartitionPhase::Running);
    assert_eq!(heard.partitions[1].committed, NextOffset(30));
}

#[test]
fn a_new_partition_starts_at_its_beginning_and_is_asked_for_twice() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().committed.remove(&id(1));
    run(&cluster);
    assert_exactly_once(&cluster, RECORDS);
    assert_eq!(metadata(&cluster, 1).log.to_string(), "1;0;0:1");
}

#[test]
fn no_committed_offset_where_history_exists_is_never_read_as_zero() {
    // A restart while the coordinator answers nothing for a while.
    let cluster = cluster(RECORDS);
    let calls = super::undisturbed(RECORDS).0;
    cluster.borrow_mut().faults.insert(calls - 5, Fault::Crash);
    let (mut first, _, _) = worker(&cluster);
    assert!(!turn_until_done(&cluster, &mut first));
    cluster.borrow_mut().blind_reads = 4;
    run(&cluster);
    assert_exactly_once(&cluster, RECORDS);
}

#[test]
fn what_this_process_committed_is_not_forgotten_when_one_partition_seems_new() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker(&cluster);
    assert!(turn_until_done(&cluster, &mut worker));
    let kept = cluster.borrow_mut().committed.remove(&id(1)).unwrap();
    worker.begin_again(&Error::NotMember {
        reason: "test".into(),
    });
    for _ in 0..60 {
        worker.turn().unwrap();
    }
    assert!(
        matches!(&observer.0.borrow().partitions[1].phase, PartitionPhase::Waiting(Some(why)) if why.contains("30"))
    );
    cluster.borrow_mut().committed.insert(id(1), kept);
    for _ in 0..1000 {
        worker.turn().unwrap();
    }
    assert_eq!(observer.0.borrow().partitions[1].phase, PartitionPhase::Running);
    assert_exactly_once(&cluster, RECORDS);
}

#[test]
fn a_history_that_is_too_long_is_made_anew_from_rebuild_ago() {
    let cluster = cluster(12_000);
    let mut config = config();
    config.rebuild = 100 * SECOND; // two records a second
    config.turn_records_max = 1000;
    for partition in 0..2 {
        commit(&cluster, partition, 11_000, "1;0;0:1,50:2");
    }
    let (mut worker, observer, _) = worker_with(&cluster, config);
    assert!(turn_until_done(&cluster, &mut worker));
    worker.turn().unwrap();
    let heard = observer.0.borrow();
    assert!(heard.partitions[0].rebuilt);
    let base = heard.partitions[0].base.0;
    assert!((10_798..=10_802).contains(&base), "{base}");
    assert_eq!(log_of(&cluster), format!("1;{base};{base}:2"));
    assert_eq!(
        sources(&cluster).iter().map(|source| offset(source)).min(),
        Some(11_000)
    );
}

#[test]
fn foreign_metadata_makes_state_anew_from_rebuild_ago() {
    let cluster = cluster(RECORDS);
    let mut config = config();
    config.rebuild = 5 * SECOND;
    for (partition, metadata) in [(0, ""), (1, "somebody else's")] {
        commit(&cluster, partition, 20, metadata);
    }
    let (mut worker, observer, _) = worker_with(&cluster, config);
    assert!(turn_until_done(&cluster, &mut worker));
    worker.turn().unwrap();
    for partition in &observer.0.borrow().partitions {
        assert!(
            partition.rebuilt && (8..=10).contains(&partition.base.0),
            "{partition:?}"
        );
    }
    assert_eq!(
        sources(&cluster).iter().map(|source| offset(source)).min(),
        Some(20)
    );
}

#[test]
fn an_offset_set_back_to_before_the_base_is_the_new_base() {
    for metadata in ["1;20;", "1;20;20:1,25:2"] {
        let cluster = cluster(RECORDS);
        commit(&cluster, 0, 10, metadata);
        commit(&cluster, 1, 10, metadata);
        cluster.borrow_mut().newest = 3;
        // What it committed by then must restore the same state in the middle of the way.
        let undisturbed = super::cluster(RECORDS);
        for partition in 0..2 {
            commit(&undisturbed, partition, 10, metadata);
        }
        undisturbed.borrow_mut().newest = 3;
        let observer = run(&undisturbed);
        let calls = undisturbed.borrow().calls;
        cluster.borrow_mut().faults.insert(calls - 20, Fault::Crash);
        run(&cluster);
        assert_eq!(visible(&cluster), visible(&undisturbed), "{metadata}");
        assert_eq!(
            sources(&cluster).iter().map(|source| offset(source)).min(),
            Some(10)
        );
        assert_eq!(log_of(&cluster), "1;10;10:3");
        let heard = observer.0.borrow();
        assert!(heard.partitions[0].rebuilt);
        assert_eq!((heard.replayed, heard.restarts), (0, 0));
    }
}

#[test]
fn a_version_whose_file_is_gone_is_counted_and_its_stand_in_is_noted() {
    for (missing, named) in [
        (vec![1, 2], "1;0;0:3"),
        (vec![1], "1;0;0:3,5:2"),
        (vec![2], "1;0;0:1"),
    ] {
        let cluster = cluster(RECORDS);
        commit(&cluster, 0, 10, "1;0;0:1,5:2");
        commit(&cluster, 1, 30, "1;0;0:3");
        cluster.borrow_mut().newest = 3;
        cluster.borrow_mut().missing_versions.clone_from(&missing);
        let (mut first, observer, _) = worker(&cluster);
        while cluster.borrow().committed[&id(0)].0 == NextOffset(10) {
            first.turn().unwrap();
        }
        assert_eq!(observer.0.borrow().models_missing, missing.len() as u64);
        let metadata = log_of(&cluster);
        assert!(metadata.starts_with(named), "{metadata} of {named}");
        drop(first);
        // The next process knows a newer version: it must not stand in for what another stood in for.
        cluster.borrow_mut().newest = 4;
        let observer = run(&cluster);
        assert_eq!(observer.0.borrow().models_missing, 0);
        let log = log_of(&cluster).parse::<SwitchLog>().unwrap();
        assert!(log.to_string().starts_with(named), "{log} of {named}");
        assert_bytes_by_log(&cluster, &log);
    }
}

/// Forecasts of partition 0 are those of an engine that is fed the topic and adopts what `log` says.
fn assert_bytes_by_log(cluster: &super::Shared, log: &SwitchLog) {
    let expected = super::cluster(RECORDS);
    commit(&expected, 0, 0, &log.to_string());
    commit(&expected, 1, 30, "1;0;0:3");
    expected.borrow_mut().newest = log.entries().last().unwrap().1.0;
    run(&expected);
    let bytes = |cluster| {
        let mut forecasts = visible(cluster).remove(&(true, 0)).unwrap();
        forecasts.retain(|record| offset(&record.header("tidecast.source")) >= 10);
        forecasts
    };
    assert_eq!(bytes(cluster), bytes(&expected), "{log}");
}

#[test]
fn a_cluster_that_is_away_at_the_start_is_waited_for() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().connects_failing = 4;
    let (mut worker, observer, clock) = worker(&cluster);
    for _ in 0..3 {
        worker.guarded_turn().unwrap();
        assert_eq!(observer.0.borrow().troubles, ["connecting: injected"]);
        clock.advance(40 * SECOND);
    }
    assert!(turn_until_done(&cluster, &mut worker));
    assert_exactly_once(&cluster, RECORDS);
}

#[test]
fn waiting_doubles_up_to_half_a_minute() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().connects_failing = u32::MAX;
    let (mut worker, observer, clock) = worker(&cluster);
    while crate::worker::ports::Clock::now(&clock) < 300 * SECOND {
        worker.guarded_turn().unwrap();
    }
    let tries = observer.0.borrow().restarts;
    assert!((10..=16).contains(&tries), "{tries} tries in five minutes");
}

#[test]
fn another_process_with_this_instance_ends_the_worker() {
    let cluster = cluster(RECORDS);
    let (mut worker, _, _) = worker(&cluster);
    cluster.borrow_mut().membership = Some(Error::InstanceInUse { instance: "a".into() });
    let stop = std::sync::atomic::AtomicBool::new(false);
    worker.turn().unwrap();
    let error = worker.run(&stop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`service.instance` `a` is in use by another process"
    );
}

#[test]
fn an_offset_out_of_range_restores_everything() {
    let expected = super::undisturbed(RECORDS).1;
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().events.insert(17, Event::OutOfRange);
    let observer = run(&cluster);
    assert_eq!(visible(&cluster), expected);
    assert_eq!(observer.0.borrow().restarts, 1);
}

#[test]
fn a_record_of_a_partition_without_state_is_not_stepped() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker(&cluster);
    worker.turn().unwrap();
    worker.source.hold(&[id(0)]).unwrap();
    worker.source.start(id(0), NextOffset(0)).unwrap(); // a client that reads what it should not
    worker.crew.change(Vec::clear);
    for _ in 0..10 {
        worker.turn().unwrap();
    }
    assert_eq!(observer.0.borrow().total, 0);
    assert!(cluster.borrow().published.is_empty());
}

/// Turns until partition 0 is served to its end, while partition 1 waits for something that never comes.
fn serve_beside_one_that_waits(cluster: &super::Shared) {
    for partition in 0..2 {
        commit(cluster, partition, 10, "1;0;0:1,5:2");
    }
    cluster.borrow_mut().newest = 3;
    let (mut worker, observer, _) = worker(cluster);
    for _ in 0..100 {
        worker.turn().unwrap();
    }
    assert_eq!(cluster.borrow().committed[&id(0)].0, NextOffset(RECORDS));
    assert_eq!(cluster.borrow().committed[&id(1)].0, NextOffset(10));
    let waits = observer.0.borrow().partitions[1].phase.clone();
    assert!(matches!(waits, PartitionPhase::Waiting(_)), "{waits:?}");
    // Once there are answers, it goes on with whatever else happens.
    cluster.borrow_mut().silent = None;
    worker.begin_again(&Error::NotMember {
        reason: "test".into(),
    });
    assert!(turn_until_done(cluster, &mut worker));
}

#[test]
fn a_broker_that_never_answers_for_one_partition_holds_up_no_other() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().silent = Some(id(1));
    serve_beside_one_that_waits(&cluster);
    let offsets = sources(&cluster).iter().map(|source| offset(source)).min();
    assert_eq!(offsets, Some(10));
}

#[test]
fn a_version_whose_load_never_ends_holds_up_no_other_partition() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().silent_versions.push(1);
    commit(&cluster, 0, 10, "1;0;0:3");
    let (mut worker, _, _) = worker(&cluster);
    commit(&cluster, 1, 10, "1;0;0:1");
    cluster.borrow_mut().newest = 3;
    for _ in 0..100 {
        worker.turn().unwrap();
    }
    assert_eq!(cluster.borrow().committed[&id(0)].0, NextOffset(RECORDS));
    assert_eq!(cluster.borrow().committed[&id(1)].0, NextOffset(10));
}

#[test]
fn a_version_beyond_those_loaded_at_once_is_loaded_after_them() {
    let cluster = cluster(RECORDS);
    let log: Vec<_> = (0..8).map(|at| format!("{at}:{}", at + 1)).collect();
    commit(&cluster, 0, 10, &format!("1;0;{}", log.join(",")));
    commit(&cluster, 1, 10, "1;0;0:9");
    cluster.borrow_mut().newest = 9;
    let (mut worker, _, _) = worker(&cluster);
    assert!(turn_until_done(&cluster, &mut worker));
}

#[test]
fn a_log_with_another_record_where_the_last_one_was_committed_is_parked_and_one_without_it_is_not() {
    let done = || {
        let cluster = cluster(RECORDS);
        run(&cluster);
        cluster
    };
    let before = done();
    let last = metadata(&before, 0).last.unwrap();
    let read = before.borrow().inputs[&id(0)][29].timestamp_ms;
    assert_eq!((last.offset.0, last.timestamp_ms), (29, read));
    // Created anew, and longer than what was committed.
    let anew = done();
    let log: Vec<_> = (0..60).map(|step| super::input(0, step + 1000)).collect();
    anew.borrow_mut().inputs.insert(id(0), log);
    let (mut worker, observer, _) = worker(&anew);
    for _ in 0..100 {
        worker.turn().unwrap();
    }
    let phase = observer.0.borrow().partitions[0].phase.clone();
    let PartitionPhase::Parked(sentence) = phase else {
        panic!("{phase:?}");
    };
    for part in [
        "`sensors` partition 0",
        "record 29",
        &read.to_string(),
        "set its group's offsets",
        "30",
    ] {
        assert!(sentence.contains(part), "`{part}` is not in `{sentence}`");
    }
    assert_eq!(anew.borrow().committed[&id(0)].0, NextOffset(30));
    assert_eq!(observer.0.borrow().partitions[1].phase, PartitionPhase::Running);
    // The operator sets the same offset again, as Kafka's own tool does: without metadata.
    commit(&anew, 0, 30, "");
    run(&anew);
    assert_eq!(anew.borrow().committed[&id(0)].0, NextOffset(60));
    // Deleted by retention, or of the release before: nothing is proven.
    for (start, metadata) in [(30, metadata(&before, 0).to_string()), (0, log_of(&before))] {
        let cluster = cluster(60);
        cluster.borrow_mut().inputs.get_mut(&id(0)).unwrap()[29].timestamp_ms += 1;
        cluster.borrow_mut().starts.insert(id(0), start);
        commit(&cluster, 0, 30, &metadata);
        run(&cluster);
        assert_eq!(cluster.borrow().committed[&id(0)].0, NextOffset(60));
    }
}
