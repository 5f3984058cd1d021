//! What is carried and what is cut between segments, and what a mask hides.

use super::support::{CELLS, batch, params, small};
use crate::nn::{Batch, Bptt, Cell, Params, Shape};

/// Steps `from..to` of a batch, from `state`.
fn cut(shape: &Shape, whole: &Batch<f64>, steps: std::ops::Range<usize>, state: Vec<f64>) -> Batch<f64> {
    let part = |values: &[f64], width: usize| {
        values[steps.start * whole.rows * width..steps.end * whole.rows * width].to_vec()
    };
    Batch {
        steps: steps.len(),
        rows: whole.rows,
        inputs: part(&whole.inputs, shape.inputs),
        skips: part(&whole.skips, shape.horizons * shape.skips),
        targets: part(&whole.targets, shape.horizons),
        weights: part(&whole.weights, shape.horizons),
        state,
    }
}

#[test]
fn carried_state_over_chunks_equals_one_long_pass() {
    for cell in CELLS {
        for layers in 1..=3 {
            let shape = small(cell, layers);
            let params: Params<f64> = params(&shape, 4);
            let whole = batch(&shape, 24, 3, 9);
            let mut bptt = Bptt::new(&shape, 24, 3);
            let mut rows = [0.; 3];
            let long = bptt.loss(&params, &whole, &mut rows);
            let end = bptt.state_after().to_vec();
            let (mut sum, mut state) = (0., whole.state.clone());
            for steps in [0..7, 7..8, 8..20, 20..24] {
                let chunk = bptt.loss(&params, &cut(&shape, &whole, steps, state), &mut rows);
                sum += chunk.mean * chunk.weight;
                state = bptt.state_after().to_vec();
            }
            assert!(
                (sum / long.weight - long.mean).abs() < 1e-12,
                "{cell:?} x{layers}"
            );
            assert!(
                state.iter().zip(&end).all(|(a, b)| (a - b).abs() < 1e-12),
                "{cell:?} x{layers}"
            );
        }
    }
}

/// A step of one row is the same computation as a step among many: buffers of an earlier, larger batch do not leak.
#[test]
fn smaller_batch_after_a_larger_one_is_unaffected() {
    for cell in CELLS {
        let shape = small(cell, 2);
        let params: Params<f64> = params(&shape, 4);
        let (large, little) = (batch(&shape, 9, 5, 1), batch(&shape, 3, 2, 2));
        let (mut fresh, mut after) = (vec![0.; shape.param_count()], vec![0.; shape.param_count()]);
        let alone = Bptt::new(&shape, 3, 2).gradient(&params, &little, Some((0.2, 3)), &mut fresh);
        let mut bptt = Bptt::new(&shape, 9, 5);
        bptt.gradient(&params, &large, Some((0.2, 4)), &mut after);
        assert_eq!(bptt.gradient(&params, &little, Some((0.2, 3)), &mut after), alone);
        assert_eq!(fresh, after);
        assert_eq!(bptt.state_after().len(), little.state.len());
    }
}

#[test]
fn masked_targets_change_nothing() {
    let shape = small(Cell::Gru, 1);
    let params: Params<f64> = params(&shape, 4);
    let mut bptt = Bptt::new(&shape, 6, 2);
    let (mut first, mut second) = (vec![0.; shape.param_count()], vec![0.; shape.param_count()]);
    let mut masked = batch(&shape, 6, 2, 1);
    let loss = bptt.gradient(&params, &masked, None, &mut first);
    for (target, weight) in masked.targets.iter().zip(&mut masked.weights) {
        if target.is_nan() {
            *weight = 1e6;
        }
    }
    masked
        .targets
        .iter_mut()
        .filter(|target| target.is_nan())
        .for_each(|target| *target = f64::INFINITY);
    assert_eq!(bptt.gradient(&params, &masked, None, &mut second), loss);
    assert_eq!(first, second);
}

#[test]
fn batch_without_targets_has_no_loss_and_no_gradient() {
    let shape = small(Cell::Lstm, 1);
    let params: Params<f64> = params(&shape, 4);
    let mut bptt = Bptt::new(&shape, 6, 2);
    let mut gradient = vec![1.; shape.param_count()];
    let mut silent = batch(&shape, 6, 2, 1);
    silent.targets.fill(f64::NAN);
    let loss = bptt.gradient(&params, &silent, None, &mut gradient);
    assert_eq!((loss.mean, loss.weight), (0., 0.));
    assert!(gradient.iter().all(|&g| g == 0.));
    let mut rows = [0.; 2];
    bptt.loss(&params, &silent, &mut rows);
    assert!(rows.iter().all(|row| row.is_nan()));
}

#[test]
fn row_losses_add_up_to_the_loss() {
    let shape = small(Cell::Gru, 1);
    let params: Params<f64> = params(&shape, 4);
    let mut bptt = Bptt::new(&shape, 6, 3);
    let whole = batch(&shape, 6, 3, 1);
    let mut rows = [0.; 3];
    let loss = bptt.loss(&params, &whole, &mut rows);
    let mut gradient = vec![0.; shape.param_count()];
    assert!((bptt.gradient(&params, &whole, None, &mut gradient).mean - loss.mean).abs() < 1e-14);
    let cells = whole
        .targets
        .iter()
        .zip(&whole.weights)
        .enumerate()
        .filter(|(_, (target, _))| target.is_finite());
    let mut weights = [0.; 3];
    for (index, (_, weight)) in cells {
        weights[index / shape.horizons % 3] += weight;
    }
    let sum: f64 = rows.iter().zip(weights).map(|(row, weight)| row * weight).sum();
    assert!((sum / loss.weight - loss.mean).abs() < 1e-12);
}

#[test]
fn dropout_keeps_the_mean_and_follows_its_seed() {
    let shape = small(Cell::Gru, 1);
    let params: Params<f64> = params(&shape, 4);
    let mut bptt = Bptt::new(&shape, 4, 2);
    let whole = batch(&shape, 4, 2, 1);
    let mut gradient = vec![0.; shape.param_count()];
    let mut at = |dropout| bptt.gradient(&params, &whole, dropout, &mut gradient).mean;
    let plain = at(None);
    assert_eq!(at(Some((0., 1))), plain);
    assert_eq!(at(Some((0.2, 1))), at(Some((0.2, 1))));
    assert_ne!(at(Some((0.2, 1))), at(Some((0.2, 2))));
}

#[test]
fn broken_input_shows_in_the_loss() {
    let shape = small(Cell::Gru, 1);
    let params: Params<f64> = params(&shape, 4);
    let mut broken = batch(&shape, 4, 2, 1);
    broken.inputs[0] = f64::NAN;
    let mut gradient = vec![0.; shape.param_count()];
    let loss = Bptt::new(&shape, 4, 2).gradient(&params, &broken, None, &mut gradient);
    assert!(loss.mean.is_nan() && gradient.iter().any(|g| g.is_nan()));
}
