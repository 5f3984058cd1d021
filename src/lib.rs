//! tidecast: a daemon that forecasts sensor streams from Kafka.
//!
//! It keeps one recurrent hidden state per stream in memory, publishes calibrated step-ahead forecasts exactly once, and
//! retrains its weights online.
//!
//! ```text
//! main -> cli -> daemon -> { config, kafka, store } -> worker -> { engine, codec } -> experts -> { series, nn }
//!                       training -> { engine, series, nn }      codec -> { engine, series }
//! ```
//!
//! An arrow is "may use"; `tests/it/tidy.rs` fails on any other. `nn` and `series` use no sibling; `kafka` and `store`
//! never see each other.

extern crate blas_src; // links OpenBLAS for ndarray; without this line the products do not link

pub mod cli;
pub mod codec;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod experts;
pub mod kafka;
pub mod nn;
pub mod series;
pub mod store;
pub mod telemetry;
pub mod training;
pub mod worker;
