//! Dimensions of a row: what the lengths of its fields follow from.

use crate::engine::config::Profile;
use crate::experts::linear::covariance;
use crate::experts::{ExpertSet, mixture, origins, stack};

/// f32 words of the weights of m1 and m2.
pub(crate) const PAIR: usize = mixture::len(stack::CENTRES);

/// Dimensions of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowDims {
    /// Scored, ascending (K).
    pub(crate) scored: Vec<u32>,
    pub(crate) experts: ExpertSet,
    /// Configured, ascending (Q).
    pub(crate) levels: Vec<f32>,
    pub(crate) state_len: usize,
    pub(crate) profile: Profile,
    /// Whether the seasons are found in the stream: none are configured, and the profile has room for what that takes.
    pub(crate) finds_seasons: bool,
}

impl RowDims {
    pub(crate) fn horizons(&self) -> usize {
        self.scored.len()
    }

    pub(crate) fn pending(&self) -> usize {
        self.scored
            .iter()
            .map(|&b| self.profile.flights().len(b, self.experts.len()))
            .sum()
    }

    pub(crate) fn spread(&self) -> usize {
        self.profile.spread_len(self.horizons())
    }

    /// `pending` in a row of format 1.
    pub(crate) fn pending_1(&self) -> usize {
        let slots = |&b: &u32| self.profile.flights().len_1(b, self.experts.len());
        self.scored.iter().map(slots).sum()
    }

    /// Stacks of all horizons; a compact row has none.
    pub(crate) fn stacks(&self, experts: ExpertSet) -> usize {
        match self.profile {
            Profile::Accurate => self.horizons() * stack::len(experts.len()),
            Profile::Compact => 0,
        }
    }

    pub(crate) fn pairs(&self) -> usize {
        match self.profile {
            Profile::Accurate => self.horizons() * PAIR,
            Profile::Compact => 0,
        }
    }

    pub(crate) fn hour_slots(&self) -> usize {
        if self.experts.needs_hour() {
            self.profile.hour_slots()
        } else {
            0
        }
    }

    /// Linear experts (L).
    pub(crate) fn linear(&self) -> usize {
        self.experts.linear().count()
    }

    pub(crate) fn covariance(&self) -> usize {
        if self.linear() > 0 { covariance::LEN } else { 0 }
    }

    pub(crate) fn origins(&self) -> usize {
        if self.linear() > 0 {
            origins::places(&self.scored).1
        } else {
            0
        }
    }
}
