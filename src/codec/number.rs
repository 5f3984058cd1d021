//! Floats as short, byte-stable text.

/// A power of ten to which numbers are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// 10^n and the side it is on: both are exact for n ≤ 22.
    power: f64,
    /// Whether the step is 1/`power` (else `power`).
    fine: bool,
}

/// Steps beyond these powers are left alone: 10^22 is the largest power of ten that a float holds exactly.
const POWER_MAX: i32 = 22;

impl Rounding {
    /// To 4 decimals: of shares and scores.
    pub(crate) const DECIMALS_4: Self = Self {
        power: 1e4,
        fine: true,
    };

    /// To the largest power of ten that is at most `step`; `None` where there is nothing to round to.
    pub(crate) fn to(step: f64) -> Option<Self> {
        if !step.is_finite() || step <= 0.0 {
            return None;
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a float's decimal exponent lies within ±330"
        )]
        let mut exponent = step.log10().floor() as i32;
        // log10 may be off by a rounding at a power of ten; the bytes must not hang on that.
        if ten_to(exponent) > step {
            exponent -= 1;
        } else if ten_to(exponent + 1) <= step {
            exponent += 1;
        }
        let fine = exponent < 0;
        (exponent.abs() <= POWER_MAX).then(|| Self {
            power: ten_to(exponent.abs()),
            fine,
        })
    }

    /// To 4 significant digits: of a probability, where 1e-9 and 1e-6 are different news.
    pub(crate) fn significant_4(number: f64) -> Option<Self> {
        Self::to(number.abs() * 1e-3)
    }

    /// The nearest multiple. Monotone; a number that has no digits beyond the step stays as it is.
    pub(crate) fn round(self, number: f64) -> f64 {
        let scaled = if self.fine {
            number * self.power
        } else {
            number / self.power
        };
        if scaled.abs() >= 9_007_199_254_740_992.0 {
            return number;
        }
        let whole = scaled.round();
        if self.fine {
            whole / self.power
        } else {
            whole * self.power
        }
    }
}

/// 10^exponent, correctly rounded by the parser.
fn ten_to(exponent: i32) -> f64 {
    const TABLE: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    match usize::try_from(exponent.unsigned_abs())
        .ok()
        .and_then(|index| TABLE.get(index))
    {
        Some(power) if exponent >= 0 => *power,
        Some(power) => 1.0 / *power,
        None => 10_f64.powi(exponent),
    }
}

/// Appends the shortest text that reads back as `number`; -0 as 0. What is not finite (a broken invariant upstream) is
/// `null`, so that the record stays JSON.
pub(crate) fn write(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let positive_zero = number + 0.0;
    out.extend_from_slice(zmij::Buffer::new().format_finite(positive_zero).as_bytes());
}
