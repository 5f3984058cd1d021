//! The shell: threads, signals, clocks, HTTP and the service manager around the pure parts.
//!
//! ```text
//! main thread    runtime: HTTP, signals, supervision once a second (watchdog, STATUS)
//! NAME           per pipeline: waits for store and Kafka, then starts the following and joins them on stop
//! 0.NAME ..      workers: turns
//! train.NAME     tape in, versions out; or follows the store's versions where another process trains
//! ```
//! Every thread and task is joined on stop. What a worker does is seen through its [`Observer`](crate::worker::ports::Observer)
//! only: counters go to the metrics once per turn, the rest to the [`Board`].
//!
//! # Start
//! `READY=1` is sent as soon as HTTP listens and the pipelines' threads run. Kafka or the store away is no reason to be
//! killed by the service manager: it is said in STATUS and by `/readyz`, and waited for.

mod app;
pub mod board;
pub mod clock;
pub mod error;
mod gauges;
pub mod host;
mod http;
mod keeper;
pub mod models;
pub mod observer;
pub mod pacing;
mod pipeline;
mod pruning;
pub mod readiness;
pub mod signals;
pub mod stop;
pub mod tape;
mod trainer;
mod transitions;
pub mod watchdog;

pub use app::{bind, run, run_until_signal};
pub use board::Board;
pub use error::Error;
pub use stop::Stop;

#[cfg(test)]
mod tests;
