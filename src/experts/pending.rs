//! Forecasts in flight, kept until their target is observed (RECIPE §7).
//!
//! Scored horizons up to 24 (compact rows: 2) are kept at every step; beyond, 16 (2) are in flight, opened every n steps:
//! n the smallest integer ≥ b/16 (b/2) coprime with the season (else one phase of the day is judged for ever). Which
//! residue a stream opens is its phase, a hash. Each scored horizon has its own slots, flat f32, so many that an origin's
//! slot is free again when it comes round: the slot of step s is (s + phase)/n modulo their number.

use bytemuck::{Pod, Zeroable};

use crate::experts::base::SHARES;
use crate::experts::centre::Centre;
use crate::experts::scale::FEATURES;
use crate::experts::stack::CENTRES;
use crate::experts::{Expert, ExpertSet};
use crate::series::Rebase;

/// Horizons up to this one are kept at every step.
pub(super) const EVERY_STEP: u32 = 24;
/// In flight beyond. 8 lose 1 % of the quantile loss, 24 win .2 %.
pub(super) const IN_FLIGHT: u32 = 16;

/// How many forecasts are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flights {
    /// Horizons up to this one are kept at every step.
    every_step: u32,
    /// In flight beyond.
    most: u32,
}

/// Which origins of a scored horizon are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// b.
    pub horizon: u32,
    /// n.
    pub stride: u32,
    /// Slots.
    pub entries: u32,
    /// Which residue of the steps, from a hash of the stream.
    pub phase: u64,
}

/// What an origin keeps of its forecast, beside its experts' forecasts (E).
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Issued {
    /// Which origin is in flight, 0 = none: its step modulo 2047, + 1. Set and cleared here, [`Issued::fill`] keeps it
    /// (free). A slot left behind by another stride or a jump of the grid is thereby never taken for another origin's.
    pub open: f32,
    /// The classical centre (value-like).
    pub classical: f32,
    /// f: the served centre (value-like).
    pub served: f32,
    /// s: the classical scale, the network's unit; 0 where there was none yet (scale-like).
    pub classical_scale: f32,
    /// s₂: the served scale; 0 where there was none yet (scale-like).
    pub served_scale: f32,
    /// Side above the median; below it is 2 − side (free).
    pub side: f32,
    /// (q90 − q10) / 2.56 as published, for the anomaly (scale-like).
    pub spread: f32,
    /// φ of the classical chain; the network's width is 0 there (free).
    pub classical_features: [f32; FEATURES],
    /// φ of the served chain (free).
    pub served_features: [f32; FEATURES],
    /// Deviations of the origin from the shares' bases; NaN: not learnt (scale-like).
    pub deviations: [f32; SHARES],
    /// The shares' bases at the target (value-like).
    pub bases: [f32; SHARES],
    /// m1 and m2 of the classical centre (value-like).
    pub classical_parts: [f32; CENTRES],
    /// m1 and m2 of the served centre (value-like).
    pub served_parts: [f32; CENTRES],
}

impl Issued {
    /// The classical centre.
    #[must_use]
    pub const fn classical_centre(&self) -> Centre {
        Centre {
            parts: self.classical_parts,
            served: self.classical,
        }
    }

    /// The served centre.
    #[must_use]
    pub const fn served_centre(&self) -> Centre {
        Centre {
            parts: self.served_parts,
            served: self.served,
        }
    }

    /// Takes all of `from` and stays in flight.
    pub fn fill(&mut self, from: &Self) {
        let open = self.open;
        *self = *from;
        self.open = open;
    }
}

/// f32 words of [`Issued`].
const HEAD: usize = size_of::<Issued>() / size_of::<f32>();

/// f32 words of one entry with so many experts (E, the network included).
#[must_use]
pub const fn entry_len(experts: usize) -> usize {
    HEAD + experts
}

impl Flights {
    /// Of the accurate row.
    pub const ACCURATE: Self = Self {
        every_step: EVERY_STEP,
        most: IN_FLIGHT,
    };
    /// Of the compact row: 4 would win 1 % of the quantile loss and cost a sixth of the row.
    pub const COMPACT: Self = Self {
        every_step: 2,
        most: 2,
    };

    /// Slots of a scored horizon.
    #[must_use]
    pub const fn entries(self, horizon: u32) -> usize {
        if horizon <= self.every_step {
            horizon as usize
        } else {
            self.most as usize
        }
    }

    /// f32 words of all slots of a scored horizon. Zeroed = nothing in flight.
    #[must_use]
    pub const fn len(self, horizon: u32, experts: usize) -> usize {
        self.entries(horizon) * entry_len(experts)
    }

    /// The same in a row of format 1, which kept no parts of the centres.
    #[must_use]
    pub const fn len_1(self, horizon: u32, experts: usize) -> usize {
        self.entries(horizon) * (entry_len(experts) - 2 * CENTRES)
    }

