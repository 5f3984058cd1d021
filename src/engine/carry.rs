//! Rows of other horizons, levels, experts or format, made into rows of today.

use std::ops::Range;

use crate::engine::Profile;
use crate::engine::dims::RowDims;
use crate::engine::layout::Matches;
use crate::engine::row::{Layout, Row};
use crate::experts::{ExpertSet, mixture};

/// Makes rows of one layout out of rows of another.
#[derive(Debug)]
pub(crate) struct Carry<'a> {
    from: Layout,
    to: &'a Layout,
    by: Matches,
}

impl<'a> Carry<'a> {
    /// From rows of `dims`, whose hidden state is that of `to`; `format` is the rows' format.
    pub(crate) fn new(dims: RowDims, to: &'a Layout, format: u32) -> Self {
        let from = Layout::of(dims);
        let shared_horizons = shared(&from.dims.scored, &to.dims.scored);
        let same_experts = from.dims.experts == to.dims.experts;
        let of_both = |i: &(usize, usize), place: fn(&Layout, usize) -> Range<usize>| {
            Some((place(&from, i.0), place(to, i.1))).filter(|(old, new)| old.len() == new.len())
        };
        // What is in flight of format 1, or of other experts, is dropped.
        let in_flight = if same_experts && format != 1 {
            &shared_horizons[..]
        } else {
            &[]
        };
        let with_origins = if to.origins.is_empty() { &[] } else { in_flight };
        Self {
            by: Matches {
                horizons: (from.dims.scored.len(), to.dims.scored.len()),
                levels: (from.dims.levels.len(), to.dims.levels.len()),
                shared_levels: shared(&from.dims.levels, &to.dims.levels),
                flights: in_flight
                    .iter()
                    .filter_map(|i| of_both(i, Layout::pending))
                    .collect(),
                // The ring of the horizons up to 24 is as long as the largest of them: of another length it is begun anew.
                origins: with_origins
                    .iter()
                    .filter_map(|i| of_both(i, Layout::origins))
                    .collect(),
                one_spread: to.dims.profile == Profile::Compact,
                same_experts,
                from_format_1: format == 1,
                shared_horizons,
            },
            from,
            to,
        }
    }

    /// f32 words of the rows there are.
    pub(crate) fn words(&self) -> usize {
        if self.by.from_format_1 {
            self.from.words_1()
        } else {
            self.from.rest_words()
        }
    }

    /// f32 words of a buffer for one of them: its beginning is the row, the rest 0.
    pub(crate) fn room(&self) -> usize {
        self.words().max(self.from.words())
    }

    /// Whether a row is taken as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.from == *self.to && !self.by.from_format_1
    }

    /// Makes the row at rest `new` that of the stream whose row at rest was `old`; what `old` has not begins as in a new
    /// stream.
    pub(crate) fn carry(&self, old: &mut [f32], new: &mut [f32]) {
        let (mut before, mut now) = (vec![0.0; self.from.room()], vec![0.0; self.to.room()]);
        let old = self.from.open(old, &mut before);
        self.to.begin(new, &mut now, |row| self.take_over(&old, row));
    }

    fn take_over(&self, old: &Row<'_>, row: &mut Row<'_>) {
        row.take_over(old, &self.by);
        if !self.by.same_experts {
            self.mixes(old, row);
        }
        if self.from.dims.scored.len() != self.to.dims.scored.len() || self.by.from_format_1 {
            // The network has other inputs, and its first version the same lineage all the same: the hidden state is to
            // be made anew, as under every foreign lineage.
            row.progress.lineage = !row.progress.lineage;
        }
        let levels = self.to.dims.levels.len();
        for &(_, k) in &self.by.shared_horizons {
            self.between(&mut row.tracked[k * levels..(k + 1) * levels]);
        }
    }

    /// Weights by expert: one that is new has an equal share, as in a new stream.
    fn mixes(&self, old: &Row<'_>, row: &mut Row<'_>) {
        let (before, now) = (self.from.dims.experts, self.to.dims.experts);
        for &(i, k) in &self.by.shared_horizons {
            let mix = |experts: ExpertSet, k: usize| {
                let len = mixture::len(experts.len());
                k * len..(k + 1) * len
            };
            mixture::carry(
                (before.classical(), &old.classical_mix[mix(before.classical(), i)]),
                (now.classical(), &mut row.classical_mix[mix(now.classical(), k)]),
            );
            mixture::carry(
                (before, &old.served_mix[mix(before, i)]),
                (now, &mut row.served_mix[mix(now, k)]),
            );
        }
    }

    /// A new level's quantile lies between those of the levels taken over.
    fn between(&self, tracked: &mut [f32]) {
        let is_shared = |q: usize| self.by.shared_levels.iter().any(|&(_, shared)| shared == q);
        for q in 0..tracked.len() {
            if is_shared(q) {
                continue;
            }
            let below = q.checked_sub(1).map_or(f32::NEG_INFINITY, |below| tracked[below]);
            let above = (q + 1..tracked.len()).find(|&above| is_shared(above));
            let above = above.map_or(f32::INFINITY, |above| tracked[above]);
            tracked[q] = tracked[q].max(below).min(above);
        }
    }
}

/// Places of what both ascending lists hold.
fn shared<T: PartialEq>(from: &[T], to: &[T]) -> Vec<(usize, usize)> {
    let found = |(i, value): (usize, &T)| Some((i, to.iter().position(|other| other == value)?));
    from.iter().enumerate().filter_map(found).collect()
}
