//! A watched engine says more and computes the same.

use super::{Bench, HOUR_MS, Seen, config, lively, observation};

/// Two days of a daily wave with every seventh reading missing; outcomes, fingerprint.
fn run(watched: bool) -> (Vec<Seen>, u64) {
    let config = config();
    let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
    if watched {
        bench.engine.watch();
    }
    let seen = (0..60)
        .map(|hour| {
            let value = (f64::from(hour) * std::f64::consts::TAU / 24.0).sin();
            bench.one("a", i64::from(hour) * HOUR_MS, (hour % 7 != 3).then_some(value))
        })
        .collect();
    (seen, bench.state.fingerprint())
}

#[test]
fn watching_changes_neither_state_nor_outcomes() {
    let (seen, fingerprint) = run(false);
    assert!(seen.contains(&Seen::Other("missing")));
    assert_eq!(run(true), (seen, fingerprint));
}

#[test]
fn watching_shows_each_expert_and_the_forecast_of_a_missing_reading() {
    let config = config();
    let mut bench = Bench::new(config);
    bench.engine.watch();
    for hour in 0..60 {
        bench.one("a", hour * HOUR_MS, Some((hour % 24) as f64));
    }
    let (engine, state) = (&mut bench.engine, &mut bench.state);
    for (hour, value) in [(60, Some(12.0)), (61, None)] {
        engine.admit(state, observation("a", hour * HOUR_MS, value, 0));
    }
    let outcomes = engine.step(state);
    let experts = outcomes.each_expert(0).unwrap();
    let (horizons, width) = (4, experts.len() / 4);
    assert_eq!(width, 13, "twelve experts and the mix of eleven");
    for said in experts.chunks(width).take(horizons) {
        assert!((said[0] - 12.0).abs() < 1e-5, "last value says the value");
    }
    assert!(
        (experts[2 * width + 1] - 12.0).abs() < 1e-4,
        "a day ahead the season says the same"
    );
    let forecast = outcomes.unpublished(1).unwrap();
    assert_eq!((forecast.origin_ms, forecast.mean.len()), (61 * HOUR_MS, 4));
    assert!(forecast.observed.is_nan());
    assert!(outcomes.each_expert(1).is_some() && outcomes.unpublished(0).is_none());
}
