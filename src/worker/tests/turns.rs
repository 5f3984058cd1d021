//! What bounds a turn and a transaction, and when counts are told.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::cluster::{Fault, Input, failure};
use super::fakes::{config, id, worker_with};
use super::{Shared, assert_exactly_once, cluster, run, turn_until_done, undisturbed, visible};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Clock as _, Event, Source as _};
use crate::worker::run::Link;

const RECORDS: i64 = 30;

/// Records that are arrays of so many observations of streams of their own.
fn arrays(records: i64, observations: usize) -> Shared {
    let cluster = cluster(0);
    for partition in 0..2 {
        let array = |step: i64| {
            let time = 1_700_000_000_000 + step * 1000;
            let parts: Vec<_> = (0..observations)
                .map(|stream| format!(r#"{{"id":"{partition}/{stream}","t":{time},"v":{step}}}"#))
                .collect();
            Input {
                key: None,
                value: Some(format!("[{}]", parts.join(",")).into_bytes()),
                timestamp_ms: time,
                headers: Vec::new(),
            }
        };
        let log = (0..records).map(array).collect();
        cluster.borrow_mut().inputs.insert(id(partition), log);
    }
    cluster
}

#[test]
fn a_turn_of_arrays_ends_when_it_holds_enough_observations() {
    let cluster = arrays(RECORDS, 8);
    let mut config = config();
    config.turn_records_max = 20;
    let (mut worker, observer, _) = worker_with(&cluster, config);
    assert!(turn_until_done(&cluster, &mut worker));
    worker.turn().unwrap();
    let heard = observer.0.borrow();
    assert_eq!(heard.total, 2 * 8 * RECORDS as u64);
    // 8, 16, 24: the third message overshoots, a fourth is not taken.
    assert_eq!(heard.records.iter().max(), Some(&3));
}

#[test]
fn a_turn_of_refused_arrays_ends_as_well() {
    let cluster = arrays(RECORDS, 0);
    let refused = format!("[{}]", ["3"; 8].join(",")).into_bytes();
    for log in cluster.borrow_mut().inputs.values_mut() {
        log.iter_mut()
            .for_each(|input| input.value = Some(refused.clone()));
    }
    let mut config = config();
    config.turn_records_max = 20;
    let (mut worker, observer, _) = worker_with(&cluster, config);
    assert!(turn_until_done(&cluster, &mut worker));
    assert_eq!(observer.0.borrow().records.iter().max(), Some(&3));
}

#[test]
fn an_old_transaction_is_committed_however_long_the_interval() {
    let expected = undisturbed(RECORDS).1;
    let cluster = cluster(RECORDS);
    let mut config = config();
    config.commit_interval = Duration::from_secs(3600);
    config.transaction_age_max = Duration::from_millis(60);
    let (mut worker, observer, _) = worker_with(&cluster, config);
    assert!(turn_until_done(&cluster, &mut worker));
    assert_exactly_once(&cluster, RECORDS);
    assert_eq!(visible(&cluster), expected);
    // The age, and a turn of 5 polls at 7 ms.
    let oldest = observer
        .0
        .borrow()
        .commits
        .iter()
        .map(|commit| commit.oldest)
        .max();
    assert!(
        oldest.is_some_and(|oldest| oldest <= Duration::from_millis(60 + 35)),
        "{oldest:?}"
    );
}

#[test]
fn a_failure_after_a_calm_time_is_tried_again_at_once() {
    let cluster = cluster(RECORDS);
    for log in cluster.borrow_mut().inputs.values_mut() {
        log.clear(); // quiet: nothing to commit
    }
    let (mut worker, observer, clock) = worker_with(&cluster, config());
    let mut turns_until_up = |calm: Duration| {
        clock.advance(calm);
        worker.begin_again(&failure("testing"));
        let failed = clock.now();
        while worker.link != Link::Up {
            worker.guarded_turn().unwrap();
        }
        clock.now() - failed
    };
    let waits: Vec<_> = (0..4).map(|_| turns_until_up(Duration::from_secs(20))).collect();
    assert!(
        waits.is_sorted() && waits[3] >= Duration::from_secs(4),
        "{waits:?}"
    );
    assert!(turns_until_up(Duration::from_secs(61)) < Duration::from_millis(100));
    assert!(turns_until_up(Duration::ZERO) >= Duration::from_secs(1));
    assert_eq!(observer.0.borrow().restarts, 6);
}

#[test]
fn outcomes_are_counted_when_they_are_committed_and_once() {
    let calls = undisturbed(RECORDS).0;
    for (fault, call) in (1..=calls).flat_map(|call| [(Fault::Fail, call), (Fault::AnswerLost, call)]) {
        let cluster = cluster(RECORDS);
        cluster.borrow_mut().faults.insert(call, fault);
        let (mut worker, observer, _) = worker_with(&cluster, config());
        assert!(turn_until_done(&cluster, &mut worker));
        worker.turn().unwrap();
        let known = cluster.borrow().published.len() as u64 - cluster.borrow().unanswered;
        assert_eq!(observer.0.borrow().total, known, "{fault:?} at call {call}");
    }
}

#[test]
fn outcomes_of_an_open_transaction_are_not_counted_yet() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker_with(&cluster, config());
    let mut seen_open = false;
    while !super::is_done(&cluster) {
        worker.turn().unwrap();
        seen_open |= cluster.borrow().open;
        assert_eq!(observer.0.borrow().total, cluster.borrow().published.len() as u64);
    }
    assert!(seen_open);
}

#[test]
fn outcomes_of_the_commit_of_a_stop_are_counted() {
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker_with(&cluster, config());
    while !cluster.borrow().open {
        worker.turn().unwrap();
    }
    worker.run(&AtomicBool::new(true)).unwrap();
    let published = cluster.borrow().published.len() as u64;
    assert_eq!((observer.0.borrow().total, published > 0), (published, true));
}

#[test]
fn warm_up_history_is_counted_as_it_is_read_and_once() {
    let all = 2 * (26 + 3);
    let mut partial = 0;
    for turns in 1..20 {
        let cluster = cluster(RECORDS);
        for partition in 0..2 {
            let resolved = (NextOffset(30), "1;4;".to_owned());
            cluster.borrow_mut().committed.insert(id(partition), resolved);
        }
        let (mut worker, observer, _) = worker_with(&cluster, config());
        for _ in 0..turns {
            worker.turn().unwrap();
        }
        partial += u32::from((1..all).contains(&observer.0.borrow().muted));
        worker.begin_again(&failure("testing"));
        for _ in 0..60 {
            worker.turn().unwrap();
        }
        let heard = observer.0.borrow();
        assert_eq!(
            (heard.muted, heard.commits.len()),
            (all, 0),
            "after {turns} turns"
        );
    }
    assert!(partial > 5, "failures in the middle of the history: {partial}");
}

#[test]
fn a_stop_answers_what_the_group_still_waits_for() {
    let events = [
        Event::Assigned(vec![id(1)]),
        Event::Revoked(vec![id(0)]),
        Event::Lost(vec![id(0), id(1)]),
    ];
    for event in events {
        let cluster = cluster(RECORDS);
        let (mut worker, _, _) = worker_with(&cluster, config());
        for _ in 0..5 {
            worker.turn().unwrap();
        }
        let next = cluster.borrow().polls + 1;
        cluster.borrow_mut().events.insert(next, event.clone());
        // As a turn leaves it that fails before its answer.
        worker.pending = Some(worker.source.poll(Duration::ZERO, &mut |_| {}).unwrap());
        assert_eq!(worker.pending.as_ref(), Some(&event));
        worker.run(&AtomicBool::new(true)).unwrap();
        assert!(!cluster.borrow().closed_unanswered, "{event:?}");
        run(&cluster);
        assert_exactly_once(&cluster, RECORDS);
    }
}
