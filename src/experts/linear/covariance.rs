//! The covariance P of recursive least squares, one for all horizons and bases of a stream, as U D U' (U unit upper
//! triangular, D a positive diagonal).
//!
//! Each step takes the row x with forgetting λ = .9995, then one ridge pseudo-observation of coordinate c = t mod d with
//! weight r = δ d (1 − λ): P ← (P − u u'/(λ + x'u))/λ with u = P x, P ← P − r v v'/(1 + r v_c) with v = P e_c. The ridge keeps
//! P below about 1/δ, so that no cap of its trace is needed.
//!
//! The subtraction above loses P's sign in f32 as soon as two regressors are nearly the same and large, as the lags of a
//! smooth stream are. The factors are updated by products alone (G. Bierman, *Factorization Methods for Discrete
//! Sequential Estimation*, 1977, V.3): symmetric and positive whatever comes in, with the same count of numbers, and about
//! as many operations:
//! ```text
//! f = U'x, g = D f, α_j = λ + Σ_{i ≤ j} f_i g_i,  then for each column j:
//! d_j ← d_j α_{j−1} / (α_j λ),  u_j ← u_j − b f_j / α_{j−1},  b ← b + u_j g_j (the old u_j),  b_j = g_j;  at the end b = P x
//! ```
//! D takes 32 f32; column j of U its first j rows, rounded up to whole lanes of 8: every loop runs over whole lanes.

use crate::experts::linear::{LAMBDA, REGRESSORS, Vector};
use crate::nn::{Loops, wide};

/// Lanes of a loop.
const LANES: usize = 8;
/// f32 words of D.
const DIAGONAL: usize = size_of::<Vector>() / size_of::<f32>();
/// f32 words of a covariance (free: regressors have no unit).
pub const LEN: usize = column_start(REGRESSORS);
/// δ: strength of the ridge.
const RIDGE: f32 = 1.0;
/// A row tells P at most this much more than it knew: one spike would otherwise stop learning along it for 1e4 steps.
const LEVERAGE_MAX: f32 = 100.0;

/// Rows of column `j` that are kept.
const fn column_len(j: usize) -> usize {
    j.next_multiple_of(LANES)
}

/// Where column `j` begins.
const fn column_start(j: usize) -> usize {
    let (mut start, mut i) = (DIAGONAL, 0);
    while i < j {
        start += column_len(i);
        i += 1;
    }
    start
}

/// Where each column begins.
const STARTS: [usize; REGRESSORS] = {
    let mut starts = [0; REGRESSORS];
    let mut j = 0;
    while j < REGRESSORS {
        starts[j] = column_start(j);
        j += 1;
    }
    starts
};

/// 1 at a lane, 0 elsewhere.
const AT: [[f32; LANES]; LANES] = {
    let mut at = [[0.0; LANES]; LANES];
    let mut lane = 0;
    while lane < LANES {
        at[lane][lane] = 1.0;
        lane += 1;
    }
    at
};

/// P = 1.
pub fn start(p: &mut [f32]) {
    p.fill(0.0);
    p[..REGRESSORS].fill(1.0);
}

/// Forgets the regressors from `plain` on: P is that of the others alone, as if those had never been, beside 1. What
/// later columns add to the earlier ones is just what these knew less for having had company.
pub fn forget(p: &mut [f32], plain: usize) {
    p[STARTS[plain]..].fill(0.0);
    p[plain..REGRESSORS].fill(1.0);
}

/// Takes a step's row and its ridge, over the first `d` regressors; what lies behind them in `x` is 0. Gives P x with P as
/// it was before.
pub fn absorb(p: &mut [f32], d: usize, x: &Vector, step: u64) -> Vector {
    let mut product = Vector::default();
    wide(Absorb {
        p,
        d,
        x,
        step,
        product: &mut product,
    });
    product
}

struct Absorb<'a> {
    p: &'a mut [f32],
    d: usize,
    x: &'a Vector,
    step: u64,
    product: &'a mut Vector,
}

impl Loops for Absorb<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { p, d, x, step, .. } = self;
        let mut f = *x;
        for (j, f) in f.iter_mut().enumerate().take(d).skip(1) {
            let column = &p[STARTS[j]..][..column_len(j)];
            *f += sum_of_products(column, &x[..column.len()]);
        }
        let mut squares = Vector::default();
        for ((square, f), d) in squares.iter_mut().zip(&f).zip(&p[..DIAGONAL]) {
            *square = f * d;
        }
        let leverage = sum_of_products(&squares, &f);
        // A row of too much leverage is taken with a weight, so that it has the largest one.
        let shrink = (LEVERAGE_MAX / leverage.max(LEVERAGE_MAX)).sqrt();
        let mut product = take(p, 0..d, &f.map(|f| f * shrink), LAMBDA);
        product.iter_mut().for_each(|u| *u /= shrink);
        *self.product = product;
        pull(p, d, (step % d as u64) as usize);
    }
}

