//! One worker: a thread that takes records, steps the engine, publishes outcomes and commits, through ports.
//!
//! A worker is a static member of its pipeline's group and owns one transactional producer. It runs one loop of
//! [turns](Worker::turn): gather, step, publish, perhaps commit. Whatever goes wrong with a commit, it drops the producer
//! and all state and begins again from what is committed: there is one recovery path.

pub mod config;
pub mod ports;
pub mod report;

pub use config::Config;
pub use report::{Outcomes, TurnReport};

/// Limit of a committed offset's metadata, bytes (`offset.metadata.max.bytes` of the broker).
pub const METADATA_BYTES_MAX: usize = 4096;

// Signature that the shell builds on (implemented in worker/run.rs):
//   Worker::new(config: Config, ports: Ports<S, K, M, T, C, O>) -> Worker<..>
//   Ports { source, sink, models, tape, clock, observer }
//   worker.run(stop: &AtomicBool) -> Result<(), ports::Error>     // Ok = stopped and committed
//   kafka::open(kafka: &kafka::Config, worker: &worker::Config, index: usize) -> Result<(kafka::KafkaSource, kafka::KafkaSink), ports::Error>
//   kafka::resolve_start(kafka: &kafka::Config, worker: &worker::Config) -> Result<(), ports::Error>
//       // once per pipeline before its workers join; blocking, bounded; retried by the caller while Transient
