//! Scale of a forecast's error: s = vL exp(θ·φ), learnt online (RECIPE §5).
//!
//! φ = (1, log slot spread of the target's slot, log vS/vL, log ratio of the fresh to the usual one-step error,
//! log of the experts' disagreement over its usual, level of the forecast, log of the network's width). Each scored
//! horizon has two chains, classical (its seventh feature is 0) and served, each with its own [`Scale`], slot spreads
//! and [`OneStep`]; visits of the slots are shared, for both chains see the same events.

use bytemuck::{Pod, Zeroable};

use crate::experts::drift::{DriftRates, Regime};
use crate::experts::{STILL, TINY};
use crate::series::Rebase;

/// φ (7).
pub const FEATURES: usize = 7;
/// Matured errors from which on there is a scale.
const MATURED_MIN: f32 = 5.0;
/// Pseudo-visits that shrink a slot's spread to 1.
const SLOT_PRIOR: f32 = 5.0;
/// Start weight max(rate, 4 / (matured + 3)): forgets the cold start.
const COLD: f32 = 4.0;
/// Quarter range of a Laplace with scale 1 between its .1 and .9 quantiles, both sides: 2 ln 5.
const LAPLACE_80: f32 = 3.218;

/// Rates of a scored horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleRates {
    /// vS: min(.3, .02 n^.5).
    pub short: f32,
    /// vL and the usual disagreement: min(.05, .0015 n^.5).
    pub long: f32,
    /// Slot spread, per visit: min(.2, .03 n^.5).
    pub slot: f32,
    /// θ but for θ_0: .005 n^.5 b^−.6.
    pub theta: f32,
    /// θ_0: as θ where there is no drift.
    pub factor: f32,
}

impl ScaleRates {
    /// For scored horizon `b`, learnt at every `stride`-th origin.
    #[must_use]
    pub fn new(horizon: u32, stride: u32) -> Self {
        let boost = (stride as f32).sqrt();
        let theta = 0.005 * boost * (horizon as f32).powf(-0.6);
        Self {
            short: (0.02 * boost).min(0.3),
            long: (0.0015 * boost).min(0.05),
            slot: (0.03 * boost).min(0.2),
            theta,
            factor: theta,
        }
    }

    /// The rates under a regime.
    #[must_use]
    pub fn under(&self, regime: &Regime, drift: &DriftRates) -> Self {
        Self {
            long: regime.rate(self.long, drift),
            slot: self.slot * regime.steady,
            factor: self.factor * regime.steady,
            ..*self
        }
    }
}

/// Fresh and usual one-step error of a chain, per stream. Zeroed = none seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct OneStep {
    /// EW |u| at .05 (scale-like).
    fast: f32,
    /// EW |u| at .003 (scale-like).
    slow: f32,
    /// Free.
    count: f32,
}

impl OneStep {
    /// Notes |y − f| of the one-step forecast. Without a network both chains' f may be the same.
    pub fn note(&mut self, miss: f32) {
        self.count = (self.count + 1.0).min(1e6);
        self.fast += (miss - self.fast) * (1.0 / self.count).max(0.05);
        self.slow += (miss - self.slow) * (1.0 / self.count).max(0.003);
    }

    /// Spread of a forecast `h` steps ahead while the horizon has no scale of its own: a random walk's.
    #[must_use]
    pub fn cold_spread(&self, h: f32) -> f32 {
        (self.slow * h.sqrt()).max(TINY)
    }

    fn feature(&self) -> f32 {
        log_ratio(self.fast, self.slow)
    }

    /// Re-bases it.
    pub fn rebase(&mut self, by: Rebase) {
        self.fast = by.scale(self.fast);
        self.slow = by.scale(self.slow);
    }
}

/// Slow level of a stream and its spread, at max(.002, 1/n). Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Level {
    /// Value-like.
    level: f32,
    /// EW |y − level| (scale-like).
    spread: f32,
    /// Free.
    count: f32,
}

impl Level {
    /// Notes a value (a missing one carried forward).
    pub fn note(&mut self, y: f32) {
        if self.count == 0.0 {
            self.level = y;
        }
        self.count = (self.count + 1.0).min(1e6);
        let rate = (1.0 / self.count).max(0.002);
        let away = y - self.level;
        self.level += rate * away;
        self.spread += (away.abs() - self.spread) * rate;
    }

    fn feature(&self, forecast: f32) -> f32 {
        ((forecast - self.level) / (self.spread + TINY)).clamp(-2.0, 2.0)
    }

    /// Re-bases it.
    pub fn rebase(&mut self, by: Rebase) {
        self.level = by.value(self.level);
        self.spread = by.scale(self.spread);
    }
}

/// One chain of one scored horizon. Starts as [`Scale::START`], not zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Scale {
    /// vS (scale-like).
    short: f32,
    /// vL (scale-like).
    long: f32,
    /// EW of the experts' disagreement (scale-like).
    disagreement: f32,
    /// Matured errors, saturating (free).
    matured: f32,
    /// θ (7, free).
    theta: [f32; FEATURES],
}

/// What the features of a forecast are made of.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Centre of the forecast (m1 or served f).
    pub forecast: f32,
    /// Mean distance of the experts from it ([`crate::experts::base::disagreement`]).
    pub disagreement: f32,
    /// Spread of the target's slot, of this chain.
    pub slot_spread: f32,
    /// Visits of that slot.
    pub slot_visits: f32,
    /// One-step errors of this chain.
    pub one_step: &'a OneStep,
    /// Level of the stream.
    pub level: &'a Level,
    /// [`width_feature`] of the network; 0 in the classical chain.
    pub width: f32,
    /// Steps of the stream before the origin.
    pub steps: u64,
}