/// The ridge pseudo-observation of coordinate `c`.
#[inline(always)]
fn pull(p: &mut [f32], d: usize, c: usize) {
    let weight = (RIDGE * d as f32 * (1.0 - LAMBDA)).sqrt();
    let mut f = Vector::default();
    f[c] = weight;
    for j in c + 1..d {
        f[j] = weight * p[STARTS[j] + c];
    }
    take(p, c..d, &f, 1.0);
}

/// Takes f = U'x, which is 0 before the first of `columns`; gives P x.
#[inline(always)]
fn take(p: &mut [f32], columns: std::ops::Range<usize>, f: &Vector, forgetting: f32) -> Vector {
    let (diagonal, _) = p.split_at_mut(DIAGONAL);
    let mut g = Vector::default();
    for ((g, f), d) in g.iter_mut().zip(f).zip(&*diagonal) {
        *g = f * d;
    }
    // α before and after each column: a chain of sums, kept apart from the divisions.
    let (mut before, mut after) = (Vector::default(), Vector::default());
    let mut alpha = forgetting;
    for j in 0..DIAGONAL {
        before[j] = alpha;
        alpha += f[j] * g[j];
        after[j] = alpha;
    }
    // What lies behind the columns knows nothing, and has nothing to forget.
    let mut slopes = Vector::default();
    for j in 0..DIAGONAL {
        after[j] = before[j] / (after[j] * forgetting);
        slopes[j] = f[j] / before[j];
    }
    for (d, factor) in diagonal.iter_mut().zip(&after).take(columns.end) {
        *d *= factor;
    }
    let mut b = Vector::default();
    for j in columns {
        let column = &mut p[STARTS[j]..][..column_len(j)];
        let (slope, gj) = (slopes[j], g[j]);
        // Rows from j on are 0 in the column and in b, and stay so.
        for (u, b) in column.chunks_exact_mut(LANES).zip(b.chunks_exact_mut(LANES)) {
            for lane in 0..LANES {
                let old = u[lane];
                u[lane] -= b[lane] * slope;
                b[lane] += old * gj;
            }
        }
        // Whole lanes: a single number put into a vector in memory would make its next reader wait.
        let lanes = &mut b[j / LANES * LANES..][..LANES];
        for (b, at) in lanes.iter_mut().zip(&AT[j % LANES]) {
            *b += at * gj;
        }
    }
    b
}

/// x'y.
#[inline(always)]
#[must_use]
pub fn dot(x: &Vector, y: &Vector) -> f32 {
    sum_of_products(x, y)
}

