//! Exactly one outcome for every observation, whatever happens at any call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::cluster::{self as fake, Fault, failure};
use super::fakes::{config, id, model, worker_with};
use super::{assert_exactly_once, cluster, run, sources, turn_until_done, undisturbed, visible, worker};
use crate::codec::{Decoded, Decoder, ForecastEncoder, Message, Place};
use crate::engine::{Engine, Outcome};
use crate::series::observation::Offset;
use crate::worker::ports::{Destination, Error, Event};

const RECORDS: i64 = 30;

#[test]
fn every_observation_has_exactly_one_outcome() {
    let cluster = cluster(RECORDS);
    let observer = run(&cluster);
    assert_exactly_once(&cluster, RECORDS);
    let heard = observer.0.borrow();
    assert_eq!(heard.total, 2 * (RECORDS as u64 + 3), "counted as published");
    assert_eq!((heard.replayed, heard.restarts), (0, 0));
    let published = &cluster.borrow().published;
    for reason in ["malformed", "empty", "late", "missing", "no_stream"] {
        let found = published
            .iter()
            .filter(|letter| letter.header("tidecast.reason") == reason);
        assert!(found.count() >= 2, "no `{reason}` among the letters");
    }
}

#[test]
fn dead_letters_are_as_received() {
    let cluster = cluster(RECORDS);
    run(&cluster);
    let cluster = cluster.borrow();
    let letters = cluster
        .published
        .iter()
        .filter(|record| record.to == Destination::DeadLetters);
    for letter in letters {
        let source = letter.header("tidecast.source");
        let offset: usize = source.split('/').nth(2).unwrap().parse().unwrap();
        let received = &cluster.inputs[&letter.origin][offset];
        assert_eq!((&letter.key, &letter.value), (&received.key, &received.value));
        assert_eq!(letter.timestamp_ms, received.timestamp_ms);
        assert_eq!(letter.headers[..2], received.headers[..]);
    }
}

#[test]
fn letters_keep_the_order_of_their_partition() {
    let cluster = cluster(RECORDS);
    run(&cluster);
    for ((forecasts, partition), published) in visible(&cluster) {
        let places: Vec<(i64, u32)> = published
            .iter()
            .map(|record| {
                let source = record.header("tidecast.source");
                let mut parts = source.split('/').skip(2);
                let mut next = || parts.next().unwrap();
                (next().parse().unwrap(), next().parse().unwrap())
            })
            .collect();
        assert!(
            places.is_sorted(),
            "forecasts {forecasts}, partition {partition}: {places:?}"
        );
    }
}

#[test]
fn a_crash_at_any_call_gives_the_same_bytes() {
    let (calls, expected) = undisturbed(RECORDS);
    for crash in 1..=calls {
        let cluster = cluster(RECORDS);
        cluster.borrow_mut().faults.insert(crash, Fault::Crash);
        run(&cluster);
        assert_eq!(visible(&cluster), expected, "crash at call {crash} of {calls}");
    }
}

#[test]
fn a_failure_at_any_call_gives_the_same_bytes() {
    let (calls, expected) = undisturbed(RECORDS);
    for fault in [Fault::Fail, Fault::AnswerLost] {
        for call in 1..=calls {
            let cluster = cluster(RECORDS);
            cluster.borrow_mut().faults.insert(call, fault);
            run(&cluster);
            assert_eq!(visible(&cluster), expected, "{fault:?} at call {call} of {calls}");
        }
    }
}

#[test]
fn crashes_again_and_again_give_the_same_bytes() {
    let (calls, expected) = undisturbed(RECORDS);
    for spacing in [13, 29, 57] {
        let cluster = cluster(RECORDS);
        let faults = (1..calls * 3)
            .step_by(spacing)
            .map(|call| (call * 2 + 20, Fault::Crash));
        cluster.borrow_mut().faults.extend(faults);
        run(&cluster);
        assert_eq!(visible(&cluster), expected, "crashes every {spacing} calls");
    }
}

