//! A store that hangs, is busy, and answers late.

use std::time::Duration;

use super::cluster::Shared;
use super::fakes::{FakeClock, FakeObserver, TestWorker, config, id, worker_with};
use super::{SECOND, cluster, turn_until_done};
use crate::series::observation::NextOffset;
use crate::worker::ports::Error;
use crate::worker::report::{Loading, PartitionPhase};
use crate::worker::snapshots::Ended;

const RECORDS: i64 = 30;
const COMMITTED: i64 = 20;

/// A worker whose partitions were served up to [`COMMITTED`], so that their snapshots are looked for.
fn restarted(cluster: &Shared) -> (TestWorker, FakeObserver, FakeClock) {
    for partition in 0..2 {
        let entry = (NextOffset(COMMITTED), "1;0;0:1".to_owned());
        cluster.borrow_mut().committed.insert(id(partition), entry);
    }
    let config = crate::worker::Config {
        snapshot_interval: SECOND,
        ..config()
    };
    worker_with(cluster, config)
}

fn turns(worker: &mut TestWorker, count: usize) {
    for _ in 0..count {
        worker.turn().unwrap();
    }
}

fn phases(observer: &FakeObserver) -> Vec<PartitionPhase> {
    let heard = observer.0.borrow();
    heard
        .partitions
        .iter()
        .map(|partition| partition.phase.clone())
        .collect()
}

#[test]
fn a_snapshot_that_hangs_is_given_up_for_the_next_older_one_and_then_the_base() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = restarted(&cluster);
    worker.snapshots.hangs = true;
    turns(&mut worker, 3);
    assert_eq!(
        phases(&observer),
        [
            PartitionPhase::Loading(Loading::default()),
            PartitionPhase::Loading(Loading::default())
        ]
    );
    let (first, second) = (worker.snapshots.searches[0], worker.snapshots.searches[1]);
    assert_eq!(first.1, NextOffset(COMMITTED));
    for _ in 0..4 {
        // The first hangs at 15; the second goes on.
        worker.snapshots.signs.push_back((second.0, NextOffset(16)));
        if observer.0.borrow().refused.is_empty() && worker.snapshots.searches.len() == 2 {
            worker.snapshots.signs.push_back((first.0, NextOffset(15)));
        }
        turns(&mut worker, 1);
        clock.advance(29 * SECOND);
    }
    worker.snapshots.signs.push_back((second.0, NextOffset(16)));
    clock.advance(2 * SECOND);
    assert_eq!(
        observer.0.borrow().refused,
        Vec::<String>::new(),
        "both came further"
    );
    turns(&mut worker, 1);
    {
        let heard = observer.0.borrow();
        let [sentence] = &heard.refused[..] else {
            panic!("{:?}", heard.refused)
        };
        assert!(
            sentence.contains("partition 0 at 15") && sentence.contains("30 s"),
            "{sentence}"
        );
    }
    assert_eq!(
        phases(&observer),
        [
            PartitionPhase::Loading(Loading::default()),
            PartitionPhase::Loading(Loading::default())
        ]
    );
    let older = *worker.snapshots.searches.back().unwrap();
    assert_eq!(older.1, NextOffset(14), "the next older one");
    // A late answer to the search that was given up is nobody's.
    worker.snapshots.hangs = false;
    assert!(turn_until_done(&cluster, &mut worker));
    turns(&mut worker, 1);
    assert_eq!(
        phases(&observer),
        [PartitionPhase::Running, PartitionPhase::Running]
    );
    assert_eq!(observer.0.borrow().replayed, 40, "from the base");
}

#[test]
fn a_store_that_says_nothing_is_away_and_is_asked_again() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = restarted(&cluster);
    worker.snapshots.hangs = true;
    turns(&mut worker, 2);
    clock.advance(31 * SECOND);
    turns(&mut worker, 1);
    for phase in phases(&observer) {
        let PartitionPhase::Waiting(Some(sentence)) = phase else {
            panic!("{phase:?}")
        };
        assert!(sentence.contains("look at the disk"), "{sentence}");
    }
    worker.snapshots.hangs = false;
    clock.advance(5 * SECOND);
    assert!(turn_until_done(&cluster, &mut worker));
}

#[test]
fn one_of_many_searches_that_waits_for_its_turn_is_not_given_up() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = restarted(&cluster);
    worker.snapshots.hangs = true;
    turns(&mut worker, 2);
    let first = worker.snapshots.searches[0];
    for _ in 0..10 {
        clock.advance(20 * SECOND);
        worker.snapshots.signs.push_back((first.0, NextOffset(15)));
        turns(&mut worker, 1);
    }
    assert_eq!(
        phases(&observer),
        [
            PartitionPhase::Loading(Loading::default()),
            PartitionPhase::Loading(Loading::default())
        ]
    );
}

