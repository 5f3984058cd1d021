//! Learning while serving: a tape of what was served, a trainer that runs along it, a gate that lets weights pass.
//!
//! Pure: no clock, no thread, no IO; time is a parameter and randomness comes from a seed. The shell owns the thread,
//! paces it, and carries chunks in and models out:
//!
//! ```text
//! loop {
//!     for each full chunk:     give_back(trainer.absorb(chunk))
//!     if let Some(offer) = trainer.offer(now_ms):
//!         put-if-absent stored: trainer.published(offer.model)     someone else's is there: trainer.adopt(newest)
//!     if !paused:              trainer.work()      // one mini-batch at most; sleep by what it cost
//! }
//! ```
//!
//! # Test, then train
//! Every mini-batch of freshly matured rows is scored, forward only, by the served, the trained and the best kept
//! ancestor's weights *before* it becomes training material. What is offered is exactly what was scored last.
//!
//! # After a restart
//! [`Trainer::state`] is kept beside each version; a trainer that begins from that version goes on from there.

#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "counts far below 2^24 become floats and sizes fit; exact comparisons are with NaN masks and with zero"
)]

pub mod config;
mod fitting;
mod gate;
mod learner;
mod pool;
pub mod report;
mod schedule;
pub mod state;
mod tape;
pub mod trainer;

pub use config::Config;
pub use report::{Offer, Reason, Stats, Step};
pub use state::{State, StateError};
pub use trainer::Trainer;

#[cfg(test)]
mod tests;
