//! A stream that joins a pipeline of trained ones, against the same stream alone: what pooled priors and shared weights
//! are worth in its first steps.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::engine::config::{Interval, ModelConfig, Seasons};
use crate::engine::{self, Engine, Model, Outcome, PartitionState};
use crate::nn::Cell;
use crate::series::observation::{Observation, Offset, Partition, Source};
use crate::training::{Config, Step, Trainer};

const HOUR_MS: i64 = 3_600_000;
/// First steps of a stream that are judged.
const JUDGED: usize = 200;
const HORIZONS: [u32; 4] = [1, 12, 24, 96];
/// Levels judged, and their places among those configured.
const LEVELS: [(usize, f64); 3] = [(1, 0.1), (2, 0.5), (3, 0.9)];

fn engine_config() -> engine::Config {
    engine::Config {
        interval: Interval::Given(HOUR_MS),
        seasons: Seasons::Auto,
        utc_offset_ms: 0,
        gap_max: 32,
        horizons: HORIZONS.to_vec(),
        quantiles: vec![0.025, 0.1, 0.5, 0.9, 0.975],
        model: ModelConfig {
            cell: Cell::Gru,
            hidden: 24,
            layers: 1,
        },
        experts: Vec::new(),
        streams_max: 1_000,
        profile: engine::Profile::Accurate,
        stream_ttl_ms: 720 * HOUR_MS,
        publish_warming: true,
        tape_share: 1.0,
    }
}

/// One family: the same two harmonics of a day up to level, size and a shift of the hour, noise that remembers, and
/// quieter weekends.
fn stream(seed: u64, steps: usize) -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut between = |low: f64, high: f64| rng.random_range(low..high);
    let (level, size, shift) = (between(-50.0, 50.0), between(0.5, 20.0), between(-2.0, 2.0));
    let (second, weekend, rough) = (between(0.3, 0.6), between(0.1, 0.4), between(0.2, 0.4));
    let mut noise = 0.0;
    let value = |t: usize| {
        let uniform = |low: f64, rng: &mut Pcg64Mcg| rng.random_range(low..1.0);
        let radius = (-2.0 * uniform(1e-12, &mut rng).ln()).sqrt();
        noise = 0.7 * noise + 0.71 * radius * (TAU * uniform(0.0, &mut rng)).cos();
        let turn = |period: f64| (TAU * (t as f64 + shift) / period).sin();
        let week = weekend * if t / 24 % 7 >= 5 { -1.0 } else { 0.4 };
        level + size * (turn(24.0) + second * turn(12.0) + week + rough * noise)
    };
    (0..steps).map(value).collect()
}

/// A pipeline: engine, one partition, and its trainer.
struct Pipeline {
    engine: Engine,
    state: PartitionState,
    trainer: Trainer,
    now_ms: i64,
}

impl Pipeline {
    fn new() -> Self {
        let config = engine_config();
        let model = Arc::new(Model::first(&config, 3));
        let engine = Engine::new(config);
        let training = Config {
            rows_per_observation: 14.0,
            learning_rate: 2e-3,
            chunk: 32,
            batch: 64,
            cpu_share: 1.0,
            publish_interval: Duration::from_secs(30),
            tape_bytes: 128 << 20,
        };
        let state = engine.partition("sensors", Partition(0), Arc::clone(&model));
        let trainer = Trainer::new(training, &engine.plan().scored, model, 5);
        Self {
            engine,
            state,
            trainer,
            now_ms: 0,
        }
    }

