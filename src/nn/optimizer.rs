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
            *m = BETA_1 * *m + (1. - BETA_1) * g;
            *v = BETA_2 * *v + (1. - BETA_2) * g * g;
            let direction = *m * unbias_1 / ((*v * unbias_2).sqrt() + EPSILON);
            *p -= learning_rate * (direction + WEIGHT_DECAY * *p);
        }
        Ok(())
    }
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
