//! What fails by its own fault is put out of service, alone; what an outage causes never is.

use super::cluster::failure;
use super::fakes::{FakeObserver, id};
use super::{Shared, cluster, sources, visible, worker};
use crate::series::observation::NextOffset;
use crate::worker::report::PartitionPhase;

const RECORDS: i64 = 30;

/// Turns until nothing changes any more.
fn settle(cluster: &Shared) -> FakeObserver {
    let (mut worker, observer, _) = worker(cluster);
    for _ in 0..2000 {
        worker.guarded_turn().unwrap();
    }
    observer
}

fn assert_parked_alone(cluster: &Shared, observer: &FakeObserver) {
    let heard = observer.0.borrow();
    let PartitionPhase::Parked(sentence) = &heard.partitions[1].phase else {
        panic!("{:?}", heard.partitions[1]);
    };
    for part in [
        "`sensors` partition 1",
        "failed 3 times from offset",
        "poison",
        "restart",
    ] {
        assert!(sentence.contains(part), "`{part}` is not in `{sentence}`");
    }
    assert_eq!(heard.partitions[0].phase, PartitionPhase::Running);
    assert_eq!(cluster.borrow().committed[&id(0)].0, NextOffset(RECORDS));
    let offset = |source: &String| source.split('/').nth(2).unwrap().parse::<i64>().unwrap();
    let newest = sources(cluster)
        .iter()
        .filter(|source| source.starts_with("sensors/1/"))
        .map(offset)
        .max();
    assert!(
        newest.is_some_and(|offset| offset < 20),
        "its poison was passed over: {newest:?}"
    );
}

#[test]
fn a_record_that_is_refused_parks_its_partition_and_the_others_go_on() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().poison = Some(("sensors/1/20/0".into(), true));
    let observer = settle(&cluster);
    assert_parked_alone(&cluster, &observer);
    // Once more where a commit came closer to it in between.
    let restarts = observer.0.borrow().restarts;
    assert!((3..=4).contains(&restarts), "{restarts}");
}

#[test]
fn a_culprit_that_nobody_names_is_found_by_trying_one_partition_at_a_time() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().poison = Some(("sensors/1/20/0".into(), false));
    let observer = settle(&cluster);
    assert_parked_alone(&cluster, &observer);
    let restarts = observer.0.borrow().restarts;
    // Three to know that nobody is named, three to blame it; each that came closer in between counts anew.
    assert!((6..=12).contains(&restarts), "{restarts}");
}

#[test]
fn a_parked_partition_goes_on_after_a_restart_once_its_cause_is_gone() {
    let expected = super::undisturbed(RECORDS).1;
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().poison = Some(("sensors/1/20/0".into(), true));
    settle(&cluster);
    cluster.borrow_mut().poison = None;
    super::run(&cluster);
    assert_eq!(visible(&cluster), expected);
}

#[test]
fn an_outage_however_long_parks_nothing() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker(&cluster);
    for _ in 0..50 {
        worker.turn().unwrap();
        worker.begin_again(&failure("committing"));
    }
    assert!(super::turn_until_done(&cluster, &mut worker));
    worker.turn().unwrap();
    for partition in &observer.0.borrow().partitions {
        assert_eq!(partition.phase, PartitionPhase::Running);
    }
}
