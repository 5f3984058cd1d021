//! Inputs of the network.

/// Skip inputs per scored horizon (S).
pub const SKIPS: usize = 22;

/// Recurrent inputs (D) where `horizons` (K) are scored.
#[must_use]
pub const fn inputs(horizons: usize) -> usize {
    13 + horizons
}
