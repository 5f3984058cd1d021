//! AVX2 with FMA, and AVX-512.

use std::arch::x86_64::{
    __m256, __m512, _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_ps,
    _mm256_cvtph_ps, _mm256_cvtps_ph, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
    _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::halves::HALF_MAX;
use super::lanes::Lanes;

/// 8 lanes; 16 registers.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// 16 lanes; 32 registers.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

macro_rules! lanes {
    ($name:ident, $len:literal, $load:ident, $store:ident, $splat:ident, $fused:ident, $add:ident,
     $sub:ident, $mul:ident, $div:ident, $min:ident, $max:ident) => {
        // SAFETY (of all below): kernels over these lanes run only where `isa::run` found the instructions, and
        // `load` and `store` touch `LEN` values of a slice that is asserted to have them.
        impl Lanes for $name {
            const LEN: usize = $len;

            #[inline(always)]
            fn splat(value: f32) -> Self {
                // SAFETY: as above.
                Self(unsafe { $splat(value) })
            }

            #[inline(always)]
            fn load(from: &[f32]) -> Self {
                assert!(from.len() >= $len);
                // SAFETY: as above.
                Self(unsafe { $load(from.as_ptr()) })
            }

            #[inline(always)]
            fn store(self, to: &mut [f32]) {
                assert!(to.len() >= $len);
                // SAFETY: as above.
                unsafe { $store(to.as_mut_ptr(), self.0) }
            }

            #[inline(always)]
            fn fused(self, by: Self, plus: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $fused(self.0, by.0, plus.0) })
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $div(self.0, other.0) })
            }

            #[inline(always)]
            fn or_less(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn or_more(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $max(self.0, other.0) })
            }
        }
    };
}

lanes!(
    Avx2,
    8,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_min_ps,
    _mm256_max_ps
);
lanes!(
    Avx512,
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_min_ps,
    _mm512_max_ps
);

/// Numbers that are converted from or to f16 at once.
const HALVES: usize = 8;

/// Numbers from pairs of bytes, as far as whole vectors go; gives what is left, all of it without F16C.
pub(super) fn from_halves<'a>(bytes: &'a [u8], to: &'a mut [f32]) -> (&'a [u8], &'a mut [f32]) {
    if !is_x86_feature_detected!("f16c") {
        return (bytes, to);
    }
    let (whole, rest) = to.as_chunks_mut();
    let (bytes, rest_bytes) = bytes.split_at(whole.len() * 2 * HALVES);
    // SAFETY: the machine has the instructions, as was just seen.
    unsafe { from_whole(bytes.as_chunks().0, whole) };
    (rest_bytes, rest)
}

/// Pairs of bytes from numbers within [`HALF_MAX`], likewise.
pub(super) fn to_halves<'a>(from: &'a [f32], bytes: &'a mut [u8]) -> (&'a [f32], &'a mut [u8]) {
    if !is_x86_feature_detected!("f16c") {
        return (from, bytes);
    }
    let (whole, rest) = from.as_chunks();
    let (bytes, rest_bytes) = bytes.split_at_mut(whole.len() * 2 * HALVES);
    // SAFETY: the machine has the instructions, as was just seen.
    unsafe { to_whole(whole, bytes.as_chunks_mut().0) };
    (rest, rest_bytes)
}

/// # Safety
/// The machine has F16C.
#[target_feature(enable = "avx,f16c")]
unsafe fn from_whole(from: &[[u8; 2 * HALVES]], to: &mut [[f32; HALVES]]) {
    for (to, from) in to.iter_mut().zip(from) {
        // SAFETY: 16 bytes are read, 8 numbers are written, as the arrays have.
        unsafe {
            let halves = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
        }
    }
}

/// # Safety
/// The machine has F16C.
#[target_feature(enable = "avx,f16c")]
unsafe fn to_whole(from: &[[f32; HALVES]], to: &mut [[u8; 2 * HALVES]]) {
    for (to, from) in to.iter_mut().zip(from) {
        // SAFETY: 8 numbers are read, 16 bytes are written, as the arrays have.
        unsafe {
            let x = _mm256_loadu_ps(from.as_ptr());
            // In this order a NaN stays one.
            let x = _mm256_min_ps(
                _mm256_set1_ps(HALF_MAX),
                _mm256_max_ps(_mm256_set1_ps(-HALF_MAX), x),
            );
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
            _mm_storeu_si128(to.as_mut_ptr().cast(), halves);
        }
    }
}
