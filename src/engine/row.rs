//! The fixed row of a stream: its one declaration, and what it can do as a whole.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::engine::compact;
use crate::engine::config::{self, Config, Profile};
use crate::engine::dims::{PAIR, RowDims};
use crate::engine::layout::{Keyed, Matches, codes_of, declare_row, take, words_of};
use crate::engine::motion::Motion;
use crate::engine::priors;
use crate::engine::setup::Grid;
use crate::engine::slab::LINE_WORDS;
use crate::engine::standing::Standing;
use crate::engine::storage::Storage;
use crate::engine::{HorizonPlan, shape};
use crate::experts::anomaly::Anomaly;
use crate::experts::base::{Past, SHARES};
use crate::experts::drift::Drift;
use crate::experts::linear::{self, covariance};
use crate::experts::scale::{Level, OneStep, Scale};
use crate::experts::share::Share;
use crate::experts::{centre, mixture, origins, pending, quantiles, stack};
use crate::series::Rebase;
use crate::series::cadence::Cadence;
use crate::series::profile::{self, ProfileView};
use crate::series::ring::Ring;
use crate::series::scaler::Scaler;
use crate::series::season_ring::{KEPT, SeasonRing};
use crate::series::seasons::{Choice, Seasons};

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

/// Drift of both chains of a scored horizon. Zeroed = none.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Drifts {
    pub(crate) classical: Drift,
    pub(crate) served: Drift,
}

declare_row! {
    dims dims: RowDims;
    one {
        cadence: Cadence as ("xxxbxxxxxbxbxbxbxbxbxbxbxb") = "grid in time";
        progress: Progress as ("xsxx") = "steps, lineage of the hidden state";
        scaler: Scaler as ("xx-x---x-xssbbb-") = "level, scale, units";
        ring: Ring as ("-b") = "cursor of the ring";
        motion: Motion as ("gggghghg") = "levels and changes for the network's inputs";
        level: Level as ("ghh") = "slow level and its spread";
        classical_step: OneStep as ("hhh") = "one-step errors of the experts' mix";
        served_step: OneStep as ("hhh") = "one-step errors of the served forecast";
        day: profile::Profile as ("gsb") = "open slot of the main season's profile";
        week: profile::Profile as ("gsb") = "open slot of the long season's profile";
        hour: profile::Profile as (if dims.hour_slots() > 0 { "gsb" } else { "-" }) = "open slot of the short season's profile";
        season: SeasonRing as ("xxxxgsxb") = "open slot of a main season too long for the ring";
        anomaly: Anomaly as ("gghuuuuuuuuxbx") = "what errors are usual";
        standing: Standing as ("ghhhh") = "live coverage and skill";
    }
    many {
        hidden: [f32; dims.state_len] by Stream as ("h") = "hidden state of the network";
        errors: [f32; dims.horizons()] by Horizon as ("h") = "newest matured errors, inputs of the network";
        ring_values: [f32; dims.profile.ring()] by Stream as ("h") = "newest values; a long season's slot means share their place in a compact row";
        season_means: [f32; KEPT] by Stream as ("-") = "slot means of a main season too long for the ring";
        day_means: [f32; dims.profile.day_slots()] by Stream as ("h") = "profile of the main season";
        day_visits: [f32; dims.profile.day_slots()] by Stream as ("n") = "visits of its slots";
        week_means: [f32; WEEK_SLOTS] by Stream as ("h") = "profile of the long season";
        week_visits: [f32; WEEK_SLOTS] by Stream as ("d") = "visits of its slots";
        hour_means: [f32; dims.hour_slots()] by Stream as ("h") = "profile of the short season";
        hour_visits: [f32; dims.hour_slots()] by Stream as ("n") = "visits of its slots";
        shares: [Share; dims.horizons() * SHARES] by Horizon as (compact::share_codes(dims)) = "learnt shares of today's deviation";
        classical_mix: [f32; dims.horizons() * mixture::len(dims.experts.classical().len())] by Mix as ("h") = "weights without the network";
        served_mix: [f32; dims.horizons() * mixture::len(dims.experts.len())] by Mix as ("h") = "weights with the network";
        classical_scale: [Scale; dims.horizons()] by Horizon as ("hhhh-------") = "scale without the network";
        served_scale: [Scale; dims.horizons()] by Horizon as ("hghhhhhhhhh") = "scale of the served forecast";
        classical_spread: [f32; dims.spread()] by Spread as ("-") = "error by slot of the season, without the network";
        served_spread: [f32; dims.spread()] by Spread as ("h") = "error by slot of the season, as served";
        spread_visits: [f32; dims.spread()] by Spread as ("t") = "visits of these slots";
        tracked: [f32; dims.horizons() * dims.levels.len()] by Level as (compact::tracked_codes(dims)) = "tracked quantiles: the calibration";
        pending: [f32; dims.pending()] by Flight as (compact::flight_codes(dims)) = "forecasts in flight";
    }
    since 2
    one {
    }
    many {
        classical_stack: [f32; dims.stacks(dims.experts.classical())] by Mix as ("x") = "least squares around the mix without the network";
        served_stack: [f32; dims.stacks(dims.experts)] by Mix as ("x") = "least squares around the mix with the network";
        classical_pair: [f32; dims.pairs()] by Horizon as ("x") = "weights of mix and least squares without the network";
        served_pair: [f32; dims.pairs()] by Horizon as ("x") = "weights of mix and least squares with the network";
        covariance: [f32; dims.covariance()] by Stream as ("x") = "covariance of the linear experts";
        linear: [f32; dims.horizons() * dims.linear() * linear::WEIGHTS_LEN] by Horizon as ("x") = "weights of the linear experts";
        origins: [f32; dims.origins()] by Origin as ("x") = "regressors of the forecasts in flight";
        drifts: [Drifts; dims.horizons()] by Horizon as ("----") = "whether errors are what the scales say; a compact row keeps none";
        seasons: [Seasons; usize::from(dims.finds_seasons)] by Stream as ("-") = "which seasons there are; a compact row keeps the calendar's";
    }
}

