//! What a stream computes around the network: classical experts, their mixture, scale, quantiles, anomaly (RECIPE.md).
//!
//! # One step of a stream, and who is called
//! At step t with the value y (normalised; a missing one is carried forward and matures nothing):
//! ```text
//! for each scored horizon b with an origin s = t − b in flight      pending::due
//!     u = y − served(s), z = u / (s₂ · side)
//!     shares, linear experts, both centres learn                     share::Share::learn, linear::learn, centre::State::learn
//!     tracked quantiles, then scale (both chains), then slot visits  quantiles::learn, scale::Scale::learn
//!     both at the rates of the chain's regime; |u| / s noted last    drift::Drift::regime, drift::Drift::note
//! b = 1: both OneStep note |u|; Anomaly judges                       scale::OneStep::note, anomaly
//! Level notes y; ring, profiles, season ring take y                  scale::Level::note, series
//! regressors, covariance, origins in flight                          linear, origins
//! for each scored horizon b: bases, experts, centre, φ, s            base::Past, base::forecasts, centre::Weights, scale
//!     network's quantiles in units of s around the centre -> one more expert, width, side
//!     served f, φ₂, s₂, quantiles                                    centre::Weights, scale, quantiles::serve
//!     where t is an origin: keep them                                pending::open
//! for each published horizon: the same from state interpolated in log h   interpolate::Place
//! ```
//! There are two chains: the *classical* one (experts without the network), whose unit is the network's, and the
//! *served* one (all experts: f, s₂), whose errors the quantiles are tracked on.
//!
//! # State
//! Plain `Pod` structs and `f32` slices that the caller lays into its row; each says what is value-like, scale-like,
//! square-like or free under re-basing, and has a `rebase` where it is not free. Nothing allocates, nothing is random.
//!
//! A new stream begins where others of its pipeline are: each part's `begin`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "counts are far below 2^24, and exact comparisons are ties and masks"
)]

pub mod anomaly;
pub mod base;
pub mod centre;
pub mod drift;
mod expert;
pub mod interpolate;
pub mod linear;
pub mod mixture;
pub mod origins;
pub mod pending;
pub mod quantiles;
pub mod scale;
pub mod share;
pub mod stack;

pub use expert::{Expert, ExpertSet, UnknownExpert};

/// Smallest divisor, in normalised units: far below any spread, far above f32's underflow.
const TINY: f32 = 1e-12;

/// A usual error below this (normalised: between 1e-4 and 1e-3 of σ) is a standstill's. An error far beyond it is then no
/// outlier to be cut, which would leave the scale at nothing for ever, but the end of the standstill.
const STILL: f32 = 3e-4;

#[cfg(test)]
mod tests;
