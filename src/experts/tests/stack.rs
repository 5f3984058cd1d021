//! The stack: the prototype's numbers (`tests/fixtures/experts/stack.py`), and P over a million steps of f32.

use super::twin::{HORIZONS, Worst, series, toy};
use crate::experts::mixture::{self, MixtureRates};
use crate::experts::pending::Flights;
use crate::experts::stack::{self, CENTRES};
use crate::series::Rebase;

const FIXTURE: &str = include_str!("../../../tests/fixtures/experts/stack.csv");

/// As in `twin.rs`; weights of some hundredths of what they multiply.
const TOLERANCE: f32 = 2e-3;

/// The stack and the centre around the toy's classical experts of one horizon.
struct Stacked {
    horizon: usize,
    stride: usize,
    rates: MixtureRates,
    stack: Vec<f32>,
    centre: Vec<f32>,
    /// By row: the experts' forecasts, m1, m2, served.
    issued: Vec<(Vec<f32>, [f32; 2], f32)>,
}

impl Stacked {
    fn new(horizon: u32, season: u32) -> Self {
        let stride = Flights::ACCURATE.stride(horizon, season);
        let mut stack = vec![0.0; stack::len(6)];
        stack::start(&mut stack);
        let mut centre = vec![0.0; mixture::len(CENTRES)];
        mixture::start(&mut centre);
        Self {
            horizon: horizon as usize,
            stride: stride as usize,
            rates: MixtureRates::new(horizon, stride),
            stack,
            centre,
            issued: Vec::new(),
        }
    }

    fn mature(&mut self, y: f32, is_learnt: bool) {
        let Some(origin) = self.issued.len().checked_sub(self.horizon) else {
            return;
        };
        if origin % self.stride != 0 {
            return;
        }
        let (forecasts, centres, served) = &self.issued[origin];
        if is_learnt {
            let forgetting = stack::forgetting(self.stride as u32);
            stack::learn(&mut self.stack, forecasts, centres[0], y, forgetting);
        }
        mixture::learn(&mut self.centre, centres, *served, y, &self.rates);
    }

    fn issue(&mut self, forecasts: &[f32], m1: f32) {
        let m2 = stack::forecast(stack::weights(&self.stack), forecasts, m1);
        let served = mixture::mix(mixture::weights(&self.centre), &[m1, m2]);
        self.issued.push((forecasts.to_vec(), [m1, m2], served));
    }
}

/// The worst deviation from the fixture, of weights and of forecasts.
fn deviation(name: &str, is_learnt: bool) -> Worst {
    let season = if name == "walk" { 1 } else { 24 };
    let mut toy = toy(name);
    let mut horizons = HORIZONS.map(|b| Stacked::new(b, season));
    let mut worst = Worst(0.0, String::new());
    let mut rows = 0;
    for (row, y) in series(name).into_iter().enumerate() {
        if let Some(y) = y {
            horizons.iter_mut().for_each(|each| each.mature(y, is_learnt));
        }
        let (out, _) = toy.step(y, |_| [-1.6, 0.0, 1.6]);
        for (stacked, out) in horizons.iter_mut().zip(&out) {
            stacked.issue(&out.experts[..6], out.m1);
            let prefix = format!("{name},{row},{},", stacked.horizon);
            let Some(line) = FIXTURE.lines().find(|line| line.starts_with(&prefix)) else {
                continue;
            };
            rows += 1;
            let expected = line[prefix.len()..].split(',').map(|x| x.parse::<f32>().unwrap());
            let (_, [_, m2], served) = &stacked.issued[row];
            let weights = stack::weights(&stacked.stack).iter().copied();
            let got = weights.chain([*m2, mixture::weights(&stacked.centre)[1], *served]);
            for (i, (got, expected)) in got.zip(expected).enumerate() {
                worst.compare(got, expected, 1.0 + expected.abs(), || {
                    format!("{prefix} column {i}")
                });
            }
        }
    }
    assert!(rows >= 50, "{rows} rows of {name}");
    worst
}

#[test]
fn stack_and_centre_agree_with_the_prototype() {
    for name in ["day", "walk", "gaps"] {
        let worst = deviation(name, true);
        assert!(worst.0 < TOLERANCE, "{} off by {}", worst.1, worst.0);
    }
}

/// Negative control: the twin is not blind.
#[test]
fn a_stack_that_does_not_learn_shows_in_the_twin() {
    let worst = deviation("day", false);
    assert!(worst.0 > 10.0 * TOLERANCE, "{}", worst.0);
}

fn noise(i: usize) -> f32 {
    ((i as f64 * 0.618_033_988_749_895).fract() - 0.5) as f32
}

