use super::*;

fn noise(i: u32) -> f64 {
    (f64::from(i) * 0.618_033_988_749_895).fract() - 0.5
}

fn run(scaler: &mut Scaler, values: impl Iterator<Item = f64>) -> u32 {
    let mut count = 0;
    for value in values {
        scaler.observe(value);
        count += u32::from(scaler.rebase().is_some());
        let x = scaler.normalise(value);
        assert!(x.is_finite() && scaler.restore(x).is_finite());
        assert!(scaler.sigma() > 0.0 && scaler.sigma().is_finite());
    }
    count
}

#[test]
fn sigma_is_three_root_mean_squares_of_the_differences() {
    let mut scaler = Scaler::zeroed();
    run(
        &mut scaler,
        (0..400).map(|i| if i % 2 == 0 { 10.0 } else { 12.0 }),
    );
    assert!((scaler.sigma() - 6.0).abs() < 1e-9);
    assert!((0.25..=4.0).contains(&scaler.sigma_normalised()));
}

#[test]
fn scaler_settles_at_the_forty_eighth_difference_that_is_not_zero() {
    let mut scaler = Scaler::zeroed();
    run(&mut scaler, (0..95).map(|i| f64::from(i / 2)));
    assert!(!scaler.is_settled());
    run(&mut scaler, [47.0, 48.0].into_iter());
    assert!(scaler.is_settled());
}

#[test]
fn a_constant_stream_has_the_floor_for_its_scale() {
    let mut scaler = Scaler::zeroed();
    run(&mut scaler, std::iter::repeat_n(500.0, 100));
    assert!((scaler.sigma() - 5e-4).abs() < 1e-12);
    assert_eq!(scaler.restore(scaler.normalise(500.0)), 500.0);
}

#[test]
fn rebase_is_rare_on_a_stream_that_stays() {
    let mut scaler = Scaler::zeroed();
    let early = run(&mut scaler, (0..200).map(|i| 1e6 + noise(i)));
    let late = run(&mut scaler, (200..20_000).map(|i| 1e6 + noise(i)));
    assert!(early <= 6 && late == 0, "{early} {late}");
}

#[test]
fn rebase_follows_level_and_scale() {
    let mut scaler = Scaler::zeroed();
    run(&mut scaler, (0..500).map(noise));
    run(&mut scaler, (0..500).map(|i| 1e7 + noise(i)));
    assert!(scaler.normalise(1e7).abs() < 1_000.0, "the base followed");
    run(&mut scaler, (0..5_000).map(|i| 1e7 + 1e4 * noise(i)));
    let x = scaler.sigma_normalised();
    assert!((0.25..=4.0).contains(&x), "{x}");
}

#[test]
fn rebase_says_what_it_does_to_a_value() {
    let mut scaler = Scaler::zeroed();
    run(&mut scaler, (0..300).map(noise));
    let mut moved = 0;
    for i in 0..2_000u32 {
        let value = f64::from(i) * 3.0 + noise(i);
        let old = scaler.normalise(value);
        scaler.observe(value);
        if let Some(by) = scaler.rebase() {
            moved += 1;
            let (got, expected) = (by.value(old), scaler.normalise(value));
            assert!((got - expected).abs() < 1e-3, "{got} {expected}");
        }
    }
    assert!(moved > 3);
}

#[test]
fn one_spike_hardly_moves_scale_and_level() {
    for spike in [1e30, -1e300, 1e5] {
        let mut scaler = Scaler::zeroed();
        run(&mut scaler, (0..2_000).map(|i| 5.0 + noise(i)));
        let before = scaler.sigma();
        run(&mut scaler, std::iter::once(spike));
        run(&mut scaler, (0..50).map(|i| 5.0 + noise(i)));
        assert!(
            scaler.sigma() < 3.0 * before,
            "{spike}: {before} {}",
            scaler.sigma()
        );
        assert!(scaler.normalise(5.0).abs() < 1_000.0);
    }
}
