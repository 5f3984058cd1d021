//! One step of a recurrent layer, its gates fused into the tile.
//!
//! Weights lie in panels of as many units as a register has lanes; in a panel the gates of the same units are side by
//! side: (N, G, lanes) for the inputs, then (H, G, lanes) for the state. So a tile of a few rows holds all gates of a
//! panel's units in registers from the bias to the new state. Each sum is
//!
//! ```text
//! a = fma(h_{H-1}, u_{H-1}, … fma(h_0, u_0, fma(x_{N-1}, w_{N-1}, … fma(x_0, w_0, bias))))
//! ```
//! in this order whatever the tile, so the bits of a row depend on that row alone, and on no machine.

use super::act::{sigmoid, tanh, within};
use super::isa::{self, Isa, Kernel};
use super::lanes::{LANES_MAX, Lanes};
use crate::nn::Cell;

/// Accumulators of a unit: r, z, n of the input, n of the state · i, f, g, o · the one.
const SUMS_MAX: usize = 4;

/// Weights of a recurrent layer.
#[derive(Debug)]
pub(in crate::nn) struct Gated {
    isa: Isa,
    cell: Cell,
    /// N
    inputs: usize,
    /// H
    hidden: usize,
    /// Per panel: (sums, lanes) bias, (N, G, lanes), (H, G, lanes).
    panels: Vec<f32>,
}

/// A layer's weights as `PyTorch` orders them.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct LayerWeights<'a> {
    /// (G·H, N)
    pub(in crate::nn) weight_ih: &'a [f32],
    /// (G·H, H)
    pub(in crate::nn) weight_hh: &'a [f32],
    /// (G·H)
    pub(in crate::nn) bias_ih: &'a [f32],
    /// (G·H)
    pub(in crate::nn) bias_hh: &'a [f32],
}

/// Rows' states, and what a step needs beside them.
#[derive(Debug)]
pub(in crate::nn) struct States<'a> {
    /// (B, stride)
    pub(in crate::nn) data: &'a mut [f32],
    /// From a row to the next.
    pub(in crate::nn) stride: usize,
    /// Where in a row this layer's h begins; LSTM: c behind it.
    pub(in crate::nn) offset: usize,
    /// (B, H) scratch.
    pub(in crate::nn) after: &'a mut [f32],
}

/// Inputs of a layer, rows of which may be part of wider ones.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) enum Inputs<'a> {
    /// (B, N)
    Dense(&'a [f32]),
    /// The state of the layer below: where in a row of the states it begins.
    Below(usize),
}

const fn sums(cell: Cell) -> usize {
    match cell {
        Cell::Elman => 1,
        Cell::Gru | Cell::Lstm => 4,
    }
}

impl Gated {
    /// Packs a layer for the given instructions.
    pub(in crate::nn) fn new(isa: Isa, cell: Cell, weights: LayerWeights<'_>) -> Self {
        let gates = cell.gates();
        let hidden = weights.bias_ih.len() / gates;
        let inputs = weights.weight_ih.len() / weights.bias_ih.len();
        let lanes = isa.lanes();
        let mut panels = Vec::new();
        for first in (0..hidden).step_by(lanes) {
            // Lanes beyond the last unit are zeros.
            let mut lane = |value: &dyn Fn(usize) -> f32| {
                panels
                    .extend((first..first + lanes).map(|unit| if unit < hidden { value(unit) } else { 0. }));
            };
            let (ih, hh) = (weights.bias_ih, weights.bias_hh);
            for sum in 0..sums(cell) {
                lane(&|unit| match (cell, sum) {
                    (Cell::Gru, 2) => ih[2 * hidden + unit],
                    (Cell::Gru, 3) => hh[2 * hidden + unit],
                    _ => ih[sum * hidden + unit] + hh[sum * hidden + unit],
                });
            }
            for input in 0..inputs {
                for gate in 0..gates {
                    lane(&|unit| weights.weight_ih[(gate * hidden + unit) * inputs + input]);
                }
            }
            for input in 0..hidden {
                for gate in 0..gates {
                    lane(&|unit| weights.weight_hh[(gate * hidden + unit) * hidden + input]);
                }
            }
        }
        Self {
            isa,
            cell,
            inputs,
            hidden,
            panels,
        }
    }

