use super::{Bench, HOUR_MS, Numbers, Seen, config, lively, observation};
use crate::engine::Model;
use crate::engine::config::Interval;
use crate::series::observation::Observation;
use std::sync::Arc;

/// Observations of several streams, interleaved, with gaps, nulls, duplicates and late ones.
pub(super) fn mixed(streams: &[String], steps: i64) -> Vec<Observation<'_>> {
    let mut numbers = Numbers(11);
    let mut all = Vec::new();
    for step in 0..steps {
        for (number, stream) in streams.iter().enumerate() {
            let dice = numbers.uniform();
            let wave = (step as f64 * std::f64::consts::TAU / 24.0 + number as f64).sin();
            let value = 10.0 * number as f64 + wave + 0.2 * numbers.normal();
            if dice < 0.05 {
                continue;
            }
            let at = if dice < 0.07 { step - 1 } else { step };
            let value = if dice > 0.97 { None } else { Some(value) };
            all.push(observation(stream, at * HOUR_MS, value, all.len() as i64));
        }
    }
    all
}

pub(super) fn run(
    config: &crate::engine::Config,
    all: &[Observation<'_>],
    mut split: impl FnMut() -> usize,
) -> (Vec<Seen>, u64) {
    let mut bench = Bench::with_model(config.clone(), lively(config, 3));
    let mut seen = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(split().clamp(1, rest.len()));
        seen.extend(bench.batch(batch));
        rest = after;
    }
    (seen, bench.state.fingerprint())
}

#[test]
fn engine_gives_the_same_bits_whatever_the_batching() {
    let streams: Vec<String> = (0..9).map(|i| format!("s{i}")).collect();
    for interval in [Interval::Given(HOUR_MS), Interval::Auto] {
        let mut config = config();
        config.interval = interval;
        let all = mixed(&streams, 220);
        let single = run(&config, &all, || 1);
        let whole = run(&config, &all, || usize::MAX);
        assert_eq!(single.1, whole.1, "state, one by one against one batch");
        assert!(single.0 == whole.0, "forecasts, one by one against one batch");
        for seed in 1..4 {
            let mut numbers = Numbers(seed);
            let split = run(&config, &all, || (numbers.next() % 300) as usize + 1);
            assert_eq!(single.1, split.1, "state, seed {seed}");
            assert!(single.0 == split.0, "forecasts, seed {seed}");
        }
    }
}

#[test]
fn engine_leaks_nothing_from_after_a_forecast_into_it() {
    let mut numbers = Numbers(5);
    let past: Vec<f64> = (0..400)
        .map(|t| (f64::from(t) * 0.26).sin() + 0.1 * numbers.normal())
        .collect();
    let cut = 300;
    let mut other = past.clone();
    for value in &mut other[cut + 1..] {
        *value = 50.0 * numbers.normal();
    }
    let config = config();
    let run = |values: &[f64]| Bench::with_model(config.clone(), lively(&config, 3)).series("s", values);
    let (kept, changed) = (run(&past), run(&other));
    assert!(kept[..=cut] == changed[..=cut]);
    assert!(
        kept[cut + 1..] != changed[cut + 1..],
        "control: what comes later does matter"
    );
}

#[test]
fn engine_keeps_streams_apart() {
    let config = config();
    let mut numbers = Numbers(9);
    let values: Vec<f64> = (0..150).map(|_| numbers.normal()).collect();
    let mut alone = Bench::with_model(config.clone(), lively(&config, 3));
    let mut crowded = Bench::with_model(config.clone(), lively(&config, 3));
    for (hour, &value) in values.iter().enumerate() {
        let time_ms = hour as i64 * HOUR_MS;
        let expected = alone.one("a", time_ms, Some(value));
        let others = [
            observation("b", time_ms, Some(1e30 * value), 0),
            observation("a", time_ms, Some(value), 1),
            observation("c", time_ms, None, 2),
        ];
        assert_eq!(crowded.batch(&others)[1], expected);
    }
}

#[test]
fn adopt_carries_states_within_a_lineage_and_remakes_them_for_another() {
    let config = config();
    let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
    let values: Vec<f64> = (0..100).map(|t| (f64::from(t) * 0.26).sin()).collect();
    bench.series("s", &values);
    let before = bench.state.fingerprint();
    let mut same = Model::from_params(bench.state.model().origin(), bench.state.model().params.clone());
    same.version.0 += 1;
    bench.state.adopt(Arc::new(same));
    bench.one("s", 100 * HOUR_MS, Some(0.5));
    assert_eq!(bench.state.stats().states_remade, 0);
    assert_ne!(bench.state.fingerprint(), before);
    bench.state.adopt(lively(&config, 4));
    for hour in 101..105 {
        assert!(bench.one("s", hour * HOUR_MS, Some(0.5)).forecast().is_some());
    }
    assert_eq!(
        bench.state.stats().states_remade,
        1,
        "once, at the first observation after the switch"
    );
}
