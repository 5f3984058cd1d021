//! Streams whose seasons are not the calendar's: found, and worth it (docs/recipe.md, "Seasons").

use std::fmt::Write as _;

use super::snapshot::{bench as bench_of, encoded, restored};
use super::{Bench, HOUR_MS, Kept, Numbers, Seen, classical, config, lively, observation};
use crate::engine::config::{Interval, Seasons};
use crate::engine::{Config, row_table};

const MINUTE_MS: i64 = HOUR_MS / 60;
const TAU: f64 = std::f64::consts::TAU;

/// A kind of stream.
struct Case {
    name: &'static str,
    interval_ms: i64,
    steps: usize,
    /// Value of a step; the last argument is the stream's own state.
    value: fn(&mut Numbers, usize, &mut f64) -> f64,
    /// Seasons in steps, as the calendar has them and as who knows the stream would configure them.
    calendar: &'static [u32],
    known: &'static [u32],
    /// Most that the quantile loss may be of that with the calendar's seasons, and of that with the known ones.
    most: [f64; 2],
}

fn sine(t: usize, period: f64) -> f64 {
    (t as f64 * TAU / period).sin()
}

const CASES: [Case; 8] = [
    Case {
        name: "37 steps, smooth",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, t, _| sine(t, 37.0) + 0.3 * numbers.normal(),
        calendar: &[24, 168],
        known: &[37],
        most: [0.95, 1.04],
    },
    Case {
        name: "37 steps on a wandering level",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, t, level| {
            *level += 0.05 * numbers.normal();
            *level + 2.0 * ((t % 37) as f64 - 18.0).abs() / 18.0 + 0.1 * numbers.normal()
        },
        calendar: &[24, 168],
        known: &[37],
        most: [0.98, 1.17],
    },
    Case {
        name: "53 steps, a saw in slow noise",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, t, noise| {
            *noise = 0.8 * *noise + 0.2 * numbers.normal();
            3.0 * (t % 53) as f64 / 53.0 + *noise
        },
        calendar: &[24, 168],
        known: &[53],
        most: [0.6, 1.06],
    },
    Case {
        name: "100 steps, pulses",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, t, _| f64::from(u8::from(t % 100 < 15)) + 0.15 * numbers.normal(),
        calendar: &[24, 168],
        known: &[100],
        most: [0.75, 1.12],
    },
    Case {
        name: "37 minutes within a day",
        interval_ms: MINUTE_MS,
        steps: 6_000,
        value: |numbers, t, _| {
            3.0 * sine(t, 1_440.0) + 2.0 * f64::from(u8::from(t % 37 < 9)) + 0.3 * numbers.normal()
        },
        calendar: &[60, 1_440, 10_080],
        known: &[37, 1_440, 10_080],
        most: [0.68, 1.1],
    },
    Case {
        name: "a day",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, t, level| {
            *level += 0.05 * numbers.normal();
            sine(t, 24.0) + *level + 0.4 * numbers.normal()
        },
        calendar: &[24, 168],
        known: &[24, 168],
        most: [1.001, 1.001],
    },
    Case {
        name: "a random walk",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, _, level| {
            *level += numbers.normal();
            *level
        },
        calendar: &[24, 168],
        known: &[],
        most: [1.001, 1.0],
    },
    Case {
        name: "slow noise",
        interval_ms: HOUR_MS,
        steps: 3_000,
        value: |numbers, _, noise| {
            *noise = 0.9 * *noise + numbers.normal();
            *noise
        },
        calendar: &[24, 168],
        known: &[],
        most: [1.001, 1.0],
    },
];

const SEEDS: u64 = 3;

impl Case {
    fn config(&self, seasons: Seasons) -> Config {
        Config {
            interval: Interval::Given(self.interval_ms),
            seasons,
            ..classical()
        }
    }

    fn values(&self, seed: u64) -> Vec<f64> {
        let (mut numbers, mut state) = (Numbers(0x5ea5 + seed), 0.0);
        (0..self.steps)
            .map(|t| (self.value)(&mut numbers, t, &mut state))
            .collect()
    }

    /// Mean quantile loss by horizon, of the origins from a third on; and the mean step of the first change of seasons.
    fn loss(&self, seasons: &Seasons) -> ([f64; 4], f64) {
        let (mut mean, mut first) = ([0.0; 4], 0.0);
        for seed in 0..SEEDS {
            let values = self.values(seed);
            let mut bench = Bench::new(self.config(seasons.clone()));
            let mut seen = Vec::new();
            for (t, &value) in values.iter().enumerate() {
                first += f64::from(u8::from(bench.state.stats().season_changes == 0)) / SEEDS as f64;
                seen.push(bench.one("s", t as i64 * self.interval_ms, Some(value)));
            }
            for (mean, one) in mean.iter_mut().zip(losses(&seen, &values, values.len() / 3)) {
                *mean += one / SEEDS as f64;
            }
        }
        (mean, first)
    }
}

/// Mean quantile loss over the levels, by published horizon.
fn losses(seen: &[Seen], values: &[f64], from: usize) -> [f64; 4] {
    let levels = config().quantiles;
    let horizons = config().horizons;
    std::array::from_fn(|k| {
        let h = horizons[k] as usize;
        let of = |t: usize| {
            let kept: &Kept = seen[t].forecast().expect("every reading has one");
            let pinball = |(q, level): (usize, &f64)| {
                let miss = values[t + h] - kept.quantiles[q * horizons.len() + k];
                miss * (level - f64::from(u8::from(miss < 0.0)))
            };
            levels.iter().enumerate().map(pinball).sum::<f64>() / levels.len() as f64
        };
        let all = from..values.len() - h;
        let count = all.len() as f64;
        all.map(of).sum::<f64>() / count
    })
}

