//! Networks that learn: what is easy is learnt, what explodes is survived, what vanishes is seen.

use super::support::{Uniform, small};
use crate::nn::{Adam, Batch, Bptt, Cell, Ema, Params, Shape, clip_global_norm};

/// One horizon, one skip input that is always 0: what is learnt is learnt by the recurrent part.
fn recurrent_only(cell: Cell, hidden: usize) -> Shape {
    Shape {
        inputs: 1,
        hidden,
        horizons: 1,
        skips: 1,
        head_hidden: 16,
        ..small(cell, 1)
    }
}

/// Segments of the Hénon map x' = 1 - 1.4 x^2 + .3 x_before from the attractor; the input is x, the target x', so the
/// value before the last must be remembered.
fn henon(shape: &Shape, steps: usize, rows: usize, seed: u64) -> Batch {
    let mut uniform = Uniform::new(seed);
    let cells = steps * rows;
    let (mut inputs, mut targets) = (vec![0.; cells], vec![0.; cells]);
    for row in 0..rows {
        let (mut before, mut x) = (uniform.next() * 0.1, uniform.next() * 0.1);
        for step in 0..steps + 20 {
            let next = 1. - 1.4 * x * x + 0.3 * before;
            if let Some(step) = step.checked_sub(20) {
                inputs[step * rows + row] = x as f32;
                targets[step * rows + row] = next as f32;
            }
            (before, x) = (x, next);
        }
    }
    let mut weights = vec![1.; cells];
    weights[..2 * rows].fill(0.); // the first two steps have seen no past
    let state = vec![0.; rows * shape.state_len()];
    Batch {
        steps,
        rows,
        inputs,
        skips: vec![0.; cells],
        targets,
        weights,
        state,
    }
}

struct Trained {
    first: f64,
    last: f64,
    norm_max: f32,
    refused: usize,
    params: Params,
}

/// `updates` batches of the Hénon map with the product's optimizer.
fn train(mut params: Params, updates: u64, learning_rate: f32) -> Trained {
    let shape = params.shape().clone();
    let (steps, rows) = (20, 16);
    let mut bptt = Bptt::new(&shape, steps, rows);
    let mut gradient = vec![0.; shape.param_count()];
    let mut adam = Adam::new(gradient.len());
    let mut ema = Ema::new(params.as_slice());
    let (mut norm_max, mut refused) = (0_f32, 0);
    for update in 0..updates {
        let batch = henon(&shape, steps, rows, update);
        bptt.gradient(&params, &batch, None, &mut gradient);
        norm_max = norm_max.max(clip_global_norm(&mut gradient, 1.));
        let rate = learning_rate * if update * 3 > updates * 2 { 0.2 } else { 1. };
        refused += usize::from(adam.step(params.as_mut_slice(), &gradient, rate).is_err());
        ema.update(params.as_slice());
        assert!(params.is_finite(), "not finite after update {update}");
    }
    assert!(ema.as_slice().iter().all(|weight| weight.is_finite()));
    let unseen = henon(&shape, steps, rows, u64::MAX);
    let mut losses = vec![0.; rows];
    let last = bptt
        .loss(
            &Params::from_arena(&shape, ema.as_slice().to_vec()),
            &unseen,
            &mut losses,
        )
        .mean;
    let first = bptt.loss(&Params::init(&shape, 1), &unseen, &mut losses).mean;
    Trained {
        first,
        last,
        norm_max,
        refused,
        params,
    }
}

/// The quantile loss on unseen segments falls to an eighth; the bound of the scales alone (exp(-3)) would stop it near a
/// twentieth.
#[test]
fn learning_gru_masters_a_nonlinear_recurrence() {
    for cell in [Cell::Gru, Cell::Lstm] {
        let trained = train(Params::init(&recurrent_only(cell, 16), 1), 1200, 1e-2);
        println!("{cell:?}: {} -> {}", trained.first, trained.last);
        assert!(
            trained.last < trained.first / 8.,
            "{cell:?}: {} -> {}",
            trained.first,
            trained.last
        );
        assert_eq!(trained.refused, 0);
    }
}

