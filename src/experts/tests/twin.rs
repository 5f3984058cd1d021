//! The numbers of the prototype (`tests/fixtures/experts/make.py`), reproduced.

use bytemuck::Zeroable;

use super::parts::Slots;
use super::toy::Toy;
use crate::experts::base::Past;
use crate::experts::mixture;
use crate::experts::{Expert, ExpertSet};
use crate::series::calendar::{Calendar, HOUR_MS};
use crate::series::profile::{DAY_RATE, Profile, ProfileRules};
use crate::series::ring::Ring;
use crate::series::season_ring::{KEPT, SeasonRing};

const SERIES: &str = include_str!("../../../tests/fixtures/experts/series.csv");
const CHAIN: &str = include_str!("../../../tests/fixtures/experts/chain.csv");
const LONG: &str = include_str!("../../../tests/fixtures/experts/long.csv");
pub(super) const HORIZONS: [u32; 4] = [1, 12, 24, 96];

/// Absolute and relative: the prototype computes in f64, the product in f32 over 1500 steps of feedback; fixtures have
/// seven digits.
const TOLERANCE: f32 = 2e-3;

pub(super) fn series(name: &str) -> Vec<Option<f32>> {
    let mut lines = SERIES.lines();
    let header = lines.next().unwrap();
    let column = header.split(',').position(|each| each == name).unwrap();
    lines
        .map(|line| line.split(',').nth(column).unwrap().parse().ok())
        .collect()
}

pub(super) struct Worst(pub(super) f32, pub(super) String);

impl Worst {
    pub(super) fn compare(&mut self, got: f32, expected: f32, scale: f32, what: impl Fn() -> String) {
        let away = (got - expected).abs() / scale;
        assert!(got.is_finite(), "{}: {got}", what());
        if away > self.0 {
            *self = Self(away, format!("{}: {got} for {expected}", what()));
        }
    }
}

fn network(step: u64) -> [f32; 3] {
    let t = step as f32;
    [
        -1.4 + 0.4 * (t / 11.0).cos(),
        0.3 * (t / 9.0).sin(),
        1.6 + 0.5 * (t / 17.0).sin(),
    ]
}

/// The chain's twin has the experts without an hour and without the linear ones, which have their own.
fn without_hour() -> ExpertSet {
    let is_in = |expert: &Expert| !expert.is_linear() && *expert != Expert::Hour;
    ExpertSet::of(ExpertSet::all().iter().filter(is_in))
}

pub(super) fn calendar(name: &str) -> Calendar {
    if name == "walk" {
        Calendar::without(HOUR_MS, 0)
    } else {
        Calendar::with_steps(HOUR_MS, 0, &[24, 168])
    }
}

pub(super) fn toy(name: &str) -> Toy {
    let mut toy = Toy::new(without_hour(), calendar(name), &HORIZONS);
    toy.sigma = (1.0, true);
    toy
}

fn expected(name: &str, row: usize, h: u32) -> Option<Vec<f32>> {
    let prefix = format!("{name},{row},{h},");
    let line = CHAIN.lines().find(|line| line.starts_with(&prefix))?;
    Some(
        line[prefix.len()..]
            .split(',')
            .map(|x| x.parse().unwrap())
            .collect(),
    )
}

fn compare_chain(name: &str) {
    let mut toy = toy(name);
    let mut worst = Worst(0.0, String::new());
    let mut rows = 0;
    for (row, y) in series(name).into_iter().enumerate() {
        let (out, _) = toy.step(y, network);
        for (k, &h) in HORIZONS.iter().enumerate() {
            let Some(e) = expected(name, row, h) else { continue };
            rows += 1;
            let o = &out[k];
            let mut got = vec![o.day, o.week];
            got.extend(&o.experts[..6]);
            got.extend(mixture::weights(&toy.scored[k].classical.mixture));
            got.extend([o.classical, o.s]);
            got.extend(mixture::weights(&toy.scored[k].served.mixture));
            got.extend([o.served, o.s2]);
            got.extend(o.quantiles);
            assert_eq!(got.len(), e.len());
            for (i, (&got, &e)) in got.iter().zip(&e).enumerate() {
                worst.compare(got, e, 1.0 + e.abs(), || {
                    format!("{name} row {row} h {h} column {i}")
                });
            }
        }
    }
    assert!(rows >= 50, "{rows} rows of {name}");
    assert!(worst.0 < TOLERANCE, "{} off by {}", worst.1, worst.0);
}

