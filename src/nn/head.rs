//! The heads in training: one per scored horizon, forward, loss and backward in one pass.
//!
//! ```text
//! u = relu(A_h h + A_s x + a)              (R,M)   h (R,H), skips x (R,S)
//! o = O u + L x + b                        (R,Q)
//! do = d loss / d o                        (R,Q)   (quantiles.rs)
//! dO += do' u    dL += do' x    db += sum do    du = do O, 0 where u = 0
//! dA_h += du' h  dA_s += du' x  da += sum du    dh += du A_h
//! ```

use ndarray::{ArrayView2, s};

use super::Shape;
use super::blas::{
    add_column_sums, columns, columns_mut, fill_rows, matrix, matrix_mut, multiply, multiply_add,
};
use super::element::Element;
use super::quantiles::Levels;
use super::shape::HeadRanges;

/// Buffers of the heads, shared by all horizons.
#[derive(Debug)]
pub(super) struct Heads<F> {
    ranges: Vec<HeadRanges>,
    levels: Levels<F>,
    /// H
    hidden: usize,
    /// K
    horizons: usize,
    /// S
    skips: usize,
    /// M
    units: usize,
    /// Q
    quantiles: usize,
    /// (R,M) u, then du
    activated: Vec<F>,
    /// (R,M) du
    d_activated: Vec<F>,
    /// (R,Q) o, then do
    outputs: Vec<F>,
}

/// What the heads read.
#[derive(Clone, Copy)]
pub(super) struct HeadInputs<'a, F> {
    /// The arena.
    pub(super) weights: &'a [F],
    /// (R,H) features, after dropout.
    pub(super) features: &'a [F],
    /// (R,K,S), after dropout.
    pub(super) skips: &'a [F],
    /// (R,K)
    pub(super) targets: &'a [F],
    /// (R,K)
    pub(super) target_weights: &'a [F],
    /// Rows R that count begin here: 0, or the last step only.
    pub(super) first_row: usize,
}

impl<F: Element> HeadInputs<'_, F> {
    /// Weight of target `index` of (R,K); none if it is masked.
    fn weight(&self, index: usize, horizons: usize) -> Option<F> {
        let counts = index >= self.first_row * horizons && self.targets[index].is_finite();
        counts.then(|| self.target_weights[index])
    }

    /// Sum of the weights of all targets that count.
    pub(super) fn weight_sum(&self, horizons: usize) -> f64 {
        (0..self.targets.len())
            .filter_map(|index| self.weight(index, horizons))
            .map(F::to_f64)
            .sum()
    }
}

/// Where the gradients go; both accumulate.
pub(super) struct HeadGradients<'a, F> {
    /// The arena.
    pub(super) weights: &'a mut [F],
    /// (R,H)
    pub(super) features: &'a mut [F],
}

impl<F: Element> Heads<F> {
    pub(super) fn new(shape: &Shape, cells_max: usize) -> Self {
        let (units, quantiles) = (shape.head_hidden, shape.levels());
        Self {
            ranges: (0..shape.horizons).map(|k| shape.head_ranges(k)).collect(),
            levels: Levels::new(&shape.quantiles),
            hidden: shape.hidden,
            horizons: shape.horizons,
            skips: shape.skips,
            units,
            quantiles,
            activated: vec![F::ZERO; cells_max * units],
            d_activated: vec![F::ZERO; cells_max * units],
            outputs: vec![F::ZERO; cells_max * quantiles],
        }
    }

    /// Calls `each` with (row of R, weight, loss) for every target that counts; with `gradients` also adds the gradients
    /// of sum(weight x loss) x `scale`.
    pub(super) fn run(
        &mut self,
        inputs: &HeadInputs<'_, F>,
        scale: F,
        mut gradients: Option<HeadGradients<'_, F>>,
        mut each: impl FnMut(usize, F, F),
    ) {
        let cells = inputs.features.len() / self.hidden;
        for k in 0..self.horizons {
            self.forward(k, cells, inputs);
            for row in 0..cells {
                let outputs = &mut self.outputs[row * self.quantiles..(row + 1) * self.quantiles];
                let index = row * self.horizons + k;
                let Some(weight) = inputs.weight(index, self.horizons) else {
                    outputs.fill(F::ZERO);
                    continue;
                };
                let loss = if gradients.is_some() {
                    self.levels
                        .loss_and_gradient(outputs, inputs.targets[index], weight * scale)
                } else {
                    self.levels.spread(outputs);
                    self.levels.loss(outputs, inputs.targets[index])
                };
                each(row, weight, loss);
            }
            if let Some(gradients) = &mut gradients {
                self.backward(k, cells, inputs, gradients);
            }
        }
    }

