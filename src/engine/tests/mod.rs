//! The engine as its callers see it.

mod batching;
mod capacity;
mod compact;
mod drift;
mod grid;
mod hostile;
mod learning;
mod model;
mod outcomes;
mod rows;
mod seasons;
mod snapshot;
mod snapshot_file;
mod snapshot_kept;
mod thin;
mod watch;

use std::sync::Arc;

use crate::engine::config::{Interval, ModelConfig, Seasons};
use crate::engine::{Config, Engine, Model, Outcome, PartitionState};
use crate::experts::ExpertSet;
use crate::nn::Cell;
use crate::series::observation::{Observation, Offset, Partition, Source};

pub(super) const HOUR_MS: i64 = 3_600_000;

/// Hourly streams, horizons 1, 12, 24 and 96, the five levels of the head.
pub(super) fn config() -> Config {
    Config {
        interval: Interval::Given(HOUR_MS),
        seasons: Seasons::Auto,
        utc_offset_ms: 0,
        gap_max: 32,
        horizons: vec![1, 12, 24, 96],
        quantiles: vec![0.025, 0.1, 0.5, 0.9, 0.975],
        model: ModelConfig {
            cell: Cell::Gru,
            hidden: 8,
            layers: 1,
        },
        experts: Vec::new(),
        streams_max: 100_000,
        profile: crate::engine::Profile::Accurate,
        stream_ttl_ms: 720 * HOUR_MS,
        publish_warming: true,
        tape_share: 0.0,
    }
}

/// The same without the network.
pub(super) fn classical() -> Config {
    let experts = ExpertSet::all().classical();
    Config {
        experts: experts.iter().map(|expert| expert.name().to_owned()).collect(),
        ..config()
    }
}

/// Numbers that look random and never change: splitmix64.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::engine::index::mix(self.0)
    }

    /// Uniform in 0..1.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

pub(super) fn observation(stream: &str, time_ms: i64, value: Option<f64>, offset: i64) -> Observation<'_> {
    let source = Source {
        offset: Offset(offset),
        index: 0,
        timestamp_ms: time_ms,
    };
    Observation {
        stream,
        time_ms,
        value,
        source,
    }
}

/// A forecast kept, without its borrow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) stream: String,
    pub(super) origin_ms: i64,
    pub(super) observed: f64,
    pub(super) horizons: Vec<u32>,
    pub(super) mean: Vec<f64>,
    /// (Q,H).
    pub(super) quantiles: Vec<f64>,
    pub(super) experts: Vec<(&'static str, f64)>,
    pub(super) anomaly: Option<crate::engine::Anomaly>,
    pub(super) status: crate::engine::Status,
    pub(super) scale: f64,
}

/// What became of an observation, without borrows: the forecast, or the other outcome's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Forecast(Box<Kept>),
    Other(&'static str),
}

impl Seen {
    pub(super) fn forecast(&self) -> Option<&Kept> {
        match self {
            Self::Forecast(kept) => Some(kept),
            Self::Other(_) => None,
        }
    }

    pub(super) fn of(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Forecast(forecast) => Self::Forecast(Box::new(Kept {
                stream: forecast.stream.to_owned(),
                origin_ms: forecast.origin_ms,
                observed: forecast.observed,
                horizons: forecast.horizons.to_vec(),
                mean: forecast.mean.to_vec(),
                quantiles: forecast.quantiles.to_vec(),
                experts: forecast.experts.to_vec(),
                anomaly: forecast.anomaly,
                status: forecast.status,
                scale: forecast.scale,
            })),
            Outcome::Duplicate => Self::Other("duplicate"),
            Outcome::Late => Self::Other("late"),
            Outcome::Missing => Self::Other("missing"),
            Outcome::OverCapacity => Self::Other("over_capacity"),
            Outcome::Muted => Self::Other("muted"),
        }
    }
}

/// An engine with one partition.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) state: PartitionState,
    /// Of the message that [`Bench::one`] brings next.
    pub(super) offset: i64,
}

impl Bench {
    pub(super) fn new(config: Config) -> Self {
        let model = Arc::new(Model::first(&config, 1));
        Self::with_model(config, model)
    }

    pub(super) fn with_model(config: Config, model: Arc<Model>) -> Self {
        let engine = Engine::new(config);
        let state = engine.partition("sensors", Partition(0), model);
        Self::of(engine, state)
    }

    pub(super) fn of(engine: Engine, state: PartitionState) -> Self {
        Self {
            engine,
            state,
            offset: 0,
        }
    }

    /// Steps `observations` as one batch.
    pub(super) fn batch(&mut self, observations: &[Observation<'_>]) -> Vec<Seen> {
        for &observation in observations {
            self.engine.admit(&mut self.state, observation);
        }
        let outcomes = self.engine.step(&mut self.state);
        assert_eq!(outcomes.len(), observations.len());
        outcomes.iter().map(|judged| Seen::of(judged.outcome)).collect()
    }

    /// Steps one observation.
    pub(super) fn one(&mut self, stream: &str, time_ms: i64, value: Option<f64>) -> Seen {
        self.offset += 1;
        self.batch(&[observation(stream, time_ms, value, self.offset)])
            .remove(0)
    }

    /// One stream, hourly from 0.
    pub(super) fn series(&mut self, stream: &str, values: &[f64]) -> Vec<Seen> {
        let at = |(hour, &value): (usize, &f64)| self.one(stream, hour as i64 * HOUR_MS, Some(value));
        values.iter().enumerate().map(at).collect()
    }
}

/// A network whose output layers are not 0: what it says matters.
pub(super) fn lively(config: &Config, lineage: u64) -> Arc<Model> {
    let first = Model::first(config, lineage);
    let mut params = first.params.clone();
    let mut numbers = Numbers(lineage);
    for weight in params.as_mut_slice() {
        *weight += 0.05 * numbers.normal() as f32;
    }
    Arc::new(Model::from_params(first.origin(), params))
}
