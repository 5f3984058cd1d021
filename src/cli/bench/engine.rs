//! `bench engine`.

use std::sync::Arc;

use serde::Serialize;

use super::order::Order;
use super::time::rates;
use crate::engine::config::{Interval, ModelConfig, Seasons};
use crate::engine::{self, Config, Engine, Model, PartitionState, Profile};
use crate::nn::{Cell, Network, Params, Scratch};
use crate::series::observation::{Observation, Offset, Partition, Source};

/// Steps of every stream before anything is measured: least squares learn from the 48th on, and the farthest horizon has
/// matured.
const WARM: i64 = 128;
/// Rows that go through the network together, as in the engine.
const ROWS: usize = 32;
const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_767_607_200_000;

/// Command line of `bench engine`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// accurate or compact
    #[arg(long, default_value = "accurate", value_parser = profile)]
    profile: Profile,
    /// Streams, read in random order
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    streams: u32,
    /// Readings of a turn
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Published horizons; those of a list of up to eight are scored
    #[arg(long, value_delimiter = ',', default_values_t = [1, 12, 24, 96], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    horizons: Vec<u32>,
    /// Seconds to measure for
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

/// Profiles by name.
const PROFILES: [(&str, Profile); 2] = [("accurate", Profile::Accurate), ("compact", Profile::Compact)];

fn profile(name: &str) -> std::result::Result<Profile, String> {
    let known = PROFILES.into_iter().find(|(known, _)| *known == name);
    known
        .map(|(_, profile)| profile)
        .ok_or_else(|| format!("no profile `{name}`; known are accurate, compact"))
}

fn name(profile: Profile) -> &'static str {
    let known = PROFILES.into_iter().find(|&(_, known)| known == profile);
    known.map_or("", |(name, _)| name)
}

/// The line.
#[derive(Debug, Serialize)]
pub(super) struct Result {
    bench: &'static str,
    profile: &'static str,
    streams: u32,
    order: &'static str,
    batch: u32,
    horizons: usize,
    scored_horizons: usize,
    observations_per_second: f64,
    us_per_observation: f64,
    network_us: f64,
    experts_us: f64,
    bytes_per_stream: usize,
}

/// An engine with warm streams, and where their readings stand.
struct Bench {
    engine: Engine,
    state: PartitionState,
    ids: Vec<String>,
    order: Order,
    /// Readings made.
    readings: u64,
    batch: u64,
}

impl Bench {
    fn new(config: &Config, args: &Args) -> Self {
        let engine = Engine::new(config.clone());
        let state = engine.partition("bench", Partition(0), Arc::new(Model::first(config, 1)));
        let mut bench = Self {
            engine,
            state,
            ids: (0..args.streams)
                .map(|stream| format!("plant-{}/sensor-{stream}", stream % 97))
                .collect(),
            order: Order::new(args.streams),
            readings: args.streams as u64 * WARM as u64,
            batch: args.batch.into(),
        };
        // Some streams at a time, so that their rows stay in the cache.
        for first in (0..bench.ids.len()).step_by(ROWS) {
            for step in 0..WARM {
                for stream in first..bench.ids.len().min(first + ROWS) {
                    bench.admit(stream, step);
                }
                bench.engine.step(&mut bench.state);
            }
        }
        bench
    }

    /// A reading of a stream: a day's wave and noise.
    fn admit(&mut self, stream: usize, step: i64) {
        let noise = (step as u64 ^ (stream as u64) << 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let day = (step + stream as i64) as f64 * std::f64::consts::TAU / 24.0;
        let source = Source {
            offset: Offset(step),
            index: 0,
            timestamp_ms: START_MS + step * HOUR_MS,
        };
        let observation = Observation {
            stream: &self.ids[stream],
            time_ms: source.timestamp_ms,
            value: Some(20.0 + 5.0 * day.sin() + noise as f64 / f64::from(1 << 24)),
            source,
        };
        self.engine.admit(&mut self.state, observation);
    }

    /// A turn of the engine; how many readings.
    fn turn(&mut self) -> u64 {
        for _ in 0..self.batch {
            let step = (self.readings / self.ids.len() as u64) as i64;
            let stream = self.order.next();
            self.admit(stream, step);
            self.readings += 1;
        }
        let outcomes = self.engine.step(&mut self.state).len() as u64;
        assert_eq!(outcomes, self.batch, "an outcome per reading");
        outcomes
    }
}

/// The network of a configuration, with rows to take through it.
struct Alone {
    network: Network,
    scratch: Scratch,
    inputs: Vec<f32>,
    state: Vec<f32>,
    skips: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Alone {
    fn new(config: &Config) -> Self {
        let shape = engine::shape(config);
        let noise = |len: usize| (0..ROWS * len).map(|i| (i as f32).sin()).collect();
        Self {
            network: Network::new(&Params::init(&shape, 1)),
            scratch: Scratch::new(&shape, ROWS),
            inputs: noise(shape.inputs),
            state: noise(shape.state_len()),
            skips: noise(shape.horizons * shape.skips),
            quantiles: noise(shape.horizons * shape.quantiles.len()),
        }
    }

    fn turn(&mut self) -> u64 {
        self.network
            .step(ROWS, &self.inputs, &mut self.state, &mut self.scratch);
        self.network.head(
            ROWS,
            &self.state,
            &self.skips,
            &mut self.quantiles,
            &mut self.scratch,
        );
        ROWS as u64
    }
}

fn config(args: &Args) -> Config {
    let mut horizons = args.horizons.clone();
    horizons.sort_unstable();
    horizons.dedup();
    Config {
        interval: Interval::Given(HOUR_MS),
        seasons: Seasons::Auto,
        utc_offset_ms: 0,
        gap_max: 32,
        horizons,
        quantiles: vec![0.1, 0.5, 0.9],
        model: ModelConfig {
            cell: Cell::Gru,
            hidden: 48,
            layers: 1,
        },
        experts: Vec::new(),
        streams_max: args.streams as usize,
        profile: args.profile,
        stream_ttl_ms: 30 * 24 * HOUR_MS,
        publish_warming: true,
        tape_share: 0.0,
    }
}

/// Measures.
pub(super) fn run(args: &Args) -> Result {
    let config = config(args);
    let mut bench = Bench::new(&config, args);
    let mut alone = Alone::new(&config);
    let rates = rates(args.seconds, &mut [&mut || bench.turn(), &mut || alone.turn()]);
    let [whole, network] = [rates[0], rates[1]].map(|rate| 1e6 / rate);
    let plan = bench.engine.plan();
    Result {
        bench: "engine",
        profile: name(args.profile),
        streams: args.streams,
        order: "random",
        batch: args.batch,
        horizons: plan.published.len(),
        scored_horizons: plan.scored.len(),
        observations_per_second: rates[0].round(),
        us_per_observation: whole,
        network_us: network,
        experts_us: whole - network,
        bytes_per_stream: bench.state.bytes() / args.streams as usize,
    }
}
