//! When a version is adopted, and when no more.

use super::cluster::Fault;
use super::fakes::{FakeClock, FakeObserver, ROLLBACKS, TestWorker, config, id, worker_with};
use super::{SECOND, Shared, cluster, run, turn_until_done, visible, worker};
use crate::series::observation::NextOffset;
use crate::worker::switch_log::{SWITCHES_LEARNT_MAX, SWITCHES_MAX};

/// Turns with a newer version each, from `newest` on.
fn switch(cluster: &Shared, (worker, turns): (&mut TestWorker, u64), newest: u64, mut between: impl FnMut()) {
    for step in 0..turns {
        cluster.borrow_mut().newest = newest + step;
        worker.turn().unwrap();
        between();
    }
}

fn entries(observer: &FakeObserver) -> usize {
    observer.0.borrow().partitions[0].switches
}

#[test]
fn versions_are_adopted_until_the_log_has_room_for_rollbacks_only() {
    let cluster = cluster(1000);
    let (mut worker, observer, clock) = worker(&cluster);
    let pass_any_spacing = || FakeClock::advance(&clock, 30 * 86400 * SECOND);
    switch(&cluster, (&mut worker, 200), 2, pass_any_spacing);
    assert_eq!(entries(&observer), SWITCHES_LEARNT_MAX);
    switch(&cluster, (&mut worker, 50), ROLLBACKS, || {});
    assert_eq!(entries(&observer), SWITCHES_MAX);
    assert!(turn_until_done(&cluster, &mut worker));
}

#[test]
fn a_rollback_does_not_wait_for_the_spacing() {
    let cluster = cluster(1000);
    let (mut worker, observer, _) = worker(&cluster);
    switch(&cluster, (&mut worker, 60), 2, || {});
    let before = entries(&observer);
    assert!((16..20).contains(&before), "{before}");
    switch(&cluster, (&mut worker, 1), ROLLBACKS, || {});
    worker.turn().unwrap();
    let heard = observer.0.borrow();
    assert!(
        heard
            .partitions
            .iter()
            .all(|partition| partition.model.unwrap().0 == ROLLBACKS)
    );
    assert_eq!(heard.partitions[0].switches, before + 1);
}

#[test]
fn a_restart_folds_what_is_older_than_rebuild_where_the_log_is_half_full() {
    let switches = |count: i64| {
        let entries: Vec<_> = (0..count).map(|step| format!("{step}:1")).collect();
        format!("1;0;{}", entries.join(","))
    };
    for (count, folds) in [(32, false), (33, true)] {
        let metadata = switches(count);
        let cluster = cluster(300);
        for partition in 0..2 {
            let entry = (NextOffset(200), metadata.clone());
            cluster.borrow_mut().committed.insert(id(partition), entry);
        }
        let mut config = config();
        config.rebuild = 50 * SECOND; // two records a second
        let (mut worker, observer, _) = worker_with(&cluster, config);
        assert!(turn_until_done(&cluster, &mut worker));
        worker.turn().unwrap();
        let partition = &observer.0.borrow().partitions[0];
        assert_eq!(partition.rebuilt, folds);
        assert_eq!(partition.switches, if folds { 1 } else { 32 });
    }
}

#[test]
fn a_rollback_survives_a_crash() {
    let build = || {
        let cluster = cluster(30);
        cluster.borrow_mut().newest = ROLLBACKS;
        for partition in 0..2 {
            let entry = (NextOffset(0), "1;0;0:1".to_owned());
            cluster.borrow_mut().committed.insert(id(partition), entry);
        }
        cluster
    };
    let expected = build();
    run(&expected);
    let calls = expected.borrow().calls;
    let cluster = build();
    cluster.borrow_mut().faults.insert(calls - 10, Fault::Crash);
    run(&cluster);
    assert_eq!(visible(&cluster), visible(&expected));
}
