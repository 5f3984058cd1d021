//! The serving product: packed weights, a fixed order of the sum, and rows that do not know of each other.
//!
//! Weights are stored in panels of 16 outputs, (P,N,16), so that the 16 sums of a panel run in vector registers while
//! one input is broadcast. Every output of every row is
//!
//! ```text
//! out = ((bias + x_0 w_0) + x_1 w_1) + ... + x_{N-1} w_{N-1}
//! ```
//! in this order, each product and each sum rounded by itself. How many rows are computed together, and whether a row
//! is in a full block or in the tail, changes which registers are used and nothing else, so the bits of a row depend on
//! that row alone. (No fused multiply-add here: without the target feature it is a library call, and with it on some
//! machines only, bits would depend on the machine.)

/// Outputs of a panel: two AVX2 or four SSE registers.
pub(super) const PANEL: usize = 16;
/// Rows computed together: enough independent sums to hide the latency of an addition, few enough for 16 registers.
const BLOCK: usize = 2;

type Lane = [f32; PANEL];

/// A weight matrix (outputs, N) in panels, zero-padded to whole panels.
#[derive(Debug)]
pub(super) struct Packed {
    /// N
    inputs: usize,
    /// (P,N) lanes
    weights: Vec<Lane>,
    /// (P) lanes
    bias: Vec<Lane>,
}

/// Rows to be read out of a wider buffer.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    /// From a row to the next.
    pub(super) stride: usize,
    /// Where in a row the N inputs begin.
    pub(super) offset: usize,
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    pub(super) fn dense(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            stride,
            offset: 0,
        }
    }

    #[inline]
    fn row(&self, row: usize, len: usize) -> &'a [f32] {
        &self.data[row * self.stride + self.offset..][..len]
    }
}

impl Packed {
    /// `weight(output, input)` and `bias(output)` for every one of `outputs` x `inputs`.
    pub(super) fn new(
        outputs: usize,
        inputs: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let panels = outputs.div_ceil(PANEL);
        let lane = |panel: usize, value: &dyn Fn(usize) -> f32| -> Lane {
            std::array::from_fn(|lane| {
                let output = panel * PANEL + lane;
                if output < outputs { value(output) } else { 0. }
            })
        };
        let mut weights = Vec::with_capacity(panels * inputs);
        for panel in 0..panels {
            weights.extend((0..inputs).map(|input| lane(panel, &|output| weight(output, input))));
        }
        let bias = (0..panels).map(|panel| lane(panel, &bias)).collect();
        Self {
            inputs,
            weights,
            bias,
        }
    }

    /// A row-major (outputs, N) matrix and its bias.
    pub(super) fn from_rows(weight: &[f32], bias: &[f32]) -> Self {
        let inputs = weight.len() / bias.len();
        Self::new(
            bias.len(),
            inputs,
            |output, input| weight[output * inputs + input],
            |output| bias[output],
        )
    }

    /// Outputs per row, whole panels.
    pub(super) fn width(&self) -> usize {
        self.bias.len() * PANEL
    }

    /// `out` (rows, width) = bias + W x
    pub(super) fn begin(&self, rows: usize, x: Rows<'_>, out: &mut [f32]) {
        self.product::<true>(rows, x, out);
    }

    /// `out` (rows, width) += W x; the bias is not used.
    pub(super) fn add(&self, rows: usize, x: Rows<'_>, out: &mut [f32]) {
        self.product::<false>(rows, x, out);
    }

    #[inline]
    fn product<const BEGIN: bool>(&self, rows: usize, x: Rows<'_>, out: &mut [f32]) {
        let out = &mut out[..rows * self.width()];
        for panel in 0..self.bias.len() {
            let mut row = 0;
            while row + BLOCK <= rows {
                self.block::<BEGIN, BLOCK>(panel, row, x, out);
                row += BLOCK;
            }
            while row < rows {
                self.block::<BEGIN, 1>(panel, row, x, out);
                row += 1;
            }
        }
    }

    /// `R` rows of one panel.
    #[inline]
    fn block<const BEGIN: bool, const R: usize>(
        &self,
        panel: usize,
        first: usize,
        x: Rows<'_>,
        out: &mut [f32],
    ) {
        let width = self.width();
        let weights = &self.weights[panel * self.inputs..][..self.inputs];
        let inputs: [&[f32]; R] = std::array::from_fn(|r| x.row(first + r, weights.len()));
        let place = |r: usize| (first + r) * width + panel * PANEL;
        let mut sums: [Lane; R] = std::array::from_fn(|r| {
            if BEGIN {
                self.bias[panel]
            } else {
                out[place(r)..][..PANEL]
                    .try_into()
                    .expect("a slice of that length")
            }
        });
        for (k, weight) in weights.iter().enumerate() {
            for (sum, input) in sums.iter_mut().zip(&inputs) {
                let value = input[k];
                for (sum, weight) in sum.iter_mut().zip(weight) {
                    *sum += value * weight;
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            out[place(r)..][..PANEL].copy_from_slice(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: f32) -> Vec<f32> {
        (0..len)
            .map(|i| ((i as f32 + seed) * 12.9898).sin() * 1.7)
            .collect()
    }

    /// The order of the sum, spelled out.
    fn twin(weight: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
        let outputs = bias.iter().zip(weight.chunks_exact(x.len()));
        outputs
            .map(|(&bias, row)| row.iter().zip(x).fold(bias, |sum, (w, x)| sum + x * w))
            .collect()
    }

    #[test]
    fn product_equals_its_naive_twin_bitwise_in_any_batch() {
        for (outputs, inputs) in [(1, 1), (5, 53), (16, 7), (17, 20), (144, 48), (33, 1)] {
            let (weight, bias) = (noise(outputs * inputs, 1.), noise(outputs, 2.));
            let packed = Packed::from_rows(&weight, &bias);
            for rows in [1, 2, 3, 4, 5, 7, 8, 13] {
                let (stride, offset) = (inputs + 3, 2);
                let data = noise(rows * stride, 3.);
                let x = Rows {
                    data: &data,
                    stride,
                    offset,
                };
                let mut out = vec![f32::NAN; rows * packed.width()];
                packed.begin(rows, x, &mut out);
                for (row, out) in out.chunks_exact(packed.width()).enumerate() {
                    assert_eq!(
                        out[..outputs],
                        twin(&weight, &bias, x.row(row, inputs)),
                        "{outputs}x{inputs}"
                    );
                    assert!(out[outputs..].iter().all(|&pad| pad == 0.));
                }
            }
        }
    }

    #[test]
    fn add_goes_on_from_what_is_there() {
        let (weight, bias, x) = (noise(20 * 6, 1.), noise(20, 2.), noise(6, 3.));
        let (left, right) = (
            Packed::from_rows(&weight, &bias),
            Packed::from_rows(&weight, &[9.; 20]),
        );
        let mut out = vec![0.; left.width()];
        left.begin(1, Rows::dense(&x, 6), &mut out);
        right.add(1, Rows::dense(&x, 6), &mut out);
        assert_eq!(out[..20], twin(&weight, &twin(&weight, &bias, &x), &x));
    }
}
