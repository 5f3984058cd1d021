//! Dimensions of a network and the layout of its parameter arena.

use std::ops::Range;

/// Kind of recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h' = tanh(W x + U h + b) (Elman 1990).
    Elman,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gate).
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014, PyTorch's form).
    Gru,
}

impl Cell {
    /// G: how many blocks of H rows a weight matrix of the cell has.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            Self::Elman => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// Vectors of H that a layer carries from step to step: h, and for the LSTM c after it.
    #[must_use]
    pub fn carried(self) -> usize {
        match self {
            Self::Elman | Self::Gru => 1,
            Self::Lstm => 2,
        }
    }

    /// Name in config and in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elman => "elman",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// The cell of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Elman, Self::Lstm, Self::Gru]
            .into_iter()
            .find(|cell| cell.as_str() == name)
    }
}

/// Layers at most: what the gradient checks cover.
pub(crate) const LAYERS_MAX: usize = 3;

/// Dimensions of a network. Two networks of equal shape have the same arena layout and the same state length.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Kind of recurrent cell.
    pub cell: Cell,
    /// D: recurrent inputs per step.
    pub inputs: usize,
    /// H: hidden units per layer.
    pub hidden: usize,
    /// L: layers, 1 to 3.
    pub layers: usize,
    /// K: scored horizons, each with a head of its own.
    pub horizons: usize,
    /// S: skip inputs per horizon.
    pub skips: usize,
    /// M: ReLU units of a head.
    pub head_hidden: usize,
    /// Q levels. Invariant: ascending, in (0,1), symmetric about .5, which is among them.
    pub quantiles: Vec<f32>,
}

/// A tensor of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// `PyTorch`'s name.
    pub(crate) name: String,
    /// One or two dimensions.
    pub(crate) shape: Vec<usize>,
    /// Place in the arena.
    pub(crate) range: Range<usize>,
}

/// Offsets of one layer's tensors in the arena.
#[derive(Clone, Debug)]
pub(crate) struct LayerRanges {
    /// (G*H, inputs of the layer)
    pub(crate) weight_ih: Range<usize>,
    /// (G*H, H)
    pub(crate) weight_hh: Range<usize>,
    /// (G*H)
    pub(crate) bias_ih: Range<usize>,
    /// (G*H)
    pub(crate) bias_hh: Range<usize>,
}

/// Offsets of one head's tensors in the arena.
#[derive(Clone, Debug)]
pub(crate) struct HeadRanges {
    /// (M, H+S): the columns of h, then those of the skips.
    pub(crate) hidden_weight: Range<usize>,
    /// (M)
    pub(crate) hidden_bias: Range<usize>,
    /// (Q, M)
    pub(crate) output_weight: Range<usize>,
    /// (Q)
    pub(crate) output_bias: Range<usize>,
    /// (Q, S)
    pub(crate) skip_weight: Range<usize>,
}