/// Turns until a snapshot was begun and completed; its ticket and offset.
fn completed(worker: &mut TestWorker, clock: &FakeClock) -> (u64, NextOffset) {
    let before = worker.snapshots.begun.len();
    for _ in 0..20 {
        clock.advance(SECOND);
        turns(worker, 1);
        if worker.snapshots.begun.len() > before && worker.snapshots.finished {
            let (ticket, _, next) = *worker.snapshots.begun.last().unwrap();
            return (ticket, next);
        }
    }
    panic!("no snapshot: {:?}", worker.snapshots.begun);
}

fn written(ticket: u64, next: NextOffset) -> Ended {
    Ended::Written {
        ticket,
        next,
        bytes: 10,
        oldest: Some(next),
    }
}

/// A worker in service, nothing but snapshots left to be done.
fn serving(cluster: &Shared) -> (TestWorker, FakeObserver, FakeClock) {
    let (mut worker, observer, clock) = restarted(cluster);
    worker.snapshots.busy = true;
    worker.snapshots.takes = true;
    assert!(turn_until_done(cluster, &mut worker));
    (worker, observer, clock)
}

#[test]
fn a_busy_store_is_waited_for_without_a_failure_and_partitions_take_turns() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = serving(&cluster);
    for _ in 0..100 {
        clock.advance(SECOND);
        turns(&mut worker, 1);
    }
    assert_eq!(worker.snapshots.begun, []);
    assert_eq!(observer.0.borrow().snapshots, []);
    worker.snapshots.busy = false;
    for _ in 0..2 {
        let (ticket, next) = completed(&mut worker, &clock);
        worker.snapshots.ends.push_back(written(ticket, next));
    }
    turns(&mut worker, 1);
    let partitions: Vec<_> = worker.snapshots.begun.iter().map(|begun| begun.1).collect();
    assert_eq!(partitions, [id(0), id(1)]);
    assert_eq!(observer.0.borrow().snapshots.len(), 2);
}

#[test]
fn a_late_end_is_matched_by_its_ticket_and_not_by_its_partition() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = serving(&cluster);
    worker.snapshots.busy = false;
    let (ticket, next) = completed(&mut worker, &clock);
    // The state is dropped and made again before it is heard how the snapshot has ended.
    worker.begin_again(&Error::Transient {
        doing: "test",
        reason: "begins again".into(),
    });
    worker.snapshots.busy = true;
    for _ in 0..20 {
        clock.advance(SECOND);
        turns(&mut worker, 1);
    }
    assert_eq!(
        phases(&observer),
        [PartitionPhase::Running, PartitionPhase::Running]
    );
    worker.snapshots.ends.push_back(written(ticket, next));
    turns(&mut worker, 1);
    let known = |observer: &FakeObserver| {
        let heard = observer.0.borrow();
        heard
            .partitions
            .iter()
            .filter(|partition| partition.snapshot.is_some())
            .count()
    };
    assert_eq!((known(&observer), observer.0.borrow().snapshots.len()), (0, 0));

    // Of another one than the newest, neither an end nor a failure counts.
    worker.snapshots.busy = false;
    let (newer, next) = completed(&mut worker, &clock);
    assert_ne!(newer, ticket);
    let reason = "late".to_owned();
    worker.snapshots.ends.push_back(Ended::Failed { ticket, reason });
    worker.snapshots.ends.push_back(written(ticket, next));
    worker.snapshots.busy = true;
    turns(&mut worker, 1);
    assert_eq!((known(&observer), observer.0.borrow().snapshots.len()), (0, 0));
    worker.snapshots.ends.push_back(written(newer, next));
    turns(&mut worker, 1);
    assert_eq!((known(&observer), observer.0.borrow().snapshots.len()), (1, 1));
}

#[test]
fn a_snapshot_that_does_not_become_durable_has_failed_once() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, clock) = serving(&cluster);
    worker.snapshots.busy = false;
    let (ticket, next) = completed(&mut worker, &clock);
    worker.snapshots.busy = true;
    clock.advance(Duration::from_secs(599));
    turns(&mut worker, 1);
    assert_eq!(observer.0.borrow().snapshots.len(), 0);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(2));
        turns(&mut worker, 1);
    }
    worker.snapshots.ends.push_back(written(ticket, next));
    turns(&mut worker, 1);
    let heard = observer.0.borrow();
    let [report] = &heard.snapshots[..] else {
        panic!("{:?}", heard.snapshots)
    };
    assert!(
        report.written.as_ref().unwrap_err().contains("durable"),
        "{report:?}"
    );
}
