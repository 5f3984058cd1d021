//! The serving form of a network: the same equations as training, row by row independent.

use super::kernel::{Gated, Inputs, Isa, LayerWeights, Packed, Rows, States};
use super::quantiles::Levels;
use super::{Params, Shape};

/// Immutable weights in the layout that serving wants, made once per version.
#[derive(Debug)]
pub struct Network {
    shape: Shape,
    layers: Vec<Gated>,
    heads: Vec<Head>,
    levels: Levels<f32>,
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
    /// Packs the weights for the best instructions of this machine.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self::on(Isa::best(), params)
    }

    /// Packs the weights for the given instructions, which this machine must have. The numbers are the same on all.
    #[must_use]
    pub fn on(isa: Isa, params: &Params) -> Self {
        let shape = params.shape().clone();
        let layers = (0..shape.layers).map(|index| layer(isa, params, index)).collect();
        let heads = (0..shape.horizons).map(|k| Head::new(isa, params, k)).collect();
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
                0 => Inputs::Dense(inputs),
                _ => Inputs::Below(offset - layer_state),
            };
            let states = States {
                data: state,
                stride,
                offset,
                after: &mut scratch.after,
            };
            layer.step(rows, x, states);
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

fn layer(isa: Isa, params: &Params, layer: usize) -> Gated {
    let ranges = params.shape().layer_ranges(layer);
    let arena = params.as_slice();
    let weights = LayerWeights {
        weight_ih: &arena[ranges.weight_ih],
        weight_hh: &arena[ranges.weight_hh],
        bias_ih: &arena[ranges.bias_ih],
        bias_hh: &arena[ranges.bias_hh],
    };
    Gated::new(isa, params.shape().cell, weights)
}

impl Head {
    fn new(isa: Isa, params: &Params, k: usize) -> Self {
        let (shape, arena) = (params.shape(), params.as_slice());
        let ranges = shape.head_ranges(k);
        let (hidden, width) = (shape.hidden, shape.hidden + shape.skips);
        let hidden_weight = &arena[ranges.hidden_weight];
        let hidden_bias = &arena[ranges.hidden_bias];
        Self {
            from_state: Packed::new(
                isa,
                (shape.head_hidden, hidden),
                |unit, input| hidden_weight[unit * width + input],
                |unit| hidden_bias[unit],
            ),
            from_skips: Packed::new(
                isa,
                (shape.head_hidden, shape.skips),
                |unit, input| hidden_weight[unit * width + hidden + input],
                |_| 0.,
            ),
            output: Packed::from_rows(isa, &arena[ranges.output_weight], &arena[ranges.output_bias]),
            direct: Packed::from_rows(isa, &arena[ranges.skip_weight], &vec![0.; shape.levels()]),
        }
    }
}

/// Work space of [`Network::step`] and [`Network::head`] for up to `rows_max` rows; not part of any state.
#[derive(Debug)]
pub struct Scratch {
    shape: Shape,
    rows_max: usize,
    /// (B, H) of the layer in work.
    after: Vec<f32>,
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
        Self {
            shape: shape.clone(),
            rows_max,
            after: vec![0.; rows_max * shape.hidden],
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
