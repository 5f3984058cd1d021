//! Linear autoregression, one covariance for all horizons and bases (RECIPE §3).
//!
//! At step t with regressors x ([`regressors()`], in σ), base B and scored horizon b:
//! ```text
//! f = B(t + b) + σ w'x                                      forecast
//! u = P x, P ← (P − u u' / (λ + x'u)) / λ, ridge            covariance, every step
//! matured origin s: e = (y − B) / σ_s − w'x_s, clipped at 3 EW|e|
//!                   w += e n u_s / (λ + n x_s'u_s)          weights of b and B; n the stride of b: the gain is boosted
//! ```
//! u_s = P_s x_s is kept with the origin: today's P in its place costs .4 % of the error, the error as issued without x_s
//! 1.2 % (RECIPE §7). Everything here is free of units, and so moves with no re-basing; only σ_s follows.
//!
//! Least squares do not begin before σ is settled: a σ far too small makes them explode.

pub mod covariance;
mod regressors;

pub use regressors::{PLAIN, regressors};

use crate::experts::base::Bases;
use crate::experts::interpolate::Place;
use crate::experts::{Expert, ExpertSet};
use crate::nn::{Loops, wide};
use crate::series::calendar::Calendar;

/// Most regressors (d).
pub const REGRESSORS: usize = 30;
/// A vector over the regressors, padded to whole lanes; what lies behind the first d is 0.
pub type Vector = [f32; 32];
/// f32 words of one expert's weights at one scored horizon: the weights (d), then EW|e| and the errors seen.
pub const WEIGHTS_LEN: usize = REGRESSORS + 2;
/// Forgetting of a step. .9998 and .999 are within .1 %.
const LAMBDA: f32 = 0.9995;
/// Errors beyond so many times the usual are cut.
const CLIP: f32 = 3.0;
/// Errors before the usual one is robust.
const WARM: f32 = 50.0;
/// Slowest rate of the usual error.
const RATE_MIN: f32 = 0.005;
/// Largest error and largest deviation, in σ.
const LIMIT: f32 = 1_000.0;

/// Experts that are linear regressions, each around its own base.
pub const LINEAR: [Expert; 4] = [
    Expert::Linear,
    Expert::LinearDay,
    Expert::LinearWeek,
    Expert::LinearHour,
];

/// x of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regressors {
    /// In σ.
    pub x: Vector,
    /// d: 30; 26 with a season longer than the ring; 12 without a season.
    pub len: usize,
}

/// A matured origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lesson {
    /// x_s.
    pub x: Vector,
    /// u_s = P_s x_s.
    pub u: Vector,
    /// n.
    pub stride: f32,
}

/// The base of a linear expert, value-like; the origin's value `last` for any other.
#[must_use]
pub const fn base_of(expert: Expert, last: f32, ahead: &Bases) -> f32 {
    match expert {
        Expert::LinearDay => ahead.day,
        Expert::LinearWeek => ahead.week,
        Expert::LinearHour => ahead.hour,
        _ => last,
    }
}

/// Whether a linear expert has no base of its own, since its season does not exist: then it says what [`Expert::Linear`]
/// says (last value, where that takes no part), and learns nothing.
#[must_use]
pub const fn is_idle(expert: Expert, calendar: &Calendar) -> bool {
    match expert {
        Expert::LinearDay | Expert::LinearWeek => !calendar.day.is_some(),
        Expert::LinearHour => !calendar.hour.is_some(),
        _ => false,
    }
}

/// What the forecasts of a step are made of, beside the weights.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Seasons.
    pub calendar: &'a Calendar,
    /// x_t.
    pub x: &'a Vector,
    /// σ, normalised.
    pub sigma: f32,
    /// y_t.
    pub last: f32,
}

/// Forecasts of the linear experts of `set` at a scored horizon, into their places in `out` (E). `weights` are those of
/// the horizon, [`WEIGHTS_LEN`] for each linear expert in order; `ahead` are the bases at the target.
///
/// # Panics
/// Where `weights` or `out` are not those of the set.
pub fn forecasts(set: ExpertSet, weights: &[f32], origin: &Origin<'_>, ahead: &Bases, out: &mut [f32]) {
    let Origin {
        calendar,
        x,
        sigma,
        last,
    } = *origin;
    let mut deviations = [0.0; LINEAR.len()];
    wide(Deviations {
        weights,
        x,
        out: &mut deviations,
    });
    for (expert, deviation) in set.linear().zip(deviations) {
        let place = set.index_of(expert).expect("it is one of the set");
        out[place] = if is_idle(expert, calendar) {
            set.index_of(Expert::Linear).map_or(last, |linear| out[linear])
        } else {
            base_of(expert, last, ahead) + sigma * deviation
        };
    }
}

