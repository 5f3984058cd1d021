//! Training loss against the loss on later rows: capacity, and when to stop (early stopping; Prechelt 1998).

use crate::engine::fit::{Capacity, Fit};

/// Comparisons that the means reach back over.
const REACH: f64 = 24.0;
/// Fewer say nothing.
const COMPARISONS_MIN: u64 = 24;
/// The gain on fresh rows has fallen when it is this far below its best.
const FALLEN: f64 = 0.01;

/// Losses of the averaged weights and of a silent network, on the same rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Losses {
    pub(crate) own: f64,
    pub(crate) silent: f64,
}

impl Losses {
    /// Sums over the segments that both could score; `None` where there is none, or a loss is not finite.
    pub(crate) fn of(own: &[f64], silent: &[f64]) -> Option<Self> {
        let scored = || own.iter().zip(silent).filter(|(_, silent)| !silent.is_nan());
        let losses = Self {
            own: scored().map(|(own, _)| own).sum(),
            silent: scored().map(|(_, silent)| silent).sum(),
        };
        (losses.own.is_finite() && losses.silent > 0.0).then_some(losses)
    }

    fn gain(&self) -> f64 {
        1.0 - self.own / self.silent
    }
}

/// Exponentially weighted losses on both kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fitting {
    /// Own and silent on material, own and silent on fresh rows.
    pub(crate) means: [f64; 4],
    pub(crate) comparisons: u64,
    /// Best gain on fresh rows since training began or began again.
    pub(crate) best: f64,
}

impl Fitting {
    pub(crate) const START: Self = Self {
        means: [0.0; 4],
        comparisons: 0,
        best: 0.0,
    };

    /// Takes a comparison.
    pub(crate) fn push(&mut self, material: &Losses, fresh: &Losses) {
        self.comparisons += 1;
        let rate = (1.0 / self.comparisons as f64).max(1.0 / REACH);
        let newest = [material.own, material.silent, fresh.own, fresh.silent];
        for (mean, newest) in self.means.iter_mut().zip(newest) {
            *mean += rate * (newest - *mean);
        }
        if let Some(fit) = self.fit() {
            self.best = self.best.max(fit.fresh);
        }
    }

    /// What the means say; `None` before they say anything.
    pub(crate) fn fit(&self) -> Option<Fit> {
        let [own, silent, fresh_own, fresh_silent] = self.means;
        let gain = |own, silent| Losses { own, silent }.gain();
        (self.comparisons >= COMPARISONS_MIN).then(|| Fit {
            trained: gain(own, silent),
            fresh: gain(fresh_own, fresh_silent),
        })
    }

    /// Whether training should rest: the weights learn their rows by heart, and what comes after pays for it. New rows on
    /// the tape bring the gains together again, and training goes on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.fit()
            .is_some_and(|fit| fit.capacity() == Capacity::Overfits && fit.fresh < self.best - FALLEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(fitting: &mut Fitting, trained: f64, fresh: f64, times: u32) {
        let losses = |gain: f64| Losses {
            own: 1.0 - gain,
            silent: 1.0,
        };
        (0..times).for_each(|_| fitting.push(&losses(trained), &losses(fresh)));
    }

    #[test]
    fn training_rests_while_later_rows_pay_for_it_and_goes_on_after() {
        let mut fitting = Fitting::START;
        after(&mut fitting, 0.05, 0.04, 23);
        assert_eq!(fitting.fit(), None);
        after(&mut fitting, 0.05, 0.04, 20);
        assert!(!fitting.is_stopped());
        after(&mut fitting, 0.15, 0.0, 100);
        assert_eq!(fitting.fit().unwrap().capacity(), Capacity::Overfits);
        assert!(fitting.is_stopped());
        after(&mut fitting, 0.05, 0.04, 100);
        assert!(!fitting.is_stopped());
    }

    #[test]
    fn a_gap_alone_does_not_stop_what_still_gains() {
        let mut fitting = Fitting::START;
        after(&mut fitting, 0.2, 0.05, 100);
        assert_eq!(fitting.fit().unwrap().capacity(), Capacity::Overfits);
        assert!(!fitting.is_stopped());
    }

    #[test]
    fn segments_without_targets_and_losses_that_are_not_finite_are_no_comparison() {
        let losses = Losses::of(&[1.0, f64::NAN], &[2.0, f64::NAN]).unwrap();
        assert_eq!((losses.own, losses.silent), (1.0, 2.0));
        assert_eq!(Losses::of(&[f64::NAN], &[f64::NAN]), None);
        assert_eq!(Losses::of(&[f64::INFINITY], &[1.0]), None);
    }
}
