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
    let from = bench.offset + 1;
    bench.offset += batch.len() as i64;
    let all: Vec<_> = (from..)
        .zip(batch)
        .map(|(offset, (id, time_ms, value))| observation(id, *time_ms, Some(*value), offset))
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

/// Room for 5 streams, each for 20 hours of silence: one observation moves the time by 2.5 hours at most.
fn full() -> Bench {
    let mut bench = Bench::new(crowded(20));
    for id in IDS {
        bench.one(id, 0, Some(1.0));
    }
    bench
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const OVER: Seen = Seen::Other("over_capacity");

/// Streams held, ascending, once `new` has tried to enter at `hour`.
fn held_after(bench: &mut Bench, hour: i64) -> Vec<String> {
    bench.one("new", hour * HOUR_MS, Some(1.0));
    let mut ids: Vec<String> = bench.state.ids().map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

/// These report every hour.
fn report(bench: &mut Bench, ids: &[&str], hours: std::ops::RangeInclusive<i64>) {
    for hour in hours {
        for id in ids {
            bench.one(id, hour * HOUR_MS, Some(1.0));
        }
    }
}

#[test]
fn a_full_partition_forgets_the_idle_and_nobody_else() {
    let mut bench = full();
    report(&mut bench, &IDS[1..], 1..=2);
    report(&mut bench, &IDS[2..], 3..=20);
    assert_eq!(
        bench.one("new", 20 * HOUR_MS, Some(1.0)),
        OVER,
        "`a` is silent for 20 hours, not longer"
    );
    report(&mut bench, &IDS[2..], 21..=21);
    assert!(bench.one("new", 21 * HOUR_MS, Some(1.0)).forecast().is_some());
    assert_eq!(bench.state.stats().forgotten, 1, "`a`, and `b` two hours later");
    assert_eq!(bench.one("a", 21 * HOUR_MS, Some(1.0)), OVER);
    report(&mut bench, &IDS[2..], 22..=23);
    assert_eq!(held_after(&mut bench, 23), ["b", "c", "d", "e", "new"]);
    let seen = bench.one("a", 23 * HOUR_MS, Some(1.0));
    let status = seen.forecast().unwrap().status;
    assert!(matches!(status, Status::Warming { .. }), "it begins anew");
    assert_eq!(held_after(&mut bench, 23), ["a", "c", "d", "e", "new"]);
}

/// The year 2100, hours since 1970.
const YEAR_2100: i64 = 1_139_544;

#[test]
fn one_reading_of_the_far_future_makes_nobody_forgotten() {
    for id in ["a", "new", "newer"] {
        let mut bench = full();
        report(&mut bench, &IDS[1..], 1..=2);
        bench.one(id, YEAR_2100 * HOUR_MS, Some(1.0));
        assert_eq!(held_after(&mut bench, 2), IDS, "{id}");
        report(&mut bench, &IDS[1..], 3..=12);
        assert_eq!(held_after(&mut bench, 12), IDS, "{id}");
    }
}

#[test]
fn a_message_of_the_far_future_makes_nobody_forgotten() {
    let mut bench = full();
    report(&mut bench, &IDS[1..], 1..=2);
    let names: Vec<String> = (0..500).map(|number| format!("new {number}")).collect();
    let known = IDS[1..].iter().copied();
    let all: Vec<_> = known
        .chain(names.iter().map(String::as_str))
        .map(|id| observation(id, YEAR_2100 * HOUR_MS, Some(1.0), 99))
        .collect();
    bench.batch(&all);
    assert_eq!(held_after(&mut bench, 2), IDS);
}

#[test]
fn a_stream_whose_clock_is_wrong_for_good_is_a_step_ahead_at_any_rate() {
    let mut bench = full();
    for hour in 1..=60 {
        for second in 0..200 {
            let time_ms = YEAR_2100 * HOUR_MS + hour * HOUR_MS + second * 1000;
            bench.one("b", time_ms, Some(1.0));
        }
        report(&mut bench, &["c", "d", "e"], hour..=hour);
        if hour % 12 == 0 {
            bench.one("a", hour * HOUR_MS, Some(1.0));
        }
        assert_eq!(held_after(&mut bench, hour), IDS, "hour {hour}");
    }
    // It does not hold up anything either: `a` is silent from here on.
    report(&mut bench, &IDS[1..], 61..=84);
    assert_eq!(held_after(&mut bench, 84), ["b", "c", "d", "e", "new"]);
}

/// All saw the same time last, and nobody waits for another to move it first.
#[test]
fn streams_that_saw_the_same_time_do_not_wait_for_each_other() {
    let mut bench = full();
    for slot in 0..IDS.len() {
        bench.state.index.note_seen(slot, bench.state.clock.now_ms);
    }
    report(&mut bench, &IDS, 1..=30);
    assert_eq!(bench.state.clock.now_ms, 30 * HOUR_MS);
}

/// What most say is believed; but what was seen before the jump is not older than it was, once it is over.
#[test]
fn a_plant_whose_clock_jumps_ahead_and_back_forgets_in_time_again() {
    const JUMP: i64 = 24 * 365;
    let mut bench = full();
    report(&mut bench, &IDS, 1..=5);
    report(&mut bench, &IDS, 6 + JUMP..=30 + JUMP);
    report(&mut bench, &IDS, 31..=32);
    assert_eq!(held_after(&mut bench, 32), IDS, "all that report stay");
    // The time comes back by a 16th of a step per observation: at worst after so many hours.
    let back = 33 + 16 * (30 * 5) / 4;
    report(&mut bench, &IDS[1..], 33..=back);
    assert!(bench.state.clock.now_ms <= (back + 3) * HOUR_MS);
    report(&mut bench, &IDS[1..], back + 1..=back + 21);
    assert_eq!(held_after(&mut bench, back + 21), ["b", "c", "d", "e", "new"]);
}

/// History that a device sends late, all at once, makes nobody older: neither while it comes nor when the others go on.
#[test]
fn a_device_that_sends_its_history_makes_nobody_forgotten() {
    let mut bench = full();
    report(&mut bench, &IDS, 1..=100);
    report(&mut bench, &["b", "c"], -300..=-100);
    report(&mut bench, &["d"], 101..=101);
    for hour in 101..=118 {
        report(&mut bench, &["b", "c", "d"], hour..=hour);
        assert_eq!(held_after(&mut bench, hour), IDS, "hour {hour}");
    }
}

#[test]
fn streams_that_report_once_a_day_in_turn_are_forgotten_in_time() {
    let mut bench = Bench::new(crowded(30 * 24));
    for day in 0..60i64 {
        // `a` until the sixth day, the others go on.
        let on = if day < 10 { &IDS[..] } else { &IDS[2..] };
        bench.one(on[day as usize % on.len()], day * 24 * HOUR_MS, Some(1.0));
        if day >= 4 {
            let held = held_after(&mut bench, day * 24);
            assert_eq!(held[0] == "a", day <= 35, "day {day}: {held:?}");
        }
    }
}

/// All five are gone for good: had the clock been theirs alone, nobody would ever get in.
#[test]
fn ids_over_capacity_move_the_partitions_time_by_small_steps() {
    let mut bench = full();
    let entered = (1..=1000i64).find(|number| {
        let id = format!("new {}", number % 7);
        bench.one(&id, 100 * HOUR_MS, Some(1.0)).forecast().is_some()
    });
    // 8 steps are the lifetime, and theirs are 16 times smaller.
    assert_eq!(entered, Some(8 * 16));
    assert_eq!(
        bench.state.stats().forgotten,
        4,
        "all but the one that moved the time last"
    );
}

#[test]
fn a_stream_forgotten_within_a_batch_keeps_its_outcome_there() {
    let mut bench = full();
    report(&mut bench, &["b", "c"], 1..=20);
    let hour =
        |id, hour: i64, value, offset: i64| observation(id, hour * HOUR_MS, Some(value), 1000 + offset);
    let seen = bench.batch(&[
        hour("a", 1, 2.0, 1),
        hour("b", 22, 1.0, 2),
        hour("c", 24, 1.0, 3),
        hour("b", 26, 1.0, 4),
        hour("c", 28, 1.0, 5),
        hour("b", 30, 1.0, 6),
        hour("c", 32, 1.0, 7),
        hour("b", 34, 1.0, 8),
        hour("c", 36, 1.0, 9),
        hour("b", 38, 1.0, 10),
        hour("c", 40, 1.0, 11),
        hour("b", 42, 1.0, 12),
        hour("new", 42, 3.0, 13),
        hour("a", 42, 4.0, 14),
    ]);
    let told: Vec<_> = [0, 12, 13]
        .map(|place: usize| seen[place].forecast().unwrap())
        .map(|kept| (kept.stream.as_str(), kept.observed))
        .to_vec();
    assert_eq!(told, [("a", 2.0), ("new", 3.0), ("a", 4.0)]);
    assert_eq!((bench.state.streams(), bench.state.stats().forgotten), (4, 3));
}

#[test]
fn idle_streams_are_looked_for_now_and_then_only() {
    let mut bench = Bench::new(crowded(640));
    for (hour, id) in IDS.iter().enumerate() {
        bench.one(id, hour as i64 * HOUR_MS, Some(1.0));
    }
    let forgotten = |bench: &mut Bench, id: &str, hour: i64| {
        bench.one(id, hour * HOUR_MS, Some(1.0));
        bench.state.stats().forgotten
    };
    report(&mut bench, &["d", "e"], 4..=641);
    assert_eq!(forgotten(&mut bench, "f", 641), 1, "`a`");
    report(&mut bench, &["d", "e"], 642..=651);
    assert_eq!(
        forgotten(&mut bench, "g", 651),
        1,
        "a 64th of the time has not passed"
    );
    report(&mut bench, &["d", "e"], 652..=652);
    assert_eq!(forgotten(&mut bench, "h", 652), 3, "now it has: `b` and `c`");
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
        bench.engine.admit(
            &mut bench.state,
            observation(&id, number * 4_000, Some(1.0), number),
        );
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
