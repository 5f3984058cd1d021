//! The number type of training: f32 in the product, f64 where gradients are checked on the same code.

use std::fmt::Debug;
use std::ops::{AddAssign, MulAssign, Neg, SubAssign};

use ndarray::LinalgScalar;

use super::activation;

/// A real number that matrices of the network are made of. Implemented for f32 and f64 only.
pub trait Element:
    LinalgScalar
    + PartialOrd
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Debug
    + Default
    + Send
    + Sync
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// The nearest value.
    fn of(value: f64) -> Self;
    /// As f64.
    fn to_f64(self) -> f64;
    /// Hyperbolic tangent; f32: the rational approximation that serving uses too.
    fn tanh(self) -> Self;
    /// 1 / (1 + exp(-x)); f32: by the same approximation.
    fn sigmoid(self) -> Self;
    /// e^x.
    fn exp(self) -> Self;

    /// Whether it is neither infinite nor NaN.
    #[inline]
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }
}

#[allow(
    clippy::inline_always,
    reason = "vectorised for the instructions of the caller"
)]
impl Element for f32 {
    const ZERO: Self = 0.;
    const ONE: Self = 1.;

    #[inline]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        activation::tanh(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        activation::sigmoid(self)
    }

    #[inline]
    fn exp(self) -> Self {
        Self::exp(self)
    }
}

#[allow(clippy::inline_always, reason = "as above")]
impl Element for f64 {
    const ZERO: Self = 0.;
    const ONE: Self = 1.;

    #[inline]
    fn of(value: f64) -> Self {
        value
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        Self::tanh(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        1. / (1. + (-self).exp())
    }

    #[inline]
    fn exp(self) -> Self {
        Self::exp(self)
    }
}