    /// n for scored horizon b and a season of so many steps (0 or 1 = none).
    #[must_use]
    pub const fn stride(self, horizon: u32, season_steps: u32) -> u32 {
        if horizon <= self.every_step {
            return 1;
        }
        let mut stride = horizon.div_ceil(self.most);
        while stride > 1 && season_steps > 1 && common_divisor(stride, season_steps) > 1 {
            stride += 1;
        }
        stride
    }

    /// Origins of a scored horizon under a season; `phase` is a hash of the stream. Where the season changes, what is in
    /// flight of another stride is dropped as it is met.
    #[must_use]
    pub const fn sampling(self, horizon: u32, season_steps: u32, phase: u64) -> Sampling {
        let stride = self.stride(horizon, season_steps);
        Sampling {
            horizon,
            stride,
            entries: self.entries(horizon) as u32,
            phase: phase % stride as u64,
        }
    }
}

const fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Sampling {
    /// Whether the forecast issued at this step (counted from the stream's start) is kept.
    #[must_use]
    pub const fn is_origin(&self, step: u64) -> bool {
        (step + self.phase).is_multiple_of(self.stride as u64)
    }

    /// How many origins there were before the one at `step`.
    pub(super) const fn turn(&self, step: u64) -> u64 {
        (step + self.phase) / self.stride as u64
    }

    /// Where the entry of a step lies.
    fn place(&self, step: u64, experts: usize) -> std::ops::Range<usize> {
        let slot = (self.turn(step) % u64::from(self.entries)) as usize;
        slot * entry_len(experts)..(slot + 1) * entry_len(experts)
    }

    fn slot<'a>(&self, slots: &'a mut [f32], step: u64, experts: usize) -> (&'a mut Issued, &'a mut [f32]) {
        let entry = &mut slots[self.place(step, experts)];
        let (head, forecasts) = entry.split_at_mut(HEAD);
        (
            bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(head)),
            forecasts,
        )
    }
}

/// The words where the forecast issued at `step` is kept.
#[must_use]
pub fn kept<'a>(slots: &'a [f32], sampling: &Sampling, step: u64, experts: usize) -> &'a [f32] {
    &slots[sampling.place(step, experts)]
}

/// Names an origin: exact in f16, never 0.
pub(super) fn mark(origin: u64) -> f32 {
    (origin % 2047 + 1) as f32
}

/// Keeps a forecast issued at `step`, where that is an origin: the entry to fill, with its experts' forecasts (E).
pub fn open<'a>(
    slots: &'a mut [f32],
    sampling: &Sampling,
    step: u64,
    experts: usize,
) -> Option<(&'a mut Issued, &'a mut [f32])> {
    if !sampling.is_origin(step) {
        return None;
    }
    let (issued, forecasts) = sampling.slot(slots, step, experts);
    *issued = Issued::zeroed();
    issued.open = mark(step);
    Some((issued, forecasts))
}

/// The forecast whose target is `step`, where one is in flight; its slot is free afterwards. Call it for every step,
/// also a missing one (and drop what it gives: a missing target matures nothing), before [`open`].
pub fn due<'a>(
    slots: &'a mut [f32],
    sampling: &Sampling,
    step: u64,
    experts: usize,
) -> Option<(&'a Issued, &'a [f32])> {
    let origin = step.checked_sub(u64::from(sampling.horizon))?;
    if !sampling.is_origin(origin) {
        return None;
    }
    let (issued, forecasts) = sampling.slot(slots, origin, experts);
    let is_due = issued.open == mark(origin);
    issued.open = 0.0;
    is_due.then_some((issued, forecasts))
}

/// Makes whole again what a compact row leaves out of an entry, since it follows from the rest: the constant of φ, and the
/// bases that are an expert's forecast.
pub fn complete(slots: &mut [f32], set: ExpertSet) {
    for entry in slots.chunks_exact_mut(entry_len(set.len())) {
        let (head, forecasts) = entry.split_at_mut(HEAD);
        let issued: &mut Issued = bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(head));
        if issued.open == 0.0 {
            continue;
        }
        issued.served_features[0] = if issued.served_scale > 0.0 { 1.0 } else { 0.0 };
        for (base, expert) in SAID {
            if let Some(place) = set.index_of(expert) {
                issued.bases[base] = forecasts[place];
            }
        }
    }
}

/// Bases that an expert says.
const SAID: [(usize, Expert); 2] = [(0, Expert::Seasonal), (2, Expert::WeekProfile)];

