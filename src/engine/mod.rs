//! The pure state machine of a partition: observations in, forecasts out.

pub mod config;
pub mod forecast;

pub use config::Config;
pub use forecast::{Anomaly, Forecast, Judged, Outcome, Status};

/// Version of a pipeline's weights, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelVersion(pub u64);
