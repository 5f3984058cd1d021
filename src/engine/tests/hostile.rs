use super::{Bench, HOUR_MS, Kept, Numbers, config, lively};
use crate::engine::Status;

/// Finite, monotone, weights that sum to 1.
pub(super) fn check(kept: &Kept, levels: usize, horizons: usize, what: &str) {
    let all = kept
        .mean
        .iter()
        .chain(&kept.quantiles)
        .chain([&kept.scale, &kept.observed]);
    for value in all {
        assert!(value.is_finite(), "{what}: {kept:?}");
    }
    for level in 1..levels {
        for horizon in 0..horizons {
            let below = kept.quantiles[(level - 1) * horizons + horizon];
            let above = kept.quantiles[level * horizons + horizon];
            assert!(
                below <= above,
                "{what}: level {level} horizon {horizon}: {below} > {above}"
            );
        }
    }
    let total: f64 = kept.experts.iter().map(|(_, weight)| weight).sum();
    assert!((total - 1.0).abs() < 1e-3, "{what}: weights sum to {total}");
    if let Some(anomaly) = kept.anomaly {
        assert!(
            (0.0..=1.0).contains(&anomaly.score) && (0.0..=1.0).contains(&anomaly.p),
            "{what}: {anomaly:?}"
        );
    }
}

pub(super) fn hostile_series() -> Vec<(&'static str, Vec<f64>)> {
    let mut numbers = Numbers(21);
    let mut noise = || numbers.normal();
    let n = 400;
    let constant = |value: f64| vec![value; n];
    let spike = |height: f64, noise: &mut dyn FnMut() -> f64| -> Vec<f64> {
        (0..n)
            .map(|t| if t % 97 == 50 { height } else { noise() })
            .collect()
    };
    vec![
        ("zero", constant(0.0)),
        ("constant", constant(21.5)),
        ("1e30", constant(1e30)),
        ("1e300", constant(1e300)),
        ("max", constant(f64::MAX)),
        ("tiny", (0..n).map(|t| t as f64 * 5e-324).collect()),
        ("huge noise", (0..n).map(|_| 1e300 * noise()).collect()),
        (
            "signs",
            (0..n)
                .map(|t| if t % 2 == 0 { f64::MAX } else { -f64::MAX })
                .collect(),
        ),
        ("spikes 1e30", spike(1e30, &mut noise)),
        ("spikes max", spike(f64::MAX, &mut noise)),
        ("ties", (0..n).map(|t| f64::from(t as u32 / 50 % 2)).collect()),
        ("steps", (0..n).map(|t| 10f64.powi(t as i32 / 40)).collect()),
        (
            "collapse",
            (0..n).map(|t| noise() * 10f64.powi(-(t as i32) / 20)).collect(),
        ),
        (
            "growth",
            (0..n).map(|t| noise() * 10f64.powi(t as i32 / 2)).collect(),
        ),
        (
            "quiet, then loud",
            (0..n)
                .map(|t| if t < 200 { 5.0 } else { 1e6 * noise() })
                .collect(),
        ),
        (
            "loud, then quiet",
            (0..n)
                .map(|t| if t < 200 { 1e6 * noise() } else { 5.0 })
                .collect(),
        ),
        ("level", (0..n).map(|t| 1e9 + 1e-3 * (t % 7) as f64).collect()),
    ]
}

#[test]
fn engine_stays_finite_and_monotone_on_hostile_values() {
    let mut config = config();
    config.horizons = (1..=24).collect();
    for (name, values) in hostile_series() {
        let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
        for (hour, &value) in values.iter().enumerate() {
            let value = if hour % 41 == 40 { None } else { Some(value) };
            let time_ms = (hour as i64 + if hour > 300 { 1_000_000 } else { 0 }) * HOUR_MS;
            if let Some(kept) = bench.one("s", time_ms, value).forecast() {
                check(kept, 5, 24, &format!("{name} at {hour}"));
            } else {
                assert!(
                    value.is_none(),
                    "{name} at {hour}: an observation gives a forecast"
                );
            }
        }
    }
}

#[test]
fn engine_forecasts_from_the_first_observation_with_a_band_around_it() {
    let mut bench = Bench::new(config());
    let seen = bench.one("s", 0, Some(21.5));
    let kept = seen.forecast().expect("published from the first observation on");
    check(kept, 5, 4, "first");
    assert!(
        matches!(kept.status, Status::Warming { ready_in: 1.. }),
        "{:?}",
        kept.status
    );
    let (low, middle, high) = (kept.quantiles[4], kept.quantiles[8], kept.quantiles[12]);
    assert!(
        low < 21.5 && 21.5 < high && (middle - 21.5).abs() < 1e-6,
        "{low} {middle} {high}"
    );
}

#[test]
fn engine_follows_a_value_through_a_change_of_level() {
    let mut bench = Bench::new(config());
    let mut values = vec![1.0; 100];
    values.extend(vec![1e12; 100]);
    let seen = bench.series("s", &values);
    let last = seen[199].forecast().unwrap();
    let median = last.quantiles[2 * 4];
    assert!((median / 1e12 - 1.0).abs() < 1e-2, "{median}");
}
