//! How a stream's one-step forecasts fare, for people.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;
use crate::series::score::Coverage;

/// Slowest rate of the errors: about the newest 500.
const RATE_MIN: f32 = 0.002;

/// Live coverage and errors at horizon 1. Zeroed = nothing matured.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Standing {
    /// Hit rate of the band (free).
    pub(crate) coverage: Coverage,
    /// EW |y − median| (scale-like).
    error: f32,
    /// EW |y − last value| (scale-like).
    naive_error: f32,
    /// Matured, saturating (free).
    count: f32,
}

impl Standing {
    /// Notes a matured one-step forecast.
    pub(crate) fn note(&mut self, error: f32, naive_error: f32) {
        self.count = (self.count + 1.0).min(1e6);
        let rate = RATE_MIN.max(1.0 / self.count);
        self.error += (error - self.error) * rate;
        self.naive_error += (naive_error - self.naive_error) * rate;
    }

    /// 1 − error / last value's error; `None` where nothing matured or last value made no error.
    pub(crate) fn skill(&self) -> Option<f64> {
        (self.count > 0.0 && self.naive_error > 0.0).then(|| 1.0 - f64::from(self.error / self.naive_error))
    }

    pub(crate) fn rebase(&mut self, by: Rebase) {
        self.error = by.scale(self.error);
        self.naive_error = by.scale(self.naive_error);
    }
}
