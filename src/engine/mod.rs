//! The pure state machine of a partition: observations in, forecasts out.
//!
//! ```text
//! Engine (one per worker: config, scratch, output buffers, tape)
//! PartitionState (one per partition: model, index id -> slot, slab of fixed rows, batch, statistics)
//!
//! engine.admit(state, observation)*  ->  engine.step(state)  ->  one outcome per observation, in order
//! ```
//!
//! A step takes the admitted observations in waves: each stream at most once per wave, so that a wave is one dense
//! product for the network and a stream's order is kept. What a row computes does not depend on the wave it was in.
//!
//! The state of a partition is a function of its observations and of the versions that served them: neither batches, nor
//! load, nor a restart from a snapshot ([`snapshot`]) change a bit of it. At `streams_max` streams that were idle for
//! `stream_ttl` of event time make room for new ones.
//!
//! No clock, no IO, no randomness; after warm-up nothing is allocated per observation.

#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "f32 kernels over bounded sizes; exact comparisons are with zero, with NaN masks and in ties"
)]

mod advance;
mod ahead;
mod batch;
mod between;
mod carry;
mod clock;
mod compact;
pub mod config;
mod dims;
pub mod error;
mod features;
pub mod fit;
pub mod forecast;
mod index;
mod issue;
mod layout;
mod mature;
pub mod model;
mod motion;
mod output;
pub mod partition;
pub mod plan;
pub mod priors;
pub mod row;
mod seasons;
mod setup;
mod slab;
pub mod snapshot;
mod standing;
pub mod stats;
pub mod step;
mod storage;
pub mod tape;
mod wave;
mod work;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use config::{Config, Profile};
pub use error::Error;
pub use fit::Fit;
pub use forecast::{Anomaly, Forecast, Judged, Outcome, Status};
pub use model::{Model, Origin};
pub use output::Outcomes;
pub use partition::{PartitionState, StreamView};
pub use plan::{HorizonPlan, experts, shape};
pub use priors::Priors;
pub use row::{FieldSize, row_table};
pub use setup::QUANTILES_MAX;
pub use stats::{OutcomeCounts, PartitionStats, Skill};
pub use step::Engine;
pub use tape::{TapeBuffer, TapeChunk, TapeDims, TapeRow};

/// Version of a pipeline's weights, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelVersion(pub u64);
