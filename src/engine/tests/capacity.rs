//! A full partition makes room in event time, the same whatever the batching.

use proptest::prelude::*;

use super::{Bench, HOUR_MS, Numbers, Seen, config, lively, observation};
use crate::engine::{Config, Status};

/// A reading of a stream named by a number; hours pass before it, and it may be late by some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) stream: u8,
    pub(super) passed: i64,
    pub(super) late: i64,
    pub(super) value: f64,
}

/// Few streams, mostly in time, with silences of a day now and then.
pub(super) fn readings(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Reading>> {
    let passed = prop_oneof![4 => Just(0i64), 4 => Just(1), 1 => 2i64..30];
    let late = prop_oneof![6 => Just(0i64), 1 => 1i64..40];
    let one = (0u8..12, passed, late, -5.0..5.0).prop_map(|(stream, passed, late, value)| Reading {
        stream,
        passed,
        late,
        value,
    });
    prop::collection::vec(one, count)
}

/// Room for 5 streams, each for so many hours of silence. From 64 on an hour is too short for a second look.
pub(super) fn crowded(ttl_hours: i64) -> Config {
    let mut config = config();
    config.horizons = vec![1, 3];
    config.streams_max = 5;
    config.stream_ttl_ms = ttl_hours * HOUR_MS;
    config
}

/// Id, event time and value of readings in order.
pub(super) fn timed(readings: &[Reading]) -> Vec<(String, i64, f64)> {
    let mut hour = 0;
    let at = |reading: &Reading| {
        hour += reading.passed;
        let time_ms = (hour - reading.late) * HOUR_MS;
        // Long ids, so that their text is written anew now and then.
        (format!("stream {:0500}", reading.stream), time_ms, reading.value)
    };
    readings.iter().map(at).collect()
}

/// Steps `batch` as one.
pub(super) fn step(bench: &mut Bench, batch: &[(String, i64, f64)]) -> Vec<Seen> {
    let all: Vec<_> = batch
        .iter()
        .map(|(id, time_ms, value)| observation(id, *time_ms, Some(*value), 0))
        .collect();
    bench.batch(&all)
}

fn run(config: &Config, all: &[(String, i64, f64)], batch: usize) -> (Vec<Seen>, u64, u64) {
    let mut bench = Bench::with_model(config.clone(), lively(config, 3));
    let seen = all
        .chunks(batch)
        .flat_map(|batch| step(&mut bench, batch))
        .collect();
    (seen, bench.state.fingerprint(), bench.state.stats().forgotten)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_come_and_go_the_same_whatever_the_batching(
        all in readings(1..150),
        batch in 2usize..150,
        ttl_hours in prop_oneof![Just(20i64), Just(130)],
    ) {
        let config = crowded(ttl_hours);
        let all = timed(&all);
        let single = run(&config, &all, 1);
        let batched = run(&config, &all, batch);
        prop_assert_eq!(single, batched);
    }
}

#[test]
fn a_full_partition_forgets_the_idle_and_nobody_else() {
    let mut bench = Bench::new(crowded(20));
    for (hour, id) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        bench.one(id, hour as i64 * HOUR_MS, Some(1.0));
    }
    let over = Seen::Other("over_capacity");
    assert_eq!(
        bench.one("new", 20 * HOUR_MS, Some(1.0)),
        over,
        "`a` is silent for 20 hours, not longer"
    );
    assert!(bench.one("new", 22 * HOUR_MS, Some(1.0)).forecast().is_some());
    assert_eq!(bench.state.stats().forgotten, 2, "`a` and `b`");
    let mut ids: Vec<&str> = bench.state.ids().collect();
    ids.sort_unstable();
    assert_eq!((ids, bench.state.streams()), (vec!["c", "d", "e", "new"], 4));
    let seen = bench.one("a", 22 * HOUR_MS, Some(1.0));
    let status = seen.forecast().unwrap().status;
    assert!(matches!(status, Status::Warming { .. }), "it begins anew");
    assert_eq!(
        bench.one("b", 22 * HOUR_MS, Some(1.0)),
        over,
        "none of the others is idle"
    );
}

#[test]
fn an_id_over_capacity_moves_the_partitions_time() {
    let mut bench = Bench::new(crowded(20));
    for id in ["a", "b", "c", "d", "e"] {
        bench.one(id, 0, Some(1.0));
    }
    // All five are gone for good: had the clock been theirs alone, nobody would ever get in.
    assert_eq!(
        bench.one("new", 20 * HOUR_MS, Some(1.0)),
        Seen::Other("over_capacity")
    );
    assert!(bench.one("new", 21 * HOUR_MS, Some(1.0)).forecast().is_some());
    assert_eq!((bench.state.streams(), bench.state.stats().forgotten), (1, 5));
}

