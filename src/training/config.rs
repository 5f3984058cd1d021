//! How a pipeline's weights learn.

use std::time::Duration;

/// Training of one pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Rows visited by training per observation served (14 in the recipe).
    pub rows_per_observation: f64,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Steps of a segment (T): the truncation of back-propagation.
    pub chunk: usize,
    /// Segments of a mini-batch (B).
    pub batch: usize,
    /// Cap on the trainer's share of one core; 0 = never train.
    pub cpu_share: f64,
    /// Least time between two versions: bounds how many there are.
    pub publish_interval: Duration,
    /// Bytes of the tape at most.
    pub tape_bytes: usize,
}
