//! A stream's level and scale, and the normalised units its state lives in.
//!
//! σ = 3 × root mean square of the differences, exponentially weighted at max(1/n, 1/2000), floor 1e-6 of |level|
//! (RECIPE §2). The root mean square and not the deviation: on a ramp the deviation is 0, and dividing by it explodes.
//! Once settled, a difference moves σ by at most 50 of its own size, unless the two before it were cut too: one reading
//! of 1e30 (two differences) would otherwise hold the scale for 10⁵ steps; a machine that starts after days of standing
//! still is followed at once.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;

/// Slowest rate of σ: below, a change of scale is followed too late; above, it trembles with the day.
const RATE_MIN: f64 = 1.0 / 2000.0;
/// Non-zero differences until σ is believed (RECIPE §2: without the hold, least squares explode).
const SETTLED: u32 = 48;
/// Largest |x|: its square and the sum of 10⁶ such squares stay within f32.
const LIMIT: f64 = 1.0e6;
/// Level this far from the base (in units) asks for a new base: beyond, f32 keeps less than 2^-16 of a unit.
const DRIFT: f64 = 256.0;
/// Readings in a row beyond [`LIMIT`] until they are the new level and no spike.
const OUTSIDE: u32 = 3;
/// Most a unit changes in one re-basing.
const STRIDE: f64 = (1u64 << 40) as f64;
/// Most a base moves in one re-basing, in units; beyond, the state says nothing about the new level anyway.
const SHIFT_MAX: f64 = 1.0e15;
/// Differences that σ weighs as if it had seen no more, where it was far too small: a standstill's past says nothing.
const RESTART: u32 = 20;
/// Values are clamped to this, so that sums and squares of units stay finite in f64.
const VALUE_MAX: f64 = 1.0e100;

/// Level, scale and units of a stream. Zeroed = nothing seen. The fields are in original units or free: none is
/// re-based.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Scaler {
    base: f64,
    unit: f64,
    /// Newest value as observed.
    last: f64,
    /// Exponentially weighted level at 1/16, robust to a single spike.
    level: f64,
    /// Exponentially weighted mean square of the differences.
    square: f64,
    /// Differences seen, saturating.
    count: u32,
    /// Non-zero ones, saturating.
    moves: u32,
    /// Readings in a row that lie beyond the limit.
    outside: u32,
    /// 1 once a value was seen.
    started: u32,
    /// Differences in a row that were cut.
    cut: u32,
    /// Keeps the length a multiple of 8 bytes.
    reserved: u32,
}

impl Scaler {
    /// Takes a reading (a missing one is not shown). Afterwards ask [`Scaler::rebase`], then [`Scaler::normalise`].
    pub fn observe(&mut self, value: f64) {
        let value = clamped(value);
        if self.started == 0 {
            *self = Self::zeroed();
            self.started = 1;
            self.base = value;
            self.unit = power_of_two((1e-3 * value.abs()).max(1e-12));
            self.last = value;
            self.level = value;
            return;
        }
        let mut difference = value - self.last;
        self.last = value;
        if self.moves >= SETTLED {
            let most = 50.0 * self.square.sqrt();
            self.cut = if difference.abs() > most { self.cut + 1 } else { 0 };
            if self.cut < OUTSIDE {
                difference = difference.clamp(-most, most);
            } else {
                self.cut = 0;
                self.count = self.count.min(RESTART);
            }
        }
        self.count = self.count.saturating_add(1);
        self.moves = self.moves.saturating_add(u32::from(difference != 0.0));
        let rate = (1.0 / f64::from(self.count)).max(RATE_MIN);
        self.square += (difference * difference - self.square) * rate;
        self.follow(value);
    }

    /// Moves the level; a single reading moves it by at most 1000 σ / 16, three far ones in a row are the new level.
    fn follow(&mut self, value: f64) {
        let away = value - self.level;
        let most = 1000.0 * self.sigma();
        if away.abs() <= LIMIT * self.unit.max(self.sigma()) {
            self.outside = 0;
            self.level += away.clamp(-most, most) / 16.0;
            return;
        }
        self.outside += 1;
        if self.outside >= OUTSIDE {
            self.level = value;
            self.outside = 0;
        }
    }

    /// σ in original units: positive and finite.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        (3.0 * self.square.sqrt()).max(1e-6 * self.level.abs()).max(1e-12)
    }

    /// σ in normalised units: between 1/4 and 4 once re-based; positive and finite on the way there.
    #[must_use]
    pub fn sigma_normalised(&self) -> f32 {
        (self.sigma() / self.unit).clamp(1e-12, 1e12) as f32
    }

    /// Whether σ can be believed: before, no least squares are learnt.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.moves >= SETTLED
    }

    /// Whether a reading was seen.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started != 0
    }

    /// The newest reading, from its normalised value: what a compact row keeps of it.
    pub(crate) fn recall(&mut self, x: f32) {
        if self.is_started() {
            self.last = self.restore(x);
        }
    }

    /// New units, where level or scale have left the old ones: base and unit change here, the caller re-bases the rest.
    pub fn rebase(&mut self) -> Option<Rebase> {
        let sigma = self.sigma();
        let scale_fits = sigma <= 4.0 * self.unit && 4.0 * sigma >= self.unit;
        let level_fits = (self.level - self.base).abs() <= DRIFT * self.unit;
        if self.started == 0 || (scale_fits && level_fits) {
            return None;
        }
        let unit = if scale_fits {
            self.unit
        } else {
            power_of_two(sigma)
        };
        // At most 2^40 at a time keeps f32 finite; the next call goes on.
        let unit = unit.clamp(self.unit * STRIDE.recip(), self.unit * STRIDE);
        // A whole number of old units, where it can be: the state then moves without rounding.
        let shift = ((self.level - self.base) / self.unit).round();
        self.base = if shift.abs() < SHIFT_MAX {
            self.base + shift * self.unit
        } else {
            self.level
        };
        let ratio = (self.unit / unit) as f32;
        self.unit = unit;
        Some(Rebase {
            shift: shift.clamp(-SHIFT_MAX, SHIFT_MAX) as f32,
            ratio,
        })
    }

    /// A value in normalised units, clamped to ±1e6.
    #[must_use]
    pub fn normalise(&self, value: f64) -> f32 {
        ((clamped(value) - self.base) / self.unit).clamp(-LIMIT, LIMIT) as f32
    }

    /// A normalised value in original units: finite.
    #[must_use]
    pub fn restore(&self, x: f32) -> f64 {
        self.base + f64::from(x) * self.unit
    }

    /// A normalised difference or scale in original units: finite.
    #[must_use]
    pub fn restore_scale(&self, x: f32) -> f64 {
        f64::from(x) * self.unit
    }
}

fn clamped(value: f64) -> f64 {
    value.clamp(-VALUE_MAX, VALUE_MAX)
}

/// The power of two nearest below a positive number, within ±2^360.
fn power_of_two(positive: f64) -> f64 {
    2f64.powi(positive.log2().floor().clamp(-360.0, 360.0) as i32)
}

#[cfg(test)]
#[path = "tests/scaler.rs"]
mod tests;
