//! The engine: observations in, forecasts out.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use crate::engine::advance::{Context, prepare, replay};
use crate::engine::batch::{NO_SLOT, Verdict};
use crate::engine::issue::{Publish, complete};
use crate::engine::output::{Outcomes, Outputs};
use crate::engine::partition::seed_of;
use crate::engine::row::Layout;
use crate::engine::seasons;
use crate::engine::setup::{Grids, Setup};
use crate::engine::snapshot::Content;
use crate::engine::tape::{TAPE_CHUNKS, rows_per_chunk};
use crate::engine::wave::{Job, WAVE_ROWS, Wave};
use crate::engine::{Config, HorizonPlan, Model, PartitionState, TapeBuffer, TapeDims};
use crate::series::cadence::Placement;
use crate::series::observation::{Observation, Partition};
use crate::series::seasons::Choice;

/// Steps of a stream's past that make its hidden state anew under weights of another lineage: the window beyond which
/// carried state gained nothing (RECIPE §8.7).
const REPLAY_STEPS: usize = 64;

/// Rows that memory is asked for before they are stepped; heads of rows, before they are placed.
const ROWS_AHEAD: usize = 2;
const HEADS_AHEAD: usize = 8;

/// One worker's engine: configuration, scratch, output buffers, tape. Holds no state of a stream.
#[derive(Debug)]
pub struct Engine {
    setup: Arc<Setup>,
    grids: Grids,
    wave: Wave,
    /// Rows of the wave whose hidden state is to be made anew, with the steps there are to replay.
    remake: Vec<(usize, usize)>,
    /// (`WAVE_ROWS`, words) where compact rows are worked with.
    rooms: Vec<f32>,
    outputs: Outputs,
    tape: TapeBuffer,
}

