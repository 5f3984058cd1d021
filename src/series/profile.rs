//! The mean shape of a season, in slots (RECIPE §3, §7 items 4 and 5).
//!
//! A slot is summed while it is open and moves when it is left:
//! p += w (mean − p), w(c) = max(1 − (1 − a)^c, (c/s) / (visits + c/s)), s steps per slot, a = rate / s, c steps seen.
//! Reading the open slot applies the same w to what was seen so far, so that with s = 1 it is the plain update of every
//! step. Between slot centres it is read linearly.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;
use crate::series::calendar::Season;

/// Most slots of a day.
pub const DAY_SLOTS: usize = 96;
/// Most slots of a week.
pub const WEEK_SLOTS: usize = 336;
/// Most slots of an hour.
pub const HOUR_SLOTS: usize = 60;
/// Rate per slot pass of day and hour (RECIPE §3).
pub const DAY_RATE: f32 = 0.1;
/// Rate per slot pass of a week: seven times fewer passes.
pub const WEEK_RATE: f32 = 0.3;

/// How a season is cut. Derived from the calendar, no state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProfileRules {
    /// The season; without one the profile says nothing.
    pub season: Season,
    /// Slots (K).
    pub slots: u32,
    /// log(1 − rate / steps per slot).
    log_kept: f32,
}

impl ProfileRules {
    /// The largest divisor of the season's steps up to `slots_max`. A season without a fitting one (a prime) is cut
    /// into `slots_max` slots of unequal steps: one slot for all of it would say nothing.
    #[must_use]
    pub fn new(season: Season, slots_max: usize, rate: f32) -> Self {
        let slots = slots(season.steps, slots_max as u32);
        let per_slot = season.steps.max(1) as f32 / slots as f32;
        Self {
            season,
            slots,
            log_kept: (-rate / per_slot).ln_1p(),
        }
    }

    fn steps_per_slot(&self) -> f32 {
        self.season.steps as f32 / self.slots as f32
    }

    fn slot(&self, index: u32) -> u32 {
        (u64::from(index) * u64::from(self.slots) / u64::from(self.season.steps)) as u32
    }

    /// w(c) for a slot with so many visits.
    fn weight(&self, steps: f32, visits: f32) -> f32 {
        let per_slot = self.steps_per_slot();
        let share = (steps / per_slot).min(1.0);
        let pass = -(steps.min(per_slot) * self.log_kept).exp_m1();
        pass.max(share / (visits + share))
    }
}

/// Slots for a season of so many steps.
pub(crate) fn slots(steps: u32, slots_max: u32) -> u32 {
    let most = steps.min(slots_max).max(1);
    let divisor = (1..=most)
        .rev()
        .find(|&each| steps.is_multiple_of(each))
        .unwrap_or(1);
    if divisor * 3 >= most { divisor } else { most }
}

/// The open slot of a profile. Its committed slots lie in two slices beside it: means (K, value-like) and visits (K,
/// free). Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Profile {
    /// Mean of the open slot's steps so far, value-like.
    mean: f32,
    /// Steps of the open slot so far; 0 = none is open.
    count: u32,
    /// Which slot is open.
    open: u32,
}

impl Profile {
    /// Takes the value of a step (a missing one carried forward) at `index` of its season ([`Season::index`]).
    #[allow(clippy::too_many_arguments, reason = "a kernel over slices of the row")]
    pub fn update(
        &mut self,
        means: &mut [f32],
        visits: &mut [f32],
        rules: &ProfileRules,
        index: u32,
        x: f32,
    ) {
        if !rules.season.is_some() {
            return;
        }
        let slot = rules.slot(index);
        if self.count > 0 && slot != self.open {
            self.commit(means, visits, rules);
        }
        self.open = slot;
        self.count += 1;
        self.mean += (x - self.mean) / self.count as f32;
    }

    fn commit(&mut self, means: &mut [f32], visits: &mut [f32], rules: &ProfileRules) {
        let slot = self.open as usize;
        let steps = self.count as f32;
        means[slot] = self.moved(means[slot], rules.weight(steps, visits[slot]));
        visits[slot] = (visits[slot] + (steps / rules.steps_per_slot()).min(1.0)).min(1e4);
        self.mean = 0.0;
        self.count = 0;
    }

    /// The profile at a step of its season, read between slot centres; `None` where that slot was never seen.
    #[must_use]
    pub fn at(&self, means: &[f32], visits: &[f32], rules: &ProfileRules, index: u32) -> Option<f32> {
        if !rules.season.is_some() {
            return None;
        }
        let per_slot = rules.steps_per_slot();
        // Centre of a slot as the prototype places it: steps/2 behind its start, for slots of one step at the step.
        let x = index as f32 / per_slot - if per_slot > 1.0 { 0.5 } else { 0.0 };
        let below = x.floor();
        let fraction = x - below;
        let low = (below as i64).rem_euclid(i64::from(rules.slots)) as u32;
        let high = (low + 1) % rules.slots;
        let low = self.slot(means, visits, rules, low)?;
        match self.slot(means, visits, rules, high) {
            Some(high) if fraction > 0.0 => Some(low + (high - low) * fraction),
            _ => Some(low),
        }
    }

    fn slot(&self, means: &[f32], visits: &[f32], rules: &ProfileRules, slot: u32) -> Option<f32> {
        let (mean, visited) = (means[slot as usize], visits[slot as usize]);
        if self.count > 0 && slot == self.open {
            return Some(self.moved(mean, rules.weight(self.count as f32, visited)));
        }
        (visited > 0.0).then_some(mean)
    }

    /// A slot's mean moved by `weight` towards what was seen of it; all of it is exact: a slot's first value is what it
    /// says, and no rounding of it is taken for a deviation.
    fn moved(&self, mean: f32, weight: f32) -> f32 {
        if weight >= 1.0 {
            return self.mean;
        }
        mean + (self.mean - mean) * weight
    }

    /// Re-bases the open slot and the committed ones.
    pub fn rebase(&mut self, means: &mut [f32], by: Rebase) {
        if self.count > 0 {
            self.mean = by.value(self.mean);
        }
        for mean in means {
            *mean = by.value(*mean);
        }
    }
}

/// A profile with its slots, to read from.
#[derive(Clone, Copy, Debug)]
pub struct ProfileView<'a> {
    /// Open slot.
    pub state: &'a Profile,
    /// (K), value-like.
    pub means: &'a [f32],
    /// (K), free.
    pub visits: &'a [f32],
    /// Cut.
    pub rules: &'a ProfileRules,
}

impl<'a> From<(&'a Profile, &'a [f32], &'a [f32], &'a ProfileRules)> for ProfileView<'a> {
    fn from((state, means, visits, rules): (&'a Profile, &'a [f32], &'a [f32], &'a ProfileRules)) -> Self {
        Self {
            state,
            means,
            visits,
            rules,
        }
    }
}

impl ProfileView<'_> {
    /// [`Profile::at`].
    #[must_use]
    pub fn at(&self, index: u32) -> Option<f32> {
        self.state.at(self.means, self.visits, self.rules, index)
    }
}

#[cfg(test)]
#[path = "tests/profile.rs"]
mod tests;
