//! Training loss against the loss on later rows: what they say of the network's capacity.

#[cfg(test)]
use crate::engine::fit::Capacity;
use crate::engine::fit::Fit;

/// Comparisons that the means reach back over.
const REACH: f64 = 24.0;
/// Fewer say nothing.
const COMPARISONS_MIN: u64 = 24;

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
}

impl Fitting {
    pub(crate) const START: Self = Self {
        means: [0.0; 4],
        comparisons: 0,
    };

    /// Takes a comparison.
    pub(crate) fn push(&mut self, material: &Losses, fresh: &Losses) {
        self.comparisons += 1;
        let rate = (1.0 / self.comparisons as f64).max(1.0 / REACH);
        let newest = [material.own, material.silent, fresh.own, fresh.silent];
        for (mean, newest) in self.means.iter_mut().zip(newest) {
            *mean += rate * (newest - *mean);
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
    fn fit_needs_comparisons_and_follows_the_newest() {
        let mut fitting = Fitting::START;
        after(&mut fitting, 0.05, 0.04, 23);
        assert_eq!(fitting.fit(), None);
        after(&mut fitting, 0.05, 0.04, 20);
        assert_ne!(fitting.fit().unwrap().capacity(), Capacity::Overfits);
        after(&mut fitting, 0.15, 0.0, 100);
        assert_eq!(fitting.fit().unwrap().capacity(), Capacity::Overfits);
        after(&mut fitting, 0.05, 0.04, 100);
        assert_ne!(fitting.fit().unwrap().capacity(), Capacity::Overfits);
    }

    #[test]
    fn segments_without_targets_and_losses_that_are_not_finite_are_no_comparison() {
        let losses = Losses::of(&[1.0, f64::NAN], &[2.0, f64::NAN]).unwrap();
        assert_eq!((losses.own, losses.silent), (1.0, 2.0));
        assert_eq!(Losses::of(&[f64::NAN], &[f64::NAN]), None);
        assert_eq!(Losses::of(&[f64::INFINITY], &[1.0]), None);
    }
}