    /// (R,S) skips of horizon k.
    fn skips<'a>(&self, k: usize, cells: usize, inputs: &HeadInputs<'a, F>) -> ArrayView2<'a, F> {
        columns(
            matrix(inputs.skips, cells, self.horizons * self.skips),
            k * self.skips,
            self.skips,
        )
    }

    fn forward(&mut self, k: usize, cells: usize, inputs: &HeadInputs<'_, F>) {
        let (weights, ranges) = (inputs.weights, &self.ranges[k]);
        let skips = self.skips(k, cells, inputs);
        let features = matrix(inputs.features, cells, self.hidden);
        let hidden_weight = matrix(
            &weights[ranges.hidden_weight.clone()],
            self.units,
            self.hidden + self.skips,
        );
        let activated = &mut self.activated[..cells * self.units];
        fill_rows(activated, &weights[ranges.hidden_bias.clone()]);
        let from_features = hidden_weight.slice(s![.., ..self.hidden]);
        multiply_add(
            features,
            from_features.t(),
            matrix_mut(activated, cells, self.units),
        );
        let from_skips = hidden_weight.slice(s![.., self.hidden..]);
        multiply_add(skips, from_skips.t(), matrix_mut(activated, cells, self.units));
        for unit in activated.iter_mut() {
            // Written so that NaN stays NaN: a broken input must reach the loss.
            *unit = if *unit < F::ZERO { F::ZERO } else { *unit };
        }
        let outputs = &mut self.outputs[..cells * self.quantiles];
        fill_rows(outputs, &weights[ranges.output_bias.clone()]);
        let output_weight = matrix(&weights[ranges.output_weight.clone()], self.quantiles, self.units);
        let skip_weight = matrix(&weights[ranges.skip_weight.clone()], self.quantiles, self.skips);
        multiply_add(
            matrix(activated, cells, self.units),
            output_weight.t(),
            matrix_mut(outputs, cells, self.quantiles),
        );
        multiply_add(skips, skip_weight.t(), matrix_mut(outputs, cells, self.quantiles));
    }

    fn backward(
        &mut self,
        k: usize,
        cells: usize,
        inputs: &HeadInputs<'_, F>,
        gradients: &mut HeadGradients<'_, F>,
    ) {
        let ranges = &self.ranges[k];
        let skips = self.skips(k, cells, inputs);
        let (hidden, units, quantiles) = (self.hidden, self.units, self.quantiles);
        let width = hidden + self.skips;
        let d_weights = &mut *gradients.weights;
        let d_outputs = matrix(&self.outputs, cells, quantiles);
        let activated = matrix(&self.activated, cells, units);
        add_column_sums(
            &self.outputs[..cells * quantiles],
            &mut d_weights[ranges.output_bias.clone()],
        );
        let d_output_weight = matrix_mut(&mut d_weights[ranges.output_weight.clone()], quantiles, units);
        multiply_add(d_outputs.reversed_axes(), activated, d_output_weight);
        let d_skip_weight = matrix_mut(&mut d_weights[ranges.skip_weight.clone()], quantiles, self.skips);
        multiply_add(d_outputs.reversed_axes(), skips, d_skip_weight);

        let output_weight = matrix(&inputs.weights[ranges.output_weight.clone()], quantiles, units);
        multiply(
            d_outputs,
            output_weight,
            matrix_mut(&mut self.d_activated, cells, units),
        );
        let d_activated = &mut self.d_activated[..cells * units];
        for (d_unit, &unit) in d_activated.iter_mut().zip(&self.activated) {
            *d_unit = if unit == F::ZERO { F::ZERO } else { *d_unit };
        }
        add_column_sums(d_activated, &mut d_weights[ranges.hidden_bias.clone()]);
        let d_activated = matrix(d_activated, cells, units);
        let features = matrix(inputs.features, cells, hidden);
        let d_hidden_weight = &mut d_weights[ranges.hidden_weight.clone()];
        let from_features = columns_mut(matrix_mut(d_hidden_weight, units, width), 0, hidden);
        multiply_add(d_activated.reversed_axes(), features, from_features);
        let from_skips = columns_mut(matrix_mut(d_hidden_weight, units, width), hidden, self.skips);
        multiply_add(d_activated.reversed_axes(), skips, from_skips);
        let hidden_weight = matrix(&inputs.weights[ranges.hidden_weight.clone()], units, width);
        let d_features = matrix_mut(gradients.features, cells, hidden);
        multiply_add(d_activated, columns(hidden_weight, 0, hidden), d_features);
    }
}
