//! The fixed row of a stream: its one declaration, and what it can do as a whole.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::engine::config::Config;
use crate::engine::layout::{Keyed, Matches, declare_row, take, words_of};
use crate::engine::motion::Motion;
use crate::engine::priors;
use crate::engine::setup::Grid;
use crate::engine::slab::LINE_WORDS;
use crate::engine::standing::Standing;
use crate::engine::{HorizonPlan, shape};
use crate::experts::anomaly::Anomaly;
use crate::experts::base::{Past, SHARES};
use crate::experts::linear::{self, covariance};
use crate::experts::scale::{Level, OneStep, Scale};
use crate::experts::share::Share;
use crate::experts::{ExpertSet, mixture, origins, pending, quantiles};
use crate::series::Rebase;
use crate::series::cadence::Cadence;
use crate::series::calendar::SPREAD_SLOTS;
use crate::series::profile::{DAY_SLOTS, HOUR_SLOTS, Profile, ProfileView};
use crate::series::ring::{CAPACITY, Ring};
use crate::series::scaler::Scaler;
use crate::series::season_ring::{KEPT, SeasonRing};

/// Slots of the week's profile: 336 would cost 1.3 KB more for 0 to 2 % at long horizons (RECIPE §7.6).
pub(crate) const WEEK_SLOTS: usize = 168;

/// Changes with the fields of a row and with what they mean: state of another is not read.
pub(crate) const ROW_FORMAT: u32 = 2;

/// A field of the row, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSize {
    /// Name.
    pub name: &'static str,
    /// Bytes per stream.
    pub bytes: usize,
    /// What it is.
    pub what: &'static str,
}

/// How far a stream is. Zeroed = nothing run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Progress {
    /// Steps run or passed over since the stream's start; the newest step has this index minus 1.
    pub(crate) steps: u64,
    /// Lineage of the weights that made the hidden state.
    pub(crate) lineage: u64,
}

/// Dimensions of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowDims {
    /// Scored, ascending (K).
    pub(crate) scored: Vec<u32>,
    pub(crate) experts: ExpertSet,
    /// Configured, ascending (Q).
    pub(crate) levels: Vec<f32>,
    pub(crate) state_len: usize,
}

impl RowDims {
    fn horizons(&self) -> usize {
        self.scored.len()
    }

    fn pending(&self) -> usize {
        self.scored
            .iter()
            .map(|&b| pending::len(b, self.experts.len()))
            .sum()
    }

    fn hour_slots(&self) -> usize {
        if self.experts.needs_hour() { HOUR_SLOTS } else { 0 }
    }

    /// Linear experts (L).
    pub(crate) fn linear(&self) -> usize {
        self.experts.linear().count()
    }

    fn covariance(&self) -> usize {
        if self.linear() > 0 { covariance::LEN } else { 0 }
    }

    fn origins(&self) -> usize {
        if self.linear() > 0 {
            origins::places(&self.scored).1
        } else {
            0
        }
    }
}

