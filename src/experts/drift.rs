//! Drift: when errors are no longer what the scale says, and what that re-opens (docs/recipe.md, "Drift").
//!
//! A chain's scaled error of a scored horizon, |z| = min(|u| / s, 5), has mean 1 while the scale fits: θ_0 sees to it.
//! After a change of the stream it is far above 1, then, once the experts have learnt, far below: the band that grew
//! stays too wide for as long as the slow rates take to forget. Two exponentially weighted means of |z| notice either,
//! and what they say changes rates for as long as they say it:
//! ```text
//! A_fast, A_slow   EW |z| at min(.3, .05 b^−.3 n^.5), min(.3, .02 b^−.3 n^.5), start 1
//! e                log(A + .02) of the one nearer to 1 where both are on one side of it; else 0
//! w                clamp((|e| − .12) / .4, 0, 1)
//! re-opened        w where the band is too wide (e < 0), 0 where it is too narrow
//! rate of vL and of the usual disagreement   their own + re-opened × (min(.3, .04 b^−.5 n^.5) − their own)
//! rates of a_τ, θ_0 and the slot spreads     × (1 − w)
//! ```
//! The scale alone follows, quickly; what says how the scale is to be read (tracked quantiles, θ_0, slots) stands still
//! meanwhile, so that it is not wound up by errors that will not come again. Every event is learnt under the regime of
//! before it, and is noted last.

use bytemuck::{Pod, Zeroable};

/// |z| beyond this counts as this: as in what θ_0 holds at mean 1.
const MISS_MAX: f32 = 5.0;
/// Holds the logarithm up where all errors are 0.
const FLOOR: f32 = 0.02;
/// |e| below this is chance: at .05 the bands of calm streams become noisy, at .2 a drift is met twice as late.
const CALM: f32 = 0.12;
/// |e| from which on a drift is certain, above [`CALM`].
const RISE: f32 = 0.4;

/// Rates of a scored horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftRates {
    /// A_fast: min(.3, .05 b^−.3 n^.5).
    fast: f32,
    /// A_slow: min(.3, .02 b^−.3 n^.5).
    slow: f32,
    /// Of the scale where it is fully re-opened: min(.3, .04 b^−.5 n^.5).
    reopened: f32,
}

impl DriftRates {
    /// For scored horizon `b`, learnt at every `stride`-th origin.
    #[must_use]
    pub fn new(horizon: u32, stride: u32) -> Self {
        let (b, boost) = (horizon as f32, (stride as f32).sqrt());
        Self {
            fast: (0.05 * b.powf(-0.3) * boost).min(0.3),
            slow: (0.02 * b.powf(-0.3) * boost).min(0.3),
            reopened: (0.04 * b.powf(-0.5) * boost).min(0.3),
        }
    }
}

/// Scaled errors of one chain of one scored horizon. Zeroed = none seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Drift {
    /// A_fast − 1 (free).
    fast: f32,
    /// A_slow − 1 (free).
    slow: f32,
}

/// What a drift does to what is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regime {
    /// Share of the way from the scale's own rate to the re-opened one, within 0..1.
    reopened: f32,
    /// 1 − w: factor on what stands still meanwhile.
    pub steady: f32,
}

impl Drift {
    /// Notes a matured error: `ratio` = |u| / s of a forecast that had a scale.
    pub fn note(&mut self, rates: &DriftRates, ratio: f32) {
        let excess = ratio.min(MISS_MAX) - 1.0;
        self.fast += (excess - self.fast) * rates.fast;
        self.slow += (excess - self.slow) * rates.slow;
    }

    /// What holds now.
    #[must_use]
    pub fn regime(&self) -> Regime {
        let (below, above) = (self.fast.max(self.slow), self.fast.min(self.slow));
        let log = |excess: f32| (1.0 + excess + FLOOR).ln();
        // Most of the time there is no drift, and no need of its logarithm: log(1 + x) <= x.
        if below + FLOOR > -0.11 && above + FLOOR < CALM {
            return Regime::CALM;
        }
        if below + FLOOR < 0.0 {
            let drift = ((-log(below) - CALM) / RISE).clamp(0.0, 1.0);
            Regime {
                reopened: drift,
                steady: 1.0 - drift,
            }
        } else if above + FLOOR > 0.0 {
            // Not re-opened: errors of the first steps end by themselves, and a spike's should not be taken in.
            let drift = ((log(above) - CALM) / RISE).clamp(0.0, 1.0);
            Regime {
                reopened: 0.0,
                steady: 1.0 - drift,
            }
        } else {
            Regime::CALM
        }
    }
}

impl Regime {
    /// No drift.
    pub const CALM: Self = Self {
        reopened: 0.0,
        steady: 1.0,
    };

    /// A rate of the scale under this regime.
    #[must_use]
    pub fn rate(&self, own: f32, rates: &DriftRates) -> f32 {
        own + self.reopened * (rates.reopened - own).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(drift: &mut Drift, ratio: f32, events: u32) -> Regime {
        let rates = DriftRates::new(1, 1);
        (0..events).for_each(|_| drift.note(&rates, ratio));
        drift.regime()
    }

    #[test]
    fn drift_is_calm_while_errors_are_what_the_scale_says() {
        let mut drift = Drift::zeroed();
        let rates = DriftRates::new(1, 1);
        for i in 0..2_000u32 {
            // An exponential's quantiles in a scattered order: mean 1, as Laplace errors have.
            let uniform = (f64::from(i) * 0.618_033_988_749_895).fract() as f32;
            drift.note(&rates, -(1.0 - uniform).max(1e-6).ln());
            if i >= 200 {
                assert!(drift.regime().steady > 0.8, "{i}: {:?}", drift.regime());
            }
        }
    }

    #[test]
    fn drift_reopens_where_the_band_is_too_wide_and_only_stands_still_where_too_narrow() {
        let mut drift = Drift::zeroed();
        let narrow = after(&mut drift, 5.0, 60);
        assert_eq!((narrow.reopened, narrow.steady), (0.0, 0.0));
        // The sums fall through 1 one after the other: between, they disagree and nothing is changed.
        let between = (0..200)
            .map(|_| after(&mut drift, 0.3, 1))
            .find(|regime| *regime == Regime::CALM);
        assert!(between.is_some());
        let wide = after(&mut drift, 0.3, 300);
        assert_eq!((wide.reopened, wide.steady), (1.0, 0.0));
        let calm = after(&mut drift, 1.0, 400);
        assert_eq!(calm, Regime::CALM);
    }

    #[test]
    fn drift_of_a_standstill_is_finite_and_ends() {
        let mut drift = Drift::zeroed();
        assert_eq!(after(&mut drift, 0.0, 100_000).steady, 0.0);
        assert_eq!(after(&mut drift, f32::INFINITY, 6), Regime::CALM);
        assert!(drift.fast.is_finite() && drift.slow.is_finite());
    }
}
