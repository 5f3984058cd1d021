//! The learnt share of today's deviation: f = B(t+h) + β (y − B(t)), β = EW(xz) / EW(xx) (RECIPE §3).

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;

/// Forgetting per step; learnt at every n-th origin it is .999^n.
const FORGETTING: f32 = 0.999;
/// β at most, both signs. Without a bound it reaches hundreds in a stream's first days; 2 costs 1 % of the quantile loss
/// 96 steps ahead on growing series, 4 and 8 cost nothing.
const BETA_MAX: f32 = 4.0;

/// One share of one scored horizon. Both fields are square-like. Starts as [`Share::START`], not zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Share {
    xx: f32,
    xz: f32,
}

impl Share {
    /// β = .5, of a weight that the first deviation overrides.
    pub const START: Self = Self { xx: 1e-6, xz: 0.5e-6 };

    /// β of streams like this one, of a weight that the first deviation overrides.
    #[must_use]
    pub fn begin(beta: f32) -> Self {
        let xx = Self::START.xx;
        Self {
            xx,
            xz: xx * beta.clamp(-BETA_MAX, BETA_MAX),
        }
    }

    /// Forgetting of an origin where every `stride`-th one is learnt.
    #[must_use]
    pub fn forgetting(stride: u32) -> f32 {
        FORGETTING.powi(stride.min(1 << 20) as i32)
    }

    /// Learns a matured origin: `x` = its deviation from the base (NaN: not learnt), `z` = truth − base at the target.
    pub fn learn(&mut self, x: f32, z: f32, forgetting: f32) {
        if x.is_nan() {
            return;
        }
        self.xx = forgetting.mul_add(self.xx, x * x);
        self.xz = forgetting.mul_add(self.xz, x * z);
    }

    /// β, within ±4.
    #[must_use]
    pub fn beta(&self) -> f32 {
        if self.xx < 1e-30 {
            return 0.5; // forgotten down to nothing: a stream that stands on its base
        }
        (self.xz / self.xx).clamp(-BETA_MAX, BETA_MAX)
    }

    /// Re-bases both sums; β stays.
    pub fn rebase(&mut self, by: Rebase) {
        self.xx = by.square(self.xx);
        self.xz = by.square(self.xz);
    }
}
