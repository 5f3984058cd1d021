//! Learnt state between scored horizons: linear in log h (RECIPE §7).
//!
//! Only what is learnt is interpolated (weights, shares, log s, tracked quantiles, the network's residual in s); bases
//! are evaluated exactly at h. Interpolating a served centre loses up to a factor of 2.8.

/// Where a horizon lies between scored ones: (1 − share) · low + share · high.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Index of the scored horizon at or below.
    pub low: usize,
    /// Index of the one at or above.
    pub high: usize,
    /// In 0..1; 0 where the horizon is scored itself, or lies outside the scored ones.
    pub share: f32,
}

impl Place {
    /// Place of `h` among `scored` horizons, ascending.
    ///
    /// # Panics
    /// Where nothing is scored.
    #[must_use]
    pub fn new(scored: &[u32], h: u32) -> Self {
        assert!(!scored.is_empty(), "horizon 1 is always scored");
        let above = scored.partition_point(|&b| b < h);
        if above == scored.len() {
            return Self::exact(above - 1);
        }
        if scored[above] == h || above == 0 {
            return Self::exact(above);
        }
        let log = |b: u32| f64::from(b).ln();
        let (low, high) = (log(scored[above - 1]), log(scored[above]));
        Self {
            low: above - 1,
            high: above,
            share: ((log(h) - low) / (high - low)) as f32,
        }
    }

    const fn exact(index: usize) -> Self {
        Self {
            low: index,
            high: index,
            share: 0.0,
        }
    }

    /// A number between its values at the two.
    #[must_use]
    pub fn between(self, at_low: f32, at_high: f32) -> f32 {
        if self.share == 0.0 {
            return at_low;
        }
        at_low + self.share * (at_high - at_low)
    }

    /// A positive number, linear in its logarithm; where one of the two is not positive (no scale yet), the lower one.
    #[must_use]
    pub fn between_logs(self, at_low: f32, at_high: f32) -> f32 {
        if self.share == 0.0 || at_low <= 0.0 || at_high <= 0.0 {
            return at_low;
        }
        at_low * (at_high / at_low).powf(self.share)
    }

    /// Arrays between their values at the two.
    pub fn between_all(self, at_low: &[f32], at_high: &[f32], out: &mut [f32]) {
        for ((out, &low), &high) in out.iter_mut().zip(at_low).zip(at_high) {
            *out = self.between(low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_exact_at_scored_horizons_and_linear_in_log_h_between() {
        let scored = [1, 4, 16];
        assert_eq!(Place::new(&scored, 4), Place::exact(1));
        assert_eq!(Place::new(&scored, 40), Place::exact(2));
        let place = Place::new(&scored, 8);
        assert_eq!((place.low, place.high), (1, 2));
        assert!((place.share - 0.5).abs() < 1e-6);
        assert!((place.between(1.0, 3.0) - 2.0).abs() < 1e-6);
        assert!((place.between_logs(1.0, 4.0) - 2.0).abs() < 1e-6);
        assert_eq!(place.between_logs(0.0, 4.0), 0.0);
    }
}
