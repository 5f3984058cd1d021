//! How unusual a reading is, from the errors of the forecasts made for it at several horizons (RECIPE §10).
//!
//! x = Σ log(1 + |y − f_h| / spread_h) over h = 1 and the scored horizons nearest 12 and 24 steps that lie within 24;
//! score = −log10 of the Gaussian tail of x against its own exponentially weighted mean and deviation, / 30, in 0..1.
//! A score is a peak where it is above everything in the last max(age/10, half a day): one event is one alarm and not one
//! at every step. The flag is raised at a peak that reaches the threshold.

use bytemuck::{Pod, Zeroable};

use crate::experts::pending::Issued;

/// Rate of mean and deviation. RECIPE §10 has 1/2000; see `docs/recipe.md`.
const RATE_MIN: f32 = 1.0 / 1000.0;
/// Score from which on the flag may be raised: the best on the NAB development files.
pub const THRESHOLD: f32 = 0.13;
/// Readings until mean and deviation are believed: a deviation of few readings flags at random.
const COUNT_MIN: f32 = 48.0;
/// Bins of the running maximum.
const BINS: usize = 8;
/// Most errors summed.
pub const HORIZONS_MAX: usize = 3;

/// State of a stream. Zeroed = nothing seen. All fields are free: errors come in units of their spreads.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Anomaly {
    mean: f32,
    square: f32,
    count: f32,
    /// Highest score of each bin; bins are as wide as a seventh of the window when they are opened, so that eight of
    /// them reach back over the window and at most an eighth more.
    bins: [f32; BINS],
    /// Steps of the open bin.
    filled: u32,
    /// Which bin is open.
    open: u32,
    /// Steps judged, saturating.
    age: u32,
}

/// What is said of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// In 0..=1.
    pub score: f32,
    /// Above everything in the last max(age/10, half a day).
    pub peak: bool,
    /// A peak from the threshold on.
    pub flag: bool,
}

/// Indices of the scored horizons whose errors are summed, ascending and distinct: 1 and those nearest 12 and 24 that are
/// at most 24. Written into the front of the array; the count is returned.
#[must_use]
pub fn horizons(scored: &[u32]) -> ([usize; HORIZONS_MAX], usize) {
    let mut chosen = [0; HORIZONS_MAX];
    let mut count = 1;
    for wanted in [12u32, 24] {
        let near = (0..scored.len())
            .filter(|&i| scored[i] <= 24)
            .min_by_key(|&i| scored[i].abs_diff(wanted));
        if let Some(index) = near
            && !chosen[..count].contains(&index)
        {
            chosen[count] = index;
            count += 1;
        }
    }
    (chosen, count)
}

/// One summand of x: the error of a forecast in flight for this reading; 0 where it had no spread.
#[must_use]
pub fn surprise(issued: &Issued, y: f32) -> f32 {
    if issued.spread <= 0.0 {
        return 0.0;
    }
    ((y - issued.served).abs() / issued.spread).min(1e6).ln_1p()
}

impl Anomaly {
    /// Judges a reading by the sum of its surprises and learns from it. `half_day` in steps (half the main season; any
    /// default where there is none).
    pub fn judge(&mut self, x: f32, half_day: u32) -> Verdict {
        let score = if self.count < COUNT_MIN {
            0.0
        } else {
            self.score(x)
        };
        let peak = self.bins.iter().all(|&highest| score > highest);
        self.learn(x);
        self.remember(score, half_day);
        Verdict {
            score,
            peak,
            flag: peak && score >= THRESHOLD,
        }
    }

    fn score(&self, x: f32) -> f32 {
        let z = f64::from((x - self.mean) / self.square.sqrt().max(1e-3));
        (minus_log10_tail(z) / 30.0).clamp(0.0, 1.0) as f32
    }

    fn learn(&mut self, x: f32) {
        self.count = (self.count + 1.0).min(1e6);
        let rate = (1.0 / self.count).max(RATE_MIN);
        let away = x - self.mean;
        self.mean += rate * away;
        self.square = (1.0 - rate) * (rate * away).mul_add(away, self.square);
    }

    fn remember(&mut self, score: f32, half_day: u32) {
        self.age = self.age.saturating_add(1);
        let window = (self.age / 10).max(half_day);
        if self.filled >= window.div_ceil(BINS as u32 - 1) {
            self.open = (self.open + 1) % BINS as u32;
            self.bins[self.open as usize] = 0.0;
            self.filled = 0;
        }
        self.filled += 1;
        let bin = &mut self.bins[self.open as usize];
        *bin = bin.max(score);
    }
}

/// −log10 of the upper tail of a standard normal. The complementary error function after Press et al., Numerical
/// Recipes (relative error below 1.2e-7), kept in logs so that far tails do not underflow.
fn minus_log10_tail(z: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let poly = C.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let log_half_erfc = t.ln() - x * x + poly - std::f64::consts::LN_2;
    let log_tail = if z >= 0.0 {
        log_half_erfc
    } else {
        (-log_half_erfc.exp()).ln_1p()
    };
    -log_tail * std::f64::consts::LOG10_E
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_agrees_with_tables() {
        for (z, tail) in [
            (0.0, 0.5),
            (1.281_551_6, 0.1),
            (-1.0, 0.841_344_75),
            (4.0, 3.167_124e-5),
            (10.0, 7.619_85e-24),
        ] {
            let expected = -f64::log10(tail);
            assert!((minus_log10_tail(z) - expected).abs() < 1e-5, "{z}");
        }
        assert!(minus_log10_tail(1e4).is_finite());
    }

    #[test]
    fn horizons_are_those_nearest_twelve_and_a_day() {
        assert_eq!(horizons(&[1, 12, 24, 96]), ([0, 1, 2], 3));
        assert_eq!(horizons(&[1, 2, 5, 12]), ([0, 3, 0], 2));
        assert_eq!(horizons(&[1]), ([0, 0, 0], 1));
        assert_eq!(horizons(&[1, 48]), ([0, 0, 0], 1));
    }

    #[test]
    fn a_spike_is_flagged_once_and_a_greater_one_again() {
        let mut anomaly = Anomaly::zeroed();
        let noise = |i: u32| 0.7 + 0.3 * ((f64::from(i) * 0.618_033_988_749_895).fract() as f32 - 0.5);
        for i in 0..1_000 {
            assert!(!anomaly.judge(noise(i), 12).flag);
        }
        assert!(anomaly.judge(3.0, 12).flag);
        assert!(!anomaly.judge(2.9, 12).flag, "debounced");
        for i in 0..40 {
            anomaly.judge(noise(i), 12);
        }
        assert!(!anomaly.judge(2.5, 12).flag, "a tenth of its age is not over");
        for i in 0..200 {
            anomaly.judge(noise(i), 12);
        }
        assert!(anomaly.judge(2.9, 12).flag);
    }

    #[test]
    fn hostile_errors_stay_finite() {
        let mut anomaly = Anomaly::zeroed();
        for i in 0..500u32 {
            let verdict = anomaly.judge(if i % 7 == 0 { 13.8 } else { 0.0 }, 0);
            assert!((0.0..=1.0).contains(&verdict.score));
        }
    }
}