#[test]
fn a_revocation_before_any_poll_gives_the_same_bytes() {
    let (_, expected) = undisturbed(RECORDS);
    for poll in 2..80 {
        let cluster = cluster(RECORDS);
        let events = [
            (poll, Event::Revoked(vec![id(0)])),
            (poll + 9, Event::Assigned(vec![id(0)])),
        ];
        cluster.borrow_mut().events.extend(events);
        run(&cluster);
        assert_eq!(visible(&cluster), expected, "revoked before poll {poll}");
    }
}

#[test]
fn a_revocation_whose_commit_is_refused_gives_the_same_bytes() {
    let (_, expected) = undisturbed(RECORDS);
    for poll in 2..80 {
        let cluster = cluster(RECORDS);
        let events = [
            (poll, Event::Revoked(vec![id(1)])),
            (poll + 9, Event::Assigned(vec![id(1)])),
        ];
        cluster.borrow_mut().events.extend(events);
        cluster.borrow_mut().membership = Some(Error::NotMember {
            reason: "test".into(),
        });
        run(&cluster);
        assert_eq!(visible(&cluster), expected, "revoked before poll {poll}");
    }
}

#[test]
fn a_lost_assignment_before_any_poll_gives_the_same_bytes() {
    let (_, expected) = undisturbed(RECORDS);
    for poll in 2..80 {
        let cluster = cluster(RECORDS);
        let all = vec![id(0), id(1)];
        let events = [(poll, Event::Lost(all.clone())), (poll + 5, Event::Assigned(all))];
        cluster.borrow_mut().events.extend(events);
        run(&cluster);
        assert_eq!(visible(&cluster), expected, "lost before poll {poll}");
    }
}

#[test]
fn a_failure_while_the_group_waits_is_answered_all_the_same() {
    let (calls, expected) = undisturbed(RECORDS);
    for poll in [9, 13, 16, 22] {
        for (fault, call) in (1..=calls).flat_map(|call| [(Fault::Fail, call), (Fault::AnswerLost, call)]) {
            let cluster = cluster(RECORDS);
            let events = [
                (poll, Event::Revoked(vec![id(0)])),
                (poll + 7, Event::Assigned(vec![id(0)])),
            ];
            cluster.borrow_mut().events.extend(events);
            cluster.borrow_mut().faults.insert(call, fault);
            run(&cluster);
            assert_eq!(
                visible(&cluster),
                expected,
                "revoked before poll {poll}, {fault:?} at call {call}"
            );
        }
    }
}

#[test]
fn a_panic_in_a_turn_begins_again_and_loses_nothing() {
    let (_, expected) = undisturbed(RECORDS);
    let cluster = cluster(RECORDS);
    let (mut worker, observer, _) = worker(&cluster);
    worker.guarded_turn().unwrap();
    worker.guarded_turn().unwrap();
    let call = cluster.borrow().calls + 9;
    cluster.borrow_mut().faults.insert(call, Fault::Crash);
    for _ in 0..30 {
        worker.guarded_turn().unwrap();
    }
    assert!(turn_until_done(&cluster, &mut worker));
    assert_eq!(visible(&cluster), expected);
    assert_eq!(observer.0.borrow().restarts, 1);
}

/// Negative control of the muted replay, and of offsets in the transaction: a cluster whose committed offset comes back
/// as the base makes the worker speak where it should replay, and the oracle must see it.
#[test]
fn replay_that_is_not_muted_is_seen_as_doubles() {
    let cluster = cluster(RECORDS);
    cluster.borrow_mut().forgets_offsets = true;
    let call = undisturbed(RECORDS).0 - 3;
    cluster.borrow_mut().faults.insert(call, Fault::Crash);
    run(&cluster);
    let sources = sources(&cluster);
    let mut once = sources.clone();
    once.sort();
    once.dedup();
    assert!(sources.len() > once.len(), "doubles were not seen");
}

