//! What the engine says about an observation.

use crate::engine::ModelVersion;
use crate::series::observation::Source;

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Too little was seen; so many more steps until `Ready` (0 while the interval is unknown).
    Warming {
        /// Steps still to come.
        ready_in: u32,
    },
    /// In service.
    Ready,
    /// A long gap just ended.
    Stale,
    /// Horizons were left out under load; stands in for the others.
    Degraded,
}

/// `observed` judged by the forecast that was made for it one step earlier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    /// In 0..=1, from the errors at several horizons.
    pub score: f64,
    /// Two-sided tail probability of the one-step forecast.
    pub p: f64,
    /// The score is above everything in the last tenth of the stream's age, and at least half a day: a threshold of one's
    /// own is put on peaks.
    pub peak: bool,
    /// A peak that reaches the engine's threshold.
    pub flag: bool,
}

/// A forecast in original units, borrowed from the engine's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Forecast<'a> {
    /// Id of the stream.
    pub stream: &'a str,
    /// Event time of the origin (the grid's tick), milliseconds since 1970.
    pub origin_ms: i64,
    /// 0 until it is known; horizons are then in steps.
    pub interval_ms: i64,
    /// The reading at the origin as received.
    pub observed: f64,
    /// Published horizons in steps, ascending (H).
    pub horizons: &'a [u32],
    /// (H).
    pub mean: &'a [f64],
    /// Configured levels, ascending (Q).
    pub levels: &'a [f64],
    /// (Q,H): one row per level. Invariant: finite, and monotone in Q.
    pub quantiles: &'a [f64],
    /// How far the stream is.
    pub status: Status,
    /// Name and weight at horizon 1, in the order of the record; sums to 1.
    pub experts: &'a [(&'static str, f64)],
    /// Version whose weights made it.
    pub model_version: ModelVersion,
    /// `None` where no forecast was made for this step.
    pub anomaly: Option<Anomaly>,
    /// Numbers are rounded to 1e-4 of this, the stream's scale in original units; 0 = not known yet.
    pub scale: f64,
}

/// Exactly one per observation.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// To be published.
    Forecast(Forecast<'a>),
    /// Its step is already filled.
    Duplicate,
    /// Before the stream's newest step.
    Late,
    /// A null: it took its step.
    Missing,
    /// The partition holds `streams_max` streams already.
    OverCapacity,
    /// Not ready, and `start_when = "ready"`.
    Muted,
}

/// An observation's source and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Which observation.
    pub source: Source,
    /// Its outcome.
    pub outcome: Outcome<'a>,
}