impl Engine {
    /// An engine with its scratch allocated.
    ///
    /// # Panics
    /// Where `config` breaks a bound that its fields state.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let setup = Setup::new(config);
        let dims = TapeDims::of(&setup.shape);
        let chunks = if setup.config.tape_share > 0.0 {
            TAPE_CHUNKS
        } else {
            0
        };
        Self {
            grids: Grids::default(),
            wave: Wave::new(&setup.shape),
            remake: Vec::with_capacity(WAVE_ROWS),
            rooms: vec![0.0; WAVE_ROWS * setup.layout.room()],
            outputs: Outputs::new(&setup),
            tape: TapeBuffer::new(dims, rows_per_chunk(), chunks),
            setup: Arc::new(setup),
        }
    }

    pub(crate) const fn setup(&self) -> &Arc<Setup> {
        &self.setup
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.setup.config
    }

    /// Published and scored horizons.
    #[must_use]
    pub fn plan(&self) -> &HorizonPlan {
        &self.setup.plan
    }

    /// The state of a partition without a stream. `topic` and `partition` seed what must differ between streams (phase
    /// of sampled forecasts, tape keys).
    ///
    /// # Panics
    /// Where the model does not fit the pipeline's shape ([`Model::fits`]).
    #[must_use]
    pub fn partition(&self, topic: &str, partition: Partition, model: Arc<Model>) -> PartitionState {
        PartitionState::new(Arc::clone(&self.setup), topic, partition, model)
    }

    /// The partition that a snapshot is of, as it was when its capture began. `topic` and `partition` are the snapshot's.
    ///
    /// # Panics
    /// Where the model does not fit the pipeline's shape ([`Model::fits`]), or the content was read for another shape of
    /// rows ([`crate::engine::snapshot::form`]).
    #[must_use]
    pub fn restore(
        &self,
        topic: &str,
        partition: Partition,
        model: Arc<Model>,
        content: Content,
    ) -> PartitionState {
        let mut state = self.partition(topic, partition, model);
        state.fill(seed_of(topic, partition), content);
        state
    }

    /// Appends to the partition's batch. Never fails: what cannot be stepped has its outcome all the same.
    pub fn admit(&mut self, state: &mut PartitionState, observation: Observation<'_>) {
        state.admit(&observation);
    }

    /// Steps everything admitted. The batch is cleared at the next admit after a step.
    pub fn step<'a>(&'a mut self, state: &'a mut PartitionState) -> Outcomes<'a> {
        self.outputs.clear(state.thin);
        state.batch.split(state.slab.len());
        for (entry, verdict) in state.batch.entries.iter().zip(&mut state.batch.verdicts) {
            if entry.slot == NO_SLOT {
                *verdict = Verdict::OverCapacity;
            }
        }
        for wave in 0..state.batch.waves() {
            let mut places = state.batch.wave(wave);
            while !places.is_empty() {
                let end = places.end.min(places.start + WAVE_ROWS);
                self.enter(state, places.start..end);
                self.remake(state);
                while !self.wave.jobs.is_empty() {
                    self.round(state);
                }
                places.start = end;
            }
        }
        state.count_outcomes();
        Outcomes {
            batch: &state.batch,
            index: &state.index,
            outputs: &self.outputs,
        }
    }

    /// From now on outcomes also hold what each expert said, and the forecasts of missing readings: what a backtest judges.
    /// State and published forecasts are the same bits.
    pub const fn watch(&mut self) {
        self.outputs.watched = true;
    }

    /// The tape.
    pub const fn tape(&mut self) -> &mut TapeBuffer {
        &mut self.tape
    }

    /// Places the readings on their grids; what takes a step becomes a job.
    fn enter(&mut self, state: &mut PartitionState, places: Range<usize>) {
        let layout = &self.setup.layout;
        for place in places.clone() {
            if place + HEADS_AHEAD < places.end {
                let entry = state.batch.entries[state.batch.entry_at(place + HEADS_AHEAD)];
                layout.read_head_ahead(state.slab.row(entry.slot as usize));
            }
            let number = state.batch.entry_at(place);
            match state.place(number) {
                Ok(job) => self.wave.jobs.push(job),
                Err(verdict) => state.batch.verdicts[number] = verdict,
            }
        }
    }

    /// Makes hidden states of another lineage anew from the rings.
    fn remake(&mut self, state: &mut PartitionState) {
        let lineage = state.model.lineage;
        self.remake.clear();
        let layout = &self.setup.layout;
        for (number, job) in self.wave.jobs.iter().enumerate() {
            if let Some(steps) = job.remake {
                self.remake.push((number, steps as usize));
            }
        }
        if self.remake.is_empty() {
            return;
        }
        self.remake
            .sort_unstable_by_key(|&(number, steps)| (Reverse(steps), number));
        let longest = self.remake[0].1;
        for (place, &(number, _)) in self.remake.iter().enumerate() {
            let rest = state.slab.row_mut(self.wave.jobs[number].slot as usize);
            layout.open(rest, room(&mut self.rooms, layout, place));
        }
        self.wave.state[..].fill(0.0);
        for lag in (0..longest).rev() {
            // Sorted by length: those with a past this long come first.
            let rows = self.remake.partition_point(|&(_, steps)| steps > lag);
            for place in 0..rows {
                let job = self.wave.jobs[self.remake[place].0];
                let rest = state.slab.row_mut(job.slot as usize);
                let row = layout.opened(rest, room(&mut self.rooms, layout, place));
                let grid = self.grids.get(&self.setup, job.interval_ms, row.choice());
                replay(&row, grid, job.time_ms, lag, self.wave.inputs_of(place));
            }
            self.wave.step(&state.model.network, rows);
        }
        for (place, &(number, _)) in self.remake.iter().enumerate() {
            let rest = state.slab.row_mut(self.wave.jobs[number].slot as usize);
            let room = room(&mut self.rooms, layout, place);
            let row = layout.opened(rest, room);
            row.hidden.copy_from_slice(self.wave.state_of(place));
            row.progress.lineage = lineage;
            layout.close(rest, room);
            state.stats.states_remade += 1;
        }
    }

    /// One step of every job: masked where steps were left out, else the observation's own, which ends the job.
    fn round(&mut self, state: &mut PartitionState) {
        let setup = &*self.setup;
        let rows = self.wave.jobs.len();
        for number in 0..rows + ROWS_AHEAD {
            if let Some(job) = self.wave.jobs.get(number) {
                // Where a stream has other seasons this asks for less than it needs.
                let grid = self.grids.get(setup, job.interval_ms, Choice::default());
                let (slot, layout) = (job.slot as usize, &setup.layout);
                layout.read_ahead(state.slab.row(slot), grid, job.step, state.index.key(slot));
            }
            let Some(number) = number.checked_sub(ROWS_AHEAD) else {
                continue;
            };
            let job = self.wave.jobs[number];
            let rest = state.slab.row_mut(job.slot as usize);
            let mut row = setup
                .layout
                .open(rest, room(&mut self.rooms, &setup.layout, number));
            let changed = seasons::change(&mut row);
            let grid = self.grids.get(setup, job.interval_ms, row.choice());
            if let Some(changed) = changed {
                seasons::follow((setup, grid), &job, &mut row, &changed);
                state.stats.season_changes += 1;
            }
            let context = Context {
                setup,
                grid,
                key: state.index.key(job.slot as usize),
            };
            prepare(
                &context,
                &job,
                &mut row,
                &mut state.stats,
                &mut self.wave.buffers(number),
            );
            self.wave.state_of(number).copy_from_slice(row.hidden);
        }
        self.wave.step(&state.model.network, rows);
        self.wave.head(&state.model.network, rows);
        let version = state.model.version;
        for number in 0..rows {
            let job = self.wave.jobs[number];
            let rest = state.slab.row_mut(job.slot as usize);
            let room = room(&mut self.rooms, &setup.layout, number);
            let mut row = setup.layout.opened(rest, room);
            let context = Context {
                setup,
                grid: self.grids.get(setup, job.interval_ms, row.choice()),
                key: state.index.key(job.slot as usize),
            };
            let mut publish = Publish {
                outputs: &mut self.outputs,
                tape: &mut self.tape,
                stats: &mut state.stats,
                version,
                silent: state.model.silent,
            };
            let results = &mut self.wave.results(number);
            let verdict = complete(&context, &mut publish, &job, &mut row, results);
            setup.layout.close(rest, room);
            if job.masked == 0 {
                state.batch.verdicts[job.entry as usize] = verdict;
            }
        }
        self.wave.jobs.retain_mut(Job::pass);
    }
}

