//! Test, then train: what lets weights pass.
//!
//! Two sets of weights are scored on the same fresh rows; only the difference counts, which takes away what makes the
//! rows themselves hard or easy. A mini-batch's segments lie in the same hours and share their shocks, so the
//! mini-batch, not the segment, is the unit of the error.

use std::collections::VecDeque;

/// Fewer mini-batches than this say nothing about the spread of their differences.
pub(crate) const BATCHES_MIN: usize = 8;
/// Newest mini-batches that are looked at: the trained weights move, so old differences are about other weights.
const BATCHES_MAX: usize = 24;
/// Standard errors within which a difference is not significant.
const ERRORS: f64 = 2.0;
/// A candidate that is this much worse in the mean of few mini-batches waits: two versions that follow each other differ by
/// a tenth of it.
const VISIBLE: f64 = 0.02;
/// A candidate that is this much worse on the newest mini-batch alone waits: a sudden damage hides in a mean.
const SUDDEN: f64 = 0.25;

/// What a window of differences says about the first of two sets of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fewer than [`BATCHES_MIN`] mini-batches.
    TooFew,
    /// Significantly better.
    Better,
    /// Within the error.
    Alike,
    /// Significantly worse.
    Worse,
}

/// Losses of one fresh mini-batch under two sets of weights, paired by segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    /// Mean over segments of (first − second).
    pub(crate) difference: f64,
    /// Mean over segments of the second.
    pub(crate) reference: f64,
    /// Segments that both could score.
    pub(crate) segments: f64,
}

impl Pair {
    /// From losses per segment; `None` where no segment has a target. A loss that is not finite counts as it is: such
    /// weights are worse than any.
    pub(crate) fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let scored = || first.iter().zip(second).filter(|(_, second)| !second.is_nan());
        let segments = scored().count() as f64;
        (segments > 0.0).then(|| Self {
            difference: scored().map(|(a, b)| a - b).sum::<f64>() / segments,
            reference: scored().map(|(_, b)| b).sum::<f64>() / segments,
            segments,
        })
    }
}

/// The newest paired mini-batches of two sets of weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pairs: VecDeque<Pair>,
}

