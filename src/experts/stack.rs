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
pub const EXPERTS_MAX: usize = 16;

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
    let away: f32 = weights.iter().zip(forecasts).map(|(w, f)| w * (f - mixed)).sum();
    mixed + away
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
    let mut x = [0.0; EXPERTS_MAX];
    for (x, f) in x.iter_mut().zip(forecasts) {
        *x = ((f - mixed) / unit).clamp(-REGRESSOR_MAX, REGRESSOR_MAX);
    }
    let x = &x[..experts];
    let predicted: f32 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    let error = miss / unit - predicted;
    let size = error.abs();
    let is_warm = *count >= WARM;
    let clipped = if *count > WARM {
        error.clamp(-CLIP * *usual, CLIP * *usual)
    } else {
        error
    };
    let noted = if is_warm { size.min(4.0 * *usual) } else { size };
    *usual += (noted - *usual) * (1.0 / *count).max(0.005);
    let (gain, total) = absorb(factors, x, forgetting);
    for (w, gain) in weights.iter_mut().zip(gain) {
        *w = (*w + gain / total * clipped).clamp(-WEIGHT_MAX, WEIGHT_MAX);
    }
}

/// P ← (P − P x x'P/(λ + x'P x))/λ, its trace capped, on D (E) and the columns of U behind it; P x and λ + x'P x as they
/// were. With f = U'x, g = D f, α_j = λ + Σ_{i ≤ j} f_i g_i: d_j ← d_j α_{j−1}/(α_j λ), u_j ← u_j − b f_j/α_{j−1} and
/// b ← b + u_j g_j (the old u_j), at the end b = P x.
fn absorb(factors: &mut [f32], x: &[f32], forgetting: f32) -> ([f32; EXPERTS_MAX], f32) {
    let experts = x.len();
    let (diagonal, columns) = factors.split_at_mut(experts);
    let mut b = [0.0; EXPERTS_MAX];
    let mut alpha = forgetting;
    let mut trace = 0.0;
    let mut rest = columns;
    for j in 0..experts {
        let (column, after) = rest.split_at_mut(j);
        rest = after;
        let f = x[j] + column.iter().zip(x).map(|(u, x)| u * x).sum::<f32>();
        let g = diagonal[j] * f;
        let before = alpha;
        alpha += f * g;
        diagonal[j] *= before / (alpha * forgetting);
        let (slope, mut squares) = (f / before, 1.0);
        for (u, b) in column.iter_mut().zip(&mut b) {
            let old = *u;
            *u -= *b * slope;
            *b += old * g;
            squares += *u * *u;
        }
        b[j] = g;
        trace += diagonal[j] * squares;
    }
    let most = TRACE_MAX * experts as f32;
    if trace > most {
        let by = most / trace;
        diagonal.iter_mut().for_each(|d| *d *= by);
    }
    (b, alpha)
}

/// Re-bases the scale of the error; weights and P stay.
pub fn rebase(state: &mut [f32], by: Rebase) {
    let scale = state.len() - REST;
    state[scale] = by.scale(state[scale]);
}
