//! What shapes the engine's state and its forecasts.

use crate::experts::{Expert, ExpertSet};
use crate::nn::Cell;

/// How the interval of a stream's grid is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// From the first arrivals.
    Auto,
    /// Milliseconds, at least 1.
    Given(i64),
}

/// The seasons of a stream, shortest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seasons {
    /// A day and a week where the interval allows.
    Auto,
    /// Milliseconds each.
    Durations(Vec<i64>),
    /// Steps each.
    Steps(Vec<u32>),
}

/// The network of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// Kind of cell.
    pub cell: Cell,
    /// Hidden units of a layer (H), 1..=512.
    pub hidden: usize,
    /// 1..=3.
    pub layers: usize,
}

/// How much a stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything of the recipe, in f32.
    Accurate,
    /// At most 2 KB: no least squares of its own, few forecasts in flight, most numbers at rest in f16.
    Compact,
}

impl Profile {
    /// As configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accurate => "accurate",
            Self::Compact => "compact",
        }
    }

    /// Whether a row of it has an expert.
    #[must_use]
    pub const fn serves(self, expert: Expert) -> bool {
        match self {
            Self::Accurate => true,
            Self::Compact => !expert.is_linear(),
        }
    }

    /// The first of these names that names no expert of such a row.
    #[must_use]
    pub fn unserved(self, names: &[String]) -> Option<&str> {
        let is_served = |name: &str| {
            let mut experts = Expert::ALL.into_iter();
            experts.any(|expert| expert.is_named(name) && self.serves(expert))
        };
        names.iter().map(String::as_str).find(|name| !is_served(name))
    }
}

/// One pipeline's engine. Every key but those marked shapes state.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Grid.
    pub interval: Interval,
    /// Seasons.
    pub seasons: Seasons,
    /// Local time minus UTC, milliseconds: daily cycles are cut in local time.
    pub utc_offset_ms: i64,
    /// Masked steps run through a gap; a longer one is one step, status `stale`.
    pub gap_max: u32,
    /// Published horizons in steps, ascending, at least 1 (output only).
    pub horizons: Vec<u32>,
    /// Configured quantile levels, ascending, in (0,1), 0.5 among them.
    pub quantiles: Vec<f64>,
    /// Network.
    pub model: ModelConfig,
    /// What a row keeps.
    pub profile: Profile,
    /// Names of the experts that take part; empty = all that the profile serves.
    pub experts: Vec<String>,
    /// Streams a partition holds at most (no part of a stream's state).
    pub streams_max: usize,
    /// A full partition forgets streams that were idle for longer, in its event time; milliseconds, at least 1.
    pub stream_ttl_ms: i64,
    /// Whether a stream publishes from its first observation on (output only).
    pub publish_warming: bool,
    /// Share of streams on the tape, in 0..=1, by hash of the stream (no part of state).
    pub tape_share: f64,
}

impl Config {
    /// The experts that take part.
    ///
    /// # Panics
    /// Where it names one that is unknown: the configuration's loader refuses it.
    #[must_use]
    pub fn expert_set(&self) -> ExpertSet {
        let named = ExpertSet::from_names(self.experts.iter().map(String::as_str))
            .expect("names of experts are checked with the configuration");
        ExpertSet::of(named.iter().filter(|&expert| self.profile.serves(expert)))
    }
}
