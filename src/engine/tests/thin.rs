use proptest::prelude::*;

use super::{Bench, HOUR_MS, Kept, Numbers, Seen, config, lively, observation};
use crate::engine::{Config, Status};

/// What a thinned forecast leaves of `whole`: numbers of the first and the last horizon.
fn ends(whole: &Kept) -> (Vec<u32>, Vec<f64>, Vec<f64>) {
    let count = whole.horizons.len();
    let pick = |numbers: &[f64]| {
        let rows = numbers.chunks_exact(count);
        rows.flat_map(|row| [row[0], row[count - 1]]).collect()
    };
    (
        vec![whole.horizons[0], whole.horizons[count - 1]],
        pick(&whole.mean),
        pick(&whole.quantiles),
    )
}

/// Runs three streams hourly, thinned where `on` says so; outcomes by step, and the fingerprint.
fn run(config: &Config, on: &[bool]) -> (Vec<Vec<Seen>>, u64) {
    let mut bench = Bench::with_model(config.clone(), lively(config, 3));
    let mut numbers = Numbers(7);
    let mut seen = Vec::new();
    for (step, &on) in on.iter().enumerate() {
        bench.state.thin(on);
        let time_ms = step as i64 * HOUR_MS;
        let wave = (step as f64 * std::f64::consts::TAU / 24.0).sin();
        let all: Vec<_> = ["a", "b", "c"]
            .map(|id| observation(id, time_ms, Some(wave + 0.2 * numbers.normal()), 0))
            .into();
        seen.push(bench.batch(&all));
    }
    (seen, bench.state.fingerprint())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn thinning_leaves_state_and_the_numbers_it_publishes_alone(
        on in prop::collection::vec(any::<bool>(), 80),
        last in 3u32..24,
    ) {
        let mut config = config();
        config.horizons = (2..=last).collect();
        let (whole, expected) = run(&config, &[false; 80]);
        let (seen, fingerprint) = run(&config, &on);
        prop_assert_eq!(fingerprint, expected);
        for ((seen, whole), on) in seen.iter().zip(&whole).zip(on) {
            for (seen, whole) in seen.iter().zip(whole) {
                let (seen, whole) = (seen.forecast().unwrap(), whole.forecast().unwrap());
                if !on || last == 3 {
                    prop_assert_eq!(seen, whole);
                    continue;
                }
                prop_assert_eq!(seen.status, Status::Degraded);
                let (horizons, mean, quantiles) = ends(whole);
                let expected = Kept { horizons, mean, quantiles, status: Status::Degraded, ..whole.clone() };
                prop_assert_eq!(seen, &expected);
            }
        }
    }
}

#[test]
fn thinning_leaves_nothing_out_of_a_single_horizon() {
    let mut config = config();
    config.horizons = vec![12];
    let (seen, _) = run(&config, &[true; 60]);
    let last = seen[59][0].forecast().unwrap();
    assert_eq!((&last.horizons[..], last.status), (&[12][..], Status::Ready));
}
