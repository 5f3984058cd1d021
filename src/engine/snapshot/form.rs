//! What it takes to read a snapshot, and what makes two configurations' states exchangeable.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::engine::config::{Interval, Seasons};
use crate::engine::index::stable_hash;
use crate::engine::row::ROW_FORMAT;
use crate::engine::setup::Setup;
use crate::engine::{Config, Engine, Profile};
use crate::experts::ExpertSet;
use crate::nn::Cell;

/// What it takes to read a snapshot into an engine's partitions; for the thread that reads.
#[derive(Clone, Debug)]
pub struct Form(pub(super) Arc<Setup>);

/// What it takes to read snapshots for `engine`.
#[must_use]
pub fn form(engine: &Engine) -> Arc<Form> {
    Arc::new(Form(Arc::clone(engine.setup())))
}

/// A hash of every key that shapes a stream's state, and of the row's format: where it differs, rows mean something else.
/// Horizons and quantiles are not in it, since rows are kept by them; nor are bounds and what shapes output only.
///
/// # Panics
/// Where an expert's name is unknown: the configuration was not validated.
#[must_use]
pub fn fingerprint(config: &Config) -> u64 {
    fingerprint_of(config, ROW_FORMAT, |experts| experts)
}

/// The fingerprint under another format of the row, which knows only so many of the experts.
pub(super) fn fingerprint_of(config: &Config, format: u32, known: impl Fn(ExpertSet) -> ExpertSet) -> u64 {
    let mut text = format!("row={format}");
    let mut key = |name: &str, value: String| {
        write!(text, ";{name}={value}").expect("a string takes what is written to it");
    };
    key(
        "interval_ms",
        match config.interval {
            Interval::Auto => "auto".to_owned(),
            Interval::Given(interval_ms) => interval_ms.to_string(),
        },
    );
    key(
        "seasons",
        match &config.seasons {
            Seasons::Auto => "auto".to_owned(),
            Seasons::Durations(durations_ms) => format!("ms{durations_ms:?}"),
            Seasons::Steps(steps) => format!("steps{steps:?}"),
        },
    );
    key("utc_offset_ms", config.utc_offset_ms.to_string());
    key("gap_max", config.gap_max.to_string());
    if config.profile == Profile::Compact {
        key("profile", "compact".to_owned());
    }
    let experts = config.expert_set();
    // The set's names: the order of a list, and whether all are named or none, shape nothing.
    let names: Vec<&str> = known(experts).iter().map(|expert| expert.name()).collect();
    key("experts", names.join(","));
    key(
        "cell",
        match config.model.cell {
            Cell::Elman => "elman".to_owned(),
            Cell::Gru => "gru".to_owned(),
            Cell::Lstm => "lstm".to_owned(),
        },
    );
    key("hidden", config.model.hidden.to_string());
    key("layers", config.model.layers.to_string());
    stable_hash(0, text.as_bytes())
}
