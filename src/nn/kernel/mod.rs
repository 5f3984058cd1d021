//! The serving kernels: packed weights, a fixed order of every sum, rows that do not know of each other.
//!
//! - [`gates`]: one step of a recurrent layer, its gates fused into the tile.
//! - [`product`]: bias + W x, for the heads.
//! - [`halves`]: f16 at rest to f32 and back.
//! - [`vector`]: elementary functions and sums over a few numbers, for the experts.
//!
//! The first two are written once over [`lanes::Lanes`] and compiled for AVX-512, AVX2 with FMA, NEON, and for nothing in
//! particular; [`isa`] picks the best of the machine. All give the same bits: each output is one chain of fused
//! multiply-adds in the order of the inputs, from the bias on, and how many of them run side by side changes no bit.

#![allow(
    unsafe_code,
    reason = "vector instructions: in `isa`, `x86`, `neon`, `prefetch`"
)]
#![allow(
    clippy::inline_always,
    reason = "a kernel is compiled for the instructions of its caller"
)]

mod act;
mod gates;
pub mod halves;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod peak;
mod prefetch;
mod product;
#[cfg(test)]
mod tests;
pub mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use gates::{Gated, Inputs, LayerWeights, States};
pub use isa::Isa;
pub(crate) use isa::{Loops, wide};
pub use peak::fused_operations;
pub use prefetch::prefetch;
pub(super) use product::{PANEL, Packed, Rows};