impl Shape {
    /// Length of one row's carried state: per layer h (H), and for the LSTM c (H) after it.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.layers * self.cell.carried() * self.hidden
    }

    /// Length of the parameter arena.
    #[must_use]
    pub fn param_count(&self) -> usize {
        self.head_ranges(self.horizons).hidden_weight.start
    }

    /// Q.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.quantiles.len()
    }

    /// Inputs of layer `layer`: D for the first, H above.
    #[must_use]
    pub fn layer_inputs(&self, layer: usize) -> usize {
        if layer == 0 { self.inputs } else { self.hidden }
    }

    /// Where the top layer's h begins in a row's state.
    #[must_use]
    pub(crate) fn top_offset(&self) -> usize {
        (self.layers - 1) * self.cell.carried() * self.hidden
    }

    /// What is wrong with the dimensions, if anything.
    ///
    /// # Errors
    /// A sentence that names the field and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("inputs", self.inputs),
            ("hidden", self.hidden),
            ("horizons", self.horizons),
            ("skips", self.skips),
            ("head_hidden", self.head_hidden),
        ];
        for (name, value) in positive {
            if value == 0 || value > DIMENSION_MAX {
                return Err(format!("`{name}` is `{value}`, must be 1 to {DIMENSION_MAX}"));
            }
        }
        if self.layers == 0 || self.layers > LAYERS_MAX {
            return Err(format!(
                "`layers` is `{}`, must be 1 to {LAYERS_MAX}",
                self.layers
            ));
        }
        check_levels(&self.quantiles)
    }

    /// Every tensor in arena order.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let gate_rows = self.cell.gates() * self.hidden;
        let mut tensors = Vec::with_capacity(4 * self.layers + 5 * self.horizons);
        let mut add = |name: String, shape: Vec<usize>, range: Range<usize>| {
            debug_assert_eq!(shape.iter().product::<usize>(), range.len());
            tensors.push(Tensor { name, shape, range });
        };
        for layer in 0..self.layers {
            let ranges = self.layer_ranges(layer);
            let inputs = self.layer_inputs(layer);
            add(
                format!("weight_ih_l{layer}"),
                vec![gate_rows, inputs],
                ranges.weight_ih,
            );
            add(
                format!("weight_hh_l{layer}"),
                vec![gate_rows, self.hidden],
                ranges.weight_hh,
            );
            add(format!("bias_ih_l{layer}"), vec![gate_rows], ranges.bias_ih);
            add(format!("bias_hh_l{layer}"), vec![gate_rows], ranges.bias_hh);
        }
        let (units, levels) = (self.head_hidden, self.levels());
        for k in 0..self.horizons {
            let ranges = self.head_ranges(k);
            add(
                format!("head.{k}.hidden.weight"),
                vec![units, self.hidden + self.skips],
                ranges.hidden_weight,
            );
            add(format!("head.{k}.hidden.bias"), vec![units], ranges.hidden_bias);
            add(
                format!("head.{k}.output.weight"),
                vec![levels, units],
                ranges.output_weight,
            );
            add(format!("head.{k}.output.bias"), vec![levels], ranges.output_bias);
            add(
                format!("head.{k}.skip.weight"),
                vec![levels, self.skips],
                ranges.skip_weight,
            );
        }
        tensors
    }

    pub(crate) fn layer_ranges(&self, layer: usize) -> LayerRanges {
        let gate_rows = self.cell.gates() * self.hidden;
        let len = |inputs: usize| gate_rows * (inputs + self.hidden + 2);
        let start: usize = (0..layer).map(|below| len(self.layer_inputs(below))).sum();
        let mut next = Cursor(start);
        LayerRanges {
            weight_ih: next.take(gate_rows * self.layer_inputs(layer)),
            weight_hh: next.take(gate_rows * self.hidden),
            bias_ih: next.take(gate_rows),
            bias_hh: next.take(gate_rows),
        }
    }

    pub(crate) fn head_ranges(&self, k: usize) -> HeadRanges {
        let (units, levels) = (self.head_hidden, self.levels());
        let len = units * (self.hidden + self.skips + 1) + levels * (units + 1 + self.skips);
        let mut next = Cursor(self.layer_ranges(self.layers).weight_ih.start + k * len);
        HeadRanges {
            hidden_weight: next.take(units * (self.hidden + self.skips)),
            hidden_bias: next.take(units),
            output_weight: next.take(levels * units),
            output_bias: next.take(levels),
            skip_weight: next.take(levels * self.skips),
        }
    }
}

/// No dimension beyond this: products of three still fit `usize`, and an arena of that size would not fit memory anyway.
const DIMENSION_MAX: usize = 4096;
/// Levels at most: the buffers of one side in `quantiles.rs` hold 16.
const LEVELS_MAX: usize = 33;
/// Symmetry is checked to this: levels are decimal fractions given in f32.
const LEVEL_TOLERANCE: f32 = 1e-5;

fn check_levels(levels: &[f32]) -> Result<(), String> {
    let count = levels.len();
    if count.is_multiple_of(2) || count > LEVELS_MAX {
        return Err(format!(
            "`quantiles` has `{count}` levels, must have an odd number up to {LEVELS_MAX}, .5 in the middle"
        ));
    }
    for (index, &level) in levels.iter().enumerate() {
        if !(level > 0. && level < 1.) {
            return Err(format!("`quantiles` contains `{level}`, must be between 0 and 1"));
        }
        if index > 0 && level <= levels[index - 1] {
            return Err(format!(
                "`quantiles` contains `{level}` after `{}`, must ascend",
                levels[index - 1]
            ));
        }
        let mirror = 1. - levels[count - 1 - index];
        if (level - mirror).abs() > LEVEL_TOLERANCE {
            return Err(format!(
                "`quantiles` contains `{level}` without `{}`, must be symmetric about .5",
                1. - level
            ));
        }
    }
    Ok(())
}

struct Cursor(usize);

impl Cursor {
    fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.0;
        self.0 += len;
        start..self.0
    }
}
