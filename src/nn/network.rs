//! The serving form of a network: the same equations as training, row by row independent.

use super::cells::{elman, gru, lstm};
use super::kernel::{Packed, Rows};
use super::quantiles::Levels;
use super::{Cell, Params, Shape};

/// Immutable weights in the layout that serving wants, made once per version.
#[derive(Debug)]
pub struct Network {
    shape: Shape,
    layers: Vec<Layer>,
    heads: Vec<Head>,
    levels: Levels<f32>,
}

#[derive(Debug)]
struct Layer {
    /// (G·H, inputs) with `b_ih`
    input_side: Packed,
    /// (G·H, H) with `b_hh`; elman and lstm add it to the input side, whose bias holds both
    hidden_side: Packed,
}

#[derive(Debug)]
struct Head {
    /// (M, H) with the bias
    from_state: Packed,
    /// (M, S)
    from_skips: Packed,
    /// (Q, M) with the bias
    output: Packed,
    /// (Q, S)
    direct: Packed,
}

impl Network {
    /// Packs the weights.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let shape = params.shape().clone();
        let layers = (0..shape.layers).map(|layer| Layer::new(params, layer)).collect();
        let heads = (0..shape.horizons).map(|k| Head::new(params, k)).collect();
        let levels = Levels::new(&shape.quantiles);
        Self {
            shape,
            layers,
            heads,
            levels,
        }
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One step of B rows: `inputs` (B,D), `state` (`B,state_len`) is replaced by the state after the step.
    /// The bits of a row depend on that row alone.
    ///
    /// # Panics
    /// If a slice has the wrong length or `scratch` is too small.
    pub fn step(&self, rows: usize, inputs: &[f32], state: &mut [f32], scratch: &mut Scratch) {
        let (shape, stride) = (&self.shape, self.shape.state_len());
        assert_eq!(inputs.len(), rows * shape.inputs, "inputs (B,D)");
        assert_eq!(state.len(), rows * stride, "state (B,state_len)");
        scratch.assert_fits(shape, rows);
        let layer_state = shape.cell.carried() * shape.hidden;
        for (index, layer) in self.layers.iter().enumerate() {
            let offset = index * layer_state;
            let x = match index {
                0 => Rows::dense(inputs, shape.inputs),
                _ => Rows {
                    data: state,
                    stride,
                    offset: offset - layer_state,
                },
            };
            layer.input_side.begin(rows, x, &mut scratch.gates);
            let h = Rows {
                data: state,
                stride,
                offset,
            };
            if shape.cell == Cell::Gru {
                layer.hidden_side.begin(rows, h, &mut scratch.recurrent);
            } else {
                layer.hidden_side.add(rows, h, &mut scratch.gates);
            }
            self.gate(offset, state, layer.input_side.width(), scratch);
        }
    }

    /// The cell's pointwise part for every row of one layer, whose state begins at `offset` of a row's.
    fn gate(&self, offset: usize, state: &mut [f32], width: usize, scratch: &mut Scratch) {
        let hidden = self.shape.hidden;
        let used = self.shape.cell.gates() * hidden;
        let Scratch {
            gates,
            recurrent,
            squashed,
            ..
        } = scratch;
        let gates = gates.chunks_exact_mut(width).map(|row| &mut row[..used]);
        let states = state
            .chunks_exact_mut(self.shape.state_len())
            .map(|row| &mut row[offset..]);
        match self.shape.cell {
            Cell::Elman => gates
                .zip(states)
                .for_each(|(gates, state)| elman::forward(gates, &mut state[..hidden])),
            Cell::Gru => {
                let recurrent = recurrent.chunks_exact(width).map(|row| &row[..used]);
                for ((gates, recurrent), state) in gates.zip(recurrent).zip(states) {
                    gru::forward(gates, recurrent, &mut state[..hidden]);
                }
            }
            Cell::Lstm => {
                for (gates, state) in gates.zip(states) {
                    let (h, c) = state[..2 * hidden].split_at_mut(hidden);
                    lstm::forward(gates, c, squashed, h);
                }
            }
        }
    }