/// Room of a wave's row.
fn room<'a>(rooms: &'a mut [f32], layout: &Layout, number: usize) -> &'a mut [f32] {
    let len = layout.room();
    &mut rooms[number * len..(number + 1) * len]
}

impl PartitionState {
    /// The job of an entry, or what became of it without one.
    fn place(&mut self, number: usize) -> Result<Job, Verdict> {
        let entry = self.batch.entries[number];
        self.copy_first(entry.slot as usize);
        let layout = &self.setup.layout;
        let rest = self.slab.row_mut(entry.slot as usize);
        let row = layout.open_head(rest, &mut self.room);
        let placement = row.cadence.place(entry.time_ms, &self.setup.cadence);
        let (cadence, lineage) = (*row.cadence, row.progress.lineage);
        let mut past = row.ring.len();
        let mut step = row.progress.steps;
        let mut is_started = row.scaler.is_started();
        layout.close_head(rest, &self.room);
        let stale = matches!(placement, Placement::LongGap { .. });
        let (masked, skipped) = match placement {
            Placement::Duplicate => return Err(Verdict::Duplicate),
            Placement::Late => return Err(Verdict::Late),
            Placement::Pending => (0, 0),
            Placement::Restarted { found: true } => {
                // The season is known from here on: phases of sampling and slots of spreads are cut anew.
                let row = layout.open(rest, &mut self.room);
                row.pending.fill(0.0);
                row.origins.fill(0.0);
                row.spread_visits.fill(0.0);
                layout.close(rest, &mut self.room);
                (0, 0)
            }
            Placement::Tick { gap } => (gap, 0),
            // The last of the empty steps is the masked one; the others are passed over.
            Placement::LongGap { steps } => (1, steps - 1),
            Placement::Restarted { found: false } => {
                let priors = self.model.priors.as_ref();
                layout.begin(rest, &mut self.room, |row| {
                    if let Some(priors) = priors {
                        priors.begin(layout, row);
                    }
                    *row.cadence = cadence;
                    row.progress.lineage = lineage;
                });
                is_started = false;
                (past, step) = (0, 0);
                self.stats.restarts += 1;
                (0, 0)
            }
        };
        if entry.value.is_nan() && !is_started {
            return Err(Verdict::Missing);
        }
        self.stats.gaps += u64::from(masked > 0 && !stale);
        self.stats.long_gaps += u64::from(stale);
        Ok(Job {
            entry: number as u32,
            slot: entry.slot,
            step: step.saturating_add(skipped),
            // Before the first reading there is nothing to run.
            masked: if is_started { masked } else { 0 },
            skipped: if is_started { skipped } else { 0 },
            remake: (lineage != self.model.lineage).then_some(past.min(REPLAY_STEPS) as u32),
            stale,
            time_ms: cadence.time_ms(cadence.newest()),
            interval_ms: cadence.interval_ms(),
            value: entry.value,
        })
    }

    fn count_outcomes(&mut self) {
        let counts = &mut self.stats.outcomes;
        for verdict in &self.batch.verdicts {
            *match verdict {
                Verdict::Forecast(_) => &mut counts.forecast,
                Verdict::Duplicate => &mut counts.duplicate,
                Verdict::Late => &mut counts.late,
                Verdict::Missing => &mut counts.missing,
                Verdict::OverCapacity => &mut counts.over_capacity,
                Verdict::Muted | Verdict::Open => &mut counts.muted,
            } += 1;
        }
    }
}
