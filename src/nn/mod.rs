//! Pure numerics of the network: a recurrent encoder, a quantile head per scored horizon, their training and serving.
//!
//! # Letters
//! The one table; every array names its shape by these. Row-major, sequences time-major.
//!
//! | letter | means | letter | means |
//! |---|---|---|---|
//! | T | time steps of a segment | K | scored horizons |
//! | B | batch rows | S | skip inputs of a horizon |
//! | D | inputs of the encoder | M | ReLU units of a head |
//! | H | hidden units | Q | quantile levels |
//! | L | layers | R | rows of a flattened sequence, T·B |
//! | G | gates (elman 1, gru 3, lstm 4) | P | panels of outputs |
//!
//! # Parts
//! ```text
//! inputs (T,B,D) -> encoder -> h (T,B,H) --+-> head k -> quantiles (T,B,K,Q) -> loss
//!                 state (B,state_len)      |
//! skips (T,B,K,S) -------------------------+
//! ```
//! - Serving: [`Network`] steps rows with carried state through a kernel of our own (`kernel/`); the bits of a row do not depend on its batch.
//! - Training: [`Bptt`] runs the same equations over (T,B,·) with OpenBLAS products ([`blas`]); [`Adam`], [`Ema`] and
//!   [`clip_global_norm`] move the weights.
//! - [`Params`] is one flat arena under `PyTorch`'s names and gate order; [`safetensors`] writes and reads it.
//!
//! # Where other encoders go
//! Everything after the encoder sees only h (T,B,H). Training knows an encoder by the trait `encoder::Encoder`
//! (forward, outputs, backward, state after), and `encoder::Recurrent` is its only implementation so far. A new
//! recurrent cell is a file in `cells/` (gate count, forward, backward) and an arm of [`Cell`]. A bidirectional
//! encoder (training and re-warming only: it cannot be stepped), a feed-forward window, a causal convolution (state =
//! its last inputs) or attention over a bounded cache (state = the cache) is a file beside `encoder/recurrent.rs`
//! with its own tensors in [`Shape`]'s layout and its own arm in [`Network::step`].

#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "numerics in f32: counts are far below 2^24, and bitwise equality is what is meant where floats are compared"
)]

pub mod activation;
mod batch;
pub mod blas;
mod bptt;
mod cells;
mod element;
mod encoder;
mod head;
mod kernel;
mod network;
mod optimizer;
mod params;
mod quantiles;
pub mod safetensors;
mod shape;

pub use batch::{Batch, Loss};
pub use bptt::Bptt;
pub use element::Element;
pub use kernel::{Isa, fused_operations, halves, prefetch, vector};
pub(crate) use kernel::{Loops, wide};
pub use network::{Network, Scratch};
pub use optimizer::{Adam, Ema, NonFinite, clip_global_norm};
pub use params::Params;
pub use shape::{Cell, Shape};

#[cfg(test)]
mod tests;
