//! One worker: a thread that takes records, steps the engine, publishes outcomes and commits, through ports.
//!
//! A worker is a static member of its pipeline's group and owns one transactional producer. It runs one loop of
//! [turns](Worker::turn): gather, step, publish, perhaps commit. Whatever goes wrong with a commit, it drops the producer
//! and all state and begins again from what is committed: there is one recovery path.
//!
//! ```text
//!             ┌──────────────────────── begin again (any failure, any panic) ───────────────────────┐
//!             v                                                                                      │
//! connect (new producer fences the old) → restore each assigned partition → gather → settle → commit ┘
//!                                           │ read C, load a snapshot of      │ revoked: settle, commit,
//!                                           │ O ≤ C or go to the base,        │ drop the state, release
//!                                           │ replay muted up to C            │
//! ```
//!
//! Between turns a snapshot that is due is copied in pieces. A partition that fails three times at one place by its own
//! fault is parked; the others go on.

mod answer;
mod batch;
mod blame;
mod bring_up;
mod capture;
mod commit;
pub mod config;
mod crew;
mod degrade;
mod inquiry;
mod loading;
pub mod metadata;
pub mod ports;
mod publisher;
pub mod report;
mod restore;
mod run;
mod slot;
pub mod snapshots;
pub mod switch_log;

pub use config::Config;
pub use metadata::Metadata;
pub use report::{Outcomes, TurnReport};
pub use run::{Ports, Worker, panic_text};
pub use switch_log::{METADATA_BYTES_MAX, SwitchLog};

#[cfg(test)]
mod tests;
