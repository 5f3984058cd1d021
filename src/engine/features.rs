//! Inputs of the network (RECIPE §8.2 and §8.3), as served: what is computed here goes to the network and, unchanged,
//! onto the tape.

use crate::experts::Expert;
use crate::experts::stack::CENTRES;
use crate::nn::vector;
use crate::series::calendar::{Season, harmonic};

/// Experts whose forecasts are skip inputs; one that does not take part says 0. The week's profile is among the anchors.
pub(crate) const SKIP_EXPERTS: [Expert; 10] = [
    Expert::Last,
    Expert::Seasonal,
    Expert::Level,
    Expert::Day,
    Expert::Week,
    Expert::Hour,
    Expert::Linear,
    Expert::LinearDay,
    Expert::LinearWeek,
    Expert::LinearHour,
];

/// Recurrent inputs that do not depend on how many horizons are scored.
const RECURRENT: usize = 13;
/// Skip inputs per scored horizon (S): 4 values of past and profile, the experts, m1 and m2, 5 scale features, log s/vL,
/// centre − y,
/// 6 of the target's phase.
pub(crate) const SKIPS: usize = RELATIVE + 5 + 2 + 6;
/// Those that are distances from the centre, but for y.
const RELATIVE: usize = 4 + SKIP_EXPERTS.len() + CENTRES;

/// Recurrent inputs (D) where `horizons` (K) are scored.
#[must_use]
pub(crate) const fn inputs(horizons: usize) -> usize {
    RECURRENT + horizons
}

/// asinh, clipped to ±4; what is no number counts as 0.
#[must_use]
pub(crate) fn squash(x: f32) -> f32 {
    vector::squash_one(x)
}

/// Sine and cosine of a phase, both 0 where there is no cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Phase {
    pub(crate) sin: f32,
    pub(crate) cos: f32,
}

impl Phase {
    /// Of a local time in a season; none where there is no season.
    pub(crate) fn of(season: Season, local_ms: i64) -> Self {
        if !season.is_some() {
            return Self::default();
        }
        let (sin, cos) = harmonic(season.phase(local_ms), 1);
        Self { sin, cos }
    }

    /// Of twice the frequency.
    pub(crate) fn doubled(self) -> Self {
        Self {
            sin: 2.0 * self.sin * self.cos,
            cos: (self.cos - self.sin) * (self.cos + self.sin),
        }
    }
}

/// What the recurrent inputs are made of, in normalised units unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recurrent {
    /// y_t − y_{t−1}.
    pub(crate) change: f32,
    /// y_t minus: y_{t−m}, day profile, week profile, the three EW levels.
    pub(crate) differences: [f32; 6],
    /// ud: three times the slow EW mean of |Δy|, above 0.
    pub(crate) unit: f32,
    /// log of the fast over the slow EW mean of |Δy|.
    pub(crate) volatility: f32,
    /// Whether the step has no reading.
    pub(crate) missing: bool,
    /// Of the step in the day and in the week.
    pub(crate) phases: [Phase; 2],
}

impl Recurrent {
    /// Writes D inputs; `errors` (K) are the newest matured (y − classical centre)/s, squashed.
    pub(crate) fn write(&self, errors: &[f32], out: &mut [f32]) {
        let (shared, matured) = out.split_at_mut(RECURRENT);
        shared[0] = 3.0 * self.change / self.unit;
        for (input, difference) in shared[1..7].iter_mut().zip(&self.differences) {
            *input = difference / self.unit;
        }
        shared[7] = self.volatility;
        vector::squash(&mut shared[..8]);
        shared[8] = if self.missing { SEEN_AS_ONE } else { 0.0 };
        for (pair, phase) in shared[9..13].chunks_exact_mut(2).zip(&self.phases) {
            pair.copy_from_slice(&[phase.sin, phase.cos]);
        }
        matured.copy_from_slice(errors);
    }
}

/// asinh(1): flags pass through the same squashing as every input.
const SEEN_AS_ONE: f32 = 0.881_373_6;

/// What the skip inputs of one horizon are made of, in normalised units unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skip {
    /// Value one and seven seasons before the target, day and week profile at the target.
    pub(crate) anchors: [f32; 4],
    /// Forecasts of [`SKIP_EXPERTS`]; NaN = takes no part.
    pub(crate) experts: [f32; SKIP_EXPERTS.len()],
    /// m1 and m2, the parts of the classical centre.
    pub(crate) centres: [f32; CENTRES],
    /// The classical centre.
    pub(crate) centre: f32,
    /// s, above 0.
    pub(crate) scale: f32,
    /// vL, above 0.
    pub(crate) slow: f32,
    /// φ_1..φ_5 of the classical scale.
    pub(crate) phi: [f32; 5],
    /// y_t.
    pub(crate) now: f32,
    /// Of the target in the day and in the week.
    pub(crate) phases: [Phase; 2],
}

impl Skip {
    /// Writes S inputs.
    pub(crate) fn write(&self, out: &mut [f32]) {
        let mut relative = [0.0; RELATIVE + 1];
        let (anchors, rest) = relative.split_at_mut(self.anchors.len());
        let (experts, rest) = rest.split_at_mut(self.experts.len());
        let (centres, now) = rest.split_at_mut(CENTRES);
        anchors.copy_from_slice(&self.anchors);
        experts.copy_from_slice(&self.experts);
        centres.copy_from_slice(&self.centres);
        now[0] = self.now;
        for value in &mut relative {
            *value = (*value - self.centre) / self.scale;
        }
        vector::squash(&mut relative);
        let (first, rest) = out.split_at_mut(RELATIVE);
        first.copy_from_slice(&relative[..RELATIVE]);
        let (phi, rest) = rest.split_at_mut(self.phi.len());
        phi.copy_from_slice(&self.phi);
        rest[0] = vector::ln(self.scale / self.slow).clamp(-2.0, 2.0);
        rest[1] = -relative[RELATIVE];
        let [day, week] = self.phases;
        let twice = day.doubled();
        rest[2..].copy_from_slice(&[day.sin, day.cos, twice.sin, twice.cos, week.sin, week.cos]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squash_is_asinh_within_the_clip_and_finite_for_anything() {
        for x in [-20.0, -1.0, -1e-3, 0.0, 0.5, 3.0, 27.0] {
            assert!((squash(x) - x.asinh()).abs() < 1e-5, "{x}");
        }
        for x in [1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(squash(x).abs(), 4.0);
        }
        assert_eq!(squash(f32::NAN), 0.0);
    }

    #[test]
    fn phase_doubles_and_is_none_without_a_season() {
        let day = Season {
            steps: 24,
            length_ms: 24,
        };
        let (phase, twice) = (Phase::of(day, 5), Phase::of(day, 10));
        assert!(
            (phase.doubled().sin - twice.sin).abs() < 1e-6 && (phase.doubled().cos - twice.cos).abs() < 1e-6
        );
        assert_eq!(Phase::of(Season::NONE, 5), Phase::default());
        assert_eq!(Phase::of(day, -1), Phase::of(day, 23));
    }
}
