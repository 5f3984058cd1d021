//! The stack: recursive least squares of y − m1 on f_e − m1 around the mix m1 (RECIPE §4b), and the two centres that the
//! served median is mixed of (§4c).
//!
//! With g = EW|y − m1|, x_e = (f_e − m1)/g, e = (y − m1)/g − w·x at a matured origin:
//! ```text
//! k = P x / (λ + x'P x)      w += k e      P ← (P − k x'P)/λ      P_0 = I/300, w_0 = 0
//! ```
//! e is clipped at 2 EW|e|, λ = .9998^n, the trace of P is capped at 1e3·E/300: the ridge pulls to m1. The forecast is
//! m2 = m1 + Σ w (f − m1).
//!
//! Σ (weights of the mix)·x is 0 at every origin, so one direction of P is never excited and grows to the cap while the
//! others shrink: in f32 the subtraction above then loses P's sign. So P is held as U D U' (U unit upper triangular, D a
//! positive diagonal) and updated by products alone (Bierman, *Factorization Methods for Discrete Sequential Estimation*,
//! 1977): symmetric and positive whatever comes in, at the same count of numbers.
//!
//! Around the stack, the served median is the mix by [`super::mixture`] of [`CENTRES`] forecasts, m1 and m2, with the
//! rates of (a).

use crate::nn::{Loops, vector, wide};
use crate::series::Rebase;

/// Forecasts that the served median is mixed of: m1 and m2.
pub const CENTRES: usize = 2;

/// Pull to m1. 100 follows noise.
const RIDGE: f32 = 300.0;
/// Trace of P at most, per expert.
const TRACE_MAX: f32 = 1e3 / RIDGE;
/// Forgetting per step.
const FORGETTING: f32 = 0.9998;
/// Errors are clipped at so many usual ones.
const CLIP: f32 = 2.0;
/// Errors seen before they are clipped.
const WARM: f32 = 30.0;
/// Regressors at most, in usual errors: beyond, one origin (a spike, the end of a standstill) would fill P. On the
/// development data 150 is the most, 100 changes no digit, and 20 costs a tenth of a percent.
const REGRESSOR_MAX: f32 = 100.0;
/// Weights at most, both signs. On the development data none is beyond 1.
const WEIGHT_MAX: f32 = 4.0;
/// Experts at most.
pub const EXPERTS_MAX: usize = vector::LANES;

/// Numbers beside weights and P: EW|y − m1|, EW|e|, origins seen.
const REST: usize = 3;

/// Length of the state for so many experts (E): E weights, P as D (E) and U (E(E − 1)/2), and three numbers.
#[must_use]
pub const fn len(experts: usize) -> usize {
    experts + experts * (experts + 1) / 2 + REST
}

/// Experts (E) of a state of this length.
fn experts_of(state: &[f32]) -> usize {
    (1..=EXPERTS_MAX)
        .find(|&experts| len(experts) == state.len())
        .expect("state has the length of `len`")
}

/// λ of an origin where every `stride`-th one is learnt.
#[must_use]
pub fn forgetting(stride: u32) -> f32 {
    FORGETTING.powi(stride.min(1 << 20) as i32)
}

/// Makes the state that of a stack which says m1.
pub fn start(state: &mut [f32]) {
    let experts = experts_of(state);
    state.fill(0.0);
    state[experts..2 * experts].fill(1.0 / RIDGE);
}

/// Weights (E), free; linear in log h between scored horizons.
#[must_use]
pub fn weights(state: &[f32]) -> &[f32] {
    &state[..experts_of(state)]
}

/// m2 = m1 + Σ w (f − m1) over (E).
#[must_use]
pub fn forecast(weights: &[f32], forecasts: &[f32], mixed: f32) -> f32 {
    let (w, f) = (vector::lanes(weights), vector::lanes(forecasts));
    mixed + vector::weighted(&w, &f, mixed)
}

/// Learns a matured origin: its experts' forecasts (E), the mix m1 of them as it was, the truth; `forgetting` is λ of
/// its stride. Not called before the stream's scale is held no longer (RECIPE §2).
///
/// # Panics
/// Where `forecasts` is not (E).
pub fn learn(state: &mut [f32], forecasts: &[f32], mixed: f32, y: f32, forgetting: f32) {
    let experts = forecasts.len();
    assert_eq!(state.len(), len(experts), "one forecast per expert");
    let (weights, rest) = state.split_at_mut(experts);
    let (factors, rest) = rest.split_at_mut(rest.len() - REST);
    let [scale, usual, count] = rest else {
        unreachable!("three behind the factors")
    };
    let miss = y - mixed;
    if *scale < super::STILL && miss.abs() > 8.0 * *scale {
        *count = 0.0;
    }
    *count = (*count + 1.0).min(1e6);
    *scale += (miss.abs() - *scale) * (1.0 / *count).max(0.002);
    let unit = *scale + super::TINY;
    let mut error = Error {
        miss: miss / unit,
        usual,
        count: *count,
    };
    wide(Learn {
        weights,
        factors,
        forecasts,
        mixed,
        per_unit: unit.recip(),
        error: &mut error,
        forgetting,
    });
}

/// What the weights learn from, in usual errors.
struct Error<'a> {
    /// y − m1.
    miss: f32,
    /// EW|e|.
    usual: &'a mut f32,
    /// Origins seen.
    count: f32,
}

impl Error<'_> {
    /// e, clipped; notes it.
    #[inline(always)]
    fn note(&mut self, predicted: f32) -> f32 {
        let error = self.miss - predicted;
        let (size, usual) = (error.abs(), *self.usual);
        let noted = if self.count >= WARM {
            size.min(4.0 * usual)
        } else {
            size
        };
        *self.usual += (noted - usual) * (1.0 / self.count).max(0.005);
        if self.count > WARM {
            error.clamp(-CLIP * usual, CLIP * usual)
        } else {
            error
        }
    }
}

