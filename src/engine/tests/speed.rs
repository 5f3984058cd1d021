use std::time::Instant;

use super::{Bench, HOUR_MS, Numbers, config, lively, observation};

/// Run by hand: `cargo test --release --lib engine_speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
#[allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]
fn engine_speed() {
    for horizons in [(1..=12).collect(), vec![1, 12, 24, 96]] {
        let mut config = config();
        config.model.hidden = 48;
        config.horizons = horizons;
        config.quantiles = vec![0.1, 0.5, 0.9];
        let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
        let ids: Vec<String> = (0..1_000).map(|i| format!("pump-{i}/temperature")).collect();
        let mut numbers = Numbers(1);
        let mut started = Instant::now();
        let (warm, steps) = (100, 200);
        for hour in 0..warm + steps {
            if hour == warm {
                started = Instant::now();
            }
            for id in &ids {
                let value = numbers.normal();
                bench
                    .engine
                    .admit(&mut bench.state, observation(id, hour * HOUR_MS, Some(value), 0));
            }
            assert_eq!(bench.engine.step(&mut bench.state).len(), ids.len());
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / (steps * ids.len() as i64) as f64;
        println!("horizons {:?}: {micros:.2} µs per observation", config.horizons);
    }
}