#[test]
fn twin_agrees_on_a_daily_cycle_with_a_step() {
    compare_chain("day");
}

#[test]
fn twin_agrees_on_a_random_walk_without_season() {
    compare_chain("walk");
}

#[test]
fn twin_agrees_where_values_are_missing() {
    compare_chain("gaps");
}

/// Negative control: the twin is not blind. A share that is not learnt shows.
#[test]
fn twin_sees_a_share_that_is_not_learnt() {
    let mut toy = toy("day");
    let mut most = 0f32;
    for (row, y) in series("day").into_iter().enumerate() {
        for scored in &mut toy.scored {
            scored.shares = [crate::experts::share::Share::START; 4];
        }
        let (out, _) = toy.step(y, network);
        if let Some(e) = expected("day", row, 12) {
            most = most.max((out[1].served - e[23]).abs() / (1.0 + e[23].abs()));
        }
    }
    assert!(most > 10.0 * TOLERANCE, "{most}");
}

/// Re-based in the middle, forecasts come out the same in the new units.
#[test]
fn rebase_moves_every_piece_of_state() {
    use crate::series::Rebase;
    let by = Rebase {
        shift: 8.0,
        ratio: 0.25,
    };
    let (mut plain, mut moved) = (toy("day"), toy("day"));
    for (row, y) in series("day").into_iter().enumerate() {
        if row == 700 {
            moved.rebase(by);
        }
        let in_new = |x: f32| if row >= 700 { by.value(x) } else { x };
        let (out, _) = plain.step(y, network);
        let (out_moved, _) = moved.step(y.map(in_new), network);
        for (a, b) in out.iter().zip(&out_moved) {
            for (&a, &b) in a.quantiles.iter().zip(&b.quantiles) {
                assert!(
                    (in_new(a) - b).abs() < 2e-3 * (1.0 + b.abs()),
                    "row {row}: {a} {b}"
                );
            }
        }
    }
}

#[test]
fn twin_agrees_on_slots_of_several_steps_and_on_a_season_ring() {
    let of = |steps: u32| Calendar::with_steps(60_000, 0, &[steps]);
    let mut short = Slots::new(ProfileRules::new(of(96).day, 48, DAY_RATE));
    let mut long = Slots::new(ProfileRules::new(of(480).day, 96, DAY_RATE));
    let calendar = of(288);
    let (mut season, mut means) = (SeasonRing::zeroed(), vec![0.0; KEPT]);
    let (mut ring, mut values) = (Ring::zeroed(), vec![0.0; 10]);
    let mut rows = 0;
    for (row, y) in series("day").into_iter().map(Option::unwrap).enumerate() {
        let local_ms = row as i64 * 60_000;
        short.take(local_ms, y);
        long.take(local_ms, y);
        season.update(&mut means, calendar.day, local_ms, y);
        ring.push(&mut values, y);
        for line in LONG.lines().filter(|line| line.starts_with(&format!("{row},"))) {
            rows += 1;
            let fields: Vec<&str> = line.split(',').collect();
            let h: u32 = fields[1].parse().unwrap();
            let ahead = |slots: &Slots| {
                slots
                    .view()
                    .at(slots.rules.season.index(local_ms + i64::from(h) * 60_000))
            };
            for (got, field) in [(ahead(&short), fields[2]), (ahead(&long), fields[3])] {
                assert_close(got, field.parse().ok(), line);
            }
            let past = Past {
                calendar: &calendar,
                local_ms,
                steps: row as u64,
                last: y,
                ring: &ring,
                ring_values: &values,
                season: &season,
                season_means: &means,
                day: short.view(),
                week: short.view(),
                hour: short.view(),
            };
            assert_close(Some(past.ahead(h).seasonal), fields[4].parse().ok(), line);
        }
    }
    assert_eq!(rows, 36);
    assert_eq!(Profile::zeroed(), Slots::new(short.rules).state);
}

fn assert_close(got: Option<f32>, expected: Option<f32>, line: &str) {
    match (got, expected) {
        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} for {b} in {line}"),
        (a, b) => assert_eq!(a, b, "{line}"),
    }
}
