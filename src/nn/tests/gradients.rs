//! Every derivative against central differences, in f64 on the code that trains in f32.

use super::support::{CELLS, batch, params, small};
use crate::nn::{Batch, Bptt, Params, Shape};

/// Central differences in f64 with a step of 1e-6 are good to about 1e-9 of the loss's scale; a wrong term shows at 1e-2.
const STEP: f64 = 1e-6;
const RELATIVE: f64 = 1e-6;
const ABSOLUTE: f64 = 1e-9;

/// The first parameter whose gradient, after `tamper`, is not that of central differences.
fn mismatch(
    shape: &Shape,
    batch: &Batch<f64>,
    dropout: Option<(f32, u64)>,
    tamper: impl FnOnce(&mut [f64]),
) -> Option<String> {
    let mut params: Params<f64> = params(shape, 11);
    let mut bptt = Bptt::new(shape, batch.steps, batch.rows);
    let mut gradient = vec![0.; shape.param_count()];
    bptt.gradient(&params, batch, dropout, &mut gradient);
    let moved = gradient.iter().filter(|&&g| g != 0.).count();
    assert!(
        moved * 10 > gradient.len() * 6,
        "only {moved} of {} gradients are not 0",
        gradient.len()
    );
    tamper(&mut gradient);
    let mut ignored = vec![0.; shape.param_count()];
    for (index, &analytic) in gradient.iter().enumerate() {
        let value = params.as_slice()[index];
        let mut at = |value: f64| {
            params.as_mut_slice()[index] = value;
            bptt.gradient(&params, batch, dropout, &mut ignored).mean
        };
        let numeric = (at(value + STEP) - at(value - STEP)) / (2. * STEP);
        params.as_mut_slice()[index] = value;
        if (numeric - analytic).abs() > ABSOLUTE + RELATIVE * numeric.abs().max(analytic.abs()) {
            let tensors = shape.tensors();
            let name = &tensors
                .iter()
                .find(|tensor| tensor.range.contains(&index))
                .unwrap()
                .name;
            return Some(format!(
                "{name} at {index}: {numeric} by differences, {analytic} by back-propagation"
            ));
        }
    }
    None
}

fn check(shape: &Shape, batch: &Batch<f64>, dropout: Option<(f32, u64)>) {
    let found = mismatch(shape, batch, dropout, |_| ());
    assert_eq!(found, None, "{:?} x{}", shape.cell, shape.layers);
}

#[test]
fn gradient_matches_differences_for_every_cell_and_depth() {
    for cell in CELLS {
        for layers in 1..=3 {
            let shape = small(cell, layers);
            check(&shape, &batch(&shape, 5, 2, 3), None);
        }
    }
}

#[test]
fn gradient_matches_differences_under_dropout() {
    for cell in CELLS {
        let shape = small(cell, 2);
        check(&shape, &batch(&shape, 4, 3, 5), Some((0.3, 17)));
    }
}

#[test]
fn gradient_matches_differences_for_other_level_lists() {
    let levels: [&[f32]; 3] = [
        &[0.5],
        &[0.1, 0.5, 0.9],
        &[0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99],
    ];
    for levels in levels {
        let mut shape = small(crate::nn::Cell::Gru, 1);
        shape.quantiles = levels.to_vec();
        check(&shape, &batch(&shape, 4, 2, 7), None);
    }
}

/// The check can fail: a single gradient that is off by a thousandth is found and named.
#[test]
fn gradient_check_finds_one_wrong_number() {
    let shape = small(crate::nn::Cell::Gru, 2);
    let place = shape.layer_ranges(0).weight_hh.start + 1;
    let found = mismatch(&shape, &batch(&shape, 5, 2, 3), None, |gradient| {
        gradient[place] *= 1.001
    });
    assert!(found.is_some_and(|found| found.starts_with("weight_hh_l0")));
}

#[test]
fn gradient_of_f32_follows_f64() {
    for cell in CELLS {
        let shape = small(cell, 2);
        let (narrow, wide): (Params<f32>, Params<f64>) = (params(&shape, 11), params(&shape, 11));
        let (mut g32, mut g64) = (vec![0_f32; shape.param_count()], vec![0_f64; shape.param_count()]);
        let loss_32 = Bptt::new(&shape, 16, 3).gradient(&narrow, &batch(&shape, 16, 3, 2), None, &mut g32);
        let loss_64 = Bptt::new(&shape, 16, 3).gradient(&wide, &batch(&shape, 16, 3, 2), None, &mut g64);
        assert!((loss_32.mean - loss_64.mean).abs() < 1e-6 * loss_64.mean);
        let norm = g64.iter().map(|g| g * g).sum::<f64>().sqrt();
        for (narrow, wide) in g32.iter().zip(&g64) {
            assert!(
                (f64::from(*narrow) - wide).abs() < 1e-5 * norm,
                "{cell:?}: {narrow} {wide} of {norm}"
            );
        }
    }
}
