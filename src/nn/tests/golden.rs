//! Forward, loss and gradients against JAX in float64 (`tests/fixtures/nn/make.py`, written from `PyTorch`'s equations).

use serde_json::Value;

use crate::nn::{Batch, Bptt, Cell, Element, Network, Params, Scratch, Shape};

const FILES: [&str; 3] = [
    include_str!("../../../tests/fixtures/nn/elman.json"),
    include_str!("../../../tests/fixtures/nn/lstm.json"),
    include_str!("../../../tests/fixtures/nn/gru.json"),
];

/// The fixtures carry 14 digits.
const RELATIVE: f64 = 1e-11;

struct Golden {
    json: Value,
    shape: Shape,
}

impl Golden {
    fn all() -> impl Iterator<Item = Self> {
        FILES.iter().map(|text| {
            let json: Value = serde_json::from_str(text).unwrap();
            let size = |name: &str| json["sizes"][name].as_u64().unwrap() as usize;
            let levels = json["quantile_levels"].as_array().unwrap();
            let shape = Shape {
                cell: Cell::parse(json["cell"].as_str().unwrap()).unwrap(),
                inputs: size("inputs"),
                hidden: size("hidden"),
                layers: size("layers"),
                horizons: size("horizons"),
                skips: size("skips"),
                head_hidden: size("head_hidden"),
                quantiles: levels
                    .iter()
                    .map(|level| level.as_f64().unwrap() as f32)
                    .collect(),
            };
            Self { json, shape }
        })
    }

    fn size(&self, name: &str) -> usize {
        self.json["sizes"][name].as_u64().unwrap() as usize
    }

    /// `null` is NaN.
    fn numbers<F: Element>(&self, value: &Value) -> Vec<F> {
        let values = value.as_array().unwrap().iter();
        values
            .map(|value| F::of(value.as_f64().unwrap_or(f64::NAN)))
            .collect()
    }

    /// A map of tensors in the arena's order.
    fn arena<F: Element>(&self, name: &str) -> Vec<F> {
        let tensors = self.shape.tensors();
        assert_eq!(tensors.len(), self.json[name].as_object().unwrap().len());
        tensors
            .iter()
            .flat_map(|tensor| self.numbers(&self.json[name][&tensor.name]))
            .collect()
    }

    fn params<F: Element>(&self) -> Params<F> {
        Params::from_arena(&self.shape, self.arena("params"))
    }

    fn batch<F: Element>(&self) -> Batch<F> {
        let numbers = |name: &str| self.numbers(&self.json[name]);
        Batch {
            steps: self.size("steps"),
            rows: self.size("rows"),
            inputs: numbers("inputs"),
            skips: numbers("skips"),
            targets: numbers("targets"),
            weights: numbers("weights"),
            state: numbers("state"),
        }
    }
}

fn assert_close(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= RELATIVE * (1. + wanted.abs()),
            "{what} {index}: {found}, JAX {wanted}"
        );
    }
}

#[test]
fn golden_loss_state_and_gradients_equal_jax() {
    for golden in Golden::all() {
        let (shape, batch) = (&golden.shape, golden.batch::<f64>());
        let mut bptt = Bptt::new(shape, batch.steps, batch.rows);
        let mut gradient = vec![0.; shape.param_count()];
        let loss = bptt.gradient(&golden.params(), &batch, None, &mut gradient);
        let wanted = ["loss", "weight"].map(|name| golden.json[name].as_f64().unwrap());
        assert_close(&[loss.mean, loss.weight], &wanted, "loss");
        assert_close(
            bptt.state_after(),
            &golden.numbers::<f64>(&golden.json["state_after"]),
            "state",
        );
        let wanted = golden.arena::<f64>("gradients");
        for tensor in shape.tensors() {
            let what = format!("{:?} d {}", shape.cell, tensor.name);
            assert_close(&gradient[tensor.range.clone()], &wanted[tensor.range], &what);
        }
    }
}

/// The served f32 quantiles against JAX's f64: values of order 10, 6 steps; 1e-5 is some 20 roundings.
#[test]
fn golden_served_quantiles_equal_jax() {
    for golden in Golden::all() {
        let (shape, batch) = (&golden.shape, golden.batch::<f32>());
        let network = Network::new(&golden.params());
        let mut scratch = Scratch::new(shape, batch.rows);
        let mut state = batch.state;
        let mut quantiles = vec![0.; batch.rows * shape.horizons * shape.levels()];
        let wanted = golden.numbers::<f64>(&golden.json["quantiles"]);
        let steps = batch.inputs.chunks_exact(batch.rows * shape.inputs);
        let skips = batch
            .skips
            .chunks_exact(batch.rows * shape.horizons * shape.skips);
        for ((inputs, skips), wanted) in steps.zip(skips).zip(wanted.chunks_exact(quantiles.len())) {
            network.step(batch.rows, inputs, &mut state, &mut scratch);
            network.head(batch.rows, &state, skips, &mut quantiles, &mut scratch);
            for (found, wanted) in quantiles.iter().zip(wanted) {
                let bound = 1e-5 * (1. + wanted.abs());
                assert!(
                    (f64::from(*found) - wanted).abs() < bound,
                    "{:?}: {found} {wanted}",
                    shape.cell
                );
            }
        }
    }
}
