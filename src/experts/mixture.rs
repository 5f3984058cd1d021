//! Exponential weights with a fixed rate and a fixed share (RECIPE §4a).
//!
//! w_e ← w_e exp(−η (l_e − Σ w l)), normalised, then (1 − α) w + α / E, with l_e = |y − f_e| / EW|y − f_mix| clipped
//! at 6. A fixed rate: adaptive ones were 2 to 4 % worse.

use crate::experts::{Expert, ExpertSet};
use crate::nn::{Loops, vector, wide};
use crate::series::Rebase;

/// Loss clip: one spike moves the weights by no more than exp(6 η).
const LOSS_MAX: f32 = 6.0;
/// Losses before the scale of the loss is robust.
const WARM: f32 = 20.0;

/// Length of the state for so many experts (E): E weights, the scale of the loss, losses seen.
#[must_use]
pub const fn len(experts: usize) -> usize {
    experts + 2
}

/// Rates of a scored horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixtureRates {
    /// η = min(.3, .1 b^−.25 n^.5).
    pub eta: f32,
    /// α = min(.02, .003 n^.5).
    pub share: f32,
}

impl MixtureRates {
    /// For scored horizon `b`, learnt at every `stride`-th origin.
    #[must_use]
    pub fn new(horizon: u32, stride: u32) -> Self {
        let boost = (stride as f32).sqrt();
        Self {
            eta: (0.1 * (horizon as f32).powf(-0.25) * boost).min(0.3),
            share: (0.003 * boost).min(0.02),
        }
    }
}

/// Equal weights.
pub fn start(state: &mut [f32]) {
    let experts = state.len() - 2;
    state[..experts].fill(1.0 / experts as f32);
    state[experts..].fill(0.0);
}

/// Weights (E) of streams like this one; each expert keeps a fifth of an equal share, so that it can still be found.
pub fn begin(state: &mut [f32], weights: &[f32]) {
    start(state);
    let equal = 1.0 / weights.len() as f32;
    let total: f32 = weights.iter().sum();
    if total > 0.0 {
        for (own, weight) in state.iter_mut().zip(weights) {
            *own = 0.8 * weight / total + 0.2 * equal;
        }
    }
}

/// Weights (E), free: positive, sum 1.
#[must_use]
pub fn weights(state: &[f32]) -> &[f32] {
    &state[..state.len() - 2]
}

/// Σ w f over (E), as f_0 + Σ w (f − f_0): where all agree it is their forecast to the last bit, so that rounding is not
/// taken for disagreement.
///
/// # Panics
/// Where there is no expert.
#[must_use]
pub fn mix(weights: &[f32], forecasts: &[f32]) -> f32 {
    let first = forecasts[0];
    let (w, f) = (vector::lanes(weights), vector::lanes(forecasts));
    // Lanes behind the experts have no weight.
    first + vector::weighted(&w, &f, first)
}

/// Learns a matured origin: its experts' forecasts (E), the mix of them as it was, the truth.
///
/// # Panics
/// Where `forecasts` is not (E).
pub fn learn(state: &mut [f32], forecasts: &[f32], mixed: f32, y: f32, rates: &MixtureRates) {
    let experts = state.len() - 2;
    assert_eq!(forecasts.len(), experts, "one forecast per expert");
    let (weights, rest) = state.split_at_mut(experts);
    let [scale, count] = rest else {
        unreachable!("two behind the weights")
    };
    *count = (*count + 1.0).min(1e6);
    let miss = (mixed - y).abs();
    if *scale < super::STILL && miss > 8.0 * *scale {
        *count = 1.0;
    }
    let limited = if *count < WARM {
        miss
    } else {
        miss.min(8.0 * *scale)
    };
    *scale += (limited - *scale) * (1.0 / *count).max(0.002);
    wide(Reweigh {
        weights,
        forecasts,
        y,
        unit: *scale + super::TINY,
        rates,
    });
}

/// The weights learn losses |y − f| / `unit`.
struct Reweigh<'a> {
    weights: &'a mut [f32],
    forecasts: &'a [f32],
    y: f32,
    unit: f32,
    rates: &'a MixtureRates,
}