    /// Quantiles (B,K,Q) from the state after the step (`B,state_len`) and the skips (B,K,S), ascending in Q.
    /// The bits of a row depend on that row alone.
    ///
    /// # Panics
    /// If a slice has the wrong length or `scratch` is too small.
    #[allow(
        clippy::too_many_arguments,
        reason = "five arrays of one kernel, each with its shape"
    )]
    pub fn head(
        &self,
        rows: usize,
        state: &[f32],
        skips: &[f32],
        quantiles: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let shape = &self.shape;
        let (horizons, levels) = (shape.horizons, shape.levels());
        assert_eq!(state.len(), rows * shape.state_len(), "state (B,state_len)");
        assert_eq!(skips.len(), rows * horizons * shape.skips, "skips (B,K,S)");
        assert_eq!(quantiles.len(), rows * horizons * levels, "quantiles (B,K,Q)");
        scratch.assert_fits(shape, rows);
        let h = Rows {
            data: state,
            stride: shape.state_len(),
            offset: shape.top_offset(),
        };
        for (k, head) in self.heads.iter().enumerate() {
            let x = Rows {
                data: skips,
                stride: horizons * shape.skips,
                offset: k * shape.skips,
            };
            head.from_state.begin(rows, h, &mut scratch.units);
            head.from_skips.add(rows, x, &mut scratch.units);
            let units = &mut scratch.units[..rows * head.from_state.width()];
            units
                .iter_mut()
                .for_each(|unit| *unit = if *unit < 0. { 0. } else { *unit });
            head.output.begin(
                rows,
                Rows::dense(units, head.from_state.width()),
                &mut scratch.outputs,
            );
            head.direct.add(rows, x, &mut scratch.outputs);
            let outputs = scratch.outputs.chunks_exact_mut(head.output.width());
            for (row, outputs) in outputs.take(rows).enumerate() {
                self.levels.spread(&mut outputs[..levels]);
                quantiles[(row * horizons + k) * levels..][..levels].copy_from_slice(&outputs[..levels]);
            }
        }
    }
}

impl Layer {
    fn new(params: &Params, layer: usize) -> Self {
        let ranges = params.shape().layer_ranges(layer);
        let arena = params.as_slice();
        let (bias_ih, bias_hh) = (&arena[ranges.bias_ih], &arena[ranges.bias_hh]);
        let input_bias: Vec<f32> = match params.shape().cell {
            Cell::Gru => bias_ih.to_vec(),
            Cell::Elman | Cell::Lstm => bias_ih.iter().zip(bias_hh).map(|(a, b)| a + b).collect(),
        };
        Self {
            input_side: Packed::from_rows(&arena[ranges.weight_ih], &input_bias),
            hidden_side: Packed::from_rows(&arena[ranges.weight_hh], bias_hh),
        }
    }
}

impl Head {
    fn new(params: &Params, k: usize) -> Self {
        let (shape, arena) = (params.shape(), params.as_slice());
        let ranges = shape.head_ranges(k);
        let (hidden, width) = (shape.hidden, shape.hidden + shape.skips);
        let hidden_weight = &arena[ranges.hidden_weight];
        let hidden_bias = &arena[ranges.hidden_bias];
        Self {
            from_state: Packed::new(
                shape.head_hidden,
                hidden,
                |unit, input| hidden_weight[unit * width + input],
                |unit| hidden_bias[unit],
            ),
            from_skips: Packed::new(
                shape.head_hidden,
                shape.skips,
                |unit, input| hidden_weight[unit * width + hidden + input],
                |_| 0.,
            ),
            output: Packed::from_rows(&arena[ranges.output_weight], &arena[ranges.output_bias]),
            direct: Packed::from_rows(&arena[ranges.skip_weight], &vec![0.; shape.levels()]),
        }
    }
}

/// Work space of [`Network::step`] and [`Network::head`] for up to `rows_max` rows; not part of any state.
#[derive(Debug)]
pub struct Scratch {
    shape: Shape,
    rows_max: usize,
    /// (B, G·H padded)
    gates: Vec<f32>,
    /// (B, G·H padded), GRU only
    recurrent: Vec<f32>,
    /// (H) tanh(c) of one row
    squashed: Vec<f32>,
    /// (B, M padded)
    units: Vec<f32>,
    /// (B, Q padded)
    outputs: Vec<f32>,
}

impl Scratch {
    /// Space for that many rows of that shape.
    #[must_use]
    pub fn new(shape: &Shape, rows_max: usize) -> Self {
        let padded = |outputs: usize| vec![0.; rows_max * outputs.next_multiple_of(super::kernel::PANEL)];
        let gates = shape.cell.gates() * shape.hidden;
        Self {
            shape: shape.clone(),
            rows_max,
            gates: padded(gates),
            recurrent: padded(if shape.cell == Cell::Gru { gates } else { 0 }),
            squashed: vec![0.; shape.hidden],
            units: padded(shape.head_hidden),
            outputs: padded(shape.levels()),
        }
    }

    fn assert_fits(&self, shape: &Shape, rows: usize) {
        assert!(
            rows <= self.rows_max,
            "{rows} rows in scratch for {}",
            self.rows_max
        );
        assert!(self.shape == *shape, "scratch of another shape");
    }
}
