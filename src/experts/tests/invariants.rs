//! What must hold whatever comes in.

use super::toy::Toy;
use crate::experts::linear::covariance;
use crate::experts::{ExpertSet, mixture};
use crate::series::calendar::{Calendar, HOUR_MS};
use crate::series::scaler::Scaler;
use bytemuck::Zeroable;

/// Runs raw values through scaler and toy, as the engine does, and checks every forecast.
fn run(name: &str, values: impl Iterator<Item = Option<f64>>) {
    let calendar = Calendar::with_steps(HOUR_MS, 0, &[24, 168]);
    let mut toy = Toy::new(ExpertSet::all(), calendar, &[1, 12, 96]);
    let mut scaler = Scaler::zeroed();
    for (row, value) in values.enumerate() {
        if let Some(value) = value {
            scaler.observe(value);
            if let Some(by) = scaler.rebase() {
                toy.rebase(by);
            }
        }
        let y = value.map(|value| scaler.normalise(value));
        if scaler.is_started() {
            toy.sigma = (scaler.sigma_normalised(), scaler.is_settled());
        }
        let (out, verdict) = toy.step(y, |_| [-1.6, 0.0, 1.6]);
        for (k, out) in out.iter().enumerate() {
            let at = || format!("{name} row {row} horizon {k}: {out:?}");
            assert!(out.quantiles.iter().all(|q| q.is_finite()), "{}", at());
            assert!(
                out.quantiles.windows(2).all(|pair| pair[0] <= pair[1]),
                "{}",
                at()
            );
            assert!(
                out.quantiles.iter().all(|&q| scaler.restore(q).is_finite()),
                "{}",
                at()
            );
            assert!(out.s.is_finite() && out.s2.is_finite(), "{}", at());
            assert!(out.experts.iter().all(|f| f.is_finite()), "{}", at());
            let scored = &toy.scored[k];
            assert!(scored.linear.iter().all(|w| w.is_finite()), "{}", at());
            let stacks = [&scored.classical.stack, &scored.served.stack];
            assert!(
                stacks.iter().all(|stack| stack.iter().all(|x| x.is_finite())),
                "{}",
                at()
            );
            for state in [&scored.classical.mixture, &scored.served.mixture] {
                let sum: f32 = mixture::weights(state).iter().sum();
                assert!((sum - 1.0).abs() < 1e-4, "{sum} {}", at());
                assert!(mixture::weights(state).iter().all(|&w| w > 0.0), "{}", at());
            }
        }
        if let Some(verdict) = verdict {
            assert!((0.0..=1.0).contains(&verdict.score), "{name} row {row}");
        }
    }
    assert!(covariance::tests::is_sound(&toy.covariance), "{name}");
}

fn noise(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895).fract() - 0.5
}

#[test]
fn forecasts_are_finite_and_monotone_on_hostile_input() {
    const ROWS: usize = 800;
    run("zeros", (0..ROWS).map(|_| Some(0.0)));
    run("constant", (0..ROWS).map(|_| Some(1234.5)));
    run(
        "constant then noise",
        (0..ROWS).map(|i| Some(if i < 400 { 3.0 } else { noise(i) })),
    );
    run(
        "noise then constant",
        (0..ROWS).map(|i| Some(if i > 400 { 3.0 } else { noise(i) })),
    );
    run("ties", (0..ROWS).map(|i| Some((i / 7 % 2) as f64)));
    run(
        "a step",
        (0..ROWS).map(|i| Some(noise(i) + if i > 300 { 1e9 } else { 0.0 })),
    );
    run(
        "a spike",
        (0..ROWS).map(|i| Some(if i == 300 { 1e30 } else { noise(i) })),
    );
    run("huge", (0..ROWS).map(|i| Some(noise(i) * 1e300)));
    run("tiny", (0..ROWS).map(|i| Some(noise(i) * 1e-300)));
    run(
        "far ends",
        (0..ROWS).map(|i| Some(if i % 2 == 0 { f64::MAX } else { f64::MIN })),
    );
    run("growing", (0..ROWS).map(|i| Some(1.1f64.powi(i as i32))));
    run(
        "shrinking",
        (0..ROWS).map(|i| Some(noise(i) * 0.5f64.powi(i as i32))),
    );
    run("ramp", (0..ROWS).map(|i| Some(i as f64 * 1e6)));
    run(
        "mostly missing",
        (0..ROWS).map(|i| (i % 5 == 0).then(|| noise(i))),
    );
    run(
        "missing at first",
        (0..ROWS).map(|i| (i > 50).then(|| noise(i) + 7.0)),
    );
    let orders = |i: usize| noise(i) * 10f64.powi((i * 7919 % 400) as i32 - 200);
    run("random orders", (0..ROWS).map(|i| Some(orders(i))));
}

