//! Shapes, weights and batches for tests.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::nn::{Batch, Cell, Element, Params, Shape};

pub(super) const CELLS: [Cell; 3] = [Cell::Elman, Cell::Lstm, Cell::Gru];

/// Small, with no two dimensions equal, so that a swapped pair cannot pass.
pub(super) fn small(cell: Cell, layers: usize) -> Shape {
    Shape {
        cell,
        inputs: 3,
        hidden: 6,
        layers,
        horizons: 2,
        skips: 5,
        head_hidden: 9,
        quantiles: vec![0.025, 0.1, 0.5, 0.9, 0.975],
    }
}

pub(super) struct Uniform(Pcg64Mcg);

impl Uniform {
    pub(super) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// In [-1,1).
    pub(super) fn next(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.
    }

    pub(super) fn vector<F: Element>(&mut self, len: usize, scale: f64) -> Vec<F> {
        (0..len).map(|_| F::of(self.next() * scale)).collect()
    }
}

/// Every weight non-zero, also those that `init` leaves at 0.
pub(super) fn params<F: Element>(shape: &Shape, seed: u64) -> Params<F> {
    Params::from_arena(shape, Uniform::new(seed).vector(shape.param_count(), 0.6))
}

/// Random, with every fifth target masked.
pub(super) fn batch<F: Element>(shape: &Shape, steps: usize, rows: usize, seed: u64) -> Batch<F> {
    let (mut uniform, cells) = (Uniform::new(seed), steps * rows);
    let mut targets = uniform.vector(cells * shape.horizons, 2.);
    targets
        .iter_mut()
        .step_by(5)
        .for_each(|target| *target = F::of(f64::NAN));
    let weights = (0..targets.len()).map(|_| F::of(1.2 + uniform.next())).collect();
    Batch {
        steps,
        rows,
        inputs: uniform.vector(cells * shape.inputs, 1.5),
        skips: uniform.vector(cells * shape.horizons * shape.skips, 1.5),
        targets,
        weights,
        state: uniform.vector(rows * shape.state_len(), 0.9),
    }
}
