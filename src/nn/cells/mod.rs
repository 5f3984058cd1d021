//! The recurrent cells: one row, one step, in place; the same code serves and trains.
//!
//! Each file holds the equations of its cell in `PyTorch`'s gate order. The products W x and U h come from the caller, in
//! blocks of (G·H); backward turns the activated gates into the gradients of their pre-activations.

#![allow(
    clippy::inline_always,
    reason = "loops over rows are compiled for the instructions of their caller, see `kernel::wide`"
)]

pub(super) mod elman;
pub(super) mod gru;
pub(super) mod lstm;