    /// One step of B rows: each row's state is replaced by that after the step.
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(in crate::nn) fn step(&self, rows: usize, inputs: Inputs<'_>, states: States<'_>) {
        assert!(states.data.len() >= rows * states.stride, "states of all rows");
        assert!(states.after.len() >= rows * self.hidden, "scratch of all rows");
        if let Inputs::Dense(data) = inputs {
            assert!(data.len() >= rows * self.inputs, "inputs of all rows");
        }
        isa::run(
            self.isa,
            Step {
                layer: self,
                rows,
                inputs,
                states,
            },
        );
    }
}

struct Step<'a> {
    layer: &'a Gated,
    rows: usize,
    inputs: Inputs<'a>,
    states: States<'a>,
}

impl Kernel for Step<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        match self.layer.cell {
            Cell::Elman => self.panels::<L, Elman, 1, 1>(),
            Cell::Gru => self.panels::<L, Gru, 3, SUMS_MAX>(),
            Cell::Lstm => self.panels::<L, Lstm, 4, SUMS_MAX>(),
        }
        let (
            hidden,
            States {
                data,
                stride,
                offset,
                after,
            },
        ) = (self.layer.hidden, self.states);
        for (row, after) in after.chunks_exact(hidden).enumerate().take(self.rows) {
            data[row * stride + offset..][..hidden].copy_from_slice(after);
        }
    }
}

impl Step<'_> {
    /// All panels, each over all rows: a panel's weights stay in the first-level cache.
    #[inline(always)]
    fn panels<L: Lanes, C: Gate, const G: usize, const S: usize>(&mut self) {
        let layer = self.layer;
        let len = (S + (layer.inputs + layer.hidden) * G) * L::LEN;
        for (panel, weights) in layer.panels.chunks_exact(len).enumerate() {
            let unit = panel * L::LEN;
            let mut row = 0;
            if L::LEN == LANES_MAX {
                while row + 6 <= self.rows {
                    self.tile::<L, C, G, S, 6>(row, unit, weights);
                    row += 6;
                }
            }
            while row + 3 <= self.rows {
                self.tile::<L, C, G, S, 3>(row, unit, weights);
                row += 3;
            }
            while row < self.rows {
                self.tile::<L, C, G, S, 1>(row, unit, weights);
                row += 1;
            }
        }
    }

    /// `R` rows of one panel, whose first unit is `unit`.
    #[inline(always)]
    fn tile<L: Lanes, C: Gate, const G: usize, const S: usize, const R: usize>(
        &mut self,
        first: usize,
        unit: usize,
        weights: &[f32],
    ) {
        let (inputs, hidden) = (self.layer.inputs, self.layer.hidden);
        let (stride, offset) = (self.states.stride, self.states.offset);
        let (bias, weights) = weights.split_at(S * L::LEN);
        let (from_inputs, from_state) = weights.split_at(inputs * G * L::LEN);
        let begin: [L; S] = std::array::from_fn(|sum| L::load(&bias[sum * L::LEN..]));
        let mut sums = [begin; R];
        let state = |r: usize| (first + r) * stride;
        let x: [&[f32]; R] = std::array::from_fn(|r| match self.inputs {
            Inputs::Dense(data) => &data[(first + r) * inputs..][..inputs],
            Inputs::Below(below) => &self.states.data[state(r) + below..][..inputs],
        });
        for (k, weights) in from_inputs.chunks_exact(G * L::LEN).enumerate() {
            let weights: [L; G] = std::array::from_fn(|gate| L::load(&weights[gate * L::LEN..]));
            for (sums, x) in sums.iter_mut().zip(&x) {
                let x = L::splat(x[k]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = x.fused(weight, *sum);
                }
            }
        }
        let h: [&[f32]; R] = std::array::from_fn(|r| &self.states.data[state(r) + offset..][..hidden]);
        for (k, weights) in from_state.chunks_exact(G * L::LEN).enumerate() {
            let weights: [L; G] = std::array::from_fn(|gate| L::load(&weights[gate * L::LEN..]));
            for (sums, h) in sums.iter_mut().zip(&h) {
                let h = L::splat(h[k]);
                for (gate, weight) in weights.into_iter().enumerate() {
                    sums[C::sum(gate)] = h.fused(weight, sums[C::sum(gate)]);
                }
            }
        }
        let units = L::LEN.min(hidden - unit);
        for (r, sums) in sums.into_iter().enumerate() {
            let before = &mut self.states.data[(first + r) * stride + offset..];
            let h = L::load_some(&before[unit..][..units]);
            let c = if C::HAS_CELL {
                L::load_some(&before[hidden + unit..][..units])
            } else {
                h
            };
            let (h, c) = C::close(sums, h, c);
            h.store_some(&mut self.states.after[(first + r) * hidden + unit..][..units]);
            if C::HAS_CELL {
                c.store_some(&mut before[hidden + unit..][..units]);
            }
        }
    }
}

