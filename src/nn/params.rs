//! Parameters: one flat arena, and how it is first filled.

use std::ops::Range;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use super::element::Element;
use super::{Cell, Shape};

/// All weights of a network in one arena; the layout follows from the shape (per layer `weight_ih`, `weight_hh`,
/// `bias_ih`, `bias_hh`, then per horizon the head's tensors). Gradients and moments have the same layout.
///
/// F is f32 in the product and f64 in the gradient checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<F = f32> {
    shape: Shape,
    /// Invariant: `shape.param_count()` long.
    arena: Vec<F>,
}

/// Initial bias of the GRU's update gate and the LSTM's forget gate: sigmoid(1) = .73 of the old state stays, a memory
/// of 4 steps from the start. At 0 it is 2 steps and long dependencies are found late; much above, the state hardly
/// moves and learns late.
const MEMORY_BIAS: f32 = 1.;

impl Params<f32> {
    /// Fresh weights, the same for the same shape and seed: recurrent blocks orthogonal (Saxe et al. 2014), input and
    /// head weights normal with deviation 1/sqrt(fan-in), the head's output layers 0, biases 0 except that of the gate
    /// that keeps the state.
    ///
    /// # Panics
    /// If the shape fails [`Shape::check`].
    #[must_use]
    pub fn init(shape: &Shape, seed: u64) -> Self {
        if let Err(error) = shape.check() {
            panic!("{error}");
        }
        let mut params = Self {
            shape: shape.clone(),
            arena: vec![0.; shape.param_count()],
        };
        let mut normal = Normal(Pcg64Mcg::seed_from_u64(seed));
        let hidden = shape.hidden;
        for layer in 0..shape.layers {
            let ranges = shape.layer_ranges(layer);
            normal.fill(&mut params.arena[ranges.weight_ih], shape.layer_inputs(layer));
            for block in params.arena[ranges.weight_hh].chunks_exact_mut(hidden * hidden) {
                normal.fill_orthogonal(block, hidden);
            }
            let memory_gate = match shape.cell {
                Cell::Elman => continue,
                Cell::Gru | Cell::Lstm => hidden..2 * hidden, // z of r z n, f of i f g o
            };
            params.arena[ranges.bias_ih][memory_gate].fill(MEMORY_BIAS);
        }
        for k in 0..shape.horizons {
            normal.fill(
                &mut params.arena[shape.head_ranges(k).hidden_weight],
                hidden + shape.skips,
            );
        }
        params
    }

    /// Whether every output layer is 0, as at the start: the head then gives the same quantiles whatever it is shown.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let zero = |range: Range<usize>| self.arena[range].iter().all(|&weight| weight == 0.0);
        (0..self.shape.horizons).all(|k| {
            let head = self.shape.head_ranges(k);
            zero(head.output_weight) && zero(head.output_bias) && zero(head.skip_weight)
        })
    }

    /// Whether every weight is a finite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.arena.iter().all(|weight| weight.is_finite())
    }

    /// The same weights in another precision.
    #[must_use]
    pub fn cast<F: Element>(&self) -> Params<F> {
        let arena = self
            .arena
            .iter()
            .map(|&weight| F::of(f64::from(weight)))
            .collect();
        Params {
            shape: self.shape.clone(),
            arena,
        }
    }
}

impl<F> Params<F> {
    /// Weights in the arena's layout.
    ///
    /// # Panics
    /// If the shape fails [`Shape::check`] or their number is not its [`Shape::param_count`].
    #[must_use]
    pub fn from_arena(shape: &Shape, arena: Vec<F>) -> Self {
        if let Err(error) = shape.check() {
            panic!("{error}");
        }
        assert_eq!(arena.len(), shape.param_count(), "weights of the arena");
        Self {
            shape: shape.clone(),
            arena,
        }
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The arena.
    #[must_use]
    pub fn as_slice(&self) -> &[F] {
        &self.arena
    }

    /// The arena, to be changed in place.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [F] {
        &mut self.arena
    }
}

