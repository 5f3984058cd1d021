//! Grids as streams have them: found late, gappy, in local time.

use super::{Bench, HOUR_MS, Kept, Numbers, Seen, classical};
use crate::engine::Config;
use crate::engine::config::Interval;

/// A day's wave with noise.
fn daily(hours: usize) -> Vec<f64> {
    let mut numbers = Numbers(11);
    let wave = |t: usize| (t as f64 * std::f64::consts::TAU / 24.0).sin();
    (0..hours)
        .map(|t| 20.0 + 4.0 * wave(t) + 0.5 * numbers.normal())
        .collect()
}

/// Mean |y − median| of the published horizon `k`, of the forecasts whose hour is at least `from`.
fn error(kept: &[Kept], values: &[f64], from: usize, k: usize) -> f64 {
    let misses: Vec<f64> = kept
        .iter()
        .filter_map(|kept| {
            let hour = (kept.origin_ms / HOUR_MS) as usize;
            let target = hour + kept.horizons[k] as usize;
            let median = kept.quantiles[2 * kept.horizons.len() + k];
            (hour >= from && target < values.len()).then(|| (median - values[target]).abs())
        })
        .collect();
    assert!(misses.len() > 500);
    misses.iter().sum::<f64>() / misses.len() as f64
}

/// Forecasts of the readings whose hours `is_there`, read up to `late_ms` after the hour.
fn forecasts(
    config: Config,
    values: &[f64],
    late_ms: u64,
    mut is_there: impl FnMut(usize) -> bool,
) -> Vec<Kept> {
    let mut bench = Bench::new(config);
    let mut numbers = Numbers(12);
    let mut kept = Vec::new();
    for (hour, &value) in values.iter().enumerate() {
        let late_ms = (numbers.next() % (late_ms + 1)) as i64;
        if is_there(hour)
            && let Seen::Forecast(one) = bench.one("s", hour as i64 * HOUR_MS + late_ms, Some(value))
        {
            kept.push(*one);
        }
    }
    kept
}

fn found() -> Config {
    Config {
        interval: Interval::Auto,
        ..classical()
    }
}

#[test]
fn readings_left_out_and_a_gap_of_three_days_cost_little() {
    let values = daily(2_400);
    let whole = forecasts(found(), &values, 0, |_| true);
    let mut numbers = Numbers(13);
    let gappy = forecasts(found(), &values, 0, |hour| {
        !(1_000..1_072).contains(&hour) && numbers.uniform() >= 0.05
    });
    for k in 0..4 {
        let (whole, gappy) = (error(&whole, &values, 1_072, k), error(&gappy, &values, 1_072, k));
        assert!(gappy < 1.15 * whole, "horizon {k}: {gappy}, without gaps {whole}");
    }
}

/// Every second reading is left out at first, then a third of them, and all come late by up to 5 minutes.
#[test]
fn an_interval_that_is_found_too_long_at_first_costs_a_few_days() {
    let values = daily(2_400);
    let gappy = |numbers: &mut Numbers, hour: usize| {
        let there = numbers.uniform() < 0.67;
        if hour < 12 { hour.is_multiple_of(2) } else { there }
    };
    let (mut first, mut second) = (Numbers(14), Numbers(14));
    let late_ms = 300_000;
    let given = forecasts(classical(), &values, late_ms, |hour| gappy(&mut first, hour));
    let found = forecasts(found(), &values, late_ms, |hour| gappy(&mut second, hour));
    for k in 0..4 {
        let (given, found) = (error(&given, &values, 400, k), error(&found, &values, 400, k));
        assert!(found < 1.02 * given, "horizon {k}: {found}, given {given}");
    }
}

#[test]
fn a_stream_in_local_time_is_forecast_as_one_in_utc() {
    let values = daily(400);
    for (offset_ms, start_ms) in [(5 * HOUR_MS + HOUR_MS / 2, 0), (-9 * HOUR_MS, 40 * HOUR_MS)] {
        let run = |utc_offset_ms: i64, shift_ms: i64| {
            let config = Config {
                utc_offset_ms,
                ..classical()
            };
            let mut bench = Bench::new(config);
            let at = |(hour, &value): (usize, &f64)| {
                let time_ms = start_ms + hour as i64 * HOUR_MS - shift_ms;
                bench
                    .one("s", time_ms, Some(value))
                    .forecast()
                    .unwrap()
                    .quantiles
                    .clone()
            };
            values.iter().enumerate().map(at).collect::<Vec<_>>()
        };
        assert!(run(offset_ms, offset_ms) == run(0, 0), "{offset_ms} ms");
        assert!(run(offset_ms, 0) != run(0, 0), "its days begin elsewhere");
    }
}
