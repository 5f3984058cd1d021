//! The trainer: one network's weights, learning along the tape.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::engine::{Model, ModelVersion, Origin, TapeChunk, TapeDims};
use crate::nn::{Batch, Params};
use crate::training::fitting::{Fitting, Losses};
use crate::training::gate::{BATCHES_MIN, Pair, Verdict, Window};
use crate::training::learner::{Learned, Learner};
use crate::training::pool::Pool;
use crate::training::schedule::{Schedule, batches_behind};
use crate::training::state::{State, StateError, checksum, window};
use crate::training::tape::{Layout, Segment, Tape};
use crate::training::{Config, Offer, Reason, Stats, Step};

/// An online update is at least this many mini-batches away from the version before it (RECIPE §8).
const BATCHES_PER_UPDATE: u64 = 12;
/// The gradient by lag costs a mini-batch; it changes slowly.
const LAG_EVERY: u64 = 64;

/// Learns one pipeline's weights. The module's text says how it is driven.
#[derive(Debug)]
pub struct Trainer {
    config: Config,
    rng: Pcg64Mcg,
    tape: Tape,
    schedule: Schedule,
    learner: Learner,
    pool: Pool,
    fitting: Fitting,
    /// Of the trained shape, output layers 0: the experts' own mix.
    silent: Params,
    /// What the gate holds to be served.
    served: Arc<Model>,
    /// The best version before it, as far as fresh rows told.
    ancestor: Option<Arc<Model>>,
    /// The averaged weights as they were last scored: what an update offers.
    candidate: Params,
    /// candidate − served, since the newest version.
    update: Window,
    /// served − ancestor, since that became the ancestor.
    regret: Window,
    /// Mini-batches trained since the newest version or reset.
    batches_since: u64,
    /// What was offered and not yet answered.
    offered: Option<(ModelVersion, Reason)>,
    decided_ms: Option<i64>,
    batch: Batch,
    segments: Vec<Segment>,
    stats: Stats,
    #[cfg(test)]
    is_gate_open: bool,
}