/// Standard normal numbers (Box and Muller 1958).
struct Normal(Pcg64Mcg);

impl Normal {
    fn next(&mut self) -> f64 {
        // (0,1]: the logarithm stays finite.
        let radius = ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let angle = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (-2. * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    fn fill(&mut self, weights: &mut [f32], fan_in: usize) {
        let deviation = 1. / (fan_in as f64).sqrt();
        weights
            .iter_mut()
            .for_each(|weight| *weight = (self.next() * deviation) as f32);
    }

    /// `block` (H,H): rows from normal numbers, made orthonormal by Gram-Schmidt, twice per row because once leaves
    /// rounding behind.
    fn fill_orthogonal(&mut self, block: &mut [f32], hidden: usize) {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(hidden);
        while rows.len() < hidden {
            let mut row: Vec<f64> = (0..hidden).map(|_| self.next()).collect();
            for _ in 0..2 {
                for done in &rows {
                    let along = dot(&row, done);
                    row.iter_mut()
                        .zip(done)
                        .for_each(|(value, done)| *value -= along * done);
                }
                let norm = dot(&row, &row).sqrt();
                row.iter_mut().for_each(|value| *value /= norm);
            }
            rows.push(row);
        }
        let values = rows.iter().flatten();
        block
            .iter_mut()
            .zip(values)
            .for_each(|(weight, &value)| *weight = value as f32);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cell: Cell) -> Shape {
        let quantiles = vec![0.1, 0.5, 0.9];
        Shape {
            cell,
            inputs: 5,
            hidden: 12,
            layers: 2,
            horizons: 2,
            skips: 3,
            head_hidden: 4,
            quantiles,
        }
    }

    #[test]
    fn init_is_a_function_of_its_seed() {
        let shape = shape(Cell::Gru);
        assert_eq!(Params::init(&shape, 7), Params::init(&shape, 7));
        assert_ne!(Params::init(&shape, 7), Params::init(&shape, 8));
    }

    #[test]
    fn init_makes_recurrent_blocks_orthogonal() {
        for cell in [Cell::Elman, Cell::Lstm, Cell::Gru] {
            let (shape, hidden) = (shape(cell), 12);
            let params = Params::init(&shape, 1);
            for layer in 0..2 {
                let weight = &params.as_slice()[shape.layer_ranges(layer).weight_hh];
                for block in weight.chunks_exact(hidden * hidden) {
                    for (i, j) in (0..hidden).flat_map(|i| (0..hidden).map(move |j| (i, j))) {
                        let rows = block[i * hidden..].iter().zip(&block[j * hidden..]).take(hidden);
                        let product: f32 = rows.map(|(a, b)| a * b).sum();
                        assert!((product - if i == j { 1. } else { 0. }).abs() < 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn init_keeps_memory_long_and_heads_silent() {
        let shape = shape(Cell::Lstm);
        let params = Params::init(&shape, 1);
        let bias = &params.as_slice()[shape.layer_ranges(1).bias_ih];
        assert!(bias[12..24].iter().all(|&b| b == MEMORY_BIAS));
        assert!(bias[..12].iter().chain(&bias[24..]).all(|&b| b == 0.));
        let ranges = shape.head_ranges(1);
        for silent in [ranges.output_weight, ranges.output_bias, ranges.skip_weight] {
            assert!(params.as_slice()[silent].iter().all(|&weight| weight == 0.));
        }
        assert!(
            params.as_slice()[ranges.hidden_weight]
                .iter()
                .all(|&weight| weight != 0.)
        );
    }

    #[test]
    fn layout_covers_the_arena_without_overlap() {
        for cell in [Cell::Elman, Cell::Lstm, Cell::Gru] {
            let mut next = 0;
            for tensor in shape(cell).tensors() {
                assert_eq!(tensor.range.start, next, "{}", tensor.name);
                assert_eq!(tensor.range.len(), tensor.shape.iter().product::<usize>());
                next = tensor.range.end;
            }
            assert_eq!(next, shape(cell).param_count());
        }
    }
}
