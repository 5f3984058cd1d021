//! The band after a drift: five kinds, seven cases, a seed a stream (docs/recipe.md, "Drift").

use std::fmt::Write as _;

use super::{Bench, Kept, Numbers, Seen, classical};

/// Steps before the drift: twelve weeks, so that nothing is cold.
const DRIFT: usize = 2_016;
/// Origins that a coverage is the mean of.
const WINDOW: usize = 200;
/// First origins of windows, steps after the drift.
const STARTS: [usize; 5] = [0, 100, 300, 600, 1_000];
const STEPS: usize = DRIFT + STARTS[4] + WINDOW + 24;
/// Places of the scored horizons that the criterion is on.
const HORIZONS: [(usize, usize); 3] = [(0, 1), (1, 12), (2, 24)];

/// What changes, and nothing else.
#[derive(Clone, Copy, Debug)]
enum Drift {
    Level,
    AmplitudeUp,
    AmplitudeDown,
    Phase,
    VarianceUp,
    VarianceDown,
    Trend,
}

const CASES: [Drift; 7] = [
    Drift::Level,
    Drift::AmplitudeUp,
    Drift::AmplitudeDown,
    Drift::Phase,
    Drift::VarianceUp,
    Drift::VarianceDown,
    Drift::Trend,
];

/// Two harmonics of a day, quieter weekends, autoregressive noise; all of it drawn by `seed`, and from `DRIFT` on
/// changed by an amount that is drawn too.
fn stream(drift: Drift, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(0xd51f7 + seed);
    let mut between = |low: f64, high: f64| low + (high - low) * numbers.uniform();
    let phases = [between(0.0, 24.0), between(0.0, 24.0)];
    let (amplitude, second, weekend) = (between(1.0, 3.0), between(0.2, 0.5), between(0.0, 0.4));
    let (memory, spread) = (between(0.3, 0.9), between(0.4, 1.0));
    let sign = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
    // Level in noise spreads, slope in noise spreads a step, factor of the amplitude, shift in steps, factor of the noise.
    let mut change = [0.0, 0.0, 1.0, 0.0, 1.0];
    match drift {
        Drift::Level => change[0] = sign * between(4.0, 8.0),
        Drift::Trend => change[1] = sign * between(0.01, 0.04),
        Drift::AmplitudeUp => change[2] = between(1.6, 2.5),
        Drift::AmplitudeDown => change[2] = between(0.3, 0.6),
        Drift::Phase => change[3] = sign * between(3.0, 8.0),
        Drift::VarianceUp => change[4] = between(2.0, 3.5),
        Drift::VarianceDown => change[4] = between(0.25, 0.5),
    }
    let mut noise = 0.0;
    let value = |t: usize| {
        let [level, slope, factor, shift, rough] = if t < DRIFT {
            [0.0, 0.0, 1.0, 0.0, 1.0]
        } else {
            change
        };
        noise = memory * noise + (1.0 - memory * memory).sqrt() * numbers.normal();
        let turn =
            |phase: f64, period: f64| (std::f64::consts::TAU * (t as f64 + phase + shift) / period).sin();
        let week = weekend * if t / 24 % 7 >= 5 { -1.0 } else { 0.4 };
        let shape = turn(phases[0], 24.0) + second * turn(phases[1], 12.0) + week;
        let moved = level + slope * t.saturating_sub(DRIFT) as f64;
        factor * amplitude * shape + spread * (moved + rough * noise)
    };
    (0..STEPS).map(value).collect()
}

/// Share of targets inside the 80 % band, (horizon, start).
fn coverage(seen: &[Seen], values: &[f64]) -> [[f64; STARTS.len()]; HORIZONS.len()] {
    HORIZONS.map(|(k, h)| {
        STARTS.map(|start| {
            let inside = |t: &usize| {
                let kept: &Kept = seen[*t].forecast().expect("every reading has one");
                let at = |level: usize| kept.quantiles[level * kept.horizons.len() + k];
                at(1) <= values[t + h] && values[t + h] <= at(3)
            };
            let from = DRIFT + start;
            (from..from + WINDOW).filter(inside).count() as f64 / WINDOW as f64
        })
    })
}

/// Mean coverage over `seeds` streams of each case, and the table for people.
fn coverages(seeds: u64) -> (Vec<[[f64; STARTS.len()]; HORIZONS.len()]>, String) {
    let config = classical();
    let mut text =
        format!("coverage of the 80 % band over {WINDOW} origins, {seeds} seeds; first origin {STARTS:?}\n");
    let mut all = Vec::new();
    for case in CASES {
        let mut mean = [[0.0; STARTS.len()]; HORIZONS.len()];
        let mut bench = Bench::new(config.clone());
        for seed in 0..seeds {
            let values = stream(case, seed);
            let seen = bench.series(&format!("s{seed}"), &values);
            for (mean, one) in mean
                .iter_mut()
                .flatten()
                .zip(coverage(&seen, &values).iter().flatten())
            {
                *mean += one / seeds as f64;
            }
        }
        for ((_, h), row) in HORIZONS.iter().zip(&mean) {
            let row: Vec<String> = row.iter().map(|share| format!("{:5.1}", 100.0 * share)).collect();
            let _ = writeln!(text, "{:>13} h = {h:>2}: {}", format!("{case:?}"), row.join(" "));
        }
        all.push(mean);
    }
    (all, text)
}

/// Whether every case is back within 76..84 % at h = 1 after 300 steps and at h = 12, 24 after 1,000 (`late` starts
/// earlier), with `margin` for fewer seeds.
fn assert_back(starts: [usize; 3], seeds: u64, margin: f64) {
    let (all, text) = coverages(seeds);
    for (case, of_case) in CASES.iter().zip(&all) {
        for (((_, h), row), first) in HORIZONS.iter().zip(of_case).zip(starts) {
            for (start, share) in STARTS.iter().zip(row).filter(|(start, _)| **start >= first) {
                assert!(
                    (share - 0.8).abs() <= 0.04 + margin,
                    "{case:?}, h = {h}, from {start}: {share}\n{text}"
                );
            }
        }
    }
    println!("{text}");
}

#[test]
fn the_band_is_back_after_a_drift() {
    // A window's coverage has a deviation of some .1 between seeds at h = 24.
    assert_back([300, 1_000, 1_000], 8, 0.05);
}

#[test]
#[ignore = "fifty seeds of seven cases take half a minute: the table of docs/recipe.md"]
fn the_band_is_back_after_a_drift_over_fifty_seeds() {
    assert_back([300, 1_000, 1_000], 50, 0.0);
}
