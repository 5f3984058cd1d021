use super::*;
use crate::series::calendar::{Calendar, DAY_MS};

const MINUTE: i64 = 60_000;

fn filled(until: i64, f: impl Fn(i64) -> f32) -> (SeasonRing, Vec<f32>, Season) {
    let season = Calendar::auto(MINUTE, 0).day;
    let (mut ring, mut means) = (SeasonRing::zeroed(), vec![0.0; KEPT]);
    for minute in 0..until {
        ring.update(&mut means, season, minute * MINUTE, f(minute));
    }
    (ring, means, season)
}

#[test]
fn season_ring_reads_a_smooth_day_back() {
    let shape = |minute: i64| (minute as f32 / 1_440.0 * std::f32::consts::TAU).sin();
    let (ring, means, season) = filled(3 * 1_440, shape);
    for back in (30..1_440).step_by(17) {
        let minute = 3 * 1_440 - 1 - back;
        let got = ring.at(&means, season, minute * MINUTE).unwrap();
        assert!((got - shape(minute)).abs() < 0.01, "{back}: {got}");
    }
}

#[test]
fn season_ring_knows_its_ends() {
    let (ring, means, season) = filled(1_440 * 5, |minute| minute as f32);
    assert_eq!(ring.at(&means, season, -MINUTE), None);
    assert_eq!(
        ring.at(&means, season, 3 * DAY_MS),
        None,
        "two days ago is overwritten"
    );
    assert!(ring.at(&means, season, 4 * DAY_MS).is_some());
    assert_eq!(SeasonRing::zeroed().at(&means, season, 0), None);
}

#[test]
fn season_ring_fills_a_long_gap_with_the_newest_mean() {
    let (mut ring, mut means, season) = filled(1_440, |_| 2.0);
    ring.update(&mut means, season, 400 * DAY_MS, 9.0);
    assert_eq!(ring.at(&means, season, 400 * DAY_MS - 60 * MINUTE), Some(2.0));
    for hostile in [i64::MAX, i64::MIN, -1] {
        ring.update(&mut means, season, hostile, 1.0);
        assert!(ring.at(&means, season, hostile).is_some_and(f32::is_finite));
    }
}