declare_row! {
    dims dims: RowDims;
    one {
        cadence: Cadence = "grid in time";
        progress: Progress = "steps, lineage of the hidden state";
        scaler: Scaler = "level, scale, units";
        ring: Ring = "cursor of the ring";
        motion: Motion = "levels and changes for the network's inputs";
        level: Level = "slow level and its spread";
        classical_step: OneStep = "one-step errors of the experts' mix";
        served_step: OneStep = "one-step errors of the served forecast";
        day: Profile = "open slot of the main season's profile";
        week: Profile = "open slot of the long season's profile";
        hour: Profile = "open slot of the short season's profile";
        season: SeasonRing = "open slot of a main season too long for the ring";
        anomaly: Anomaly = "what errors are usual";
        standing: Standing = "live coverage and skill";
    }
    many {
        hidden: [f32; dims.state_len] by Stream = "hidden state of the network";
        errors: [f32; dims.horizons()] by Horizon = "newest matured errors, inputs of the network";
        ring_values: [f32; CAPACITY] by Stream = "newest values";
        season_means: [f32; KEPT] by Stream = "slot means of a main season too long for the ring";
        day_means: [f32; DAY_SLOTS] by Stream = "profile of the main season";
        day_visits: [f32; DAY_SLOTS] by Stream = "visits of its slots";
        week_means: [f32; WEEK_SLOTS] by Stream = "profile of the long season";
        week_visits: [f32; WEEK_SLOTS] by Stream = "visits of its slots";
        hour_means: [f32; dims.hour_slots()] by Stream = "profile of the short season";
        hour_visits: [f32; dims.hour_slots()] by Stream = "visits of its slots";
        shares: [Share; dims.horizons() * SHARES] by Horizon = "learnt shares of today's deviation";
        classical_mix: [f32; dims.horizons() * mixture::len(dims.experts.classical().len())] by Mix = "weights without the network";
        served_mix: [f32; dims.horizons() * mixture::len(dims.experts.len())] by Mix = "weights with the network";
        classical_scale: [Scale; dims.horizons()] by Horizon = "scale without the network";
        served_scale: [Scale; dims.horizons()] by Horizon = "scale of the served forecast";
        classical_spread: [f32; dims.horizons() * SPREAD_SLOTS] by Horizon = "error by slot of the season, without the network";
        served_spread: [f32; dims.horizons() * SPREAD_SLOTS] by Horizon = "error by slot of the season, as served";
        spread_visits: [f32; dims.horizons() * SPREAD_SLOTS] by Horizon = "visits of these slots";
        tracked: [f32; dims.horizons() * dims.levels.len()] by Level = "tracked quantiles: the calibration";
        pending: [f32; dims.pending()] by Flight = "forecasts in flight";
    }
    since 2
    one {
    }
    many {
        covariance: [f32; dims.covariance()] by Stream = "covariance of the linear experts";
        linear: [f32; dims.horizons() * dims.linear() * linear::WEIGHTS_LEN] by Horizon = "weights of the linear experts";
        origins: [f32; dims.origins()] by Origin = "regressors of the forecasts in flight";
    }
}

/// Where the fields of a row lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    counts: Counts,
    pub(crate) dims: RowDims,
    /// (K) where each scored horizon's slots begin in `pending`, and the end.
    pending_starts: Vec<usize>,
    /// Of the priors that rows of this layout begin with.
    pub(crate) prior_form: u64,
    /// (K) where each scored horizon's origins lie in `origins`; none without linear experts.
    origins: Vec<Range<usize>>,
}

impl Layout {
    /// # Panics
    /// Where an expert's name is unknown: the configuration was not validated.
    pub(crate) fn new(config: &Config) -> Self {
        let names = config.experts.iter().map(String::as_str);
        let experts =
            ExpertSet::from_names(names).expect("names of experts are checked with the configuration");
        let dims = RowDims {
            scored: HorizonPlan::new(&config.horizons).scored,
            experts,
            levels: config.quantiles.iter().map(|&level| level as f32).collect(),
            state_len: shape(config).state_len(),
        };
        Self::of(dims)
    }

    fn of(dims: RowDims) -> Self {
        let mut pending_starts = vec![0];
        for &b in &dims.scored {
            let end = pending_starts.last().expect("begins with 0") + pending::len(b, dims.experts.len());
            pending_starts.push(end);
        }
        let origins = if dims.linear() > 0 {
            origins::places(&dims.scored).0
        } else {
            Vec::new()
        };
        Self {
            counts: Counts::new(&dims),
            prior_form: priors::form_of(&dims),
            dims,
            pending_starts,
            origins,
        }
    }

    /// f32 words of a row, whole lines.
    pub(crate) fn words(&self) -> usize {
        self.counts.words().next_multiple_of(LINE_WORDS)
    }