/// Where the fields of a row lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(super) counts: Counts,
    pub(crate) dims: RowDims,
    /// (K) where each scored horizon's slots begin in `pending`, and the end.
    pending_starts: Vec<usize>,
    /// Of the priors that rows of this layout begin with.
    pub(crate) prior_form: u64,
    /// (K) where each scored horizon's origins lie in `origins`; none without linear experts.
    pub(super) origins: Vec<Range<usize>>,
    /// How rows rest, where not as they are.
    pub(super) storage: Option<Storage>,
    /// Words of a row at rest that every step reads.
    pub(super) hot: Vec<Range<usize>>,
}

/// Fields that a reading's place on the grid is found from: cadence, progress, scaler, ring.
const HEAD_FIELDS: usize = 4;

impl Layout {
    /// # Panics
    /// Where an expert's name is unknown: the configuration was not validated.
    pub(crate) fn new(config: &Config) -> Self {
        let dims = RowDims {
            scored: HorizonPlan::of(config).scored,
            experts: config.expert_set(),
            levels: config.quantiles.iter().map(|&level| level as f32).collect(),
            state_len: shape(config).state_len(),
            profile: config.profile,
            finds_seasons: config.profile == Profile::Accurate && config.seasons == config::Seasons::Auto,
        };
        Self::of(dims)
    }

    pub(super) fn of(dims: RowDims) -> Self {
        let mut pending_starts = vec![0];
        for &b in &dims.scored {
            let end = pending_starts.last().expect("begins with 0")
                + dims.profile.flights().len(b, dims.experts.len());
            pending_starts.push(end);
        }
        let origins = if dims.linear() > 0 {
            origins::places(&dims.scored).0
        } else {
            Vec::new()
        };
        let mut layout = Self {
            counts: Counts::new(&dims),
            prior_form: priors::form_of(&dims),
            dims,
            pending_starts,
            origins,
            storage: None,
            hot: Vec::new(),
        };
        if layout.dims.profile == Profile::Compact {
            let mut fresh = vec![0.0; layout.words()];
            layout.start(&mut layout.row(&mut fresh));
            let fields = codes_of(layout.counts.codes(&layout.dims));
            layout.storage = Some(Storage::new(&fields, HEAD_FIELDS, fresh));
        }
        layout.hot = layout.hot();
        layout
    }

