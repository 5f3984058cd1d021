//! Elman's simple recurrent network (Elman 1990; `PyTorch` `RNN`, tanh).
//!
//! ```text
//! h' = tanh(W x + b_ih + U h + b_hh)                     (H)
//! ```

use crate::nn::element::Element;

/// `gates` (H): pre-activation in, unchanged; `hidden` (H): h' out.
#[inline(always)]
pub(in crate::nn) fn forward<F: Element>(gates: &[F], hidden: &mut [F]) {
    for (hidden, &gate) in hidden.iter_mut().zip(gates) {
        *hidden = gate.tanh();
    }
}

/// `after` (H): h'. `gates` (H): out, d pre-activation. `d_hidden` (H): dh' in, 0 out (h acts through U only).
///
/// ```text
/// da = dh' (1 - h'^2)
/// ```
#[inline(always)]
pub(in crate::nn) fn backward<F: Element>(gates: &mut [F], after: &[F], d_hidden: &mut [F]) {
    for ((gate, &after), d_hidden) in gates.iter_mut().zip(after).zip(d_hidden) {
        *gate = *d_hidden * (F::ONE - after * after);
        *d_hidden = F::ZERO;
    }
}
