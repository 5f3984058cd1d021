//! tidecast: a daemon that forecasts sensor streams from Kafka.
//!
//! It keeps one recurrent hidden state per stream in memory, publishes a calibrated forecast for every observation exactly
//! once, and retrains its weights online. This page is the architecture; `docs/contract.md` is what users may rely on.
//!
//! ```text
//! main -> cli -> daemon -> { config, kafka, store } -> worker -> { engine, codec } -> experts -> { series, nn }
//!                       training -> { engine, series, nn }      codec -> { engine, series }
//! ```
//!
//! An arrow is "may use"; `tests/it/tidy.rs` has the exact table and fails on any other. `nn` and `series` use no sibling;
//! `kafka` and `store` never see each other. [`nn`], [`series`], [`experts`], [`engine`], [`training`] and [`codec`] are
//! pure: no clock, no IO, no thread, no log, and randomness only from a seed that is passed in. [`worker`] orders them
//! through ports; [`daemon`] owns threads, signals and clocks.
//!
//! # One observation
//!
//! One thread per worker, no channel and no lock on the way, no allocation after warm-up. A turn
//!
//! 1. **gathers**: the source polls and hands out each message; [`codec`] decodes it on the spot; the engine finds the
//!    stream's slot. What cannot be decoded is copied as a dead letter of the same batch.
//! 2. **steps** ([`engine::Engine::step`]): put the reading on the stream's grid, judge the forecasts whose truth it is,
//!    advance the network for all rows of the wave at once, let experts and network forecast, mix, scale, calibrate.
//! 3. **publishes** into the open Kafka transaction, and at the commit interval adds the input offsets and commits.
//!
//! # One update of the weights
//!
//! The worker hands the rows that the network was shown, as served, to the trainer's thread over a bounded queue; when it is
//! full, rows are dropped and counted. The trainer keeps a bounded tape, scores fresh rows with the served and the trained
//! weights before it trains on them, and offers new weights when they are not significantly worse. A version is put into
//! the store once, under a number that nobody else can take, and adopted by workers between two turns.
//!
//! # Exactly once
//!
//! Offsets travel in the transaction that publishes their outcomes, together with the base (before it nothing entered
//! state) and the switch log (which version from which offset). After any failed or unknown commit a worker drops its
//! producer and all its partitions' state, and begins again as after a crash: the newest snapshot that fits is loaded, and
//! from its offset (or, without one, from the base) records are read with the mouth shut up to the committed offset. There
//! is no second way to recover. `docs/exactly-once.md` says what is promised and which test shows it.
//!
//! # Invariants
//!
//! - I1: a record of an unassigned partition is never stepped.
//! - I2: per stream, observations are stepped in offset order, once per restored state.
//! - I3: a snapshot at an offset holds exactly the effect of the records from the base to before that offset.
//! - I4: an offset is committed only together with every outcome below it.
//! - I5: one wave uses one model version.
//! - I6: served parameters and forecasts are finite.
//! - I7: every queue, map, batch, retry and file has a bound, with a stated consequence.
//! - I8: on one kind of CPU the same base, records and switch log give bitwise the same state and forecasts, whatever the
//!   batching.
//! - I9: a forecast is trained on or scored only after its target is observed.
//! - I10: quantiles are monotone.
//! - I11: a stream's state is a function of its partition's records since the base and the switch log only; what streams
//!   share lives in the model file.
//! - I12: clock and load decide *when* to batch, commit, train and switch; never state.

extern crate blas_src; // links OpenBLAS for ndarray; without this line the products do not link

pub mod cli;
pub mod codec;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod experts;
pub mod faults;
pub mod kafka;
pub mod nn;
pub mod series;
pub mod store;
pub mod telemetry;
pub mod training;
pub mod worker;
