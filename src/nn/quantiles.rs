//! Quantiles that cannot cross, and the loss on them.
//!
//! From the raw outputs o (Q) of a head, outward from the median c, on each side by itself (levels of the lower side;
//! the upper one is its mirror):
//!
//! ```text
//! q_c = o_c
//! s_1 = exp(clip(o_1, +-3))               q_1 = q_c     -+ ln(.5 / tau_1)         s_1
//! s_j = s_{j-1} exp(clip(o_j, +-2))       q_j = q_{j-1} -+ ln(tau_{j-1} / tau_j)  s_j      j = 2..
//! ```
//! With o = 0 these are the quantiles of the Laplace distribution of scale 1. Every step is positive, so the levels
//! ascend. The loss is the pinball loss of quantile regression (Koenker and Bassett 1978), averaged over the levels:
//!
//! ```text
//! l = mean over tau of max(tau (y - q), (tau - 1) (y - q))
//! ```

use super::element::Element;

/// Bound of the first scale's logarithm: a factor of 20 either way of the classical scale.
const FIRST_LIMIT: f64 = 3.;
/// Bound of each further factor's logarithm.
const FURTHER_LIMIT: f64 = 2.;
/// Levels per side at most; see [`super::Shape::check`].
const SIDE_MAX: usize = 16;

/// Levels and the steps between them in units of the scales.
#[derive(Clone, Debug)]
pub(super) struct Levels<F> {
    /// (Q) ascending
    levels: Vec<F>,
    /// ((Q-1)/2) `ln(tau_{j-1} / tau_j)`, outward
    steps: Vec<F>,
}

impl<F: Element> Levels<F> {
    pub(super) fn new(quantiles: &[f32]) -> Self {
        let median = quantiles.len() / 2;
        let level = |j: usize| {
            if j == 0 {
                0.5
            } else {
                f64::from(quantiles[median - j])
            }
        };
        let steps = (1..=median).map(|j| F::of((level(j - 1) / level(j)).ln()));
        Self {
            levels: quantiles.iter().map(|&level| F::of(f64::from(level))).collect(),
            steps: steps.collect(),
        }
    }

    /// `outputs` (Q): o in, q out.
    pub(super) fn spread(&self, outputs: &mut [F]) {
        let mut scales = [[F::ZERO; SIDE_MAX]; 2];
        self.spread_with(outputs, &mut scales);
    }

    /// As `spread`; `scales`: the s of the lower and of the upper side, outward.
    fn spread_with(&self, outputs: &mut [F], scales: &mut [[F; SIDE_MAX]; 2]) {
        let median = self.steps.len();
        for (side, scales) in scales.iter_mut().enumerate() {
            let (mut scale, mut value) = (F::ONE, outputs[median]);
            for (j, &step) in self.steps.iter().enumerate() {
                let index = place(median, side, j);
                scale *= clip(outputs[index], limit(j)).exp();
                let distance = step * scale;
                value = if side == 0 {
                    value - distance
                } else {
                    value + distance
                };
                outputs[index] = value;
                scales[j] = scale;
            }
        }
    }

    /// Mean pinball loss of the quantiles (Q) at the observed value.
    pub(super) fn loss(&self, quantiles: &[F], observed: F) -> F {
        let mut sum = F::ZERO;
        for (&quantile, &level) in quantiles.iter().zip(&self.levels) {
            let error = observed - quantile;
            sum += if error > F::ZERO {
                level * error
            } else {
                (level - F::ONE) * error
            };
        }
        sum / F::of(self.levels.len() as f64)
    }