/// Experts of very different worth, two of them equal, and a mix of them: the regressors never span all directions.
fn experts(i: usize, count: usize) -> (Vec<f32>, f32, f32) {
    let y = (i as f32 / 3.8).sin() * 3.0 + noise(i * i);
    let forecast = |e: usize| y + noise(i * (2 * e + 3)) * (1 + e) as f32 + 0.1 * e as f32;
    let mut forecasts: Vec<f32> = (0..count).map(forecast).collect();
    forecasts[count - 1] = forecasts[0];
    let weights = vec![1.0 / count as f32; count];
    let mixed = mixture::mix(&weights, &forecasts);
    (forecasts, mixed, y)
}

/// P (E, E) of a state.
fn covariance(state: &[f32], experts: usize) -> Vec<Vec<f64>> {
    let diagonal = &state[experts..2 * experts];
    let columns = &state[2 * experts..];
    let u = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Less => f64::from(columns[j * (j - 1) / 2 + i]),
        std::cmp::Ordering::Equal => 1.0,
        std::cmp::Ordering::Greater => 0.0,
    };
    let entry = |i, j| {
        (0..experts)
            .map(|k| u(i, k) * f64::from(diagonal[k]) * u(j, k))
            .sum()
    };
    (0..experts)
        .map(|i| (0..experts).map(|j| entry(i, j)).collect())
        .collect()
}

/// The same in f64 with P as it is written in the books.
#[derive(Debug)]
struct Plain {
    w: Vec<f64>,
    p: Vec<Vec<f64>>,
    scale: f64,
    usual: f64,
    count: f64,
}

impl Plain {
    fn new(experts: usize) -> Self {
        let row = |i| {
            (0..experts)
                .map(|j| if i == j { 1.0 / 300.0 } else { 0.0 })
                .collect()
        };
        Self {
            w: vec![0.0; experts],
            p: (0..experts).map(row).collect(),
            scale: 0.0,
            usual: 0.0,
            count: 0.0,
        }
    }

    fn learn(&mut self, forecasts: &[f32], mixed: f32, y: f32, forgetting: f64) {
        let miss = f64::from(y) - f64::from(mixed);
        self.count += 1.0;
        self.scale += (miss.abs() - self.scale) * (1.0 / self.count).max(0.002);
        let away = |f: &f32| (f64::from(*f) - f64::from(mixed)) / self.scale;
        let x: Vec<f64> = forecasts.iter().map(away).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let px: Vec<f64> = self.p.iter().map(|row| dot(row, &x)).collect();
        let total = forgetting + dot(&px, &x);
        let mut error = miss / self.scale - dot(&self.w, &x);
        let size = error.abs();
        if self.count > 30.0 {
            error = error.clamp(-2.0 * self.usual, 2.0 * self.usual);
        }
        let most = if self.count < 30.0 {
            f64::MAX
        } else {
            4.0 * self.usual
        };
        self.usual += (size.min(most) - self.usual) * (1.0 / self.count).max(0.005);
        for (i, row) in self.p.iter_mut().enumerate() {
            self.w[i] += px[i] / total * error;
            for (entry, pj) in row.iter_mut().zip(&px) {
                *entry = (*entry - px[i] * pj / total) / forgetting;
            }
        }
        let trace: f64 = self.p.iter().enumerate().map(|(i, row)| row[i]).sum();
        let by = (1e3 / 300.0 * x.len() as f64 / trace).min(1.0);
        self.p.iter_mut().flatten().for_each(|entry| *entry *= by);
    }
}

#[test]
fn stack_is_the_plain_recursion() {
    const EXPERTS: usize = 7;
    let mut state = vec![0.0; stack::len(EXPERTS)];
    stack::start(&mut state);
    let mut plain = Plain::new(EXPERTS);
    for i in 0..20_000 {
        let (forecasts, mixed, y) = experts(i, EXPERTS);
        stack::learn(&mut state, &forecasts, mixed, y, stack::forgetting(3));
        plain.learn(&forecasts, mixed, y, f64::from(stack::forgetting(3)));
    }
    let largest = plain
        .p
        .iter()
        .flatten()
        .fold(0.0, |most: f64, p| most.max(p.abs()));
    for (i, row) in covariance(&state, EXPERTS).iter().enumerate() {
        let (w, expected) = (f64::from(state[i]), plain.w[i]);
        assert!((w - expected).abs() < 2e-3, "weight {i}: {w} for {expected}");
        for (j, p) in row.iter().enumerate() {
            assert!((p - plain.p[i][j]).abs() < 1e-3 * largest, "P {i} {j}: {p}");
        }
    }
    let most = plain.w.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
    assert!(most > 0.05, "it learnt something: {:?}", plain.w);
}

/// Positive on the diagonal of D means positive P; symmetric it is by its form.
fn assert_sound(state: &[f32], experts: usize, at: &str) {
    assert!(state.iter().all(|x| x.is_finite()), "{at}: {state:?}");
    let diagonal = &state[experts..2 * experts];
    assert!(diagonal.iter().all(|&d| d > 0.0), "{at}: {diagonal:?}");
    let p = covariance(state, experts);
    let trace: f64 = (0..experts).map(|i| p[i][i]).sum();
    assert!(
        trace < 1.001 * 1e3 / 300.0 * experts as f64,
        "{at}: trace {trace}"
    );
}

