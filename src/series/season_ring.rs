//! A season too long for the ring, kept as plain means of its newest K + 2 slots (RECIPE §7, long seasons, item 1).

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;
use crate::series::calendar::Season;
use crate::series::profile::slots;

/// Most slots of a season (K).
pub const SLOTS: usize = 96;
/// Slots kept: one season, the open slot, and one more for reading between centres.
pub const KEPT: usize = SLOTS + 2;

/// Means of slots addressed by their absolute number since 1970. The closed slots lie in a slice (`KEPT`, value-like)
/// beside it. Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct SeasonRing {
    /// Absolute number of the open slot.
    newest: i64,
    /// Absolute number of the first slot ever seen.
    oldest: i64,
    /// Mean of the open slot so far, value-like.
    mean: f32,
    /// Steps of it so far; 0 = nothing seen.
    count: u32,
    /// Steps of the season it was filled for; another season starts it anew.
    steps: u32,
    /// Slots of that season (K), found once: it is a search for a divisor.
    slots: u32,
}

impl SeasonRing {
    /// Takes the value of a step (a missing one carried forward) at a local time.
    pub fn update(&mut self, means: &mut [f32], season: Season, local_ms: i64, x: f32) {
        if !season.is_some() {
            return;
        }
        if self.steps != season.steps {
            *self = Self::zeroed();
            self.steps = season.steps;
            self.slots = slots(season.steps, SLOTS as u32);
        }
        let (number, _) = self.place(season, local_ms);
        if self.count == 0 || number < self.newest {
            // The first slot, or a grid that was put back: nothing before it is known.
            self.count = 0;
            self.mean = 0.0;
            self.oldest = number;
            self.newest = number;
        } else if number > self.newest {
            self.close(means, number);
        }
        self.count = self.count.saturating_add(1);
        self.mean += (x - self.mean) / self.count as f32;
    }

    /// Whether it holds anything: a season that is read from the ring leaves it empty.
    pub(crate) const fn is_filled(&self) -> bool {
        self.count > 0
    }

    /// Closes the open slot and fills those skipped with its mean.
    fn close(&mut self, means: &mut [f32], number: i64) {
        let kept = means.len() as i64;
        let skipped = number.saturating_sub(self.newest).clamp(1, kept);
        for back in 0..skipped {
            let slot = number.saturating_sub(1 + back).rem_euclid(kept);
            means[slot as usize] = self.mean;
        }
        self.newest = number;
        self.count = 0;
        self.mean = 0.0;
    }

    /// The value at a local time that lies up to a season back, between slot centres; `None` before the first slot.
    #[must_use]
    pub fn at(&self, means: &[f32], season: Season, local_ms: i64) -> Option<f32> {
        if self.count == 0 || self.steps != season.steps {
            return None;
        }
        let (number, within) = self.place(season, local_ms);
        let per_slot = season.steps as f32 / self.slots as f32;
        if number < self.oldest || number + (means.len() as i64) <= self.newest {
            return None;
        }
        // Exact centre of the slot's steps.
        let x = (within - (per_slot - 1.0) / 2.0) / per_slot;
        let below = x.floor();
        let low = (number + below as i64).max(self.oldest).min(self.newest);
        let high = (number + below as i64 + 1).max(self.oldest).min(self.newest);
        let (low, high) = (self.slot(means, low), self.slot(means, high));
        Some(low + (high - low) * (x - below))
    }

    /// Absolute slot of a local time, and its steps into that slot.
    fn place(&self, season: Season, local_ms: i64) -> (i64, f32) {
        let slots = i64::from(self.slots);
        let steps = i64::from(season.steps);
        let index = i64::from(season.index(local_ms));
        let slot = index * slots / steps;
        let number = season.number(local_ms).saturating_mul(slots).saturating_add(slot);
        // Ends of time are clamped so that a season around them never overflows.
        let number = number.clamp(i64::MIN / 2, i64::MAX / 2);
        let within = index as f64 - slot as f64 * steps as f64 / slots as f64;
        (number, within as f32)
    }

    fn slot(&self, means: &[f32], number: i64) -> f32 {
        if number == self.newest {
            return self.mean;
        }
        means[number.rem_euclid(means.len() as i64) as usize]
    }

    /// Re-bases the open slot and the closed ones.
    pub fn rebase(&mut self, means: &mut [f32], by: Rebase) {
        if self.count > 0 {
            self.mean = by.value(self.mean);
        }
        for mean in means {
            *mean = by.value(*mean);
        }
    }
}

#[cfg(test)]
#[path = "tests/season_ring.rs"]
mod tests;