    /// f32 words of a row at rest, whole lines.
    pub(crate) fn rest_words(&self) -> usize {
        let at_rest = |storage: &Storage| storage.bytes().div_ceil(size_of::<f32>());
        self.storage
            .as_ref()
            .map_or_else(|| self.words(), at_rest)
            .next_multiple_of(LINE_WORDS)
    }

    /// f32 words of the room that [`Layout::open`] wants.
    pub(crate) fn room(&self) -> usize {
        if self.storage.is_some() { self.words() } else { 0 }
    }

    /// The row that rests in `rest`, to work with: there, or unpacked into `room`. What is changed is kept by
    /// [`Layout::close`].
    pub(crate) fn open<'a>(&self, rest: &'a mut [f32], room: &'a mut [f32]) -> Row<'a> {
        let Some(storage) = &self.storage else {
            return self.row(rest);
        };
        storage.unpack(bytemuck::cast_slice(rest), room);
        let mut row = self.row(room);
        compact::unfold(&mut row, &self.dims);
        row
    }

    /// The row that was opened in `room`.
    pub(crate) fn opened<'a>(&self, rest: &'a mut [f32], room: &'a mut [f32]) -> Row<'a> {
        self.row(if self.storage.is_some() { room } else { rest })
    }

    /// Lays the row that was opened in `room` to rest again; afterwards `room` means nothing.
    pub(crate) fn close(&self, rest: &mut [f32], room: &mut [f32]) {
        if let Some(storage) = &self.storage {
            compact::fold(&mut self.row(room));
            storage.pack(room, bytemuck::cast_slice_mut(rest));
        }
    }

    /// As [`Layout::open`], but cadence, progress, scaler and the ring's length alone: the other fields mean nothing.
    pub(crate) fn open_head<'a>(&self, rest: &'a mut [f32], room: &'a mut [f32]) -> Row<'a> {
        let Some(storage) = &self.storage else {
            return self.row(rest);
        };
        storage.unpack_head(bytemuck::cast_slice(rest), room);
        self.row(room)
    }

    /// As [`Layout::close`], after [`Layout::open_head`].
    pub(crate) fn close_head(&self, rest: &mut [f32], room: &[f32]) {
        if let Some(storage) = &self.storage {
            storage.pack_head(room, bytemuck::cast_slice_mut(rest));
        }
    }

