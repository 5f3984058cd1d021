//! What the trainer says about its work.

use std::sync::Arc;

use crate::engine::{Model, ModelVersion};

/// What one call of [`Trainer::work`](super::Trainer::work) did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Nothing is due: too little data, or every visit owed was made.
    Idle,
    /// A mini-batch of fresh rows was scored, forward only.
    Scored {
        /// Rows with a target.
        rows: usize,
    },
    /// One mini-batch was trained.
    Trained {
        /// Weighted mean pinball loss before the step.
        loss: f64,
        /// Global norm of the gradient before clipping.
        gradient_norm: f32,
        /// Rows of the mini-batch.
        rows: usize,
    },
    /// Loss or gradient was not finite: the mini-batch changed nothing.
    NonFinite,
}

/// Why a version is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The trained weights, not significantly worse than the served ones.
    Update,
    /// A copy of an ancestor that is significantly better than the served weights.
    Rollback {
        /// The version whose weights come back.
        to: ModelVersion,
    },
}

impl Reason {
    /// As `made` in the model's metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "online",
            Self::Rollback { .. } => "rollback",
        }
    }

    /// The version whose weights it was made from.
    pub(crate) const fn parent(self, served: ModelVersion) -> ModelVersion {
        match self {
            Self::Update => served,
            Self::Rollback { to } => to,
        }
    }
}

/// Weights that passed the gate, as the version after the served one.
#[derive(Clone, Debug)]
pub struct Offer {
    /// To be stored put-if-absent under its version, then served.
    pub model: Arc<Model>,
    /// Why.
    pub reason: Reason,
}

/// Counters and gauges of the trainer, for metrics. Counters never fall within a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Version that the gate holds to be served.
    pub served_version: u64,
    /// Mini-batches trained.
    pub batches: u64,
    /// Row visits trained.
    pub rows_trained: u64,
    /// Mini-batches owed by the schedule and not yet trained.
    pub batches_owed: f64,
    /// Loss of the newest mini-batch; NaN before the first.
    pub loss: f64,
    /// Exponentially weighted mean of the loss; NaN before the first.
    pub loss_mean: f64,
    /// Loss of the served weights on fresh rows, mean over the gate's window; NaN while empty.
    pub fresh_loss: f64,
    /// Trained minus served loss on the same fresh rows, mean over the gate's window; NaN while empty.
    pub paired_difference: f64,
    /// Its standard error; NaN below two batches.
    pub paired_error: f64,
    /// Fresh mini-batches in the gate's window.
    pub fresh_batches: usize,
    /// Global norm of the newest gradient before clipping.
    pub gradient_norm: f32,
    /// (lag in steps, norm of the loss's gradient by the hidden state that many steps back), newest measurement.
    pub gradient_norm_by_lag: Vec<(usize, f32)>,
    /// Step size in use.
    pub learning_rate: f64,
    /// Rows on the tape.
    pub tape_rows: usize,
    /// Streams on the tape.
    pub tape_streams: usize,
    /// Bytes of the tape.
    pub tape_bytes: usize,
    /// Rows taken onto the tape.
    pub rows_absorbed: u64,
    /// Rows that found no place: too many streams, another shape, or not finite.
    pub rows_refused: u64,
    /// Rows forgotten to stay within the tape's bytes.
    pub rows_evicted: u64,
    /// Versions that were published.
    pub versions: u64,
    /// Candidates that the gate refused.
    pub refused: u64,
    /// Rollbacks of the served weights to an ancestor.
    pub rollbacks: u64,
    /// Times the trained weights were set back to the served ones: loss spike, non-finite, or refused for long.
    pub resets: u64,
    /// Mini-batches whose loss or gradient was not finite.
    pub non_finite: u64,
}

impl Stats {
    /// Nothing was trained or scored yet.
    pub(crate) fn unknown() -> Self {
        Self {
            loss: f64::NAN,
            fresh_loss: f64::NAN,
            paired_difference: f64::NAN,
            paired_error: f64::NAN,
            ..Self::default()
        }
    }
}
