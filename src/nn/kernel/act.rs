//! Activations over lanes, as fractions: where several are multiplied, they are divided once.

use super::lanes::Lanes;
use crate::nn::activation::{TANH_EVEN, TANH_LIMIT, TANH_ODD};

/// numerator / denominator, the denominator between .0048 and 2.
#[derive(Clone, Copy)]
pub(super) struct Fraction<L> {
    pub(super) numerator: L,
    pub(super) denominator: L,
}

/// The rational approximation of [`crate::nn::activation::tanh`], fused: within 4e-7; NaN for NaN.
#[inline(always)]
pub(super) fn tanh<L: Lanes>(x: L) -> Fraction<L> {
    // In this order a NaN stays one.
    let x = L::splat(TANH_LIMIT).or_less(L::splat(-TANH_LIMIT).or_more(x));
    let square = x.times(x);
    let mut odd = L::splat(TANH_ODD[0]);
    for &coefficient in &TANH_ODD[1..] {
        odd = odd.fused(square, L::splat(coefficient));
    }
    let mut even = L::splat(TANH_EVEN[0]);
    for &coefficient in &TANH_EVEN[1..] {
        even = even.fused(square, L::splat(coefficient));
    }
    Fraction {
        numerator: x.times(odd),
        denominator: even,
    }
}

/// 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2; within 2.4e-7; NaN for NaN.
#[inline(always)]
pub(super) fn sigmoid<L: Lanes>(x: L) -> Fraction<L> {
    let half = tanh(x.times(L::splat(0.5)));
    Fraction {
        numerator: half.denominator.plus(half.numerator),
        denominator: half.denominator.plus(half.denominator),
    }
}

/// Keeps what rounding may have pushed out.
#[inline(always)]
pub(super) fn within<L: Lanes>(low: f32, x: L, high: f32) -> L {
    L::splat(high).or_less(L::splat(low).or_more(x))
}