/// Forecasts of the linear experts at a horizon between scored ones, into their places in `out` (E), where the other
/// experts' forecasts, exact at the horizon, are already. What is interpolated is how far a linear expert is from the mix of
/// the others; that mix is exact at each of the three horizons. `scored` are the forecasts (E) at the scored ones, `weights`
/// those of the mix between them (E).
///
/// A regression follows every cycle that helps it, and its distance from last value or from one profile is that of the
/// other cycles: between 21 and 96 steps of 5-minute data, interpolating it made forecasts half as bad again.
pub fn between(set: ExpertSet, place: Place, scored: [&[f32]; 2], weights: &[f32], out: &mut [f32]) {
    let others = |forecasts: &[f32]| {
        let (mut sum, mut total) = (0.0, 0.0);
        for ((expert, weight), forecast) in set.classical().iter().zip(weights).zip(forecasts) {
            if !expert.is_linear() {
                sum += weight * (forecast - forecasts[0]);
                total += weight;
            }
        }
        forecasts[0] + sum / (total + super::TINY)
    };
    let [low, high] = scored.map(others);
    let here = others(out);
    for (slot, expert) in set.iter().enumerate() {
        if expert.is_linear() {
            out[slot] = here + place.between(scored[0][slot] - low, scored[1][slot] - high);
        }
    }
}

/// Forgets the weights of the regressors from `kept` on. What error is usual is found anew.
///
/// # Panics
/// Where `weights` are not [`WEIGHTS_LEN`].
pub fn forget(weights: &mut [f32], kept: usize) {
    weights[kept..WEIGHTS_LEN].fill(0.0);
}

/// [`deviation`] of every expert whose weights there are.
struct Deviations<'a> {
    weights: &'a [f32],
    x: &'a Vector,
    out: &'a mut [f32],
}

impl Loops for Deviations<'_> {
    #[inline(always)]
    fn run(self) {
        for (out, weights) in self.out.iter_mut().zip(self.weights.chunks_exact(WEIGHTS_LEN)) {
            *out = deviation(weights, self.x);
        }
    }
}

/// w'x in σ, finite.
#[inline(always)]
fn deviation(weights: &[f32], x: &Vector) -> f32 {
    let w = weights.first_chunk().expect("as many words as a vector has");
    // Behind the weights lie two words that x has zeros for.
    covariance::dot(w, x).clamp(-LIMIT, LIMIT)
}

/// Learns a matured origin; `target` is (y − B) / σ_s.
///
/// # Panics
/// Where `weights` are not [`WEIGHTS_LEN`].
pub fn learn(weights: &mut [f32], lesson: &Lesson, target: f32) {
    let weights = weights.first_chunk_mut().expect("as many words as a vector has");
    wide(Learn {
        weights,
        lesson,
        target,
    });
}

struct Learn<'a> {
    weights: &'a mut Vector,
    lesson: &'a Lesson,
    target: f32,
}

impl Loops for Learn<'_> {
    #[inline(always)]
    fn run(self) {
        let Lesson { x, u, stride } = self.lesson;
        let weights = self.weights;
        let miss = (self.target - deviation(weights, x)).clamp(-LIMIT, LIMIT);
        let [.., usual, count] = weights;
        let error = clipped(usual, count, miss);
        let gain = error * stride / (LAMBDA + stride * covariance::dot(x, u).max(0.0));
        // Behind the regressors u is 0: what lies there stays.
        for (w, u) in weights.iter_mut().zip(u) {
            *w += gain * u;
        }
        // 0 where all are finite, else no number.
        if !covariance::dot(weights, &Vector::default()).is_finite() {
            weights.fill(0.0);
        }
    }
}

/// The error with its outlier cut; notes it.
#[inline(always)]
fn clipped(usual: &mut f32, count: &mut f32, error: f32) -> f32 {
    *count = (*count + 1.0).min(1e6);
    let size = error.abs();
    if *usual < super::STILL && size > 4.0 * CLIP * *usual {
        // The end of a standstill is no outlier.
        *count = 1.0;
    }
    let cut = CLIP * *usual;
    let is_outlier = *count > WARM && size > cut;
    // A cut error still counts for half as much again as the cut, so that the usual one follows a change.
    let noted = if is_outlier { 1.5 * cut } else { size };
    *usual += (noted - *usual) * count.recip().max(RATE_MIN);
    if is_outlier { cut.copysign(error) } else { error }
}
