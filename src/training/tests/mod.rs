//! A plant whose residuals only a network with memory can predict, and what the trainer makes of it.

mod joining;
mod state;
mod tape;
mod trainer;

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::engine::{Model, ModelVersion, Origin, TapeChunk, TapeDims, TapeRow};
use crate::nn::{Cell, Network, Params, Scratch, Shape};
use crate::training::Config;

pub(super) fn config() -> Config {
    Config {
        rows_per_observation: 14.0,
        learning_rate: 2e-3,
        chunk: 16,
        batch: 16,
        cpu_share: 0.5,
        publish_interval: Duration::from_secs(30),
        tape_bytes: 8 << 20,
    }
}

fn shape() -> Shape {
    Shape {
        cell: Cell::Gru,
        inputs: 2,
        hidden: 12,
        layers: 1,
        horizons: 2,
        skips: 2,
        head_hidden: 8,
        quantiles: vec![0.1, 0.5, 0.9],
    }
}

const HORIZONS: [u32; 2] = [1, 3];

fn first_model() -> Arc<Model> {
    let origin = Origin {
        version: ModelVersion(1),
        parent: None,
        lineage: 7,
        made: "first".into(),
    };
    Arc::new(Model::from_params(origin, Params::init(&shape(), 7)))
}

fn dims() -> TapeDims {
    TapeDims {
        inputs: 2,
        horizons: 2,
        skips: 2,
        state: 12,
    }
}

/// Streams that are served step by step. A pulse (input 0, one step in twelve) sets a latch; one step later the
/// reading is 1.5 × latch × input 1 of the step before, plus noise. Horizon 3 is only noise around 0.
struct Plant {
    rng: Pcg64Mcg,
    step: i64,
    latch: Vec<f32>,
    /// (B,2) of the newest step.
    inputs: Vec<f32>,
    /// (B,state).
    state: Vec<f32>,
    network: Option<(Arc<Model>, Scratch)>,
}

impl Plant {
    fn new(streams: usize, seed: u64) -> Self {
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            step: 0,
            latch: vec![1.0; streams],
            inputs: vec![0.0; streams * 2],
            state: vec![0.0; streams * 12],
            network: None,
        }
    }

    /// States come from `model` from now on; without a model they stay 0.
    fn serve(&mut self, model: Arc<Model>) {
        let scratch = Scratch::new(model.params.shape(), self.latch.len());
        self.network = Some((model, scratch));
    }

    /// One step of every stream, appended to `chunk`.
    fn step(&mut self, chunk: &mut TapeChunk) {
        let streams = self.latch.len();
        let noise = |rng: &mut Pcg64Mcg| rng.random::<f32>() - 0.5;
        let observed: Vec<f64> = (0..streams)
            .map(|b| f64::from(1.5 * self.latch[b] * self.inputs[b * 2 + 1] + 0.2 * noise(&mut self.rng)))
            .collect();
        for b in 0..streams {
            let pulse = if self.rng.random_range(0..12) == 0 {
                noise(&mut self.rng).signum()
            } else {
                0.0
            };
            if pulse != 0.0 {
                self.latch[b] = pulse;
            }
            self.inputs[b * 2] = pulse;
            self.inputs[b * 2 + 1] = noise(&mut self.rng).signum();
        }
        for (b, &observed) in observed.iter().enumerate() {
            chunk.push(&TapeRow {
                stream: 1000 + b as u64,
                step: self.step,
                model_version: 1,
                observed,
                inputs: &self.inputs[b * 2..b * 2 + 2],
                skips: &[self.inputs[b * 2 + 1], 0.5, self.inputs[b * 2 + 1], 0.5],
                state: &self.state[b * 12..(b + 1) * 12],
                centre: &[0.0; 2],
                unit: &[1.0; 2],
                weight: &[1.0; 2],
                in_service: self.step >= 4,
            });
        }
        if let Some((model, scratch)) = &mut self.network {
            let network: &Network = &model.network;
            network.step(streams, &self.inputs, &mut self.state, scratch);
        }
        self.step += 1;
    }

    fn steps(&mut self, count: usize) -> TapeChunk {
        let mut chunk = TapeChunk::new(dims(), count * self.latch.len());
        (0..count).for_each(|_| self.step(&mut chunk));
        chunk
    }
}