    /// Lays a fresh row, changed by `change`, into `rest`.
    pub(crate) fn begin(&self, rest: &mut [f32], room: &mut [f32], change: impl FnOnce(&mut Row<'_>)) {
        let words = if self.storage.is_some() {
            &mut *room
        } else {
            &mut *rest
        };
        words.fill(0.0);
        let mut row = self.row(words);
        self.start(&mut row);
        change(&mut row);
        self.close(rest, room);
    }

    /// f32 words of a row, whole lines.
    pub(crate) fn words(&self) -> usize {
        self.counts.words().next_multiple_of(LINE_WORDS)
    }

    /// f32 words of a row of format 1 of the same dimensions, whole lines.
    pub(crate) fn words_1(&self) -> usize {
        // `pending` is the last of its fields.
        let pending = words_of(self.counts.pending, size_of::<f32>());
        let pending_1 = words_of(self.dims.pending_1(), size_of::<f32>());
        (self.counts.words_1() - pending + pending_1).next_multiple_of(LINE_WORDS)
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
        for (stacks, experts) in [
            (&mut row.classical_stack, experts.classical()),
            (&mut row.served_stack, *experts),
        ] {
            stacks
                .chunks_exact_mut(stack::len(experts.len()))
                .for_each(stack::start);
        }
        row.classical_pair
            .chunks_exact_mut(PAIR)
            .chain(row.served_pair.chunks_exact_mut(PAIR))
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
        row.seasons.iter_mut().for_each(|seasons| seasons.rebase(by));
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
        row.classical_pair
            .chunks_exact_mut(PAIR)
            .chain(row.served_pair.chunks_exact_mut(PAIR))
            .for_each(|pair| mixture::rebase(pair, by));
        row.classical_stack
            .chunks_exact_mut(stack::len(experts.classical().len()))
            .chain(row.served_stack.chunks_exact_mut(stack::len(experts.len())))
            .for_each(|stack| stack::rebase(stack, by));
        pending::rebase(row.pending, experts.len(), by);
        origins::rebase(row.origins, by);
    }
}

impl Row<'_> {
    /// Weights of the classical centre at scored horizon `k`, of so many experts.
    pub(crate) fn classical_weights(&self, k: usize, experts: usize) -> centre::Weights<'_> {
        weights(
            &self.classical_mix[..],
            self.classical_stack,
            self.classical_pair,
            (k, experts),
        )
    }

    /// Weights of the served centre at scored horizon `k`, of so many experts.
    pub(crate) fn served_weights(&self, k: usize, experts: usize) -> centre::Weights<'_> {
        weights(
            &self.served_mix[..],
            self.served_stack,
            self.served_pair,
            (k, experts),
        )
    }

    /// State of both centres at scored horizon `k`; of so many experts without the network, and with it.
    pub(crate) fn centres(&mut self, k: usize, (few, all): (usize, usize)) -> [centre::State<'_>; 2] {
        let at = |len: usize| k * len..(k + 1) * len;
        [
            centre::State {
                mix: &mut self.classical_mix[at(mixture::len(few))],
                stack: self
                    .classical_stack
                    .get_mut(at(stack::len(few)))
                    .unwrap_or_default(),
                pair: self.classical_pair.get_mut(at(PAIR)).unwrap_or_default(),
            },
            centre::State {
                mix: &mut self.served_mix[at(mixture::len(all))],
                stack: self.served_stack.get_mut(at(stack::len(all))).unwrap_or_default(),
                pair: self.served_pair.get_mut(at(PAIR)).unwrap_or_default(),
            },
        ]
    }

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
                rules: &grid.profiles.day,
            },
            week: ProfileView {
                state: self.week,
                means: self.week_means,
                visits: self.week_visits,
                rules: &grid.profiles.week,
            },
            hour: ProfileView {
                state: self.hour,
                means: self.hour_means,
                visits: self.hour_visits,
                rules: &grid.profiles.hour,
            },
        }
    }

    /// Seasons in use beside the calendar's.
    pub(crate) fn choice(&self) -> Choice {
        self.seasons.first().map_or_else(Choice::default, Seasons::choice)
    }
}

fn weights<'a>(
    mix: &'a [f32],
    stacks: &'a [f32],
    pair: &'a [f32],
    (k, experts): (usize, usize),
) -> centre::Weights<'a> {
    let (mix_len, stack_len) = (mixture::len(experts), stack::len(experts));
    // A compact row has no stack.
    let of = |all: &'a [f32], len: usize| all.get(k * len..(k + 1) * len);
    centre::Weights {
        mix: mixture::weights(&mix[k * mix_len..(k + 1) * mix_len]),
        stack: of(stacks, stack_len).map_or(&[], stack::weights),
        pair: of(pair, PAIR).map_or(&[], mixture::weights),
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
    if let Some(storage) = &layout.storage {
        for (field, &bytes) in fields.iter_mut().zip(storage.sizes()) {
            field.bytes = bytes;
        }
        fields.retain(|field| field.bytes > 0);
    }
    let used: usize = fields.iter().map(|field| field.bytes).sum();
    fields.push(FieldSize {
        name: "padding",
        bytes: layout.rest_words() * size_of::<f32>() - used,
        what: "to whole cache lines",
    });
    fields
}