#[test]
fn a_stream_forgotten_within_a_batch_keeps_its_outcome_there() {
    let mut bench = Bench::new(crowded(20));
    for id in ["a", "b", "c", "d", "e"] {
        bench.one(id, 0, Some(1.0));
    }
    let seen = bench.batch(&[
        observation("a", HOUR_MS, Some(2.0), 1),
        observation("new", 100 * HOUR_MS, Some(3.0), 2),
        observation("a", 100 * HOUR_MS, Some(4.0), 3),
    ]);
    let kept: Vec<_> = seen.iter().map(|seen| seen.forecast().unwrap()).collect();
    let told: Vec<_> = kept
        .iter()
        .map(|kept| (kept.stream.as_str(), kept.observed))
        .collect();
    assert_eq!(told, [("a", 2.0), ("new", 3.0), ("a", 4.0)]);
    assert_eq!((bench.state.streams(), bench.state.stats().forgotten), (2, 5));
}

#[test]
fn idle_streams_are_looked_for_now_and_then_only() {
    let mut bench = Bench::new(crowded(640));
    for (hour, id) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        bench.one(id, hour as i64 * HOUR_MS, Some(1.0));
    }
    let forgotten = |bench: &mut Bench, id: &str, hour: i64| {
        bench.one(id, hour * HOUR_MS, Some(1.0));
        bench.state.stats().forgotten
    };
    assert_eq!(forgotten(&mut bench, "f", 641), 1, "`a`");
    assert_eq!(
        forgotten(&mut bench, "g", 651),
        1,
        "a 64th of the time has not passed"
    );
    assert_eq!(forgotten(&mut bench, "h", 652), 5, "now it has");
}

/// Ids that never come back, as a broken producer makes them: those that were there first are served as if alone, and
/// memory stays as it was.
#[test]
fn millions_of_ids_leave_memory_bounded_and_other_streams_served() {
    const STREAMS: usize = 100;
    const HOURS: i64 = 50;
    const BOMB: usize = 5_000_000;
    let mut config = config();
    config.horizons = vec![1];
    config.model.hidden = 4;
    config.streams_max = 1000;
    let regular: Vec<String> = (0..STREAMS).map(|i| format!("regular {i}")).collect();
    let mut alone = Bench::with_model(config.clone(), lively(&config, 3));
    let mut bombed = Bench::with_model(config.clone(), lively(&config, 3));
    let mut numbers = Numbers(1);
    let (mut id, mut full_bytes, mut next) = (String::new(), 0, 0);
    for hour in 0..HOURS {
        let values: Vec<f64> = (0..STREAMS).map(|_| numbers.normal()).collect();
        let batch: Vec<_> = regular
            .iter()
            .zip(&values)
            .map(|(id, &value)| observation(id, hour * HOUR_MS, Some(value), 0))
            .collect();
        assert_eq!(bombed.batch(&batch), alone.batch(&batch), "hour {hour}");
        for number in 0..BOMB / HOURS as usize {
            use std::fmt::Write as _;
            id.clear();
            write!(id, "pump-{next:016x}/temperature").unwrap();
            next += 1;
            bombed
                .engine
                .admit(&mut bombed.state, observation(&id, hour * HOUR_MS, Some(1.0), 0));
            if number % 2048 == 2047 {
                bombed.engine.step(&mut bombed.state);
            }
        }
        bombed.engine.step(&mut bombed.state);
        if hour == 0 {
            full_bytes = bombed.state.bytes();
        }
    }
    assert_eq!(bombed.state.bytes(), full_bytes);
    let stats = bombed.state.stats();
    assert_eq!(stats.outcomes.over_capacity as usize, BOMB - (1000 - STREAMS));
    assert_eq!((bombed.state.streams(), stats.forgotten), (1000, 0));
}

/// The same with a clock that moves fast: streams come and go all the time.
#[test]
fn streams_that_come_and_go_leave_memory_bounded() {
    let mut config = config();
    config.horizons = vec![1];
    config.model.hidden = 4;
    config.streams_max = 1000;
    config.stream_ttl_ms = HOUR_MS;
    let mut bench = Bench::new(config);
    let mut most = 0;
    for number in 0..200_000i64 {
        let id = format!("pump-{number:016x}/temperature");
        bench
            .engine
            .admit(&mut bench.state, observation(&id, number * 4_000, Some(1.0), 0));
        if number % 500 == 499 {
            bench.engine.step(&mut bench.state);
            most = most.max(bench.state.bytes());
        }
    }
    assert!(bench.state.stats().forgotten > 190_000);
    let row = super::super::row_table(bench.engine.config())
        .iter()
        .map(|field| field.bytes)
        .sum::<usize>();
    // A thousand, those of a batch, whole chunks; and what the index takes.
    let bound = (1000 + 500 + 511) * row + (256 << 10);
    assert!(most <= bound, "{most} bytes, {bound} at most");
}
