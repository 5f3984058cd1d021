//! The linear experts: the prototype's numbers (`tests/fixtures/experts/linear.py`).

use super::toy::Toy;
use super::twin::{HORIZONS, Worst, calendar, series};
use crate::experts::linear::{WEIGHTS_LEN, covariance};
use crate::experts::{Expert, ExpertSet};

const FIXTURE: &str = include_str!("../../../tests/fixtures/experts/linear.csv");

/// Of σ. The prototype computes in f64 and keeps P_s x_s so; the product computes in f32 and keeps it in f16.
const TOLERANCE: f32 = 0.02;

/// The worst deviation from the fixture; `spoil` may tamper with the state after each step.
fn deviation(name: &str, spoil: impl Fn(&mut Toy)) -> Worst {
    let set = ExpertSet::from_names(["linear", "linear_day", "linear_week", "network"]).unwrap();
    let mut toy = Toy::new(set, calendar(name), &HORIZONS);
    let sigma = |line: &str| line.split(',').nth(3).unwrap().parse().unwrap();
    let first = FIXTURE.lines().find(|line| line.starts_with(name)).unwrap();
    toy.sigma = (sigma(first), true);
    let mut worst = Worst(0.0, String::new());
    let mut rows = 0;
    for (row, y) in series(name).into_iter().enumerate() {
        let (out, _) = toy.step(y, |_| [-1.6, 0.0, 1.6]);
        spoil(&mut toy);
        for (out, h) in out.iter().zip(HORIZONS) {
            let prefix = format!("{name},{row},{h},");
            let Some(line) = FIXTURE.lines().find(|line| line.starts_with(&prefix)) else {
                continue;
            };
            rows += 1;
            let expected = line.split(',').skip(4).map(|x| x.parse().unwrap());
            for (expert, expected) in set.linear().zip(expected) {
                let got = out.experts[set.index_of(expert).unwrap()];
                worst.compare(got, expected, toy.sigma.0, || {
                    format!("{name} row {row} h {h} {expert:?}")
                });
            }
        }
    }
    assert_eq!(rows, 56);
    worst
}

#[test]
fn linear_experts_agree_with_the_prototype() {
    for name in ["day", "walk", "gaps"] {
        let worst = deviation(name, |_| {});
        assert!(worst.0 < TOLERANCE, "{} off by {} σ", worst.1, worst.0);
    }
}

/// Negative controls: the twin is not blind.
#[test]
fn twin_sees_weights_that_are_not_learnt_and_a_covariance_that_stands_still() {
    let unlearnt = deviation("day", |toy| {
        toy.scored.iter_mut().for_each(|scored| scored.linear.fill(0.0));
    });
    assert!(unlearnt.0 > 10.0 * TOLERANCE, "{}", unlearnt.0);
    let still = deviation("day", |toy| covariance::start(&mut toy.covariance));
    assert!(still.0 > 10.0 * TOLERANCE, "{}", still.0);
}

/// Without a season, those that need one say what `linear` says, and keep no weights.
#[test]
fn experts_without_their_season_say_what_linear_says() {
    let set = ExpertSet::from_names(["linear*", "network"]).unwrap();
    let mut toy = Toy::new(set, calendar("walk"), &HORIZONS);
    toy.sigma = (1.5, true);
    let mut moved = false;
    for y in series("walk") {
        let (out, _) = toy.step(y, |_| [-1.6, 0.0, 1.6]);
        for out in &out {
            let linear = out.experts[set.index_of(Expert::Linear).unwrap()];
            moved |= linear != out.experts[0];
            for expert in [Expert::LinearDay, Expert::LinearWeek, Expert::LinearHour] {
                assert_eq!(out.experts[set.index_of(expert).unwrap()], linear);
            }
        }
    }
    assert!(moved);
    for scored in &toy.scored {
        assert!(scored.linear[..WEIGHTS_LEN].iter().any(|&w| w != 0.0));
        assert!(scored.linear[WEIGHTS_LEN..].iter().all(|&w| w == 0.0));
    }
}
