//! Adam with decoupled weight decay, moving average of the weights, clipping.

/// The update was refused: the gradient (or its square, or the learning rate) is not finite. Parameters and moments are
/// as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gradient is not finite, the weights were left as they are; skip the batch")]
pub struct NonFinite;

const BETA_1: f32 = 0.9;
/// Not the usual .999: the loss surface moves with the stream, and 100 updates of memory follow it (RECIPE §8).
const BETA_2: f32 = 0.99;
const EPSILON: f32 = 1e-8;
const WEIGHT_DECAY: f32 = 1e-4;

/// Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019):
///
/// ```text
/// m <- .9 m + .1 g       v <- .99 v + .01 g²
/// p <- p - lr ( m/(1-.9^k) / (sqrt(v/(1-.99^k)) + 1e-8) + 1e-4 p )
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    /// First moments, the arena's layout.
    first: Vec<f32>,
    /// Second moments, the arena's layout.
    second: Vec<f32>,
    /// .9^k and .99^k of the k updates done, by running product.
    power_1: f64,
    power_2: f64,
}

impl Adam {
    /// Moments for `len` parameters.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self {
            first: vec![0.; len],
            second: vec![0.; len],
            power_1: 1.,
            power_2: 1.,
        }
    }

    /// First and second moments, and .9^k and .99^k of the k updates done: what [`Adam::from_parts`] goes on from.
    #[must_use]
    pub fn parts(&self) -> (&[f32], &[f32], [f64; 2]) {
        (&self.first, &self.second, [self.power_1, self.power_2])
    }

    /// Goes on from where [`Adam::parts`] were.
    ///
    /// # Panics
    /// If the moments are not equally many.
    #[must_use]
    pub fn from_parts(first: Vec<f32>, second: Vec<f32>, [power_1, power_2]: [f64; 2]) -> Self {
        assert_eq!(first.len(), second.len(), "first and second moments");
        Self {
            first,
            second,
            power_1,
            power_2,
        }
    }

    /// One update in place.
    ///
    /// # Errors
    /// [`NonFinite`], and nothing was changed.
    ///
    /// # Panics
    /// If a slice is not as long as the moments.
    pub fn step(
        &mut self,
        params: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) -> Result<(), NonFinite> {
        assert_eq!(params.len(), self.first.len(), "parameters and moments");
        assert_eq!(gradient.len(), self.first.len(), "gradient and moments");
        // The square must be finite too: an infinite second moment would freeze its parameter for ever.
        let finite = gradient
            .iter()
            .fold(true, |finite, &g| finite & (g * g).is_finite());
        if !finite || !learning_rate.is_finite() {
            return Err(NonFinite);
        }
        self.power_1 *= f64::from(BETA_1);
        self.power_2 *= f64::from(BETA_2);
        let unbias_1 = (1. / (1. - self.power_1)) as f32;
        let unbias_2 = (1. / (1. - self.power_2)) as f32;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((p, &g), (m, v)) in params.iter_mut().zip(gradient).zip(moments) {
            *m = flush(BETA_1 * *m + (1. - BETA_1) * g);
            *v = flush(BETA_2 * *v + (1. - BETA_2) * g * g);
            let direction = *m * unbias_1 / ((*v * unbias_2).sqrt() + EPSILON);
            *p -= learning_rate * (direction + WEIGHT_DECAY * *p);
        }
        Ok(())
    }
}

/// 0 for a moment too small to move a weight. The moments of a unit that fell silent would decay into subnormal numbers
/// and stay there, and each operation on one costs a hundred ordinary ones.
#[inline]
fn flush(moment: f32) -> f32 {
    if moment.abs() < 1e-30 { 0. } else { moment }
}

/// Exponential moving average of the weights: what is served. After update k the decay is min(.98, k/(k+10)), so that
/// the first averages forget the untrained weights.
#[derive(Clone, Debug)]
pub struct Ema {
    average: Vec<f32>,
    updates: u64,
}

/// About 50 updates of memory: less is noisy, more lags behind the stream (RECIPE §8).
const EMA_DECAY: f64 = 0.98;

impl Ema {
    /// Starts at these weights.
    #[must_use]
    pub fn new(weights: &[f32]) -> Self {
        Self {
            average: weights.to_vec(),
            updates: 0,
        }
    }

    /// Goes on from an average of so many updates.
    #[must_use]
    pub const fn from_parts(average: Vec<f32>, updates: u64) -> Self {
        Self { average, updates }
    }

