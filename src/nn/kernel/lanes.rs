//! Several f32 side by side, and what a kernel does with them.
//!
//! Every operation is the IEEE one, lane by lane, and a product with a sum is rounded once (fused) on every machine: so
//! a kernel gives the same bits whatever instructions it runs on.

/// A vector register of f32.
///
/// The types other than [`Portable`] hold only on machines with their instructions: kernels over them are entered through
/// [`super::isa::run`] alone, which has looked.
pub(super) trait Lanes: Copy {
    /// Lanes.
    const LEN: usize;
    /// The same value everywhere.
    fn splat(value: f32) -> Self;
    /// The first `LEN` of a slice, which has as many.
    fn load(from: &[f32]) -> Self;
    /// Over the first `LEN` of a slice, which has as many.
    fn store(self, to: &mut [f32]);
    /// self * by + plus, rounded once.
    fn fused(self, by: Self, plus: Self) -> Self;
    /// self + other
    fn plus(self, other: Self) -> Self;
    /// self - other
    fn minus(self, other: Self) -> Self;
    /// self * other
    fn times(self, other: Self) -> Self;
    /// self / other
    fn over(self, other: Self) -> Self;
    /// The smaller one; `other` where they do not compare.
    fn or_less(self, other: Self) -> Self;
    /// The larger one; `other` where they do not compare.
    fn or_more(self, other: Self) -> Self;

    /// The first lanes of a shorter slice, 0 beyond.
    #[inline(always)]
    fn load_some(from: &[f32]) -> Self {
        if from.len() >= Self::LEN {
            return Self::load(from);
        }
        let mut whole = [0.; LANES_MAX];
        whole[..from.len()].copy_from_slice(from);
        Self::load(&whole)
    }

    /// Over a shorter slice.
    #[inline(always)]
    fn store_some(self, to: &mut [f32]) {
        if to.len() >= Self::LEN {
            return self.store(to);
        }
        let mut whole = [0.; LANES_MAX];
        self.store(&mut whole);
        to.copy_from_slice(&whole[..to.len()]);
    }
}

/// Lanes of the widest.
pub(super) const LANES_MAX: usize = 16;

/// The twin that needs no instructions of its own: slow, and the truth that the others are tested against.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, of: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| of(self.0[lane], other.0[lane])))
    }
}

impl Lanes for Portable {
    const LEN: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Self(std::array::from_fn(|lane| from[lane]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        to[..8].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn fused(self, by: Self, plus: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            self.0[lane].mul_add(by.0[lane], plus.0[lane])
        }))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn or_less(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn or_more(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
}
