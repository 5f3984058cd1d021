//! A stack of recurrent layers under truncated back-propagation through time.
//!
//! ```text
//! forward   A = X W_ih' + b_ih                   one product over all R = T·B rows
//!           A_t += h_{t-1} W_hh' + b_hh          in the time loop (the GRU keeps this part by itself)
//! backward  dh_{t-1} = direct part + dA_t W_hh   in the time loop
//!           dW_ih += dA' X    dW_hh += dA' H_before    dX = dA W_ih      one product each
//! ```
//! (Werbos 1990; truncated as in Williams and Peng 1990: h before the first step is a constant.)

use super::pointwise::{BackwardStep, Forward};
use super::{Backward, Encoder, Extent};
use crate::nn::blas::{add, add_column_sums, fill_rows, matrix, matrix_mut, multiply, multiply_add};
use crate::nn::element::Element;
use crate::nn::shape::LayerRanges;
use crate::nn::{Cell, Shape};

/// Layers bottom to top.
#[derive(Debug)]
pub(in crate::nn) struct Recurrent<F> {
    layers: Vec<Layer<F>>,
}

/// One layer and the trace of its newest forward pass. Buffers are sized for the largest segment.
#[derive(Debug)]
struct Layer<F> {
    cell: Cell,
    /// Inputs of this layer: D, or H above the first.
    inputs: usize,
    /// H
    hidden: usize,
    ranges: LayerRanges,
    /// Where this layer's h begins in a row's state.
    state_offset: usize,
    state_len: usize,
    /// (T,B,G·H) activated gates; in backward the gradients of W x + `b_ih`.
    gates: Vec<F>,
    /// (T,B,G·H) U h + `b_hh`, in backward its gradients; GRU only, elsewhere both gradients are the same.
    recurrent: Vec<F>,
    /// (T+1,B,H) h before each step and after the last.
    hiddens: Vec<F>,
    /// (T+1,B,H) c likewise; LSTM only.
    cells: Vec<F>,
    /// (T,B,H) tanh(c'); LSTM only.
    squashed: Vec<F>,
    /// (B,H) dh and dc carried backwards in time.
    d_hidden: Vec<F>,
    d_cell: Vec<F>,
}

impl<F: Element> Recurrent<F> {
    /// Buffers for segments up to that size.
    pub(in crate::nn) fn new(shape: &Shape, largest: Extent) -> Self {
        let layers = (0..shape.layers)
            .map(|index| Layer::new(shape, index, largest))
            .collect();
        Self { layers }
    }
}

impl<F: Element> Encoder<F> for Recurrent<F> {
    fn forward(&mut self, extent: Extent, weights: &[F], inputs: &[F], state: &[F]) {
        for index in 0..self.layers.len() {
            let (below, layer) = self.layers.split_at_mut(index);
            let inputs = below.last().map_or(inputs, |below| below.outputs(extent));
            layer[0].forward(extent, weights, inputs, state);
        }
    }

    fn outputs(&self, extent: Extent) -> &[F] {
        self.layers.last().expect("a shape has a layer").outputs(extent)
    }

    fn write_state(&self, extent: Extent, state: &mut [F]) {
        for layer in &self.layers {
            layer.write_state(extent, state);
        }
    }

    fn backward(
        &mut self,
        pass: Backward<'_, F>,
        d_outputs: &mut [F],
        d_weights: &mut [F],
        mut norms: Option<&mut [f64]>,
    ) {
        for index in (0..self.layers.len()).rev() {
            let (below, layer) = self.layers.split_at_mut(index);
            let layer = &mut layer[0];
            layer.backward_through_time(&pass, d_outputs, norms.as_deref_mut());
            let inputs = below
                .last()
                .map_or(pass.inputs, |below| below.outputs(pass.extent));
            layer.add_weight_gradients(pass.extent, inputs, d_weights);
            if index > 0 {
                layer.write_input_gradients(&pass, d_outputs);
            }
        }
    }
}

