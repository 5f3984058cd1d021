//! AVX2 with FMA, and AVX-512.

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
    _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

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
