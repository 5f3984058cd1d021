//! What the compact profile keeps of a stream, and how a row goes to rest and back.
//!
//! A compact row in work is a row as any other, in f32. At rest its words are kept by the codes of the declaration
//! ([`crate::engine::storage`]); what follows from the rest is left out and made again here. The ring and the slot means of
//! a season that is too long for it share one place: of such a stream the ring keeps its newest steps only.

use crate::engine::Profile;
use crate::engine::dims::RowDims;
use crate::engine::row::Row;
use crate::experts::mixture;
use crate::experts::pending::{self, Flights};
use crate::series::calendar::SPREAD_SLOTS;
use crate::series::profile::{DAY_SLOTS, HOUR_SLOTS};
use crate::series::{ring, season_ring};

/// Steps of a compact row's ring: the slot means of a long season, and 6 steps.
const RING: usize = 104;
/// Slots of a compact row's day.
const DAY: usize = 48;
/// Slots of its hour: those of a reading every 5 minutes.
const HOUR: usize = 12;
/// Slots of the season that tell apart the usual errors, in a compact row for all horizons together.
const SPREAD: usize = 24;

impl Profile {
    /// Forecasts in flight.
    pub(crate) const fn flights(self) -> Flights {
        match self {
            Self::Accurate => Flights::ACCURATE,
            Self::Compact => Flights::COMPACT,
        }
    }

    /// Steps of the ring (R).
    pub(crate) const fn ring(self) -> usize {
        match self {
            Self::Accurate => ring::CAPACITY,
            Self::Compact => RING,
        }
    }

    /// Most slots of the main season's profile.
    pub(crate) const fn day_slots(self) -> usize {
        match self {
            Self::Accurate => DAY_SLOTS,
            Self::Compact => DAY,
        }
    }

    /// Most slots of the short season's profile.
    pub(crate) const fn hour_slots(self) -> usize {
        match self {
            Self::Accurate => HOUR_SLOTS,
            Self::Compact => HOUR,
        }
    }

    /// Slots of the errors' spread where so many horizons are scored.
    pub(crate) const fn spread_len(self, horizons: usize) -> usize {
        match self {
            Self::Accurate => horizons * SPREAD_SLOTS,
            Self::Compact => SPREAD,
        }
    }

    /// Where scored horizon `k` has its spread of slot `slot` of `slots`.
    pub(crate) fn spread_place(self, k: usize, slot: usize, slots: usize) -> usize {
        match self {
            Self::Accurate => k * SPREAD_SLOTS + slot,
            Self::Compact => slot * SPREAD / slots.max(SPREAD),
        }
    }
}

/// Codes of `pending`.
pub(crate) fn flight_codes(dims: &RowDims) -> String {
    let of = |(k, &b): (usize, &u32)| pending::codes(dims.profile.flights(), b, dims.experts, k == 0);
    dims.scored.iter().enumerate().map(of).collect()
}

/// Codes of `tracked`: the median's quantile is 0.
pub(crate) fn tracked_codes(dims: &RowDims) -> String {
    let of = |&level: &f32| if level == 0.5 { '-' } else { 'g' };
    dims.levels.iter().map(of).collect()
}

/// Codes of `shares`: of each scored horizon's level, day, week, hour.
pub(crate) fn share_codes(dims: &RowDims) -> String {
    let hour = if dims.experts.needs_hour() { "gq" } else { "--" };
    format!("gqgqgq{hour}")
}

/// Before a row is laid to rest: the past goes where it is kept. The row cannot be worked with afterwards.
pub(crate) fn fold(row: &mut Row<'_>) {
    row.ring.align(row.ring_values);
    if row.season.is_filled() {
        let kept = row.ring_values.len() - season_ring::KEPT;
        row.ring.keep_newest(row.ring_values, kept, season_ring::KEPT);
        row.ring_values[..season_ring::KEPT].copy_from_slice(row.season_means);
    }
}

/// After a row was unpacked: makes what is left out at rest.
pub(crate) fn unfold(row: &mut Row<'_>, dims: &RowDims) {
    if row.season.is_filled() {
        let (means, newest) = row.ring_values.split_at_mut(season_ring::KEPT);
        row.season_means.copy_from_slice(means);
        means[..newest.len()].copy_from_slice(newest);
    }
    row.ring.aligned(row.ring_values.len());
    row.scaler.recall(row.motion.last);
    // Both chains see the same events: how errors differ by slot is all but the same.
    row.classical_spread.copy_from_slice(row.served_spread);
    pending::complete(row.pending, dims.experts);
    for (mixes, experts) in [
        (&mut *row.classical_mix, dims.experts.classical()),
        (&mut *row.served_mix, dims.experts),
    ] {
        mixes
            .chunks_exact_mut(mixture::len(experts.len()))
            .for_each(mixture::normalise);
    }
}