    /// The row seen by its fields.
    pub(crate) fn row<'a>(&self, words: &'a mut [f32]) -> Row<'a> {
        Row::split(&self.counts, words)
    }

    /// Slots of scored horizon `k` in `pending`.
    pub(crate) fn pending(&self, k: usize) -> Range<usize> {
        self.pending_starts[k]..self.pending_starts[k + 1]
    }

    /// Origins of scored horizon `k` in `origins`; those up to 24 have the same place.
    pub(crate) fn origins(&self, k: usize) -> Range<usize> {
        self.origins[k].clone()
    }

    /// Linear weights of scored horizon `k` in `linear`.
    pub(crate) fn linear(&self, k: usize) -> Range<usize> {
        let len = self.dims.linear() * linear::WEIGHTS_LEN;
        k * len..(k + 1) * len
    }

    /// Makes a zeroed row that of a stream that saw nothing.
    pub(crate) fn start(&self, row: &mut Row<'_>) {
        let RowDims { experts, levels, .. } = &self.dims;
        row.shares.fill(Share::START);
        row.classical_scale.fill(Scale::START);
        row.served_scale.fill(Scale::START);
        row.classical_mix
            .chunks_exact_mut(mixture::len(experts.classical().len()))
            .for_each(mixture::start);
        row.served_mix
            .chunks_exact_mut(mixture::len(experts.len()))
            .for_each(mixture::start);
        row.tracked
            .chunks_exact_mut(levels.len())
            .for_each(|tracked| quantiles::start(levels, tracked));
        if !row.covariance.is_empty() {
            covariance::start(row.covariance);
        }
    }

    /// Follows the stream into new units.
    pub(crate) fn rebase(&self, row: &mut Row<'_>, by: Rebase) {
        let experts = self.dims.experts;
        row.ring.rebase(row.ring_values, by);
        row.motion.rebase(by);
        row.level.rebase(by);
        row.classical_step.rebase(by);
        row.served_step.rebase(by);
        row.day.rebase(row.day_means, by);
        row.week.rebase(row.week_means, by);
        row.hour.rebase(row.hour_means, by);
        row.season.rebase(row.season_means, by);
        row.standing.rebase(by);
        row.shares.iter_mut().for_each(|share| share.rebase(by));
        row.classical_scale
            .iter_mut()
            .chain(row.served_scale.iter_mut())
            .for_each(|scale| scale.rebase(by));
        let classical = mixture::len(experts.classical().len());
        row.classical_mix
            .chunks_exact_mut(classical)
            .for_each(|mix| mixture::rebase(mix, by));
        row.served_mix
            .chunks_exact_mut(mixture::len(experts.len()))
            .for_each(|mix| mixture::rebase(mix, by));
        pending::rebase(row.pending, experts.len(), by);
        origins::rebase(row.origins, by);
    }
}

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
        let in_flight = if same_experts { &shared_horizons[..] } else { &[] };
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
            self.from.counts.words_1().next_multiple_of(LINE_WORDS)
        } else {
            self.from.words()
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

    /// Makes the zeroed row `new` that of the stream whose row was `old`; what `old` has not begins as in a new stream.
    pub(crate) fn carry(&self, old: &mut [f32], new: &mut [f32]) {
        let mut row = self.to.row(new);
        self.to.start(&mut row);
        let old = self.from.row(old);
        row.take_over(&old, &self.by);
        if !self.by.same_experts {
            self.mixes(&old, &mut row);
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

impl Row<'_> {
    /// Everything the stream knows of its past, the newest step included.
    pub(crate) fn past<'a>(&'a self, grid: &'a Grid, local_ms: i64) -> Past<'a> {
        Past {
            calendar: &grid.calendar,
            local_ms,
            steps: self.progress.steps.saturating_sub(1),
            last: self.motion.last,
            ring: self.ring,
            ring_values: self.ring_values,
            season: self.season,
            season_means: self.season_means,
            day: ProfileView {
                state: self.day,
                means: self.day_means,
                visits: self.day_visits,
                rules: &grid.day,
            },
            week: ProfileView {
                state: self.week,
                means: self.week_means,
                visits: self.week_visits,
                rules: &grid.week,
            },
            hour: ProfileView {
                state: self.hour,
                means: self.hour_means,
                visits: self.hour_visits,
                rules: &grid.hour,
            },
        }
    }
}

/// The row's fields with their sizes; their sum is the row's size, padding included.
///
/// # Panics
/// Where an expert's name is unknown.
#[must_use]
pub fn row_table(config: &Config) -> Vec<FieldSize> {
    let layout = Layout::new(config);
    let mut fields = layout.counts.fields();
    let padding = (layout.words() - layout.counts.words()) * size_of::<f32>();
    fields.push(FieldSize {
        name: "padding",
        bytes: padding,
        what: "to whole cache lines",
    });
    fields
}
