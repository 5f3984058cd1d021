//! Elementary functions and sums over a few f32, for what is computed per stream and not per batch.
//!
//! Plain loops that the compiler makes as wide as the caller's instructions allow (`wide` of the parent); nothing is fused and
//! every sum has one order, so that the bits are the same everywhere.

/// Lanes of a short vector: one expert each, or half the regressors.
pub const LANES: usize = 16;

/// As many numbers as there are lanes, 0 behind them.
#[inline(always)]
#[must_use]
pub fn lanes(from: &[f32]) -> [f32; LANES] {
    let mut to = [0.; LANES];
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    to
}

/// Σ x: halves onto each other.
#[inline(always)]
#[must_use]
pub fn sum(x: &[f32; LANES]) -> f32 {
    let (mut eight, mut four) = ([0.; 8], [0.; 4]);
    for i in 0..8 {
        eight[i] = x[i] + x[i + 8];
    }
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Σ x y.
#[inline(always)]
#[must_use]
pub fn dot(x: &[f32; LANES], y: &[f32; LANES]) -> f32 {
    let mut products = [0.; LANES];
    for i in 0..LANES {
        products[i] = x[i] * y[i];
    }
    sum(&products)
}

/// Σ w (x − from); where w is 0, x may be anything finite.
#[inline(always)]
#[must_use]
pub fn weighted(w: &[f32; LANES], x: &[f32; LANES], from: f32) -> f32 {
    let mut products = [0.; LANES];
    for i in 0..LANES {
        products[i] = w[i] * (x[i] - from);
    }
    sum(&products)
}

/// exp x for x in ±80, else that of the nearer bound; relative error below 2e-7.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// Rounds to a whole number when it is added, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first of few bits.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-80.0, 80.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let r = (x - whole * LN_2[0]) - whole * LN_2[1];
    // Taylor: |r| <= ln 2 / 2, the next term is below 6e-9.
    let mut series = 1.0 / 5_040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0f32] {
        series = series * r + 1.0 / factorial;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    series * f32::from_bits(exponent << 23)
}

/// ln x of a positive normal number; error below 2e-7 of the larger of 1 and the result.
#[inline(always)]
#[must_use]
pub fn ln(x: f32) -> f32 {
    /// Bits of the square root of a half.
    const LEAST: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(LEAST);
    let exponent = (shifted as i32 >> 23) as f32;
    // Between the square roots of a half and of 2.
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(LEAST));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    // ln m = 2 artanh s, |s| < .172: the next term is below 1e-9.
    let square = s * s;
    let mut series = 2.0 / 9.0;
    for odd in [7.0, 5.0, 3.0, 1.0f32] {
        series = series * square + 2.0 / odd;
    }
    exponent * std::f32::consts::LN_2 + s * series
}

/// asinh x clipped to ±4, element by element; 0 for NaN.
pub fn squash(x: &mut [f32]) {
    struct Squash<'a>(&'a mut [f32]);

    impl super::Loops for Squash<'_> {
        #[inline(always)]
        fn run(self) {
            for x in self.0 {
                *x = squash_one(*x);
            }
        }
    }
    super::wide(Squash(x));
}

/// [`squash`] of one.
#[inline(always)]
#[must_use]
pub fn squash_one(x: f32) -> f32 {
    let magnitude = x.abs();
    // Beyond, asinh is above 4 anyway; NaN becomes 0.
    let magnitude = if magnitude < 1e3 { magnitude } else { 1e3 };
    let magnitude = if x.is_nan() { 0.0 } else { magnitude };
    let value = ln(magnitude + (magnitude * magnitude + 1.0).sqrt());
    let value = if value < 4.0 { value } else { 4.0 };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_are_those_of_the_library() {
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "exp {x}");
            let y = expected as f32;
            let expected = f64::from(y).ln();
            let error = (f64::from(ln(y)) - expected).abs();
            assert!(error < 2e-7 * expected.abs().max(1.0), "ln {y}");
        }
        assert_eq!((exp(0.0), ln(1.0)), (1.0, 0.0));
    }

    #[test]
    fn sums_are_those_of_all_lanes() {
        let x = std::array::from_fn(|i| i as f32);
        assert_eq!((sum(&x), dot(&x, &x)), (120.0, 1_240.0));
        assert_eq!(lanes(&[1.0, 2.0])[..3], [1.0, 2.0, 0.0]);
    }

    /// The loops are compiled for several sets of instructions; one element at a time is the plain truth.
    #[test]
    fn squash_has_the_bits_of_one_element_at_a_time() {
        let x: Vec<f32> = (0..1_003)
            .map(|i| (i as f32 - 500.0).powi(3) * 1e-5)
            .chain([f32::NAN, f32::INFINITY])
            .collect();
        let mut wide = x.clone();
        squash(&mut wide);
        for (x, wide) in x.iter().zip(wide) {
            let one = squash_one(std::hint::black_box(*x));
            assert_eq!(one.to_bits(), wide.to_bits(), "{x}");
        }
    }
}
