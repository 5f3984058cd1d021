//! How a version fits what it was trained on and what came after: what its capacity is worth.

use std::fmt;

/// Gains within this of 0 are none: a network whose output layers are 0 has exactly 0.
const NONE: f64 = 0.005;
/// A gap between the gains that chance does not make.
const GAP: f64 = 0.03;

/// Gains of a version over the experts' own mix: 1 − loss / loss of a silent network on the same rows, forward only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// On rows that it was trained on.
    pub trained: f64,
    /// On rows of after, before it was trained on them.
    pub fresh: f64,
}

/// What follows for the size of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Nothing.
    Fits,
    /// It gains nothing even where it was trained.
    Underfits,
    /// What it gains where it was trained is lost on what comes after.
    Overfits,
}

impl Fit {
    /// The verdict.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        if self.trained < NONE && self.fresh < NONE {
            Capacity::Underfits
        } else if self.trained - self.fresh > GAP.max(self.trained / 2.0) {
            Capacity::Overfits
        } else {
            Capacity::Fits
        }
    }

    /// As `tidecast.fit` in the model's metadata.
    pub(crate) fn to_text(self) -> String {
        format!("{:.4} {:.4}", self.trained, self.fresh)
    }

    /// What [`Fit::to_text`] wrote; `None` for anything else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (trained, fresh) = text.split_once(' ')?;
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        Some(Self {
            trained: number(trained)?,
            fresh: number(fresh)?,
        })
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trained, fresh) = (100.0 * self.trained, 100.0 * self.fresh);
        write!(
            f,
            "gain over the experts {trained:.1} % where trained, {fresh:.1} % on what came after: "
        )?;
        f.write_str(match self.capacity() {
            Capacity::Fits => "fits",
            Capacity::Underfits => {
                "underfits; a larger `model.hidden` may find more, or there is nothing to be found"
            }
            Capacity::Overfits => "overfits; a smaller `model.hidden` or a larger `training.tape_mb` helps",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_names_what_the_gains_say() {
        let capacity = |trained, fresh| Fit { trained, fresh }.capacity();
        assert_eq!(capacity(0.06, 0.04), Capacity::Fits);
        assert_eq!(capacity(0.001, 0.002), Capacity::Underfits);
        assert_eq!(capacity(0.0, 0.02), Capacity::Fits);
        assert_eq!(capacity(0.10, 0.04), Capacity::Overfits);
        assert_eq!(capacity(0.04, -0.02), Capacity::Overfits);
    }

    #[test]
    fn fit_comes_back_from_its_text_and_other_text_does_not() {
        let fit = Fit {
            trained: 0.1234,
            fresh: -0.05,
        };
        assert_eq!(Fit::from_text(&fit.to_text()), Some(fit));
        for bad in ["", "1", "a b", "NaN 0", "0 inf"] {
            assert_eq!(Fit::from_text(bad), None, "{bad}");
        }
    }
}