/// φ's seventh: log of the network's q90 − q10, in units of the classical s, over a Laplace's. A network without an
/// opinion says 0.
#[must_use]
pub fn width_feature(width: f32) -> f32 {
    ((width + TINY) / LAPLACE_80).ln().clamp(-1.5, 1.5)
}

/// log of a ratio of spreads, the smaller one held up by 2 % of the usual, within ±1.5.
fn log_ratio(fresh: f32, usual: f32) -> f32 {
    ((0.02f32.mul_add(usual, fresh) + TINY) / (usual + TINY))
        .ln()
        .clamp(-1.5, 1.5)
}

impl Scale {
    /// θ = (0, .5, .4, 0, 0, 0, .5).
    pub const START: Self = Self {
        short: 0.0,
        long: 0.0,
        disagreement: 0.0,
        matured: 0.0,
        theta: [0.0, 0.5, 0.4, 0.0, 0.0, 0.0, 0.5],
    };

    /// θ of streams like this one; nothing matured.
    #[must_use]
    pub fn begin(theta: &[f32]) -> Self {
        let mut scale = Self::START;
        scale.theta.copy_from_slice(theta);
        scale
    }

    /// θ (7, free).
    #[must_use]
    pub const fn theta(&self) -> &[f32; FEATURES] {
        &self.theta
    }

    /// vL: the usual |error|.
    #[must_use]
    pub const fn long(&self) -> f32 {
        self.long
    }

    /// Matured errors.
    #[must_use]
    pub const fn matured(&self) -> f32 {
        self.matured
    }

    /// φ of a forecast; moves the usual disagreement, so call it once per step. Zeros before there is a scale.
    pub fn features(&mut self, rates: &ScaleRates, of: &Circumstances<'_>) -> [f32; FEATURES] {
        if self.matured < MATURED_MIN {
            return [0.0; FEATURES];
        }
        let rate = rates.long.max(1.0 / (of.steps as f32 + 1.0));
        self.disagreement += (of.disagreement - self.disagreement) * rate;
        let spread = if of.slot_visits < 20.0 {
            of.slot_spread.mul_add(of.slot_visits, SLOT_PRIOR) / (of.slot_visits + SLOT_PRIOR)
        } else {
            of.slot_spread
        };
        [
            1.0,
            (spread + 0.02).ln().clamp(-1.5, 1.5),
            log_ratio(self.short, self.long),
            of.one_step.feature(),
            // Held up by a trace of the usual error: the ratio of two roundings says nothing.
            log_ratio(
                2e-4f32.mul_add(self.long, of.disagreement),
                2e-4f32.mul_add(self.long, self.disagreement),
            ),
            of.level.feature(of.forecast),
            of.width,
        ]
    }

    /// s for φ; 0 before there is one (then the spread is [`OneStep::cold_spread`]).
    #[must_use]
    pub fn scale(&self, features: &[f32; FEATURES]) -> f32 {
        if self.matured < MATURED_MIN {
            return 0.0;
        }
        let log: f32 = self.theta.iter().zip(features).map(|(t, x)| t * x).sum();
        (self.long + TINY) * log.clamp(-2.0, 2.0).exp()
    }

    /// Learns a matured error `u` = y − f of a forecast with scale `scale` (0: none) and `features`. `slot` is the
    /// spread of the target's slot of this chain, `visits` its visits with this one counted.
    ///
    /// # Panics
    /// Never: θ has seven parts.
    #[allow(clippy::too_many_arguments, reason = "a kernel over pieces of the row")]
    pub fn learn(
        &mut self,
        rates: &ScaleRates,
        u: f32,
        issued: (f32, &[f32; FEATURES]),
        slot: &mut f32,
        visits: f32,
    ) {
        let (scale, features) = issued;
        self.matured = (self.matured + 1.0).min(1e6);
        let mut miss = u.abs();
        if self.long < STILL && miss > 12.0 * self.long {
            self.matured = self.matured.min(MATURED_MIN);
        }
        if self.matured > 30.0 {
            miss = miss.min(12.0 * self.long);
        }
        if scale > 0.0 {
            let excess = (u.abs() / scale).min(5.0) - 1.0;
            let [factor, others @ ..] = &mut self.theta;
            for (theta, x) in others.iter_mut().zip(&features[1..]) {
                *theta = (*theta + rates.theta * excess * x).clamp(-0.3, 1.2);
            }
            *factor = (*factor + rates.factor * excess * features[0]).clamp(-0.7, 0.7);
        }
        let cold = COLD / (self.matured + COLD - 1.0);
        self.short += (miss - self.short) * rates.short.max(cold.min(1.0));
        self.long += (miss - self.long) * rates.long.max(cold.min(1.0));
        let relative = miss / (self.long + TINY);
        if visits > 1.0 {
            *slot += (relative - *slot) * rates.slot.max(1.0 / (visits + SLOT_PRIOR));
        } else {
            *slot = relative;
        }
    }

    /// Re-bases it; slot spreads and θ are free.
    pub fn rebase(&mut self, by: Rebase) {
        self.short = by.scale(self.short);
        self.long = by.scale(self.long);
        self.disagreement = by.scale(self.disagreement);
    }
}