#[test]
fn a_spike_is_forgotten_within_days() {
    let calendar = Calendar::with_steps(HOUR_MS, 0, &[24, 168]);
    let mut toy = Toy::new(ExpertSet::all(), calendar, &[1, 12, 96]);
    let mut scaler = Scaler::zeroed();
    let (mut before, mut after) = (0.0, 0.0);
    for i in 0..1_500 {
        let value = if i == 700 { 1e30 } else { 50.0 + noise(i) };
        scaler.observe(value);
        if let Some(by) = scaler.rebase() {
            toy.rebase(by);
        }
        toy.sigma = (scaler.sigma_normalised(), scaler.is_settled());
        let (out, _) = toy.step(Some(scaler.normalise(value)), |_| [-1.6, 0.0, 1.6]);
        let width = scaler.restore_scale(out[0].quantiles[3] - out[0].quantiles[1]);
        if i == 699 {
            before = width;
        }
        after = width;
    }
    assert!(
        after < 3.0 * before,
        "{before} before, {after} 800 steps after the spike"
    );
}

/// Standing still says nothing about what comes after it: cutting errors at 12 of nothing would leave nothing.
#[test]
fn a_stream_that_stood_still_learns_its_scale_again() {
    for still in [60, 3_000, 60_000] {
        let calendar = Calendar::with_steps(HOUR_MS, 0, &[24, 168]);
        let mut toy = Toy::new(ExpertSet::all(), calendar, &[1, 12]);
        let mut scaler = Scaler::zeroed();
        let (mut inside, mut judged) = (0u32, 0u32);
        let mut previous: Option<[f64; 2]> = None;
        for i in 0..still + 1_000 {
            let moving = i >= still || (still > 100 && i < 100);
            let value = if moving {
                80.0 + noise(i) + noise(i * i)
            } else {
                0.0
            };
            if let (Some([low, high]), true) = (previous, i >= still + 200) {
                judged += 1;
                inside += u32::from(value >= low && value <= high);
            }
            scaler.observe(value);
            if let Some(by) = scaler.rebase() {
                toy.rebase(by);
            }
            toy.sigma = (scaler.sigma_normalised(), scaler.is_settled());
            let (out, _) = toy.step(Some(scaler.normalise(value)), |_| [-1.6, 0.0, 1.6]);
            previous = Some([1, 3].map(|q| scaler.restore(out[0].quantiles[q])));
        }
        let share = f64::from(inside) / f64::from(judged);
        assert!((0.7..0.92).contains(&share), "after {still} steps: {share}");
    }
}

#[test]
fn bands_cover_what_they_say() {
    let calendar = Calendar::with_steps(HOUR_MS, 0, &[24, 168]);
    let mut toy = Toy::new(ExpertSet::all(), calendar, &[1, 12]);
    let (mut inside, mut judged, mut flags) = (0, 0, 0);
    let mut previous: Option<[f32; 5]> = None;
    for i in 0..4_000 {
        let day = (i % 24) as f32 / 24.0 * std::f32::consts::TAU;
        let y = 2.0 * day.sin() + noise(i) as f32 + noise(i * i) as f32;
        if let (Some(q), true) = (previous, i > 1_000) {
            judged += 1;
            inside += usize::from(y >= q[1] && y <= q[3]);
        }
        toy.sigma = (1.5, i > 48);
        let (out, verdict) = toy.step(Some(y), |_| [-1.6, 0.0, 1.6]);
        flags += usize::from(verdict.is_some_and(|verdict| verdict.flag));
        previous = Some(out[0].quantiles);
    }
    let share = f64::from(inside as u32) / f64::from(judged);
    assert!((share - 0.8).abs() < 0.025, "80 % band covers {share}");
    assert!(flags <= 2, "{flags} flags on noise");
}
