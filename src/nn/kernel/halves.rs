//! f16 at rest, f32 in work: rows of bytes to numbers and back.

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::x86;

/// Largest number that f16 keeps.
pub const HALF_MAX: f32 = 65_504.0;

/// Numbers from pairs of bytes.
pub fn from_halves(bytes: &[u8], to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    let (bytes, to) = x86::from_halves(bytes, to);
    from_halves_one_by_one(bytes, to);
}

/// Pairs of bytes from numbers, those too large for f16 as [`HALF_MAX`]; rounded to the nearest, ties to even.
pub fn to_halves(from: &[f32], bytes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let (from, bytes) = x86::to_halves(from, bytes);
    to_halves_one_by_one(from, bytes);
}

/// A number from its two bytes.
#[inline]
#[must_use]
pub fn from_half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32_const()
}

/// As [`to_halves`], of one.
#[inline]
#[must_use]
pub fn to_half(x: f32) -> [u8; 2] {
    f16::from_f32_const(x.clamp(-HALF_MAX, HALF_MAX)).to_le_bytes()
}

fn from_halves_one_by_one(bytes: &[u8], to: &mut [f32]) {
    for (to, &bytes) in to.iter_mut().zip(bytes.as_chunks().0) {
        *to = from_half(bytes);
    }
}

fn to_halves_one_by_one(from: &[f32], bytes: &mut [u8]) {
    for (bytes, from) in bytes.as_chunks_mut().0.iter_mut().zip(from) {
        *bytes = to_half(*from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_have_the_bits_of_one_at_a_time() {
        let stored: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let (mut wide, mut plain) = (vec![0f32; 1 << 16], vec![0f32; 1 << 16]);
        from_halves(&stored, &mut wide);
        from_halves_one_by_one(&stored, &mut plain);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&wide), bits(&plain));

        // Every number of f16, and what lies around it in f32, ties among them.
        let around = |bits: u32| [bits.wrapping_sub(1), bits, bits + 1, bits + 0x1000, bits + 0x1001];
        let mut numbers: Vec<f32> = bits(&plain)
            .into_iter()
            .flat_map(around)
            .map(f32::from_bits)
            .collect();
        numbers.extend([1e30, -1e30, f32::INFINITY]);
        let (mut wide, mut plain) = (vec![0; 2 * numbers.len()], vec![0; 2 * numbers.len()]);
        to_halves(&numbers, &mut wide);
        to_halves_one_by_one(&numbers, &mut plain);
        assert_eq!(wide, plain);
    }
}
