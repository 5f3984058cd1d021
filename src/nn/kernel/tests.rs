//! Every set of instructions against plain loops, bit by bit.

use super::act::{Fraction, sigmoid, tanh};
use super::isa::{Isa, Kernel, run};
use super::lanes::Lanes;
use super::{Gated, Inputs, LayerWeights, Packed, Rows, States};
use crate::nn::Cell;

const ALL: [Isa; 4] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];

fn here() -> impl Iterator<Item = Isa> {
    ALL.into_iter().filter(|isa| isa.is_here())
}

fn noise(len: usize, seed: f32) -> Vec<f32> {
    (0..len)
        .map(|i| ((i as f32 + seed) * 12.9898).sin() * 1.7)
        .collect()
}

/// The order of the sum, spelled out.
fn twin(weight: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    let outputs = bias.iter().zip(weight.chunks_exact(x.len()));
    outputs
        .map(|(&bias, row)| row.iter().zip(x).fold(bias, |sum, (w, x)| x.mul_add(*w, sum)))
        .collect()
}

/// What a kernel over lanes does to a slice.
fn through<F: Fn(Isa, &[f32], &mut [f32])>(isa: Isa, x: &[f32], of: F) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len()];
    of(isa, x, &mut out);
    out
}

struct Activation<'a, const TANH: bool>(&'a [f32], &'a mut [f32]);

impl<const TANH: bool> Kernel for Activation<'_, TANH> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (x, out) in self.0.chunks(L::LEN).zip(self.1.chunks_mut(L::LEN)) {
            let x = L::load_some(x);
            let Fraction {
                numerator,
                denominator,
            } = if TANH { tanh(x) } else { sigmoid(x) };
            numerator.over(denominator).store_some(out);
        }
    }
}

#[test]
fn kernel_product_equals_its_naive_twin_bitwise_in_any_batch() {
    for isa in here() {
        for (outputs, inputs) in [(1, 1), (5, 53), (16, 7), (17, 20), (144, 48), (33, 1)] {
            let (weight, bias) = (noise(outputs * inputs, 1.), noise(outputs, 2.));
            let packed = Packed::from_rows(isa, &weight, &bias);
            for rows in [1, 2, 3, 4, 5, 7, 8, 13, 25] {
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
                    let x = &data[row * stride + offset..][..inputs];
                    assert_eq!(
                        out[..outputs],
                        twin(&weight, &bias, x),
                        "{isa:?} {outputs}x{inputs}"
                    );
                    assert!(out[outputs..].iter().all(|&pad| pad == 0.));
                }
            }
        }
    }
}

#[test]
fn kernel_product_goes_on_from_what_is_there() {
    for isa in here() {
        let (weight, bias, x) = (noise(20 * 6, 1.), noise(20, 2.), noise(6, 3.));
        let left = Packed::from_rows(isa, &weight, &bias);
        let right = Packed::from_rows(isa, &weight, &[9.; 20]);
        let mut out = vec![0.; left.width()];
        left.begin(1, Rows::dense(&x, 6), &mut out);
        right.add(1, Rows::dense(&x, 6), &mut out);
        assert_eq!(out[..20], twin(&weight, &twin(&weight, &bias, &x), &x), "{isa:?}");
    }
}

/// The rational functions of [`crate::nn::activation`], fused and vectorised: their stated bounds hold here too.
#[test]
fn kernel_activations_stay_within_their_bounds_and_are_the_same_everywhere() {
    let steps = (0..=20_f32.to_bits()).step_by(997);
    let x: Vec<f32> = steps
        .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
        .chain([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0., -0.])
        .collect();
    let of_tanh = |isa, x: &[f32], out: &mut [f32]| run(isa, Activation::<true>(x, out));
    let of_sigmoid = |isa, x: &[f32], out: &mut [f32]| run(isa, Activation::<false>(x, out));
    let plain = (
        through(Isa::Portable, &x, of_tanh),
        through(Isa::Portable, &x, of_sigmoid),
    );
    for isa in here() {
        assert_eq!(through(isa, &x, of_tanh), plain.0, "{isa:?}");
        assert_eq!(through(isa, &x, of_sigmoid), plain.1, "{isa:?}");
        assert!(through(isa, &[f32::NAN], of_tanh)[0].is_nan(), "{isa:?}");
    }
    for (index, &x) in x.iter().enumerate() {
        let wide = f64::from(x);
        assert!(
            (f64::from(plain.0[index]) - wide.tanh()).abs() <= 4e-7,
            "tanh at {x}"
        );
        let sigmoid = 1. / (1. + (-wide).exp());
        assert!(
            (f64::from(plain.1[index]) - sigmoid).abs() <= 2.4e-7,
            "sigmoid at {x}"
        );
    }
}