impl Window {
    /// Oldest first.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
    }

    pub(crate) fn push(&mut self, pair: Pair) {
        if self.pairs.len() == BATCHES_MAX {
            self.pairs.pop_front();
        }
        self.pairs.push_back(pair);
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pairs.len() == BATCHES_MAX
    }

    /// Mean difference, mini-batches weighted by their segments; NaN while empty.
    pub(crate) fn mean(&self) -> f64 {
        self.weighted(|pair| pair.difference)
    }

    /// Mean loss of the second weights; NaN while empty.
    pub(crate) fn reference(&self) -> f64 {
        self.weighted(|pair| pair.reference)
    }

    fn weighted(&self, value: impl Fn(&Pair) -> f64) -> f64 {
        let weight: f64 = self.pairs.iter().map(|pair| pair.segments).sum();
        self.pairs
            .iter()
            .map(|pair| pair.segments * value(pair))
            .sum::<f64>()
            / weight
    }

    /// Standard error of [`Window::mean`]: √(n/(n−1) · Σ wᵢ²(dᵢ − d̄)²) / Σ wᵢ; NaN below two mini-batches.
    pub(crate) fn error(&self) -> f64 {
        let (n, mean) = (self.pairs.len() as f64, self.mean());
        let weight: f64 = self.pairs.iter().map(|pair| pair.segments).sum();
        let spread: f64 = self
            .pairs
            .iter()
            .map(|p| (p.segments * (p.difference - mean)).powi(2))
            .sum();
        (n / (n - 1.0) * spread).sqrt() / weight
    }

    /// What the paired differences say about the first weights. Anything not finite says worse.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.pairs.len() < BATCHES_MIN {
            return Verdict::TooFew;
        }
        let (mean, margin) = (self.mean(), ERRORS * self.error());
        if !(mean - margin).is_finite() || mean > margin {
            return Verdict::Worse;
        }
        if mean < -margin {
            Verdict::Better
        } else {
            Verdict::Alike
        }
    }

    /// Whether the newest mini-batch alone speaks clearly against the first weights.
    pub(crate) fn is_suddenly_worse(&self) -> bool {
        self.pairs.back().is_some_and(|newest| {
            newest.difference.is_nan() || newest.difference > SUDDEN * newest.reference.abs()
        })
    }

    /// Whether the first trained weights may follow silent ones: seen on fresh rows, and not worse by [`SUDDEN`]. Young
    /// weights fit their few rows too well and lose to the experts' own mix; in the mixture they gain all the same, and
    /// where they waited until they won alone, short streams never had them.
    pub(crate) fn passes_first(&self) -> bool {
        self.mean() <= SUDDEN * self.reference().abs()
    }

    /// Whether an online update may pass: it was seen on fresh rows, and is not significantly worse. While too few were seen
    /// to say so, it must not be visibly worse: where rows are rare, waiting for them costs more than what an update that
    /// is a dozen mini-batches away can break, and the way back is open.
    pub(crate) fn passes_update(&self) -> bool {
        let holds = match self.verdict() {
            Verdict::TooFew => self.mean() <= VISIBLE * self.reference().abs(),
            Verdict::Alike | Verdict::Better => true,
            Verdict::Worse => false,
        };
        holds && !self.is_suddenly_worse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(differences: &[f64]) -> Window {
        let mut window = Window::default();
        for &difference in differences {
            window.push(Pair {
                difference,
                reference: 1.0,
                segments: 4.0,
            });
        }
        window
    }

    #[test]
    fn seven_mini_batches_say_little_and_eight_decide() {
        let visible = VISIBLE * window(&[0.0]).reference();
        assert_eq!(window(&[0.9 * visible; 7]).verdict(), Verdict::TooFew);
        assert!(window(&[0.9 * visible; 7]).passes_update());
        assert!(!window(&[1.1 * visible; 7]).passes_update());
        assert!(!window(&[0.9 * visible; 8]).passes_update());
        assert!(!window(&[]).passes_update() && !window(&[]).passes_first());
        let sudden = SUDDEN * window(&[0.0]).reference();
        assert!(window(&[0.9 * sudden]).passes_first() && !window(&[1.1 * sudden]).passes_first());
        assert_eq!(window(&[-0.1; 8]).verdict(), Verdict::Better);
        assert!(window(&[0.0; 8]).passes_update());
    }

    #[test]
    fn two_standard_errors_decide() {
        // ±1 around m, n = 8: error = sqrt(8/7 · 8) / 8 = 0.378.
        let around = |m: f64| window(&[m + 1.0, m - 1.0].repeat(4));
        let error = around(0.0).error();
        assert!(
            (error - (8.0_f64 / 7.0 * 8.0).sqrt() / 8.0).abs() < 1e-12,
            "{error}"
        );
        assert_eq!(around(2.0 * error - 1e-9).verdict(), Verdict::Alike);
        assert_eq!(around(2.0 * error + 1e-9).verdict(), Verdict::Worse);
        assert_eq!(around(-2.0 * error - 1e-9).verdict(), Verdict::Better);
    }

    #[test]
    fn a_mini_batch_counts_by_its_segments() {
        let mut window = Window::default();
        window.push(Pair {
            difference: 1.0,
            reference: 3.0,
            segments: 1.0,
        });
        window.push(Pair {
            difference: 2.0,
            reference: 5.0,
            segments: 3.0,
        });
        assert_eq!((window.mean(), window.reference()), (1.75, 4.5));
        // The same as the naive error where weights are equal is tested above; here: 2/1·((1·.75)² + (3·.25)²) / 4².
        assert!((window.error() - (2.0_f64 * (0.5625 + 0.5625)).sqrt() / 4.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_is_worse() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut differences = [-0.1; 9];
            differences[3] = bad;
            assert_eq!(window(&differences).verdict(), Verdict::Worse, "{bad}");
        }
    }

    #[test]
    fn a_sudden_damage_does_not_hide_in_a_good_mean() {
        let mut differences = vec![-0.1; 20];
        differences.push(0.5);
        let window = window(&differences);
        assert_ne!(
            window.verdict(),
            Verdict::Worse,
            "the mean alone would let it pass"
        );
        assert!(!window.passes_update());
    }

    #[test]
    fn segments_without_targets_are_left_out_of_the_pair() {
        let pair = Pair::of(&[1.0, f64::NAN, 2.0], &[0.5, f64::NAN, 1.0]).unwrap();
        assert_eq!(
            pair,
            Pair {
                difference: 0.75,
                reference: 0.75,
                segments: 2.0
            }
        );
        assert_eq!(Pair::of(&[f64::NAN], &[f64::NAN]), None);
        assert!(
            Pair::of(&[f64::INFINITY], &[1.0])
                .unwrap()
                .difference
                .is_infinite()
        );
    }

    #[test]
    fn old_mini_batches_leave_the_window() {
        let mut differences = vec![9.0];
        differences.extend([-0.1; BATCHES_MAX]);
        let window = window(&differences);
        assert!(window.is_full() && window.len() == BATCHES_MAX);
        assert_eq!(window.verdict(), Verdict::Better);
    }
}