/// Recurrent weights ten times too large: gradients explode, clipping and the guard keep every weight finite, and the
/// loss still falls.
#[test]
fn learning_survives_exploding_gradients() {
    for cell in [Cell::Elman, Cell::Gru, Cell::Lstm] {
        let shape = recurrent_only(cell, 16);
        let mut params = Params::init(&shape, 1);
        let ranges = shape.layer_ranges(0);
        params.as_mut_slice()[ranges.weight_hh]
            .iter_mut()
            .for_each(|weight| *weight *= 10.);
        // A head that listens to h at once, or no gradient would reach the recurrence at first.
        let head = shape.head_ranges(0);
        params.as_mut_slice()[head.output_weight]
            .iter_mut()
            .for_each(|weight| *weight = 0.5);
        let trained = train(params, 300, 1e-2);
        println!(
            "{cell:?}: norm up to {}, refused {}, loss {} -> {}",
            trained.norm_max, trained.refused, trained.first, trained.last
        );
        assert!(
            trained.norm_max > 30.,
            "{cell:?}: nothing exploded, {}",
            trained.norm_max
        );
        assert!(trained.params.is_finite());
        assert!(
            trained.last < trained.first * 0.8,
            "{cell:?}: {} -> {}",
            trained.first,
            trained.last
        );
    }
}

/// At h = 0 an Elman step backwards is the product with the recurrent weights: 10^64 overflows f32. The guard says so and
/// nothing has changed; the same update applied blindly would leave weights that are not finite.
#[test]
fn learning_overflowing_gradient_is_refused() {
    let shape = recurrent_only(Cell::Elman, 16);
    let mut params = Params::init(&shape, 1);
    let (ranges, head) = (shape.layer_ranges(0), shape.head_ranges(0));
    params.as_mut_slice()[ranges.weight_hh]
        .iter_mut()
        .for_each(|weight| *weight *= 10.);
    params.as_mut_slice()[head.output_weight].fill(0.5);
    params.as_mut_slice()[head.hidden_bias].fill(0.1);
    let mut batch = henon(&shape, 64, 1, 1);
    batch.inputs.fill(0.);
    let mut gradient = vec![0.; shape.param_count()];
    let loss = Bptt::new(&shape, 64, 1).gradient(&params, &batch, None, &mut gradient);
    assert!(loss.mean.is_finite() && !clip_global_norm(&mut gradient, 1.).is_finite());
    let before = params.clone();
    assert!(
        Adam::new(gradient.len())
            .step(params.as_mut_slice(), &gradient, 1e-3)
            .is_err()
    );
    assert_eq!(params, before);
    params
        .as_mut_slice()
        .iter_mut()
        .zip(&gradient)
        .for_each(|(weight, g)| *weight -= 1e-3 * g);
    assert!(
        !params.is_finite(),
        "the gradient did not overflow: the test shows nothing"
    );
}

/// Gradient norms behind the last step, lag 0..T-1, of a fresh network.
fn norms(cell: Cell, recurrent_scale: f32, steps: usize) -> Vec<f32> {
    let shape = recurrent_only(cell, 16);
    let mut params = Params::init(&shape, 1);
    let ranges = shape.layer_ranges(0);
    params.as_mut_slice()[ranges.weight_hh]
        .iter_mut()
        .for_each(|weight| *weight *= recurrent_scale);
    let head = shape.head_ranges(0);
    params.as_mut_slice()[head.output_weight]
        .iter_mut()
        .for_each(|weight| *weight = 0.5);
    Bptt::new(&shape, steps, 8).gradient_norm_by_lag(&params, &henon(&shape, steps, 8, 5))
}

/// Over 30 steps an Elman network with small recurrent weights loses ten orders of magnitude, a fresh GRU or LSTM less
/// than three.
#[test]
fn learning_vanishing_gradient_is_visible() {
    let vanishing = norms(Cell::Elman, 0.3, 31);
    println!("elman {vanishing:?}");
    assert!(vanishing[0] > 0. && vanishing[30] < 1e-10 * vanishing[0]);
    assert!(vanishing.windows(2).all(|pair| pair[1] < pair[0]));
    for cell in [Cell::Gru, Cell::Lstm] {
        let kept = norms(cell, 1., 31);
        println!("{cell:?} {kept:?}");
        assert!(kept[30] > 1e-3 * kept[0], "{cell:?}: {} -> {}", kept[0], kept[30]);
    }
}

/// The norm at lag 0 is that of the head alone, and only the last step's targets count.
#[test]
fn learning_norm_by_lag_sees_the_last_step_only() {
    let shape = recurrent_only(Cell::Gru, 4);
    let params = Params::init(&shape, 1);
    let mut batch = henon(&shape, 6, 2, 1);
    batch.targets[5 * 2..].fill(f32::NAN);
    let norms = Bptt::new(&shape, 6, 2).gradient_norm_by_lag(&params, &batch);
    assert_eq!(norms, [0.; 6]);
}