/// A layer's step in f64, from the equations in `cells/`.
fn naive_step(cell: Cell, weights: &LayerWeights<'_>, x: &[f32], state: &[f32]) -> Vec<f64> {
    let hidden = weights.bias_ih.len() / cell.gates();
    let dot = |w: &[f32], x: &[f32]| {
        w.iter()
            .zip(x)
            .map(|(w, x)| f64::from(*w) * f64::from(*x))
            .sum::<f64>()
    };
    let side = |w: &[f32], bias: &[f32], x: &[f32]| -> Vec<f64> {
        let rows = w.chunks_exact(x.len()).zip(bias);
        rows.map(|(w, &bias)| f64::from(bias) + dot(w, x)).collect()
    };
    let a = side(weights.weight_ih, weights.bias_ih, x);
    let u = side(weights.weight_hh, weights.bias_hh, &state[..hidden]);
    let sigmoid = |x: f64| 1. / (1. + (-x).exp());
    let gate = |block: usize, unit: usize| a[block * hidden + unit] + u[block * hidden + unit];
    let h = |unit: usize| f64::from(state[unit]);
    let all = 0..hidden;
    match cell {
        Cell::Elman => all.map(|i| gate(0, i).tanh()).collect(),
        Cell::Gru => all
            .map(|i| {
                let (r, z) = (sigmoid(gate(0, i)), sigmoid(gate(1, i)));
                let n = (a[2 * hidden + i] + r * u[2 * hidden + i]).tanh();
                n + z * (h(i) - n)
            })
            .collect(),
        Cell::Lstm => {
            let c = |i: usize| {
                sigmoid(gate(1, i)) * f64::from(state[hidden + i]) + sigmoid(gate(0, i)) * gate(2, i).tanh()
            };
            let h = all.clone().map(|i| sigmoid(gate(3, i)) * c(i).tanh());
            h.chain(all.map(c)).collect()
        }
    }
}

/// Sums of 60 f32 of order 1 and a few roundings of the gates: 4e-6 absolute, where a state is of order 1.
#[test]
fn kernel_step_follows_the_equations_and_is_the_same_everywhere() {
    for cell in [Cell::Elman, Cell::Gru, Cell::Lstm] {
        for (inputs, hidden) in [(1, 1), (8, 16), (3, 20), (20, 48), (8, 64)] {
            let (gates, carried, rows) = (cell.gates() * hidden, cell.carried() * hidden, 17);
            let shrink = |mut values: Vec<f32>, by: usize| {
                values.iter_mut().for_each(|value| *value /= (by as f32).sqrt());
                values
            };
            let (ih, hh) = (
                shrink(noise(gates * inputs, 1.), inputs),
                shrink(noise(gates * hidden, 2.), hidden),
            );
            let (bias_ih, bias_hh) = (noise(gates, 3.), noise(gates, 4.));
            let weights = LayerWeights {
                weight_ih: &ih,
                weight_hh: &hh,
                bias_ih: &bias_ih,
                bias_hh: &bias_hh,
            };
            let (x, before) = (
                noise(rows * inputs, 5.),
                shrink(noise(rows * (carried + 5), 6.), 3),
            );
            let step = |isa, first: usize, rows: usize| {
                let mut data = before[first * (carried + 5)..][..rows * (carried + 5)].to_vec();
                let mut after = vec![f32::NAN; rows * hidden];
                let states = States {
                    data: &mut data,
                    stride: carried + 5,
                    offset: 2,
                    after: &mut after,
                };
                let x = Inputs::Dense(&x[first * inputs..][..rows * inputs]);
                Gated::new(isa, cell, weights).step(rows, x, states);
                data
            };
            let plain = step(Isa::Portable, 0, rows);
            for row in 0..rows {
                let place = row * (carried + 5) + 2..row * (carried + 5) + 2 + carried;
                let expected = naive_step(
                    cell,
                    &weights,
                    &x[row * inputs..][..inputs],
                    &before[place.clone()],
                );
                for (&got, want) in plain[place].iter().zip(expected) {
                    assert!(
                        (f64::from(got) - want).abs() < 4e-6,
                        "{cell:?} {hidden}: {got} {want}"
                    );
                }
            }
            for isa in here() {
                assert_eq!(step(isa, 0, rows), plain, "{isa:?} {cell:?} {hidden}");
                for (first, rows) in [(0, 1), (3, 2), (5, 3), (2, 4), (1, 7)] {
                    let whole = &plain[first * (carried + 5)..][..rows * (carried + 5)];
                    assert_eq!(step(isa, first, rows), whole, "{isa:?} {cell:?} {rows} rows");
                }
            }
        }
    }
}
