//! Which instructions a kernel runs on.

use std::sync::OnceLock;

use super::lanes::{Lanes, Portable};
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Sets of instructions, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// None in particular.
    Portable,
    /// NEON of 64-bit ARM.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

impl Isa {
    /// The best of this machine.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let all = [Self::Avx512, Self::Avx2, Self::Neon];
            all.into_iter()
                .find(|isa| isa.is_here())
                .unwrap_or(Self::Portable)
        })
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// f32 side by side in a register, as kernels use it.
    #[must_use]
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LEN,
            Self::Neon | Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// A piece of work over lanes. `run` and all that it calls is `#[inline(always)]`, so that it is compiled for the
/// instructions of its caller.
pub(super) trait Kernel {
    /// Does it.
    fn run<L: Lanes>(self);
}

/// Plain loops. `run` and all that it calls is `#[inline(always)]`.
pub(crate) trait Loops {
    /// Runs them.
    fn run(self);
}

/// Runs loops compiled for the best instructions of this machine: the compiler vectorises them as wide as those allow,
/// and never fuses, so that their bits are the same everywhere.
#[inline]
pub(crate) fn wide(loops: impl Loops) {
    run(Isa::best(), Wide(loops));
}

struct Wide<W>(W);

impl<W: Loops> Kernel for Wide<W> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        self.0.run();
    }
}

/// Runs a kernel on the given instructions.
///
/// # Panics
/// Where this machine does not have them.
#[inline]
pub(super) fn run(isa: Isa, kernel: impl Kernel) {
    match isa {
        Isa::Portable => kernel.run::<Portable>(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            assert!(isa <= Isa::best(), "no AVX-512 here");
            // SAFETY: the machine has the instructions, as was just asserted.
            unsafe { run_avx512(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            assert!(isa <= Isa::best(), "no AVX2 here");
            // SAFETY: the machine has the instructions, as was just asserted (AVX-512 comes with both).
            unsafe { run_avx2(kernel) }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => kernel.run::<Neon>(),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => unreachable!("not of this machine"),
        #[cfg(not(target_arch = "aarch64"))]
        Isa::Neon => unreachable!("not of this machine"),
    }
}

/// # Safety
/// The machine has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512(kernel: impl Kernel) {
    kernel.run::<Avx512>();
}

/// # Safety
/// The machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(kernel: impl Kernel) {
    kernel.run::<Avx2>();
}
