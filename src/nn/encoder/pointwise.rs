//! The cells' pointwise parts over all rows of a step, compiled for the best instructions of the machine.

use crate::nn::Cell;
use crate::nn::cells::{elman, gru, lstm};
use crate::nn::element::Element;
use crate::nn::kernel::{Loops, wide};

/// One step forward of B rows.
pub(super) struct Forward<'a, F> {
    pub(super) cell: Cell,
    /// H
    pub(super) hidden: usize,
    /// (B,G·H) W x + `b_ih` (elman, lstm: with the state's part) in, activated gates out.
    pub(super) gates: &'a mut [F],
    /// (B,G·H) U h + `b_hh`; GRU only.
    pub(super) recurrent: &'a [F],
    /// (B,H) h in, h' out.
    pub(super) after: &'a mut [F],
    /// (B,H) c in, c' out; LSTM only.
    pub(super) memory: &'a mut [F],
    /// (B,H) tanh(c') out; LSTM only.
    pub(super) squashed: &'a mut [F],
}

/// One step backward of B rows.
pub(super) struct BackwardStep<'a, F> {
    pub(super) cell: Cell,
    /// H
    pub(super) hidden: usize,
    /// (B,G·H) activated gates in, gradients of W x + `b_ih` out.
    pub(super) gates: &'a mut [F],
    /// (B,G·H) U h + `b_hh` in, its gradients out; GRU only.
    pub(super) recurrent: &'a mut [F],
    /// (B,H) h before the step, elman: after it, lstm: c before it.
    pub(super) trace: &'a [F],
    /// (B,H) tanh(c'); LSTM only.
    pub(super) squashed: &'a [F],
    /// (B,H) dh' in, the direct part of dh out.
    pub(super) d_hidden: &'a mut [F],
    /// (B,H) dc' in, dc out; LSTM only.
    pub(super) d_memory: &'a mut [F],
}

impl<F: Element> Forward<'_, F> {
    pub(super) fn run(self) {
        wide(self);
    }
}

impl<F: Element> BackwardStep<'_, F> {
    pub(super) fn run(self) {
        wide(self);
    }
}

#[allow(clippy::inline_always, reason = "compiled for the instructions of `wide`")]
impl<F: Element> Loops for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let (hidden, width) = (self.hidden, self.cell.gates() * self.hidden);
        let rows = self.gates.chunks_exact_mut(width);
        let rows = rows.zip(self.after.chunks_exact_mut(hidden));
        match self.cell {
            Cell::Elman => rows.for_each(|(gates, after)| elman::forward(gates, after)),
            Cell::Gru => {
                for ((gates, after), recurrent) in rows.zip(self.recurrent.chunks_exact(width)) {
                    gru::forward(gates, recurrent, after);
                }
            }
            Cell::Lstm => {
                let states = self.memory.chunks_exact_mut(hidden);
                let states = states.zip(self.squashed.chunks_exact_mut(hidden));
                for ((gates, after), (memory, squashed)) in rows.zip(states) {
                    lstm::forward(gates, memory, squashed, after);
                }
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "compiled for the instructions of `wide`")]
impl<F: Element> Loops for BackwardStep<'_, F> {
    #[inline(always)]
    fn run(self) {
        let (hidden, width) = (self.hidden, self.cell.gates() * self.hidden);
        let rows = self.gates.chunks_exact_mut(width);
        let rows = rows.zip(self.d_hidden.chunks_exact_mut(hidden));
        let rows = rows.zip(self.trace.chunks_exact(hidden));
        match self.cell {
            Cell::Elman => {
                rows.for_each(|((gates, d_hidden), after)| elman::backward(gates, after, d_hidden))
            }
            Cell::Gru => {
                for (((gates, d_hidden), before), recurrent) in
                    rows.zip(self.recurrent.chunks_exact_mut(width))
                {
                    gru::backward(gates, recurrent, before, d_hidden);
                }
            }
            Cell::Lstm => {
                let states = self.d_memory.chunks_exact_mut(hidden);
                let states = states.zip(self.squashed.chunks_exact(hidden));
                for (((gates, d_hidden), before), (d_memory, squashed)) in rows.zip(states) {
                    lstm::backward(gates, &lstm::Trace { before, squashed }, d_memory, d_hidden);
                }
            }
        }
    }
}