impl<F: Element> Layer<F> {
    fn new(shape: &Shape, index: usize, largest: Extent) -> Self {
        let (rows, cells, hidden) = (largest.rows, largest.cells(), shape.hidden);
        let width = shape.cell.gates() * hidden;
        let only = |cell: Cell, len: usize| vec![F::ZERO; if shape.cell == cell { len } else { 0 }];
        Self {
            cell: shape.cell,
            inputs: shape.layer_inputs(index),
            hidden,
            ranges: shape.layer_ranges(index),
            state_offset: index * shape.cell.carried() * hidden,
            state_len: shape.state_len(),
            gates: vec![F::ZERO; cells * width],
            recurrent: only(Cell::Gru, cells * width),
            hiddens: vec![F::ZERO; (cells + rows) * hidden],
            cells: only(Cell::Lstm, (cells + rows) * hidden),
            squashed: only(Cell::Lstm, cells * hidden),
            d_hidden: vec![F::ZERO; rows * hidden],
            d_cell: only(Cell::Lstm, rows * hidden),
        }
    }

    fn width(&self) -> usize {
        self.cell.gates() * self.hidden
    }

    /// (T,B,H)
    fn outputs(&self, extent: Extent) -> &[F] {
        let row = extent.rows * self.hidden;
        &self.hiddens[row..row + extent.steps * row]
    }

    fn forward(&mut self, extent: Extent, weights: &[F], inputs: &[F], state: &[F]) {
        let (cells, width) = (extent.cells(), self.width());
        self.read_state(state);
        let gates = &mut self.gates[..cells * width];
        fill_rows(gates, &weights[self.ranges.bias_ih.clone()]);
        let weight_ih = matrix(&weights[self.ranges.weight_ih.clone()], width, self.inputs);
        multiply_add(
            matrix(inputs, cells, self.inputs),
            weight_ih.t(),
            matrix_mut(gates, cells, width),
        );
        let bias_hh = &weights[self.ranges.bias_hh.clone()];
        if self.cell == Cell::Gru {
            fill_rows(&mut self.recurrent[..cells * width], bias_hh);
        } else {
            gates.chunks_exact_mut(width).for_each(|row| add(row, bias_hh));
        }
        for step in 0..extent.steps {
            self.step(extent.rows, step, &weights[self.ranges.weight_hh.clone()]);
        }
    }

    /// h (and c) of this layer from the rows' states (`B,state_len`) to the first slots.
    fn read_state(&mut self, state: &[F]) {
        let hidden = self.hidden;
        for (row, state) in state.chunks_exact(self.state_len).enumerate() {
            let place = row * hidden..(row + 1) * hidden;
            let own = &state[self.state_offset..];
            self.hiddens[place.clone()].copy_from_slice(&own[..hidden]);
            if self.cell == Cell::Lstm {
                self.cells[place].copy_from_slice(&own[hidden..2 * hidden]);
            }
        }
    }

    fn write_state(&self, extent: Extent, state: &mut [F]) {
        let hidden = self.hidden;
        for (row, state) in state.chunks_exact_mut(self.state_len).enumerate() {
            let last = (extent.cells() + row) * hidden;
            let own = &mut state[self.state_offset..];
            own[..hidden].copy_from_slice(&self.hiddens[last..last + hidden]);
            if self.cell == Cell::Lstm {
                own[hidden..2 * hidden].copy_from_slice(&self.cells[last..last + hidden]);
            }
        }
    }

    /// One step of all rows; `weight_hh` (G·H,H).
    fn step(&mut self, rows: usize, step: usize, weight_hh: &[F]) {
        let (hidden, width) = (self.hidden, self.width());
        let gates = &mut self.gates[step * rows * width..(step + 1) * rows * width];
        let (past, future) = self.hiddens.split_at_mut((step + 1) * rows * hidden);
        let before = &past[step * rows * hidden..];
        let after = &mut future[..rows * hidden];
        let weight = matrix(weight_hh, width, hidden);
        after.copy_from_slice(before);
        let is_gru = self.cell == Cell::Gru;
        let recurrent: &[F] = if is_gru {
            let recurrent = &mut self.recurrent[step * rows * width..(step + 1) * rows * width];
            multiply_add(
                matrix(before, rows, hidden),
                weight.t(),
                matrix_mut(recurrent, rows, width),
            );
            recurrent
        } else {
            multiply_add(
                matrix(before, rows, hidden),
                weight.t(),
                matrix_mut(gates, rows, width),
            );
            &[]
        };
        let (mut memory, mut squashed): (&mut [F], &mut [F]) = (&mut [], &mut []);
        if self.cell == Cell::Lstm {
            let (past, future) = self.cells.split_at_mut((step + 1) * rows * hidden);
            memory = &mut future[..rows * hidden];
            memory.copy_from_slice(&past[step * rows * hidden..]);
            squashed = &mut self.squashed[step * rows * hidden..(step + 1) * rows * hidden];
        }
        Forward {
            cell: self.cell,
            hidden,
            gates,
            recurrent,
            after,
            memory,
            squashed,
        }
        .run();
    }