    /// `outputs` (Q): o in, `weight` x d loss / d o out. Returns the loss.
    ///
    /// ```text
    /// dq     = -tau / Q where y > q, else (1 - tau) / Q
    /// do_c   = sum of all dq
    /// do_j   = (+- step_j (sum of dq from j outward) s_j + do_{j+1} before its clip), 0 where clipped
    /// ```
    pub(super) fn loss_and_gradient(&self, outputs: &mut [F], observed: F, weight: F) -> F {
        let median = self.steps.len();
        let mut raw = [F::ZERO; 2 * SIDE_MAX + 1];
        raw[..outputs.len()].copy_from_slice(outputs);
        let mut scales = [[F::ZERO; SIDE_MAX]; 2];
        self.spread_with(outputs, &mut scales);
        let loss = self.loss(outputs, observed);
        let share = weight / F::of(self.levels.len() as f64);
        let mut total = F::ZERO;
        for (quantile, &level) in outputs.iter_mut().zip(&self.levels) {
            *quantile = if observed > *quantile {
                -level * share
            } else {
                (F::ONE - level) * share
            };
            total += *quantile;
        }
        for (side, scales) in scales.iter().enumerate() {
            let (mut d_value, mut d_log_scale) = (F::ZERO, F::ZERO);
            for j in (0..median).rev() {
                let index = place(median, side, j);
                d_value += outputs[index];
                let d_distance = if side == 0 { -d_value } else { d_value };
                d_log_scale += d_distance * self.steps[j] * scales[j];
                let bound = limit::<F>(j);
                let clipped = raw[index] > bound || raw[index] < -bound;
                outputs[index] = if clipped { F::ZERO } else { d_log_scale };
            }
        }
        outputs[median] = total;
        loss
    }
}

/// Index of the level `j` steps outward of the first.
fn place(median: usize, side: usize, j: usize) -> usize {
    if side == 0 { median - 1 - j } else { median + 1 + j }
}

fn limit<F: Element>(j: usize) -> F {
    F::of(if j == 0 { FIRST_LIMIT } else { FURTHER_LIMIT })
}

/// NaN stays NaN.
fn clip<F: Element>(value: F, limit: F) -> F {
    if value > limit {
        limit
    } else if value < -limit {
        -limit
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: [f32; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];

    #[test]
    fn spread_of_nothing_is_laplace() {
        let mut quantiles = [0_f64; 5];
        Levels::new(&FIVE).spread(&mut quantiles);
        let expected = [-20_f64.ln(), -5_f64.ln(), 0., 5_f64.ln(), 20_f64.ln()];
        for (quantile, expected) in quantiles.iter().zip(expected) {
            assert!((quantile - expected).abs() < 1e-6, "{quantile} {expected}"); // levels are f32
        }
    }

    #[test]
    fn spread_never_crosses() {
        for seed in 0..500_u32 {
            let mut outputs: Vec<f32> = (0..7)
                .map(|i| ((seed * 7 + i) as f32 * 12.9898).sin() * 50.)
                .collect();
            Levels::new(&[0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]).spread(&mut outputs);
            assert!(
                outputs.windows(2).all(|pair| pair[0] < pair[1]),
                "seed {seed}: {outputs:?}"
            );
        }
    }

    #[test]
    fn loss_is_pinball_by_hand() {
        // .1 level under by 2, median under by 1, .9 level over by 3: (.2 + .5 + .3) / 3
        let levels = Levels::<f64>::new(&[0.1, 0.5, 0.9]);
        assert!((levels.loss(&[-2., -1., 3.], 0.) - 1. / 3.).abs() < 1e-7);
    }

    #[test]
    fn gradient_matches_central_differences() {
        let levels = Levels::<f64>::new(&FIVE);
        for seed in 0..50_u32 {
            let outputs: Vec<f64> = (0..5)
                .map(|i| (f64::from(seed * 5 + i) * 7.7).sin() * 4.)
                .collect();
            let observed = (f64::from(seed) * 3.3).sin() * 6.;
            let at = |outputs: &[f64]| {
                let mut moved = outputs.to_vec();
                levels.spread(&mut moved);
                levels.loss(&moved, observed)
            };
            let mut gradient = outputs.clone();
            let loss = levels.loss_and_gradient(&mut gradient, observed, 2.);
            assert!((loss - at(&outputs)).abs() < 1e-14);
            for index in 0..5 {
                let mut moved = outputs.clone();
                moved[index] += 1e-6;
                let above = at(&moved);
                moved[index] -= 2e-6;
                let numeric = 2. * (above - at(&moved)) / 2e-6;
                assert!(
                    (numeric - gradient[index]).abs() < 1e-6 * (1. + numeric.abs()),
                    "seed {seed} {index}"
                );
            }
        }
    }
}