    /// One step of every stream; gives the loss of what each said, where `judge` has the truth (horizons, streams).
    fn step(&mut self, streams: &[(String, Vec<f64>)], t: usize, mut judge: impl FnMut(usize, usize, f64)) {
        self.now_ms = t as i64 * HOUR_MS;
        for (name, values) in streams {
            let source = Source {
                offset: Offset(t as i64),
                index: 0,
                timestamp_ms: self.now_ms,
            };
            let observation = Observation {
                stream: name,
                time_ms: self.now_ms,
                value: Some(values[t]),
                source,
            };
            self.engine.admit(&mut self.state, observation);
        }
        let outcomes = self.engine.step(&mut self.state);
        for (n, (judged, (_, values))) in outcomes.iter().zip(streams).enumerate() {
            let Outcome::Forecast(forecast) = judged.outcome else {
                panic!("every reading has a forecast");
            };
            for (k, &h) in HORIZONS.iter().enumerate() {
                let Some(truth) = values.get(t + h as usize) else {
                    continue;
                };
                let loss = LEVELS.iter().map(|&(q, level)| {
                    let away = truth - forecast.quantiles[q * HORIZONS.len() + k];
                    (level * away).max((level - 1.0) * away)
                });
                judge(n, k, loss.sum());
            }
        }
    }

    /// As the backtest trains: rows onto the tape, then offers and mini-batches until nothing is due.
    fn train(&mut self) {
        let tape = self.engine.tape();
        tape.cut();
        while let Some(chunk) = tape.take_full() {
            tape.give_back(self.trainer.absorb(chunk));
        }
        loop {
            if let Some(offer) = self.trainer.offer(self.now_ms) {
                self.state.adopt(Arc::clone(&offer.model));
                self.trainer.published(offer.model);
            }
            if self.trainer.work() == Step::Idle {
                break;
            }
        }
    }
}

/// Streams of `seeds`; those that join have their past before them cut off.
fn streams(prefix: &str, seeds: std::ops::Range<u64>, steps: usize) -> Vec<(String, Vec<f64>)> {
    seeds
        .map(|seed| (format!("{prefix}{seed}"), stream(seed, steps)))
        .collect()
}

/// (K) losses of the joining streams over their first steps, each in units of its own size.
fn first_losses(pipeline: &mut Pipeline, joining: &[(String, Vec<f64>)]) -> [f64; 4] {
    let sizes: Vec<f64> = joining
        .iter()
        .map(|(_, values)| {
            values
                .windows(25)
                .map(|pair| (pair[24] - pair[0]).abs())
                .sum::<f64>()
        })
        .collect();
    let mut losses = [0.0; 4];
    for t in 0..JUDGED {
        pipeline.step(joining, t, |n, k, loss| losses[k] += loss / sizes[n]);
    }
    losses
}

fn ratio(joined: [f64; 4], alone: [f64; 4]) -> f64 {
    let logs = joined
        .iter()
        .zip(alone)
        .map(|(joined, alone)| (joined / alone).ln());
    (logs.sum::<f64>() / 4.0).exp()
}

#[test]
fn a_stream_that_joins_begins_where_the_others_are() {
    let steps = 700;
    let mut pipeline = Pipeline::new();
    let others = streams("other", 0..50, steps);
    for t in 0..steps {
        pipeline.step(&others, t, |_, _, _| ());
        pipeline.train();
    }
    assert!(
        pipeline.trainer.stats().versions > 0,
        "{:?}",
        pipeline.trainer.stats()
    );
    let model = Arc::clone(pipeline.state.model());
    let joining = streams("joining", 1_000..1_020, JUDGED + 96);
    let joined = first_losses(&mut pipeline, &joining);
    let alone = first_losses(&mut Pipeline::new(), &joining);
    // Its weights without its priors: the negative control.
    let mut bare = Pipeline::new();
    let without = Model::from_params(model.origin(), model.params.clone());
    bare.state.adopt(Arc::new(without));
    let without = first_losses(&mut bare, &joining);
    let (with, network) = (ratio(joined, alone), ratio(without, alone));
    println!(
        "first {JUDGED} steps, joined / alone {with:.3}, without priors {network:.3}: {joined:.3?} {without:.3?} {alone:.3?}"
    );
    assert!(with <= 0.95, "joined / alone {with}");
    assert!(
        with < network,
        "priors bring nothing: {with}, without them {network}"
    );
}