impl Loops for Reweigh<'_> {
    #[inline(always)]
    fn run(self) {
        let experts = self.weights.len();
        let MixtureRates { eta, share } = *self.rates;
        let (mut w, f) = (vector::lanes(self.weights), vector::lanes(self.forecasts));
        let per_unit = self.unit.recip();
        let mut loss = f;
        for loss in &mut loss {
            let far = (*loss - self.y).abs() * per_unit;
            *loss = if far < LOSS_MAX { far } else { LOSS_MAX };
        }
        let mean = vector::dot(&w, &loss);
        for (w, loss) in w.iter_mut().zip(&loss) {
            *w *= vector::exp(-eta * (loss - mean));
        }
        let kept = (1.0 - share) / vector::sum(&w);
        let floor = share / experts as f32;
        for (weight, w) in self.weights.iter_mut().zip(&w) {
            *weight = kept * w + floor;
        }
    }
}

/// Gives those experts of `set` that are among `new` an equal weight each; the others keep theirs in proportion. Last value
/// is never new.
pub fn renew(state: &mut [f32], set: ExpertSet, new: ExpertSet) {
    let is_new = |expert: Expert| expert != Expert::Last && new.contains(expert);
    let equal = 1.0 / set.len() as f32;
    let (mut kept, mut share) = (super::TINY, 1.0);
    for (weight, expert) in state.iter().zip(set.iter()) {
        if is_new(expert) {
            share -= equal;
        } else {
            kept += weight;
        }
    }
    for (weight, expert) in state.iter_mut().zip(set.iter()) {
        *weight = if is_new(expert) {
            equal
        } else {
            share * *weight / kept
        };
    }
}

/// Takes over what another set of experts has learnt; an expert that it lacks gets an equal share, taken from all.
///
/// # Panics
/// Where a state is not that of its experts.
pub fn carry((before, from): (ExpertSet, &[f32]), (now, to): (ExpertSet, &mut [f32])) {
    start(to);
    let (weights, rest) = to.split_at_mut(now.len());
    rest.copy_from_slice(&from[before.len()..]);
    let known = |expert: Expert| before.index_of(expert).map(|i| from[i]);
    let kept: f32 = now.iter().filter_map(known).sum();
    let new = now.iter().filter(|&expert| !before.contains(expert)).count();
    let share = 1.0 - new as f32 / now.len() as f32;
    for (weight, expert) in weights.iter_mut().zip(now.iter()) {
        if let Some(known) = known(expert) {
            *weight = share * known / kept;
        }
    }
}

/// Makes the sum of the weights 1 again, after they were rounded.
pub fn normalise(state: &mut [f32]) {
    let experts = state.len() - 2;
    let total: f32 = state[..experts].iter().sum();
    state[..experts].iter_mut().for_each(|w| *w /= total);
}

/// Re-bases the scale of the loss; the weights stay.
pub fn rebase(state: &mut [f32], by: Rebase) {
    let scale = state.len() - 2;
    state[scale] = by.scale(state[scale]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_carried_by_expert_and_new_ones_have_an_equal_share() {
        let before = ExpertSet::from_names(["last", "day", "network"]).unwrap();
        let now = ExpertSet::from_names(["last", "day", "linear", "network"]).unwrap();
        let from = [0.2, 0.5, 0.3, 7.0, 40.0];
        let mut to = [0.0; 6];
        carry((before, &from), (now, &mut to));
        for (got, expected) in to.iter().zip([0.15, 0.375, 0.25, 0.225, 7.0, 40.0]) {
            assert!((got - expected).abs() < 1e-6, "{to:?}");
        }
    }
    #[test]
    fn experts_that_are_new_get_equal_weights_and_the_others_keep_theirs_in_proportion() {
        let set = ExpertSet::from_names(["last", "day", "linear", "network"]).unwrap();
        let new = ExpertSet::from_names(["day"]).unwrap();
        let mut state = [0.1, 0.4, 0.2, 0.3, 7.0, 40.0];
        renew(&mut state, set, new);
        for (got, expected) in state.iter().zip([0.125, 0.25, 0.25, 0.375, 7.0, 40.0]) {
            assert!((got - expected).abs() < 1e-6, "{state:?}");
        }
    }
}
