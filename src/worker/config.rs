//! How a worker batches and commits.

use std::time::Duration;

use crate::codec;
use crate::engine;

/// Where a partition without a committed offset starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The log's end.
    Latest,
    /// The log's beginning.
    Earliest,
}

/// One pipeline as its workers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Workers (threads, group members) of this process.
    pub workers: usize,
    /// Input topics.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// History read with the mouth shut before the start.
    pub warmup: Duration,
    /// How far back state is made anew where nothing better is left.
    pub rebuild: Duration,
    /// Topic of the forecasts.
    pub output_topic: String,
    /// Topic of the dead letters.
    pub dead_letter_topic: String,
    /// Whether outcomes other than forecasts go to the dead-letter topic too.
    pub dead_letter_drops: bool,
    /// Time between commits.
    pub commit_interval: Duration,
    /// A transaction as old as this is committed at the end of the turn, however long the commit interval: well below
    /// the time after which the broker aborts it, since one more turn and the commit itself still have to fit.
    pub transaction_age_max: Duration,
    /// Records of a turn at most, and observations at which it takes no further record.
    pub turn_records_max: usize,
    /// Lag in records of a partition beyond which training pauses.
    pub lag_pause_training: i64,
    /// Lag in records of a partition beyond which horizons are left out of its forecasts, until it is half of that.
    pub lag_thin: i64,
    /// Least time between two snapshots of a partition.
    pub snapshot_interval: Duration,
    /// Stretches that time so that no more than this is written on average.
    pub snapshot_bytes_per_s: u64,
    /// Decoder.
    pub input: codec::Config,
    /// Engine.
    pub engine: engine::Config,
}
