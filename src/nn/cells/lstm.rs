//! Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).
//!
//! ```text
//! i  = sigmoid(W_i x + b_ii + U_i h + b_hi)              (H)
//! f  = sigmoid(W_f x + b_if + U_f h + b_hf)              (H)
//! g  = tanh   (W_g x + b_ig + U_g h + b_hg)              (H)
//! o  = sigmoid(W_o x + b_io + U_o h + b_ho)              (H)
//! c' = f c + i g                                         (H)
//! h' = o tanh(c')                                        (H)
//! ```
//! Blocks in the order i f g o.

use crate::nn::element::Element;

#[inline(always)]
fn blocks_mut<F>(gates: &mut [F]) -> [&mut [F]; 4] {
    let hidden = gates.len() / 4;
    let (input, rest) = gates.split_at_mut(hidden);
    let (forget, rest) = rest.split_at_mut(hidden);
    let (new, output) = rest.split_at_mut(hidden);
    [input, forget, new, output]
}

/// `gates` (4H): pre-activations in, i f g o out. `cell` (H): c in, c' out. `squashed` (H): tanh(c') out. `hidden` (H):
/// h' out.
#[inline(always)]
pub(in crate::nn) fn forward<F: Element>(
    gates: &mut [F],
    cell: &mut [F],
    squashed: &mut [F],
    hidden: &mut [F],
) {
    let len = hidden.len();
    let [input, forget, new, output] = blocks_mut(gates).map(|block| &mut block[..len]);
    let (cell, squashed) = (&mut cell[..len], &mut squashed[..len]);
    for i in 0..len {
        input[i] = input[i].sigmoid();
        forget[i] = forget[i].sigmoid();
    }
    for i in 0..len {
        new[i] = new[i].tanh();
        output[i] = output[i].sigmoid();
    }
    for i in 0..len {
        cell[i] = forget[i] * cell[i] + input[i] * new[i];
        squashed[i] = cell[i].tanh();
        hidden[i] = output[i] * squashed[i];
    }
}

/// What a step left behind.
pub(in crate::nn) struct Trace<'a, F> {
    /// (H) c before the step.
    pub(in crate::nn) before: &'a [F],
    /// (H) tanh(c').
    pub(in crate::nn) squashed: &'a [F],
}

/// `gates` (4H): i f g o in, d pre-activations out. `d_cell` (H): the part of dc' from later steps in, dc out.
/// `d_hidden` (H): dh' in, 0 out (h acts through U only).
///
/// ```text
/// do = dh' tanh(c')           dc' += dh' o (1 - tanh(c')^2)
/// di = dc' g    df = dc' c    dg = dc' i    dc = dc' f
/// da = d(gate) times the slope of its activation
/// ```
#[inline(always)]
pub(in crate::nn) fn backward<F: Element>(
    gates: &mut [F],
    trace: &Trace<'_, F>,
    d_cell: &mut [F],
    d_hidden: &mut [F],
) {
    let len = d_hidden.len();
    let [input, forget, new, output] = blocks_mut(gates).map(|block| &mut block[..len]);
    let (before, squashed, d_cell) = (&trace.before[..len], &trace.squashed[..len], &mut d_cell[..len]);
    for i in 0..len {
        let (i_gate, f_gate, g_gate, o_gate) = (input[i], forget[i], new[i], output[i]);
        let d_after = d_hidden[i];
        let d_sum = d_cell[i] + d_after * o_gate * (F::ONE - squashed[i] * squashed[i]);
        input[i] = d_sum * g_gate * i_gate * (F::ONE - i_gate);
        forget[i] = d_sum * before[i] * f_gate * (F::ONE - f_gate);
        new[i] = d_sum * i_gate * (F::ONE - g_gate * g_gate);
        output[i] = d_after * squashed[i] * o_gate * (F::ONE - o_gate);
        d_cell[i] = d_sum * f_gate;
        d_hidden[i] = F::ZERO;
    }
}
