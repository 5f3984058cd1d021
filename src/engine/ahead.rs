//! Memory that is asked for before a row is stepped.

use std::ops::Range;

use crate::engine::layout::words_of;
use crate::engine::row::Layout;
use crate::engine::setup::Grid;
use crate::engine::slab::LINE_WORDS;
use crate::experts::pending;
use crate::nn::prefetch;

/// Words that a row's place on the grid is found from lie within these.
const HEAD_WORDS: usize = 4 * LINE_WORDS;

/// Fields of which a step reads little.
const COLD: [&str; 13] = [
    "ring_values",
    "season_means",
    "day_means",
    "day_visits",
    "week_means",
    "week_visits",
    "hour_means",
    "hour_visits",
    "classical_spread",
    "served_spread",
    "spread_visits",
    "pending",
    "origins",
];

impl Layout {
    /// Words of a row at rest that every step reads.
    pub(super) fn hot(&self) -> Vec<Range<usize>> {
        if self.storage.is_some() {
            return std::iter::once(0..self.rest_words()).collect();
        }
        let mut hot: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for field in self.counts.fields() {
            let end = start + words_of(1, field.bytes);
            if !COLD.contains(&field.name) {
                match hot.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => hot.push(start..end),
                }
            }
            start = end;
        }
        hot
    }

    /// Asks for the part of the row in `rest` that its place on the grid is found from.
    pub(crate) fn read_head_ahead(&self, rest: &[f32]) {
        prefetch(&rest[..HEAD_WORDS]);
    }

    /// Asks for what the next step of the row in `rest` reads: `step` is its index, `key` the stream's.
    pub(crate) fn read_ahead(&self, rest: &[f32], grid: &Grid, step: u64, key: u64) {
        for range in &self.hot {
            prefetch(&rest[range.clone()]);
        }
        if self.storage.is_some() {
            return;
        }
        let pending = self.counts.start_of_pending();
        let experts = self.dims.experts.len();
        for (k, rules) in grid.horizons[..self.dims.scored.len()].iter().enumerate() {
            let slots = &rest[pending..][self.pending(k)];
            let sampling = rules.sampling(key);
            let due = step.saturating_sub(rules.horizon.into());
            for origin in [due, step] {
                if sampling.is_origin(origin) {
                    prefetch(pending::kept(slots, &sampling, origin, experts));
                }
            }
        }
    }
}