/// Σ x y over whole lanes.
#[inline(always)]
fn sum_of_products(x: &[f32], y: &[f32]) -> f32 {
    let mut dots = [0f32; LANES];
    for (x, y) in x.chunks_exact(LANES).zip(y.chunks_exact(LANES)) {
        for lane in 0..LANES {
            dots[lane] += x[lane] * y[lane];
        }
    }
    let [a, b, c, d, e, f, g, h] = dots;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// P (d,d), row by row, in f64.
    pub(crate) fn dense(p: &[f32], d: usize) -> Vec<f64> {
        let u = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => f64::from(p[STARTS[j] + i]),
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 0.0,
        };
        let at = |i: usize, j: usize| (0..d).map(|k| u(i, k) * f64::from(p[k]) * u(j, k)).sum();
        (0..d * d).map(|n| at(n / d, n % d)).collect()
    }

    /// Whether a covariance is one: D positive and all numbers bounded.
    pub(crate) fn is_sound(p: &[f32]) -> bool {
        let padding_is_empty =
            (0..REGRESSORS).all(|j| p[STARTS[j]..][j..column_len(j)].iter().all(|&u| u == 0.0));
        padding_is_empty
            && p[..REGRESSORS].iter().all(|&d| d > 0.0 && d < 10.0)
            && p.iter().all(|x| x.is_finite())
    }

    fn noise(i: u64) -> f32 {
        ((i as f64 * 0.618_033_988_749_895).fract() - 0.5) as f32
    }

    /// Rows as a stream gives them: a constant, a direction never excited, two large ones that are so far apart.
    fn row(t: u64, d: usize, apart: f32) -> Vector {
        let mut x = Vector::default();
        let slow = 20.0 * (t as f32 / 300.0).sin();
        for (i, x) in x.iter_mut().enumerate().take(d) {
            *x = match i {
                0 => 0.3,
                1 => 0.0,
                2 => slow,
                3 => slow + apart * noise(t * 7),
                _ => noise(t * (i as u64 + 3)) + noise((t + 1) * i as u64),
            };
        }
        x
    }

    /// The plain recursion in f64.
    struct Plain {
        d: usize,
        p: Vec<f64>,
    }

    impl Plain {
        fn take(&mut self, x: &[f64], weight: f64, forgetting: f64) -> Vec<f64> {
            let d = self.d;
            let product = |i: usize| (0..d).map(|j| self.p[i * d + j] * x[j]).sum::<f64>();
            let u: Vec<f64> = (0..d).map(product).collect();
            let total = forgetting + weight * u.iter().zip(x).map(|(u, x)| u * x).sum::<f64>();
            for i in 0..d {
                for j in 0..d {
                    self.p[i * d + j] = (self.p[i * d + j] - weight * u[i] * u[j] / total) / forgetting;
                }
            }
            u
        }
    }

    #[test]
    fn factors_are_the_plain_recursion_in_f64() {
        for d in [12, 26, 30] {
            let mut p = vec![0.0; LEN];
            start(&mut p);
            let mut plain = Plain { d, p: dense(&p, d) };
            for t in 0..6_000 {
                let x = row(t, d, 0.3);
                let wide = x.map(f64::from);
                let leverage: f64 = (0..d * d).map(|n| plain.p[n] * wide[n / d] * wide[n % d]).sum();
                let weight = 1f64.min(f64::from(LEVERAGE_MAX) / leverage);
                let got = absorb(&mut p, d, &x, t);
                let expected = plain.take(&wide[..d], weight, f64::from(LAMBDA));
                let largest = expected.iter().fold(0f64, |most, u| most.max(u.abs()));
                for (got, expected) in got.iter().zip(&expected) {
                    let away = (f64::from(*got) - expected).abs();
                    assert!(away < 2e-3 * largest + 1e-5, "{d} at {t}: {got} for {expected}");
                }
                let mut coordinate = vec![0.0; d];
                coordinate[(t % d as u64) as usize] = 1.0;
                let ridge = f64::from(RIDGE) * d as f64 * (1.0 - f64::from(LAMBDA));
                plain.take(&coordinate, ridge, 1.0);
            }
            for (got, expected) in dense(&p, d).iter().zip(&plain.p) {
                assert!((got - expected).abs() < 2e-3, "{d}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn covariance_stays_positive_and_bounded_over_a_million_steps() {
        for d in [12, 30] {
            let mut p = vec![0.0; LEN];
            start(&mut p);
            for t in 0..1_000_000 {
                // Now and then the stream stands still, and now and then it jumps.
                let mut x = row(t, d, 1e-3);
                match t % 100_000 {
                    0..30_000 => x[4..].fill(0.0),
                    50_000 => x[4..d].fill(900.0),
                    _ => {}
                }
                let u = absorb(&mut p, d, &x, t);
                assert!(dot(&x, &u) >= -1e-3, "{d} at {t}");
                if t % 10_000 == 0 {
                    assert!(is_sound(&p), "{d} at {t}");
                }
            }
            let full = dense(&p, d);
            assert!((0..d).all(|i| full[i * d + i] < 1.1), "the ridge bounds it");
            assert!(is_sound(&p), "{d}");
        }
    }

    /// As if their weights were known to be 0.
    #[test]
    fn regressors_that_are_forgotten_leave_what_the_others_know_alone() {
        let (d, plain) = (REGRESSORS, 12);
        let mut p = vec![0.0; LEN];
        start(&mut p);
        for t in 0..3_000 {
            absorb(&mut p, d, &row(t, d, 0.3), t);
        }
        let mut known = Plain { d, p: dense(&p, d) };
        for j in plain..d {
            let mut coordinate = vec![0.0; d];
            coordinate[j] = 1.0;
            known.take(&coordinate, 1e9, 1.0);
        }
        forget(&mut p, plain);
        assert!(is_sound(&p));
        for (n, got) in dense(&p, d).into_iter().enumerate() {
            let (i, j) = (n / d, n % d);
            let expected = match (i < plain, j < plain) {
                (true, true) => known.p[n],
                _ => f64::from(u8::from(i == j)),
            };
            assert!((got - expected).abs() < 1e-5, "{i} {j}: {got} for {expected}");
        }
    }

    /// After a spike, learning along it goes on.
    #[test]
    fn a_spike_does_not_stop_learning() {
        let d = 12;
        let mut p = vec![0.0; LEN];
        start(&mut p);
        for t in 0..5_000 {
            absorb(&mut p, d, &row(t, d, 0.3), t);
        }
        let x = row(5_000, d, 0.3);
        let usual = dot(&x, &absorb(&mut p.clone(), d, &x, 5_000));
        absorb(&mut p, d, &x.map(|x| 1e3 * x), 5_000);
        let x = row(5_001, d, 0.3);
        let after = dot(&x, &absorb(&mut p, d, &x, 5_001));
        assert!(after > 1e-3 * usual, "{after} after, {usual} before");
    }
}
