//! Pure domain of a stream: its grid in time, its scale, its past, its seasons.
//!
//! ```text
//! (time, value) -> cadence: which step -> scaler: normalised units -> ring, profiles, season ring -> experts, features
//! ```
//!
//! # Units
//! A stream's numbers live in *normalised* units, x = (value − base) / unit, with base and unit in f64 and unit a power
//! of two ([`scaler`]). When level or scale drift away, [`scaler::Scaler::rebase`] says by what, and every piece of
//! state follows according to its kind, which its field names:
//! - **value-like**: x ← (x − shift) · ratio
//! - **scale-like**: x ← x · ratio
//! - **square-like**: x ← x · ratio²
//! - **free**: stays
//!
//! Each component with state of a kind other than free has a `rebase` that does it.

#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "counts and slot indices are far below 2^24, and bitwise equality is what is meant where floats are compared"
)]

pub mod cadence;
pub mod calendar;
pub mod observation;
pub mod profile;
pub mod ring;
pub mod scaler;
pub mod score;
pub mod season_ring;
pub mod seasons;

/// How normalised state follows its stream: value-like x ← (x − shift) · ratio, scale-like x ← x · ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rebase {
    /// The new base in old units.
    pub shift: f32,
    /// Old unit / new unit: a power of two.
    pub ratio: f32,
}

impl Rebase {
    /// A value-like number in the new units, within ±1e6 like every normalised value.
    #[must_use]
    pub fn value(self, x: f32) -> f32 {
        ((x - self.shift) * self.ratio).clamp(-1e6, 1e6)
    }

    /// A scale-like number in the new units, within ±1e12.
    #[must_use]
    pub fn scale(self, x: f32) -> f32 {
        (x * self.ratio).clamp(-1e12, 1e12)
    }

    /// A square-like number in the new units, within ±1e24.
    #[must_use]
    pub fn square(self, x: f32) -> f32 {
        (x * self.ratio * self.ratio).clamp(-1e24, 1e24)
    }
}