/// One origin's lesson.
struct Learn<'a> {
    weights: &'a mut [f32],
    factors: &'a mut [f32],
    forecasts: &'a [f32],
    mixed: f32,
    per_unit: f32,
    error: &'a mut Error<'a>,
    forgetting: f32,
}

impl Loops for Learn<'_> {
    #[inline(always)]
    fn run(self) {
        let experts = self.forecasts.len();
        let mut x = [0.0; EXPERTS_MAX];
        for (x, f) in x.iter_mut().zip(self.forecasts) {
            *x = ((f - self.mixed) * self.per_unit).clamp(-REGRESSOR_MAX, REGRESSOR_MAX);
        }
        let mut w = vector::lanes(self.weights);
        let error = self.error.note(vector::dot(&w, &x));
        let (gain, total) = absorb(self.factors, experts, &x, self.forgetting);
        let step = error / total;
        for (w, gain) in w.iter_mut().zip(&gain) {
            *w = (*w + gain * step).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        self.weights.copy_from_slice(&w[..experts]);
    }
}

/// 1 at a row, 0 elsewhere. A single number put into a vector in memory would make its next reader wait.
const AT: [[f32; EXPERTS_MAX]; EXPERTS_MAX] = {
    let mut at = [[0.0; EXPERTS_MAX]; EXPERTS_MAX];
    let mut j = 0;
    while j < EXPERTS_MAX {
        at[j][j] = 1.0;
        j += 1;
    }
    at
};

/// 1 before a row, 0 from it on.
const BEFORE: [[f32; EXPERTS_MAX]; EXPERTS_MAX] = {
    let mut before = [[0.0; EXPERTS_MAX]; EXPERTS_MAX];
    let mut j = 0;
    while j < EXPERTS_MAX {
        let mut i = 0;
        while i < j {
            before[j][i] = 1.0;
            i += 1;
        }
        j += 1;
    }
    before
};

/// Words of U, and a vector behind them: columns are read and written as whole vectors.
const COLUMNS: usize = EXPERTS_MAX * (EXPERTS_MAX - 1) / 2 + EXPERTS_MAX;

/// P ← (P − P x x'P/(λ + x'P x))/λ, its trace capped, on D (E) and the columns of U behind it; P x and λ + x'P x as they
/// were. With f = U'x, g = D f, α_j = λ + Σ_{i ≤ j} f_i g_i: d_j ← d_j α_{j−1}/(α_j λ), u_j ← u_j − b f_j/α_{j−1} and
/// b ← b + u_j g_j (the old u_j), at the end b = P x. What lies behind the experts in `x` is 0.
#[inline(always)]
fn absorb(
    factors: &mut [f32],
    experts: usize,
    x: &[f32; EXPERTS_MAX],
    forgetting: f32,
) -> ([f32; EXPERTS_MAX], f32) {
    let (diagonal, columns) = factors.split_at_mut(experts);
    let mut packed = [0.0; COLUMNS];
    packed[..columns.len()].copy_from_slice(columns);
    let mut u = [[0.0; EXPERTS_MAX]; EXPERTS_MAX];
    let (mut f, mut d) = (*x, vector::lanes(diagonal));
    let mut start = 0;
    for j in 1..experts {
        let column: &[f32; EXPERTS_MAX] = packed[start..].first_chunk().expect("a vector lies behind U");
        for i in 0..EXPERTS_MAX {
            u[j][i] = column[i] * BEFORE[j][i];
        }
        f[j] += vector::dot(&u[j], x);
        start += j;
    }
    let mut g = [0.0; EXPERTS_MAX];
    for j in 0..EXPERTS_MAX {
        g[j] = d[j] * f[j];
    }
    // α before and after each column: a chain of sums, kept apart from the divisions.
    let (mut before, mut after) = ([forgetting; EXPERTS_MAX], [forgetting; EXPERTS_MAX]);
    let mut alpha = forgetting;
    for j in 0..experts {
        before[j] = alpha;
        alpha += f[j] * g[j];
        after[j] = alpha;
    }
    let mut slopes = [0.0; EXPERTS_MAX];
    for j in 0..EXPERTS_MAX {
        d[j] *= before[j] / (after[j] * forgetting);
        slopes[j] = f[j] / before[j];
    }
    let (mut b, mut squares) = ([0.0; EXPERTS_MAX], d);
    start = 0;
    for j in 0..experts {
        let column: &mut [f32; EXPERTS_MAX] =
            packed[start..].first_chunk_mut().expect("a vector lies behind U");
        let (slope, gj, dj, old) = (slopes[j], g[j], d[j], u[j]);
        // From row j on column and b are 0; what is written there, the next columns overwrite.
        for i in 0..EXPERTS_MAX {
            column[i] = old[i] - b[i] * slope;
            squares[i] += dj * (column[i] * column[i]);
            b[i] += (old[i] + AT[j][i]) * gj;
        }
        start += j;
    }
    columns.copy_from_slice(&packed[..columns.len()]);
    let (trace, most) = (vector::sum(&squares), TRACE_MAX * experts as f32);
    let by = if trace > most { most / trace } else { 1.0 };
    for (diagonal, d) in diagonal.iter_mut().zip(&d) {
        *diagonal = d * by;
    }
    (b, alpha)
}

/// Re-bases the scale of the error; weights and P stay.
pub fn rebase(state: &mut [f32], by: Rebase) {
    let scale = state.len() - REST;
    state[scale] = by.scale(state[scale]);
}
