//! bias + W x of a head, in panels of 16 outputs.
//!
//! Weights lie as (P, N, 16). Every output of every row is
//!
//! ```text
//! out = fma(x_{N-1}, w_{N-1}, … fma(x_1, w_1, fma(x_0, w_0, bias)))
//! ```
//! in this order, whatever the tile and whether the row is in a full one or in the tail.

use super::isa::{self, Isa, Kernel};
use super::lanes::Lanes;

/// Outputs of a panel.
pub(in crate::nn) const PANEL: usize = 16;

/// A weight matrix (outputs, N) in panels, zero-padded to whole panels.
#[derive(Debug)]
pub(in crate::nn) struct Packed {
    isa: Isa,
    /// N
    inputs: usize,
    /// (P, N, 16)
    weights: Vec<f32>,
    /// (P, 16)
    bias: Vec<f32>,
}

/// Rows to be read out of a wider buffer.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Rows<'a> {
    pub(in crate::nn) data: &'a [f32],
    /// From a row to the next.
    pub(in crate::nn) stride: usize,
    /// Where in a row the N inputs begin.
    pub(in crate::nn) offset: usize,
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    pub(in crate::nn) fn dense(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            stride,
            offset: 0,
        }
    }

    #[inline(always)]
    fn row(&self, row: usize, len: usize) -> &'a [f32] {
        &self.data[row * self.stride + self.offset..][..len]
    }
}

impl Packed {
    /// `weight(output, input)` and `bias(output)` for every one of `outputs` x `inputs`.
    pub(in crate::nn) fn new(
        isa: Isa,
        (outputs, inputs): (usize, usize),
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let padded = outputs.next_multiple_of(PANEL);
        let or_zero =
            |output: usize, value: &dyn Fn(usize) -> f32| if output < outputs { value(output) } else { 0. };
        let mut weights = Vec::with_capacity(padded * inputs);
        for first in (0..padded).step_by(PANEL) {
            for input in 0..inputs {
                let panel = first..first + PANEL;
                weights.extend(panel.map(|output| or_zero(output, &|output| weight(output, input))));
            }
        }
        Self {
            isa,
            inputs,
            weights,
            bias: (0..padded).map(|output| or_zero(output, &bias)).collect(),
        }
    }

    /// A row-major (outputs, N) matrix and its bias.
    pub(in crate::nn) fn from_rows(isa: Isa, weight: &[f32], bias: &[f32]) -> Self {
        let inputs = weight.len() / bias.len();
        Self::new(
            isa,
            (bias.len(), inputs),
            |output, input| weight[output * inputs + input],
            |output| bias[output],
        )
    }

    /// Outputs per row, whole panels.
    pub(in crate::nn) fn width(&self) -> usize {
        self.bias.len()
    }

    /// `out` (rows, width) = bias + W x
    pub(in crate::nn) fn begin(&self, rows: usize, x: Rows<'_>, out: &mut [f32]) {
        isa::run(
            self.isa,
            Product::<true> {
                weights: self,
                rows,
                x,
                out,
            },
        );
    }

    /// `out` (rows, width) += W x; the bias is not used.
    pub(in crate::nn) fn add(&self, rows: usize, x: Rows<'_>, out: &mut [f32]) {
        isa::run(
            self.isa,
            Product::<false> {
                weights: self,
                rows,
                x,
                out,
            },
        );
    }
}

struct Product<'a, const BEGIN: bool> {
    weights: &'a Packed,
    rows: usize,
    x: Rows<'a>,
    out: &'a mut [f32],
}

impl<const BEGIN: bool> Kernel for Product<'_, BEGIN> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        if L::LEN == PANEL {
            self.panels::<L, 1, 12>();
        } else {
            self.panels::<L, 2, 6>();
        }
    }
}

impl<const BEGIN: bool> Product<'_, BEGIN> {
    /// `V` registers a panel, `R` rows a tile.
    #[inline(always)]
    fn panels<L: Lanes, const V: usize, const R: usize>(self) {
        let Self {
            weights,
            rows,
            x,
            out,
        } = self;
        let out = &mut out[..rows * weights.width()];
        for panel in 0..weights.width() / PANEL {
            let mut row = 0;
            while row + R <= rows {
                Self::tile::<L, V, R>(weights, (panel, row), x, out);
                row += R;
            }
            while row + 3 <= rows {
                Self::tile::<L, V, 3>(weights, (panel, row), x, out);
                row += 3;
            }
            while row < rows {
                Self::tile::<L, V, 1>(weights, (panel, row), x, out);
                row += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const V: usize, const R: usize>(
        weights: &Packed,
        (panel, first): (usize, usize),
        x: Rows<'_>,
        out: &mut [f32],
    ) {
        let (inputs, width) = (weights.inputs, weights.width());
        let place = |r: usize| (first + r) * width + panel * PANEL;
        let x: [&[f32]; R] = std::array::from_fn(|r| x.row(first + r, inputs));
        let mut sums: [[L; V]; R] = std::array::from_fn(|r| {
            let from = if BEGIN {
                &weights.bias[panel * PANEL..]
            } else {
                &out[place(r)..]
            };
            std::array::from_fn(|v| L::load(&from[v * L::LEN..]))
        });
        let panel = &weights.weights[panel * inputs * PANEL..][..inputs * PANEL];
        for (k, weights) in panel.chunks_exact(PANEL).enumerate() {
            let weights: [L; V] = std::array::from_fn(|v| L::load(&weights[v * L::LEN..]));
            for (sums, x) in sums.iter_mut().zip(&x) {
                let x = L::splat(x[k]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = x.fused(weight, *sum);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                sum.store(&mut out[place(r) + v * L::LEN..]);
            }
        }
    }
}
