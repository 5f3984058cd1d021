//! Logs and metrics: what an operator sees.
//!
//! Logs are for what happens rarely, with fields rather than sentences full of numbers; what happens per record is
//! counted ([`metrics`]).

pub mod journal;
pub mod log;
pub mod metrics;
pub mod table;

pub use log::{Error, init};
pub use metrics::Metrics;
