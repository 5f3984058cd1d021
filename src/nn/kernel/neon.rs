//! NEON, which every 64-bit ARM has: two registers as one, so that a panel is as wide as AVX2's.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vbslq_f32, vcgtq_f32, vcltq_f32, vdivq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32,
    vmulq_f32, vst1q_f32, vsubq_f32,
};

use super::lanes::Lanes;

/// 8 lanes in two of 32 registers.
#[derive(Clone, Copy)]
pub(super) struct Neon(float32x4_t, float32x4_t);

impl Neon {
    #[inline(always)]
    fn zip(self, other: Self, of: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(of(self.0, other.0), of(self.1, other.1))
    }
}

// SAFETY (of all below): NEON is part of this target, and `load` and `store` touch `LEN` values of a slice that is
// asserted to have them.
impl Lanes for Neon {
    const LEN: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: as above.
        let half = unsafe { vdupq_n_f32(value) };
        Self(half, half)
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        assert!(from.len() >= 8);
        // SAFETY: as above.
        unsafe { Self(vld1q_f32(from.as_ptr()), vld1q_f32(from.as_ptr().add(4))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        assert!(to.len() >= 8);
        // SAFETY: as above.
        unsafe {
            vst1q_f32(to.as_mut_ptr(), self.0);
            vst1q_f32(to.as_mut_ptr().add(4), self.1);
        }
    }

    #[inline(always)]
    fn fused(self, by: Self, plus: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vfmaq_f32(plus.0, self.0, by.0), vfmaq_f32(plus.1, self.1, by.1)) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vdivq_f32(a, b) })
    }

    #[inline(always)]
    fn or_less(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn or_more(self, other: Self) -> Self {
        // SAFETY: as above.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }
}