#[test]
fn covariance_stays_positive_over_a_million_steps() {
    const EXPERTS: usize = 12;
    for stride in [1, 7] {
        let mut state = vec![0.0; stack::len(EXPERTS)];
        stack::start(&mut state);
        for i in 0..1_000_000 {
            let (mut forecasts, mixed, y) = experts(i, EXPERTS);
            if i / 100_000 == 5 {
                forecasts.fill(mixed); // nothing to learn from for a long time
            }
            stack::learn(&mut state, &forecasts, mixed, y, stack::forgetting(stride));
            if i % 1_000 == 0 {
                assert_sound(&state, EXPERTS, &format!("step {i}"));
            }
        }
        let weights = stack::weights(&state);
        assert!(weights.iter().all(|w| w.abs() < 1.0), "{weights:?}");
        let (mut with, mut without) = (0.0, 0.0);
        for i in 1_000_000..1_005_000 {
            let (forecasts, mixed, y) = experts(i, EXPERTS);
            with += (stack::forecast(weights, &forecasts, mixed) - y).abs();
            without += (mixed - y).abs();
        }
        assert!(with < 0.9 * without, "errors {with} for {without} of the mix");
    }
}

#[test]
fn hostile_input_leaves_the_stack_sound() {
    const EXPERTS: usize = 5;
    type Make = fn(usize) -> f32;
    let cases: [(&str, Make); 7] = [
        ("zeros", |_| 0.0),
        ("constant", |_| 1234.5),
        ("ties", |i| (i / 7 % 2) as f32),
        ("spikes", |i| if i % 1_000 == 999 { 1e6 } else { noise(i) }),
        ("far ends", |i| if i % 2 == 0 { 1e6 } else { -1e6 }),
        ("tiny", |i| noise(i) * 1e-12),
        (
            "stands, then moves",
            |i| {
                if i < 4_000 { 0.0 } else { 1e6 * noise(i) }
            },
        ),
    ];
    for (name, y) in cases {
        let mut state = vec![0.0; stack::len(EXPERTS)];
        stack::start(&mut state);
        for i in 5..8_000 {
            let forecasts: Vec<f32> = (1..=EXPERTS).map(|back| y(i - back)).collect();
            let mixed = mixture::mix(&[1.0 / EXPERTS as f32; EXPERTS], &forecasts);
            let at = format!("{name} step {i}");
            let got = stack::forecast(stack::weights(&state), &forecasts, mixed);
            assert!(got.is_finite() && got.abs() <= 1e8, "{at}: {got}");
            stack::learn(&mut state, &forecasts, mixed, y(i), stack::forgetting(1));
            assert_sound(&state, EXPERTS, &at);
        }
    }
}

/// A stream that stood still learns from what comes after as a new one does.
#[test]
fn a_standstill_does_not_blind_the_stack() {
    const EXPERTS: usize = 4;
    let mut state = vec![0.0; stack::len(EXPERTS)];
    stack::start(&mut state);
    let mut fresh = state.clone();
    for _ in 0..5_000 {
        stack::learn(&mut state, &[7.0; EXPERTS], 7.0, 7.0, stack::forgetting(1));
    }
    for i in 0..3_000 {
        let (forecasts, mixed, y) = experts(i, EXPERTS);
        for state in [&mut state, &mut fresh] {
            stack::learn(state, &forecasts, mixed, y, stack::forgetting(1));
        }
    }
    for (after, fresh) in stack::weights(&state).iter().zip(stack::weights(&fresh)) {
        assert!((after - fresh).abs() < 0.05, "{after} after, {fresh} fresh");
    }
}

#[test]
fn stack_follows_its_stream_into_new_units() {
    const EXPERTS: usize = 4;
    let by = Rebase {
        shift: 2.0,
        ratio: 0.25,
    };
    let mut state = vec![0.0; stack::len(EXPERTS)];
    stack::start(&mut state);
    let mut moved = state.clone();
    for i in 0..600 {
        let (forecasts, mixed, y) = experts(i, EXPERTS);
        stack::learn(&mut state, &forecasts, mixed, y, stack::forgetting(1));
        if i == 300 {
            stack::rebase(&mut moved, by);
        }
        let to = |x: f32| if i >= 300 { by.value(x) } else { x };
        let forecasts: Vec<f32> = forecasts.into_iter().map(to).collect();
        stack::learn(&mut moved, &forecasts, to(mixed), to(y), stack::forgetting(1));
    }
    for (a, b) in stack::weights(&state).iter().zip(stack::weights(&moved)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}
