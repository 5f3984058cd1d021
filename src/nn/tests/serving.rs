//! The serving form against the training form, and rows against their batch.

use super::support::{CELLS, Uniform, batch, params, small};
use crate::nn::{Bptt, Network, Params, Scratch, Shape};

fn wide(shape: Shape) -> Shape {
    Shape {
        inputs: 20,
        hidden: 48,
        skips: 23,
        head_hidden: 32,
        ..shape
    }
}

/// Inputs, state and skips of `rows` rows.
fn rows_of(shape: &Shape, rows: usize, seed: u64) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut uniform = Uniform::new(seed);
    (
        uniform.vector(rows * shape.inputs, 2.),
        uniform.vector(rows * shape.state_len(), 0.9),
        uniform.vector(rows * shape.horizons * shape.skips, 2.),
    )
}

#[test]
fn serving_row_alone_equals_the_row_in_any_batch_bitwise() {
    for cell in CELLS {
        for shape in [small(cell, 3), wide(small(cell, 1))] {
            let network = Network::new(&params::<f32>(&shape, 5));
            let width = shape.horizons * shape.levels();
            let (inputs, before, skips) = rows_of(&shape, 13, 1);
            let mut scratch = Scratch::new(&shape, 13);
            let mut serve = |first: usize, rows: usize| {
                let own =
                    |values: &[f32], width: usize| values[first * width..(first + rows) * width].to_vec();
                let mut state = own(&before, shape.state_len());
                let mut quantiles = vec![f32::NAN; rows * width];
                network.step(rows, &own(&inputs, shape.inputs), &mut state, &mut scratch);
                let skips = own(&skips, shape.horizons * shape.skips);
                network.head(rows, &state, &skips, &mut quantiles, &mut scratch);
                (state, quantiles)
            };
            let (states, quantiles) = serve(0, 13);
            for rows in 1..=6 {
                for first in 0..=13 - rows {
                    let (state, quantile) = serve(first, rows);
                    assert_eq!(
                        state,
                        states[first * shape.state_len()..(first + rows) * shape.state_len()]
                    );
                    assert_eq!(quantile, quantiles[first * width..(first + rows) * width]);
                }
            }
        }
    }
}

/// The OpenBLAS path is the kernel's twin: same equations, other order of the sums. 64 steps of f32 with carried state
/// stay within 2e-5 absolute (values are of order 1, each step rounds at 6e-8 times the length of a sum).
#[test]
fn serving_equals_training_forward() {
    for cell in CELLS {
        for layers in 1..=3 {
            let shape = wide(small(cell, layers));
            let params: Params<f32> = Params::init(&shape, 3);
            let (steps, rows) = (64, 5);
            let segment = batch::<f32>(&shape, steps, rows, 1);
            let network = Network::new(&params);
            let mut scratch = Scratch::new(&shape, rows);
            let mut state = segment.state.clone();
            for inputs in segment.inputs.chunks_exact(rows * shape.inputs) {
                network.step(rows, inputs, &mut state, &mut scratch);
            }
            let mut bptt = Bptt::new(&shape, steps, rows);
            bptt.loss(&params, &segment, &mut [0.; 5]);
            for (served, trained) in state.iter().zip(bptt.state_after()) {
                assert!(
                    (served - trained).abs() < 2e-5,
                    "{cell:?} x{layers}: {served} {trained}"
                );
            }
        }
    }
}

/// The loss of the served quantiles is the loss that training reports: the head serves what was trained.
#[test]
fn serving_head_equals_training_head() {
    for cell in CELLS {
        let shape = small(cell, 2);
        let params: Params<f32> = params(&shape, 8);
        let (steps, rows) = (7, 3);
        let mut segment = batch::<f32>(&shape, steps, rows, 1);
        segment
            .targets
            .iter_mut()
            .filter(|target| target.is_nan())
            .for_each(|target| *target = 0.3);
        let network = Network::new(&params);
        let mut scratch = Scratch::new(&shape, rows);
        let mut state = segment.state.clone();
        let (mut sum, mut weight_sum) = (0., 0.);
        let mut quantiles = vec![0.; rows * shape.horizons * shape.levels()];
        for step in 0..steps {
            let inputs = &segment.inputs[step * rows * shape.inputs..][..rows * shape.inputs];
            network.step(rows, inputs, &mut state, &mut scratch);
            let width = rows * shape.horizons * shape.skips;
            network.head(
                rows,
                &state,
                &segment.skips[step * width..][..width],
                &mut quantiles,
                &mut scratch,
            );
            for (index, quantiles) in quantiles.chunks_exact(shape.levels()).enumerate() {
                let place = step * rows * shape.horizons + index;
                let (target, weight) = (
                    f64::from(segment.targets[place]),
                    f64::from(segment.weights[place]),
                );
                let pinball = quantiles.iter().zip(&shape.quantiles).map(|(&q, &level)| {
                    let error = target - f64::from(q);
                    (f64::from(level) * error).max((f64::from(level) - 1.) * error)
                });
                sum += weight * pinball.sum::<f64>() / shape.levels() as f64;
                weight_sum += weight;
                assert!(
                    quantiles.windows(2).all(|pair| pair[0] < pair[1]),
                    "crossed: {quantiles:?}"
                );
            }
        }
        let loss = Bptt::new(&shape, steps, rows).loss(&params, &segment, &mut [0.; 3]);
        assert!(
            (sum / weight_sum - loss.mean).abs() < 1e-5 * loss.mean,
            "{cell:?}"
        );
    }
}

#[test]
fn serving_untrained_network_is_laplace_around_the_mix() {
    let shape = small(crate::nn::Cell::Gru, 1);
    let network = Network::new(&Params::init(&shape, 1));
    let (_, state, skips) = rows_of(&shape, 1, 2);
    let mut quantiles = [0.; 10];
    network.head(1, &state, &skips, &mut quantiles, &mut Scratch::new(&shape, 1));
    let laplace = [-20_f32.ln(), -5_f32.ln(), 0., 5_f32.ln(), 20_f32.ln()];
    for (quantile, expected) in quantiles.iter().zip(laplace.iter().cycle()) {
        assert!((quantile - expected).abs() < 1e-5);
    }
}
