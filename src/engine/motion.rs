//! Slow and fast means of a stream: for the network's inputs and the linear experts' regressors.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;

/// Rates of the EW mean of |Δx|: slow (the unit of the inputs) and fast.
const SLOW: f32 = 0.002;
const FAST: f32 = 0.05;
/// A reading moves a level as if it lay at most so many σ away: a spike would be in the levels for weeks.
const AWAY_MAX: f32 = 1_000.0;

/// Rates of the levels, 1 − 2^(−1/half-life), where a season has m steps.
pub(crate) fn rates(season: u32) -> [f32; 3] {
    let half_lives = [6.0, season.max(12) as f32, 7.0 * season.max(24) as f32];
    // exp_m1 is exact where the half-life is long.
    half_lives.map(|half_life| -(-std::f32::consts::LN_2 / half_life).exp_m1())
}

/// EW levels, EW changes and the newest value. Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Motion {
    /// Half-lives 6, max(12, m), 7 max(24, m); value-like.
    pub(crate) levels: [f32; 3],
    /// Newest value, carried forward through missing steps; value-like.
    pub(crate) last: f32,
    /// Newest minus the one before; scale-like.
    pub(crate) change: f32,
    /// EW mean of |Δx|; scale-like.
    slow: f32,
    /// EW mean of |Δx|; scale-like.
    fast: f32,
    /// Steps seen, saturating; free.
    count: f32,
}

impl Motion {
    /// Takes the value of a step (a missing one carried forward); `rates` are [`rates`], `sigma` is σ, normalised.
    pub(crate) fn update(&mut self, x: f32, rates: &[f32; 3], sigma: f32) {
        let first = self.count == 0.0;
        self.count = (self.count + 1.0).min(1e6);
        self.change = if first { 0.0 } else { x - self.last };
        self.last = x;
        let least = 1.0 / self.count;
        let size = self.change.abs();
        self.slow += (size - self.slow) * SLOW.max(least);
        self.fast += (size - self.fast) * FAST.max(least);
        for (level, rate) in self.levels.iter_mut().zip(rates) {
            let away = if first {
                x - *level
            } else {
                (x - *level).clamp(-AWAY_MAX * sigma, AWAY_MAX * sigma)
            };
            *level += away * rate.max(least);
        }
    }

    /// EW mean of |Δx|, slow.
    pub(crate) const fn mean_change(&self) -> f32 {
        self.slow
    }

    /// ud = 3 × slow mean of |Δx|, and .02 σ below which nothing moves.
    pub(crate) fn unit(&self, sigma: f32) -> f32 {
        3.0 * self.slow + 0.02 * sigma
    }

    /// log of the fast over the slow mean of |Δx|, guarded as the prototype does.
    pub(crate) fn volatility(&self, sigma: f32) -> f32 {
        let base = self.unit(sigma) / 3.0;
        ((self.fast + 0.05 * base) / base).ln()
    }

    pub(crate) fn rebase(&mut self, by: Rebase) {
        for level in &mut self.levels {
            *level = by.value(*level);
        }
        self.last = by.value(self.last);
        for size in [&mut self.change, &mut self.slow, &mut self.fast] {
            *size = by.scale(*size);
        }
    }
}