impl Trainer {
    /// Starts from `model`, the newest version. `horizons` (K) are the steps ahead that the network is scored at,
    /// ascending.
    ///
    /// # Panics
    /// If `horizons` does not have K entries, or `chunk` or `batch` is 0.
    #[must_use]
    pub fn new(config: Config, horizons: &[u32], model: Arc<Model>, seed: u64) -> Self {
        assert!(config.chunk > 0 && config.batch > 0, "a mini-batch has rows");
        let shape = model.params.shape();
        assert_eq!(shape.horizons, horizons.len(), "K horizons");
        let layout = Layout::new(TapeDims::of(shape), config.chunk, horizons);
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            tape: Tape::new(layout, config.tape_bytes),
            schedule: Schedule::new(&config, batches_behind(&model, BATCHES_PER_UPDATE)),
            learner: Learner::new(&model.params, config.chunk, config.batch),
            pool: Pool::new(model.priors.as_ref()),
            fitting: Fitting::START,
            silent: Params::init(shape, 0),
            ancestor: None,
            candidate: model.params.clone(),
            update: Window::default(),
            regret: Window::default(),
            batches_since: 0,
            offered: None,
            decided_ms: None,
            batch: Batch::default(),
            segments: Vec::with_capacity(config.batch),
            stats: Stats::unknown(),
            served: model,
            config,
            #[cfg(test)]
            is_gate_open: false,
        }
    }

    /// Takes the rows of `chunk` onto the tape and returns it empty. A chunk of other widths (served by a version of
    /// another shape) is refused and counted.
    pub fn absorb(&mut self, mut chunk: TapeChunk) -> TapeChunk {
        let taken = self.tape.absorb(&chunk);
        self.pool.absorb(&chunk);
        self.schedule.earn(taken, self.tape.rows());
        chunk.clear();
        chunk
    }

    /// Scores or trains one mini-batch at most. Costs up to three forward passes or one training step.
    pub fn work(&mut self) -> Step {
        let fresh = self.tape.fresh();
        if fresh > 0 && self.is_untrained() {
            self.tape.pass_fresh();
        } else if fresh > 0 && fresh >= self.config.batch.min(self.tape.streams()) {
            return self.score();
        }
        // Fewer rows than a mini-batch would be drawn over and over before anything could be tested on new ones.
        let rows_min = self.config.chunk * self.config.batch;
        if !self.schedule.is_due() || self.tape.material_rows() < rows_min {
            return Step::Idle;
        }
        self.train()
    }

    /// Nothing to compare: the trained weights are the served ones and there is no ancestor.
    fn is_untrained(&self) -> bool {
        self.batches_since == 0 && self.ancestor.is_none()
    }

    fn score(&mut self) -> Step {
        self.tape.take_fresh(self.config.batch, &mut self.segments);
        self.tape.fill(&self.segments, &mut self.batch);
        self.learner.copy_average(&mut self.candidate);
        let (mut served, mut other) = (Vec::new(), Vec::new());
        let weight = self.learner.score(&self.served.params, &self.batch, &mut served);
        if weight > 0.0 {
            self.learner.score(&self.candidate, &self.batch, &mut other);
            Pair::of(&other, &served)
                .into_iter()
                .for_each(|pair| self.update.push(pair));
            if let Some(ancestor) = &self.ancestor {
                self.learner.score(&ancestor.params, &self.batch, &mut other);
                Pair::of(&served, &other)
                    .into_iter()
                    .for_each(|pair| self.regret.push(pair));
            }
        }
        if self.update.len() > 0 {
            self.stats.fresh_loss = self.update.reference();
            self.stats.paired_difference = self.update.mean();
            self.stats.paired_error = self.update.error();
        }
        let rows = self.rows();
        self.compare();
        Step::Scored { rows }
    }

    /// The averaged weights on the fresh rows in hand and on as many rows of material, both against the experts' own mix.
    /// Takes the mini-batch over.
    fn compare(&mut self) {
        if self.tape.material_rows() < self.config.chunk * self.config.batch {
            return;
        }
        let fresh = self.gain();
        self.tape
            .sample(&mut self.rng, self.config.batch, &mut self.segments);
        self.tape.fill(&self.segments, &mut self.batch);
        if let (Some(material), Some(fresh)) = (self.gain(), fresh) {
            self.fitting.push(&material, &fresh);
        }
    }

    fn gain(&mut self) -> Option<Losses> {
        let (mut own, mut silent) = (Vec::new(), Vec::new());
        self.learner.score(&self.candidate, &self.batch, &mut own);
        self.learner.score(&self.silent, &self.batch, &mut silent);
        Losses::of(&own, &silent)
    }

    fn train(&mut self) -> Step {
        self.tape
            .sample(&mut self.rng, self.config.batch, &mut self.segments);
        self.tape.fill(&self.segments, &mut self.batch);
        self.schedule.pay();
        if self.stats.batches.is_multiple_of(LAG_EVERY) {
            self.measure_lags();
        }
        let seed = self.rng.random();
        let step = match self
            .learner
            .step(&self.batch, self.schedule.learning_rate(), seed)
        {
            Learned::Nothing => Step::Idle,
            Learned::NonFinite => {
                self.stats.non_finite += 1;
                Step::NonFinite
            }
            Learned::Moved { loss, gradient_norm } => {
                self.schedule.trained();
                self.batches_since += 1;
                self.stats.batches += 1;
                self.stats.rows_trained += self.rows() as u64;
                self.stats.loss = loss;
                self.stats.gradient_norm = gradient_norm;
                Step::Trained {
                    loss,
                    gradient_norm,
                    rows: self.rows(),
                }
            }
        };
        if self.learner.is_lost() {
            self.reset();
        }
        step
    }

    fn rows(&self) -> usize {
        self.segments.iter().map(Segment::rows).sum()
    }

    fn measure_lags(&mut self) {
        let norms = self.learner.gradient_norm_by_lag(&self.batch);
        let last = norms.len().saturating_sub(1);
        let mut lags: Vec<usize> = [0, 1, 2, 4, 8, 16, 32, 64, 128]
            .into_iter()
            .filter(|lag| *lag < last)
            .collect();
        lags.push(last);
        self.stats.gradient_norm_by_lag = lags.into_iter().map(|lag| (lag, norms[lag])).collect();
    }

    /// Sets the trained weights back to the served ones.
    fn reset(&mut self) {
        self.stats.resets += 1;
        self.start_from_served();
    }

    fn start_from_served(&mut self) {
        self.learner.reset(&self.served.params);
        self.schedule.zeroed();
        self.candidate = self.served.params.clone();
        self.update.clear();
        self.batches_since = 0;
        self.fitting = Fitting::START;
    }

    /// Weights that pass the gate; decides at most once per publish interval. `now_ms` is any clock that never goes
    /// back.
    ///
    /// The caller stores the model and answers with [`published`](Self::published) or [`adopt`](Self::adopt); without
    /// an answer (the store is away) nothing has changed and a later interval offers again.
    pub fn offer(&mut self, now_ms: i64) -> Option<Offer> {
        let interval_ms = i64::try_from(self.config.publish_interval.as_millis()).unwrap_or(i64::MAX);
        if self
            .decided_ms
            .is_some_and(|at| now_ms.saturating_sub(at) < interval_ms)
        {
            return None;
        }
        let is_update_due = self.batches_since >= BATCHES_PER_UPDATE && self.update.len() > 0;
        let (reason, params) = if let Some(ancestor) = self.better_ancestor() {
            (Reason::Rollback { to: ancestor.version }, ancestor.params.clone())
        } else if is_update_due {
            self.decided_ms = Some(now_ms);
            if !self.passes() {
                return None;
            }
            (Reason::Update, self.candidate.clone())
        } else {
            return None;
        };
        self.decided_ms = Some(now_ms);
        let origin = Origin {
            version: ModelVersion(self.served.version.0 + 1),
            parent: Some(reason.parent(self.served.version)),
            lineage: self.served.lineage,
            made: reason.as_str().into(),
        };
        self.offered = Some((origin.version, reason));
        Some(Offer {
            model: Arc::new(
                Model::from_params(origin, params)
                    .with_priors(self.pool.priors())
                    .with_fit(self.fitting.fit()),
            ),
            reason,
        })
    }

    /// The ancestor, where fresh rows say that the served version is significantly worse.
    fn better_ancestor(&self) -> Option<&Arc<Model>> {
        self.ancestor
            .as_ref()
            .filter(|_| self.regret.verdict() == Verdict::Worse)
    }

    /// The gate on the candidate. One that a whole window speaks against is given up.
    fn passes(&mut self) -> bool {
        #[cfg(test)]
        if self.is_gate_open {
            return true;
        }
        let is_first = self.served.is_first();
        let window_passes = if is_first {
            self.update.passes_first()
        } else {
            self.update.passes_update()
        };
        if self.candidate.is_finite() && window_passes {
            return true;
        }
        self.stats.refused += 1;
        if !is_first && self.update.is_full() && self.update.verdict() == Verdict::Worse {
            self.reset();
        }
        false
    }

    /// The offered model is stored and will be served: the gate measures against it from now on. One that was not
    /// offered is taken as by [`adopt`](Self::adopt).
    pub fn published(&mut self, model: Arc<Model>) {
        let reason = self
            .offered
            .take()
            .filter(|(version, _)| *version == model.version)
            .map(|(_, reason)| reason);
        self.stats.versions += u64::from(reason.is_some());
        match reason {
            Some(Reason::Rollback { .. }) => {
                // What led there is suspect: the trained weights start from the ancestor's too. It is its own best
                // ancestor until an update follows it.
                self.stats.rollbacks += 1;
                self.served = model;
                self.ancestor = None;
                self.regret.clear();
                self.start_from_served();
            }
            Some(Reason::Update) => {
                let before = std::mem::replace(&mut self.served, model);
                // Silent weights are no way back: the mixture leaves a network that loses to the experts aside by itself.
                // The versions since the ancestor are on probation together, until fresh rows say that they lose no more
                // than it: frequent updates would else never be compared with anything.
                let is_proven = self.regret.len() >= BATCHES_MIN && self.regret.mean() <= 0.0;
                if self.ancestor.is_none() || is_proven {
                    self.ancestor = Some(before).filter(|before| !before.is_first());
                    self.regret.clear();
                }
                self.update.clear();
                self.batches_since = 0;
            }
            None => self.adopt(model),
        }
    }

    /// Another version than the one offered is the newest (another trainer, an import): trains from it. Where it is of
    /// another lineage the tape's stored states are forgotten. Weights of another shape cannot serve this pipeline
    /// ([`Model::fits`]) and are passed over.
    pub fn adopt(&mut self, model: Arc<Model>) {
        let fits = model.params.shape() == self.served.params.shape();
        if fits && model.version != self.served.version {
            self.take_over(model);
        }
    }

    fn take_over(&mut self, model: Arc<Model>) {
        self.offered = None;
        if model.lineage != self.served.lineage {
            self.tape.forget_states();
        }
        self.served = model;
        self.ancestor = None;
        self.regret.clear();
        self.start_from_served();
    }

    /// Where it stands, to go on from after a restart.
    #[must_use]
    pub fn state(&self) -> State {
        let (owed, trained) = self.schedule.counts();
        State {
            served: self.served.version,
            lineage: self.served.lineage,
            weights: checksum(self.served.params.as_slice()),
            ancestor: self.ancestor.as_ref().map(|model| model.version),
            rng: self.rng.clone(),
            learner: self.learner.standing(),
            candidate: self.candidate.as_slice().to_vec(),
            owed,
            trained,
            batches_since: self.batches_since,
            update: self.update.pairs().copied().collect(),
            regret: self.regret.pairs().copied().collect(),
            fitting: self.fitting,
        }
    }

    /// Goes on from where `state` was, as a trainer of the same version; the tape fills anew. `ancestor` is the model that
    /// [`State::ancestor`] names: without it there is none to roll back to until the next version.
    ///
    /// # Errors
    /// It is of another version or other weights; nothing was changed.
    pub fn resume(&mut self, state: State, ancestor: Option<Arc<Model>>) -> Result<(), StateError> {
        let count = |params: &Params| params.as_slice().len() as u64;
        for (what, found, expected) in [
            ("version", state.served.0, self.served.version.0),
            ("lineage", state.lineage, self.served.lineage),
            (
                "a number of weights",
                state.learner.params.len() as u64,
                count(&self.candidate),
            ),
            (
                "weights with the checksum",
                u64::from(state.weights),
                u64::from(checksum(self.served.params.as_slice())),
            ),
        ] {
            if found != expected {
                return Err(StateError::Another {
                    what,
                    found,
                    expected,
                });
            }
        }
        let fits = |model: &Arc<Model>| {
            Some(model.version) == state.ancestor && model.params.shape() == self.served.params.shape()
        };
        self.ancestor = ancestor.filter(fits);
        self.regret = if self.ancestor.is_some() {
            window(&state.regret)
        } else {
            Window::default()
        };
        self.rng = state.rng;
        self.learner.resume(state.learner);
        self.candidate.as_mut_slice().copy_from_slice(&state.candidate);
        self.schedule.resume(state.owed, state.trained);
        self.batches_since = state.batches_since;
        self.update = window(&state.update);
        self.fitting = state.fitting;
        Ok(())
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            served_version: self.served.version.0,
            batches_owed: self.schedule.owed(),
            loss_mean: self.learner.loss_mean(),
            fresh_batches: self.update.len(),
            learning_rate: self.schedule.learning_rate(),
            tape_rows: self.tape.rows(),
            tape_streams: self.tape.streams(),
            tape_bytes: self.tape.bytes(),
            rows_absorbed: self.tape.taken,
            rows_refused: self.tape.refused,
            rows_evicted: self.tape.evicted,
            ..self.stats.clone()
        }
    }

    /// What tests reach into.
    #[cfg(test)]
    pub(crate) fn parts(&mut self) -> (&mut Learner, &mut Schedule) {
        (&mut self.learner, &mut self.schedule)
    }

    #[cfg(test)]
    pub(crate) const fn swap_tape(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.tape, &mut other.tape);
    }

    /// Lets every candidate pass: the negative control of the gate.
    #[cfg(test)]
    pub(crate) fn open_gate(&mut self) {
        self.is_gate_open = true;
    }
}
