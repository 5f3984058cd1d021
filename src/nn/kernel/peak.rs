//! What the fused multiply-add units could do at most, to measure the kernels by.

use std::hint::black_box;

use super::isa::{self, Isa, Kernel};
use super::lanes::Lanes;

/// Independent chains: more than two units times their latency of four.
const CHAINS: usize = 12;

/// Runs `rounds` times twelve fused multiply-adds in registers and says how many floating-point operations they were (two
/// a lane).
#[must_use]
pub fn fused_operations(isa: Isa, rounds: u64) -> u64 {
    isa::run(isa, Chains { rounds });
    rounds * (CHAINS * isa.lanes() * 2) as u64
}

struct Chains {
    rounds: u64,
}

impl Kernel for Chains {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (by, plus) = (L::splat(black_box(0.999)), L::splat(black_box(0.001)));
        let mut sums: [L; CHAINS] = std::array::from_fn(|chain| L::splat(chain as f32));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = sum.fused(by, plus);
            }
        }
        let mut out = [0.; super::lanes::LANES_MAX];
        for sum in sums {
            sum.store(&mut out);
            black_box(&out);
        }
    }
}