    /// Turns the trace into gradients of the pre-activations.
    fn backward_through_time(
        &mut self,
        pass: &Backward<'_, F>,
        d_outputs: &[F],
        mut norms: Option<&mut [f64]>,
    ) {
        let Extent { steps, rows } = pass.extent;
        let (hidden, width) = (self.hidden, self.width());
        let weight_hh = matrix(&pass.weights[self.ranges.weight_hh.clone()], width, hidden);
        self.d_hidden.fill(F::ZERO);
        self.d_cell.fill(F::ZERO);
        for step in (0..steps).rev() {
            let block = step * rows * hidden..(step + 1) * rows * hidden;
            add(&mut self.d_hidden[..rows * hidden], &d_outputs[block]);
            if let Some(norms) = norms.as_deref_mut() {
                norms[step] += square_sum(&self.d_hidden[..rows * hidden]);
                norms[step] += square_sum(&self.d_cell);
            }
            self.backward_step(rows, step);
            let block = step * rows * width..(step + 1) * rows * width;
            let d_recurrent = if self.cell == Cell::Gru {
                &self.recurrent[block]
            } else {
                &self.gates[block]
            };
            let d_hidden = matrix_mut(&mut self.d_hidden, rows, hidden);
            multiply_add(matrix(d_recurrent, rows, width), weight_hh, d_hidden);
        }
    }

    /// The pointwise part of one step backwards.
    fn backward_step(&mut self, rows: usize, step: usize) {
        let (hidden, width) = (self.hidden, self.width());
        let narrow = step * rows * hidden..(step + 1) * rows * hidden;
        let wide = step * rows * width..(step + 1) * rows * width;
        let (is_gru, is_lstm) = (self.cell == Cell::Gru, self.cell == Cell::Lstm);
        BackwardStep {
            cell: self.cell,
            hidden,
            gates: &mut self.gates[wide.clone()],
            recurrent: if is_gru {
                &mut self.recurrent[wide]
            } else {
                &mut []
            },
            trace: match self.cell {
                Cell::Elman => &self.hiddens[narrow.start + rows * hidden..narrow.end + rows * hidden],
                Cell::Gru => &self.hiddens[narrow.clone()],
                Cell::Lstm => &self.cells[narrow.clone()],
            },
            squashed: if is_lstm { &self.squashed[narrow] } else { &[] },
            d_hidden: &mut self.d_hidden[..rows * hidden],
            d_memory: if is_lstm {
                &mut self.d_cell[..rows * hidden]
            } else {
                &mut []
            },
        }
        .run();
    }

    fn add_weight_gradients(&self, extent: Extent, inputs: &[F], d_weights: &mut [F]) {
        let (cells, hidden, width) = (extent.cells(), self.hidden, self.width());
        let d_input_side = &self.gates[..cells * width];
        let d_hidden_side = if self.cell == Cell::Gru {
            &self.recurrent[..cells * width]
        } else {
            d_input_side
        };
        multiply_add(
            matrix(d_input_side, cells, width).reversed_axes(),
            matrix(inputs, cells, self.inputs),
            matrix_mut(&mut d_weights[self.ranges.weight_ih.clone()], width, self.inputs),
        );
        multiply_add(
            matrix(d_hidden_side, cells, width).reversed_axes(),
            matrix(&self.hiddens, cells, hidden),
            matrix_mut(&mut d_weights[self.ranges.weight_hh.clone()], width, hidden),
        );
        add_column_sums(d_input_side, &mut d_weights[self.ranges.bias_ih.clone()]);
        add_column_sums(d_hidden_side, &mut d_weights[self.ranges.bias_hh.clone()]);
    }

    /// `d_inputs` (T,B,inputs) = dA `W_ih`
    fn write_input_gradients(&self, pass: &Backward<'_, F>, d_inputs: &mut [F]) {
        let (cells, width) = (pass.extent.cells(), self.width());
        let weight_ih = matrix(&pass.weights[self.ranges.weight_ih.clone()], width, self.inputs);
        multiply(
            matrix(&self.gates, cells, width),
            weight_ih,
            matrix_mut(d_inputs, cells, self.inputs),
        );
    }
}

fn square_sum<F: Element>(values: &[F]) -> f64 {
    values.iter().map(|value| value.to_f64() * value.to_f64()).sum()
}