#[test]
fn switches_of_models_survive_a_crash_at_any_call() {
    let mut config = config();
    config.dead_letter_drops = false;
    let calls = run_switching(&cluster(RECORDS), &config);
    for crash in (1..calls).step_by(3) {
        let cluster = cluster(RECORDS);
        cluster.borrow_mut().faults.insert(crash, Fault::Crash);
        run_switching(&cluster, &config);
        let versions = assert_bytes_by_headers(&cluster, &config);
        assert!(versions > 2, "{versions} versions served");
    }
}

/// Runs to the end with a new version every other turn; how many calls it took.
fn run_switching(cluster: &fake::Shared, config: &crate::worker::Config) -> u64 {
    loop {
        let (mut worker, _, _) = worker_with(cluster, config.clone());
        let ended = loop {
            if super::is_done(cluster) {
                break true;
            }
            let turned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.turn()));
            match turned {
                Ok(turned) => turned.unwrap(),
                Err(_) => break false,
            }
            cluster.borrow_mut().newest += 1;
        };
        if ended {
            let calls = cluster.borrow().calls;
            return calls;
        }
    }
}

/// Forecasts are those of an engine that is fed the topic and adopts the versions that the records' headers name. How
/// many versions served.
fn assert_bytes_by_headers(cluster: &fake::Shared, config: &crate::worker::Config) -> usize {
    let versions = RefCell::new(std::collections::BTreeSet::new());
    for ((forecasts, partition), published) in visible(cluster) {
        if !forecasts {
            continue;
        }
        let by_source: BTreeMap<_, _> = published
            .iter()
            .map(|record| (record.header("tidecast.source"), record))
            .collect();
        let mut engine = Engine::new(config.engine.clone());
        let mut state = engine.partition("sensors", id(partition).partition, model(1));
        let mut decoder = Decoder::new(config.input.clone());
        let encoder = ForecastEncoder::new("plant");
        let mut compared = 0;
        for (offset, input) in cluster.borrow().inputs[&id(partition)].iter().enumerate() {
            let prefix = format!("sensors/{partition}/{offset}/");
            let served = by_source.range(prefix.clone()..).next();
            if let Some((_, record)) = served.filter(|(source, _)| source.starts_with(&prefix)) {
                let version: u64 = record
                    .header("tidecast.model")
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                versions.borrow_mut().insert(version);
                if state.model().version.0 != version {
                    state.adopt(model(version));
                }
            }
            let message = Message {
                key: input.key.as_deref(),
                value: input.value.as_deref(),
                timestamp_ms: input.timestamp_ms,
                offset: Offset(i64::try_from(offset).unwrap()),
            };
            let mut admitted = 0;
            decoder.decode(&message, &mut |decoded| {
                if let Decoded::Observation(observation) = decoded {
                    engine.admit(&mut state, observation);
                    admitted += 1;
                }
            });
            if admitted == 0 {
                continue;
            }
            let outcomes = engine.step(&mut state);
            for judged in (0..outcomes.len()).map(|index| outcomes.get(index)) {
                if let Outcome::Forecast(forecast) = judged.outcome {
                    let place = Place {
                        topic: "sensors",
                        partition: id(partition).partition,
                        source: judged.source,
                    };
                    let mut value = Vec::new();
                    encoder.encode(&forecast, &place, &mut value);
                    assert_eq!(by_source[&place.to_string()].value, Some(value), "{place}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, published.len());
    }
    versions.into_inner().len()
}

#[test]
fn a_stop_commits_what_is_in_hand() {
    let cluster = cluster(RECORDS);
    let (mut worker, _, _) = worker(&cluster);
    while !cluster.borrow().open {
        worker.turn().unwrap();
    }
    let before = cluster.borrow().published.len();
    worker.run(&std::sync::atomic::AtomicBool::new(true)).unwrap();
    assert!(cluster.borrow().published.len() > before);
    let rest = Rc::clone(&cluster);
    run(&rest);
    assert_exactly_once(&rest, RECORDS);
    assert!(!failure("x").ends_worker());
}