/// What a cell does with a unit's sums.
trait Gate {
    /// Whether there is a c beside h.
    const HAS_CELL: bool;
    /// Which sum a gate of the state's product adds to.
    fn sum(gate: usize) -> usize;
    /// h', and c' where there is one, from the sums, h and c.
    fn close<L: Lanes, const S: usize>(sums: [L; S], h: L, c: L) -> (L, L);
}

struct Elman;

impl Gate for Elman {
    const HAS_CELL: bool = false;

    #[inline(always)]
    fn sum(gate: usize) -> usize {
        gate
    }

    #[inline(always)]
    fn close<L: Lanes, const S: usize>(sums: [L; S], _h: L, c: L) -> (L, L) {
        let new = tanh(sums[0]);
        (within(-1., new.numerator.over(new.denominator), 1.), c)
    }
}

struct Gru;

impl Gate for Gru {
    const HAS_CELL: bool = false;

    #[inline(always)]
    fn sum(gate: usize) -> usize {
        if gate == 2 { 3 } else { gate }
    }

    #[inline(always)]
    fn close<L: Lanes, const S: usize>(sums: [L; S], h: L, c: L) -> (L, L) {
        let (reset, update) = (sigmoid(sums[0]), sigmoid(sums[1]));
        let reset = reset.numerator.over(reset.denominator);
        let new = tanh(reset.fused(sums[3], sums[2]));
        // One division for both.
        let one = L::splat(1.).over(update.denominator.times(new.denominator));
        let z = within(0., update.numerator.times(new.denominator).times(one), 1.);
        let n = within(-1., new.numerator.times(update.denominator).times(one), 1.);
        (z.fused(h.minus(n), n), c)
    }
}

struct Lstm;

impl Gate for Lstm {
    const HAS_CELL: bool = true;

    #[inline(always)]
    fn sum(gate: usize) -> usize {
        gate
    }

    #[inline(always)]
    fn close<L: Lanes, const S: usize>(sums: [L; S], _h: L, c: L) -> (L, L) {
        let (input, forget) = (sigmoid(sums[0]), sigmoid(sums[1]));
        let (new, output) = (tanh(sums[2]), sigmoid(sums[3]));
        // c' = f c + i g over the product of the three denominators.
        let entering = input.numerator.times(new.numerator).times(forget.denominator);
        let both = input.denominator.times(new.denominator);
        let kept = forget.numerator.times(c).times(both);
        let c = kept.plus(entering).over(both.times(forget.denominator));
        let squashed = tanh(c);
        let h = output.numerator.times(squashed.numerator);
        let h = h.over(output.denominator.times(squashed.denominator));
        (within(-1., h, 1.), c)
    }
}
