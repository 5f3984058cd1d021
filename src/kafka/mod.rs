//! The edge to Kafka, and the only place that names rdkafka: a worker's consumer and transactional producer behind its
//! ports, where a pipeline starts.
//!
//! What exactly-once rests on: offsets travel in the transaction, with the group's metadata read anew for each commit
//! (`membership`); partitions are given back only after their state is gone (`rebalance`); a producer whose commit did
//! not return `Ok` is dropped, never aborted (`transaction`). A client's blocking calls are made on a thread of its own, and
//! one that hangs is left with its client (`apart`): no call of the library holds up a worker or a stop for ever. A partition
//! that a killed member has left without an owner is found (`lookout`, `owners`) and given one (`guest`).

pub mod admin;
mod apart;
mod asking;
mod client;
pub mod config;
mod deliveries;
pub mod embedded;
mod errors;
pub mod feed;
mod fit;
mod guest;
mod holder;
mod leaving;
mod letter;
mod log;
mod lookout;
mod lookup;
mod membership;
mod named;
mod owners;
mod properties;
mod questions;
mod rebalance;
mod sample;
mod source;
mod start;
mod transaction;

pub use client::{group_id, worker_id};
pub use config::Config;
pub use holder::held_elsewhere;
pub use leaving::Leaving;
pub use named::{Named, newest_named, versions_named};
pub use properties::refused;
pub use source::KafkaSource;
pub use start::resolve_start;
pub use transaction::KafkaSink;

use crate::worker;
use crate::worker::ports::Error;

/// Both sides of the worker numbered `index` (from 0) of a pipeline. Makes clients, asks nothing: the worker connects.
/// `leaving` bounds what their calls take once the worker is to stop.
///
/// # Errors
/// [`Error::Fatal`] where a client refuses its properties.
pub fn open(
    config: &Config,
    worker: &worker::Config,
    index: usize,
    leaving: Leaving,
) -> Result<(KafkaSource, KafkaSink), Error> {
    let source = KafkaSource::open(config, worker, index, leaving.clone())?;
    Ok((source, KafkaSink::new(config, worker, index, leaving)))
}