/// Codes of the entries of a scored horizon in a compact row ([`complete`] adds what they leave out). The classical
/// chain's φ are left out too: its θ stays as it starts, and s is but the network's unit.
///
/// # Panics
/// Never: each word of an entry has its code.
#[must_use]
pub fn codes(flights: Flights, horizon: u32, set: ExpertSet, is_judged: bool) -> String {
    let is_said = |base| {
        SAID.iter()
            .any(|&(said, expert)| said == base && set.contains(expert))
    };
    let mut entry = String::from("hhhhhh");
    entry.push(if is_judged { 'h' } else { '-' });
    entry.push_str("--------hhhhhh");
    let hour = if set.needs_hour() { 'h' } else { '-' };
    entry.push_str("hhh");
    entry.push(hour);
    entry.extend((0..SHARES - 1).map(|base| if is_said(base) { '-' } else { 'h' }));
    entry.push(hour);
    // Without a stack the parts of a centre are the centre.
    entry.push_str(&"-".repeat(2 * CENTRES));
    entry.extend((0..set.len()).map(|_| 'h'));
    assert_eq!(
        entry.len(),
        entry_len(set.len()),
        "a code for each word of an entry"
    );
    entry.repeat(flights.entries(horizon))
}

/// Drops all in flight: the grid made a long jump or restarted, or the season changed.
pub fn clear(slots: &mut [f32]) {
    slots.fill(0.0);
}

/// Re-bases all slots of a scored horizon.
pub fn rebase(slots: &mut [f32], experts: usize, by: Rebase) {
    for entry in slots.chunks_exact_mut(entry_len(experts)) {
        let (head, forecasts) = entry.split_at_mut(HEAD);
        let issued: &mut Issued = bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(head));
        if issued.open == 0.0 {
            continue;
        }
        issued.classical = by.value(issued.classical);
        issued.served = by.value(issued.served);
        issued.classical_scale = by.scale(issued.classical_scale);
        issued.served_scale = by.scale(issued.served_scale);
        issued.spread = by.scale(issued.spread);
        issued.deviations = issued.deviations.map(|x| by.scale(x));
        issued.bases = issued.bases.map(|x| by.value(x));
        issued.classical_parts = issued.classical_parts.map(|x| by.value(x));
        issued.served_parts = issued.served_parts.map(|x| by.value(x));
        for f in forecasts {
            *f = by.value(*f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCURATE: Flights = Flights::ACCURATE;

    #[test]
    fn stride_is_coprime_with_the_season() {
        let strides = |flights: Flights| {
            [(24, 24), (96, 24), (96, 0), (48, 24)].map(|(horizon, season)| flights.stride(horizon, season))
        };
        assert_eq!(strides(Flights::ACCURATE), [1, 7, 6, 5]);
        assert_eq!(strides(Flights::COMPACT), [13, 49, 48, 25]);
    }

    #[test]
    fn every_origin_matures_once_at_its_target_and_no_slot_is_lost() {
        for (horizon, season) in [(1, 24), (2, 1), (24, 24), (25, 24), (96, 24), (96, 1), (100, 7)] {
            let sampling = ACCURATE.sampling(horizon, season, 5);
            let mut slots = vec![0.0; ACCURATE.len(horizon, 2)];
            let mut opened = std::collections::VecDeque::new();
            for step in 0..2_000u64 {
                let matured = due(&mut slots, &sampling, step, 2).map(|(issued, f)| (issued.served, f[1]));
                let expected = opened
                    .front()
                    .copied()
                    .filter(|&at| at + u64::from(horizon) == step);
                assert_eq!(matured, expected.map(|at| (at as f32, at as f32 + 0.5)));
                if expected.is_some() {
                    opened.pop_front();
                }
                if let Some((issued, forecasts)) = open(&mut slots, &sampling, step, 2) {
                    issued.served = step as f32;
                    forecasts[1] = step as f32 + 0.5;
                    opened.push_back(step);
                }
            }
            assert!(opened.len() <= ACCURATE.entries(horizon));
        }
    }

    /// The season becomes known while forecasts are in flight: those of the old stride that do not fall on the new one
    /// are dropped, and none is judged as another step's.
    #[test]
    fn a_change_of_stride_never_matures_another_origin() {
        let (before, after) = (ACCURATE.sampling(96, 0, 11), ACCURATE.sampling(96, 24, 11));
        let mut slots = vec![0.0; ACCURATE.len(96, 1)];
        let mut matured = 0;
        for step in 0..1_000u64 {
            let sampling = if step < 50 { &before } else { &after };
            if let Some((issued, _)) = due(&mut slots, sampling, step, 1) {
                assert_eq!(issued.served, (step - 96) as f32);
                matured += 1;
            }
            if let Some((issued, _)) = open(&mut slots, sampling, step, 1) {
                issued.served = step as f32;
            }
        }
        assert!(matured > 120, "{matured}");
    }

    #[test]
    fn cleared_slots_mature_nothing() {
        let sampling = ACCURATE.sampling(3, 1, 0);
        let mut slots = vec![0.0; ACCURATE.len(3, 1)];
        open(&mut slots, &sampling, 0, 1).unwrap();
        clear(&mut slots);
        assert!(due(&mut slots, &sampling, 3, 1).is_none());
    }
}