/// Geometric mean over horizons of a / b.
fn ratio(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let logs: f64 = a.iter().zip(b).map(|(a, b)| (a / b).ln()).sum();
    (logs / 4.0).exp()
}

#[test]
fn seasons_that_are_not_the_calendars_are_found_and_forecast_with() {
    let mut text = String::from(
        "quantile loss with found seasons ÷ with the calendar's, ÷ with the known; step of the change\n",
    );
    let mut all_well = true;
    for case in &CASES {
        let (found, first) = case.loss(&Seasons::Auto);
        let ratios = [case.calendar, case.known]
            .map(|steps| ratio(&found, &case.loss(&Seasons::Steps(steps.to_vec())).0));
        let [calendar, known] = ratios;
        let _ = writeln!(text, "{:>30}: {calendar:.3} {known:.3}; {first:.0}", case.name);
        all_well &= ratios.iter().zip(case.most).all(|(ratio, most)| *ratio <= most);
    }
    assert!(all_well, "{text}");
    println!("{text}");
}

/// A cycle of so many hours in noise.
fn cycle(period: f64, hours: usize) -> Vec<f64> {
    let mut numbers = Numbers(7);
    (0..hours)
        .map(|t| 5.0 * sine(t, period) + numbers.normal())
        .collect()
}

#[test]
fn a_season_is_another_within_weeks_and_changes_back() {
    let mut bench = Bench::new(classical());
    let values = [cycle(24.0, 1_500), cycle(37.0, 3_000), cycle(24.0, 3_000)].concat();
    let mut found = Vec::new();
    for (t, &value) in values.iter().enumerate() {
        bench.one("s", t as i64 * HOUR_MS, Some(value));
        if t % 250 == 249 {
            let season = bench.state.stream("s").unwrap().season;
            if found.last() != Some(&season) {
                found.push(season);
            }
        }
    }
    assert_eq!(found, [24, 37, 24]);
    let changes = bench.state.stats().season_changes;
    assert!((2..=6).contains(&changes), "{changes}");
}

#[test]
fn configured_seasons_are_kept() {
    let values = cycle(37.0, 2_000);
    for seasons in [
        Seasons::Steps(vec![24]),
        Seasons::Durations(vec![24 * HOUR_MS]),
        Seasons::Steps(Vec::new()),
    ] {
        let configured = if seasons == Seasons::Steps(Vec::new()) {
            1
        } else {
            24
        };
        let config = Config {
            seasons,
            ..classical()
        };
        let bytes = |config: &Config| {
            let table = row_table(config);
            let field = table.iter().find(|field| field.name == "seasons").unwrap();
            field.bytes
        };
        assert_eq!((bytes(&config), bytes(&classical())), (0, 120));
        let mut bench = Bench::new(config);
        bench.series("s", &values);
        assert_eq!(bench.state.stream("s").unwrap().season, configured);
        assert_eq!(bench.state.stats().season_changes, 0);
    }
    let mut bench = Bench::new(classical());
    bench.series("s", &values);
    assert_eq!(bench.state.stream("s").unwrap().season, 37);
}

/// Whatever the moment of the change, and across it.
#[test]
fn a_restart_at_any_step_around_a_change_of_seasons_changes_no_bit() {
    let config = config();
    let values = cycle(37.0, 1_000);
    let first = first_change(&config, &values);
    for at in [first - 2, first - 1, first, first + 1] {
        let mut bench = bench_of(&config);
        bench.series("s", &values[..at]);
        let mut other = restored(&config, &encoded(&mut bench.state));
        for (hour, &value) in values.iter().enumerate().skip(at) {
            let time_ms = hour as i64 * HOUR_MS;
            assert_eq!(
                bench.one("s", time_ms, Some(value)),
                other.one("s", time_ms, Some(value)),
                "restored after {at}, at {hour}"
            );
        }
        assert_eq!(bench.state.fingerprint(), other.state.fingerprint());
        assert_eq!(bench.state.stream("s").unwrap().season, 37);
    }
}

/// Readings until the first change is made.
fn first_change(config: &Config, values: &[f64]) -> usize {
    let mut bench = bench_of(config);
    for (hour, &value) in values.iter().enumerate() {
        bench.one("s", hour as i64 * HOUR_MS, Some(value));
        if bench.state.stats().season_changes > 0 {
            return hour + 1;
        }
    }
    panic!("no change in {} steps", values.len());
}

#[test]
fn a_change_of_seasons_is_the_same_in_any_batch_and_across_gaps() {
    let config = config();
    let values = cycle(37.0, 1_200);
    let first = first_change(&config, &values) as i64;
    // A few steps left out, or a long gap, just where the change is due.
    for gap in [0, 1, 3, 100] {
        let time_ms = |t: i64| (if t < first - 1 { t } else { t + gap }) * HOUR_MS;
        let all: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(t, &value)| observation("s", time_ms(t as i64), Some(value), t as i64))
            .collect();
        let run = |size: usize| {
            let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
            let seen: Vec<Seen> = all.chunks(size).flat_map(|part| bench.batch(part)).collect();
            (
                seen,
                bench.state.fingerprint(),
                bench.state.stats().season_changes,
            )
        };
        let (single, whole) = (run(1), run(64));
        assert!(single == whole, "gap of {gap}");
        assert!(single.2 > 0);
    }
}