    /// Updates it has seen.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes the weights after one more update.
    ///
    /// # Panics
    /// If their number has changed.
    pub fn update(&mut self, weights: &[f32]) {
        assert_eq!(weights.len(), self.average.len(), "weights and their average");
        self.updates += 1;
        let updates = self.updates as f64;
        let rate = (1. - EMA_DECAY.min(updates / (updates + 10.))) as f32;
        for (average, &weight) in self.average.iter_mut().zip(weights) {
            *average += rate * (weight - *average);
        }
    }

    /// The average, the arena's layout.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.average
    }
}

/// Scales the gradient so that its Euclidean norm is at most `max` (Pascanu et al. 2013); returns the norm before. A
/// norm that is not finite leaves the gradient as it is: [`Adam::step`] refuses it.
pub fn clip_global_norm(gradient: &mut [f32], max: f32) -> f32 {
    let norm = gradient
        .iter()
        .map(|&g| f64::from(g) * f64::from(g))
        .sum::<f64>()
        .sqrt();
    if norm.is_finite() && norm > f64::from(max) {
        let scale = (f64::from(max) / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
    norm as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_follows_its_equations() {
        let (mut adam, mut params) = (Adam::new(2), [1_f32, -2.]);
        let (mut m, mut v, mut twin) = ([0_f64; 2], [0_f64; 2], [1_f64, -2.]);
        for k in 1..=50 {
            let gradient = [(k as f32).sin(), (k as f32 * 1.3).cos() * 1e-3];
            adam.step(&mut params, &gradient, 1e-2).unwrap();
            for i in 0..2 {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let direction =
                    (m[i] / (1. - 0.9_f64.powi(k))) / ((v[i] / (1. - 0.99_f64.powi(k))).sqrt() + 1e-8);
                twin[i] -= 1e-2 * (direction + 1e-4 * twin[i]);
            }
        }
        for (found, wanted) in params.iter().zip(twin) {
            assert!((f64::from(*found) - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }

    #[test]
    fn adam_decays_weights_apart_from_the_gradient() {
        let (mut adam, mut params) = (Adam::new(1), [1_f32]);
        adam.step(&mut params, &[0.], 0.1).unwrap();
        assert!((params[0] - (1. - 0.1 * 1e-4)).abs() < 1e-7);
    }

    #[test]
    fn adam_refuses_what_is_not_finite_and_changes_nothing() {
        for broken in [f32::NAN, f32::INFINITY, 1e30] {
            let (mut adam, mut params) = (Adam::new(2), [1_f32, 2.]);
            let mut clean = (adam.clone(), params);
            assert_eq!(adam.step(&mut params, &[0.5, broken], 1e-2), Err(NonFinite));
            assert_eq!(adam.step(&mut params, &[0.5, 0.5], f32::NAN), Err(NonFinite));
            assert_eq!(params, [1., 2.]);
            adam.step(&mut params, &[0.5, 0.5], 1e-2).unwrap();
            clean.0.step(&mut clean.1, &[0.5, 0.5], 1e-2).unwrap();
            assert_eq!(params, clean.1); // moments and powers were untouched too
        }
    }

    #[test]
    fn adam_lets_silent_moments_reach_zero() {
        let (mut adam, mut params) = (Adam::new(1), [1_f32]);
        adam.step(&mut params, &[1.], 1e-3).unwrap();
        (0..8000).for_each(|_| adam.step(&mut params, &[0.], 1e-3).unwrap());
        assert_eq!((adam.first[0], adam.second[0]), (0., 0.));
    }

    #[test]
    fn ema_starts_fast_and_settles() {
        let mut ema = Ema::new(&[0.]);
        ema.update(&[1.]);
        assert!((ema.as_slice()[0] - 10. / 11.).abs() < 1e-6);
        (0..2000).for_each(|_| ema.update(&[3.]));
        assert!((ema.as_slice()[0] - 3.).abs() < 1e-4);
        ema.update(&[4.]);
        assert!((ema.as_slice()[0] - 3.02).abs() < 1e-4);
    }

    #[test]
    fn clip_keeps_direction_and_reports_the_norm() {
        let mut gradient = [3_f32, -4.];
        assert_eq!(clip_global_norm(&mut gradient, 10.), 5.);
        assert_eq!(gradient, [3., -4.]);
        assert_eq!(clip_global_norm(&mut gradient, 1.), 5.);
        assert!((gradient[0] - 0.6).abs() < 1e-6 && (gradient[1] + 0.8).abs() < 1e-6);
        let mut huge = [1e30_f32; 4];
        assert!((clip_global_norm(&mut huge, 1.) - 2e30).abs() < 1e24);
        assert!((huge[0] - 0.5).abs() < 1e-6);
        let mut broken = [f32::NAN, 1.];
        assert!(clip_global_norm(&mut broken, 0.5).is_nan());
        assert_eq!(broken[1], 1.);
    }
}
