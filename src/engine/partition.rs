//! State of one partition: its streams, the model that serves them, the batch in hand.

use std::sync::Arc;

use crate::engine::batch::{Batch, Entry, NO_SLOT};
use crate::engine::index::{Index, mix, stable_hash};
use crate::engine::issue::{Mixes, show_weights, status};
use crate::engine::setup::Setup;
use crate::engine::slab::Slab;
use crate::engine::{Model, PartitionStats, Status};
use crate::series::observation::{Observation, Partition};

/// State of one partition.
#[derive(Debug)]
pub struct PartitionState {
    pub(crate) setup: Arc<Setup>,
    pub(crate) model: Arc<Model>,
    pub(crate) index: Index,
    pub(crate) slab: Slab,
    pub(crate) batch: Batch,
    pub(crate) stats: PartitionStats,
}

/// A stream as people see it; original units.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamView {
    /// Newest reading; `None` before the first one.
    pub last: Option<f64>,
    /// Event time of the newest step (its tick), milliseconds since 1970.
    pub time_ms: i64,
    /// 0 while unknown.
    pub interval_ms: i64,
    /// Steps of the main season; 1 = none.
    pub season: u32,
    /// How far it is.
    pub status: Status,
    /// Name and weight at horizon 1; sums to 1.
    pub experts: Vec<(&'static str, f64)>,
    /// Share of matured one-step forecasts whose band held, exponentially weighted; `None` before the first.
    pub coverage: Option<f64>,
    /// 1 − (error of the published median / error of last value) at horizon 1, exponentially weighted.
    pub skill: Option<f64>,
    /// The stream's scale σ.
    pub scale: f64,
}

impl PartitionState {
    pub(crate) fn new(setup: Arc<Setup>, topic: &str, partition: Partition, model: Arc<Model>) -> Self {
        assert_fits(&setup, &model);
        let seed = stable_hash(partition.0 as u64, topic.as_bytes());
        Self {
            index: Index::new(seed),
            slab: Slab::new(setup.layout.words()),
            batch: Batch::default(),
            stats: PartitionStats::new(&setup.plan, &setup.config.quantiles),
            setup,
            model,
        }
    }

    /// Interns the stream and appends to the batch.
    pub(crate) fn admit(&mut self, observation: &Observation<'_>) {
        let slot = match self.index.get(observation.stream) {
            Some(slot) => slot as u32,
            None if self.index.len() < self.setup.config.streams_max => self.begin(observation.stream),
            None => NO_SLOT,
        };
        self.batch.push(Entry {
            slot,
            time_ms: observation.time_ms,
            value: observation
                .value
                .filter(|value| value.is_finite())
                .unwrap_or(f64::NAN),
            source: observation.source,
        });
    }

    fn begin(&mut self, id: &str) -> u32 {
        let slot = self.index.insert(id);
        let grown = self.slab.grow();
        assert_eq!(slot, grown, "a row per id");
        let mut row = self.setup.layout.row(self.slab.row_mut(slot));
        self.setup.layout.start(&mut row);
        row.progress.lineage = self.model.lineage;
        slot as u32
    }

    /// The version that serves.
    #[must_use]
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Serves `model` from the next step on. Same lineage: states are carried on. Another: a stream's state is made
    /// anew from its ring at its next observation.
    ///
    /// # Panics
    /// Where the model does not fit the pipeline's shape ([`Model::fits`]), or observations are admitted but not
    /// stepped.
    pub fn adopt(&mut self, model: Arc<Model>) {
        assert_fits(&self.setup, &model);
        assert_eq!(self.batch.waiting(), 0, "models are switched between steps");
        self.model = model;
    }

    /// Streams held.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.index.len()
    }

    /// Ids in the order of their first observation.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        (0..self.index.len()).map(|slot| self.index.id(slot))
    }

    /// A stream as people see it.
    #[must_use]
    pub fn stream(&self, id: &str) -> Option<StreamView> {
        let setup = &*self.setup;
        let mut copy = self.slab.copy(self.index.get(id)?);
        let row = setup.layout.row(copy.words());
        let grid = setup.grid(row.cadence.interval_ms());
        let step = row.progress.steps.saturating_sub(1);
        let mut experts = vec![("", 0.0); setup.experts().len()];
        let mixes = Mixes {
            classical: row.classical_mix,
            served: row.served_mix,
            silent: self.model.silent,
        };
        show_weights(setup.experts(), &grid.calendar, &mixes, &mut experts);
        Some(StreamView {
            last: row
                .scaler
                .is_started()
                .then(|| row.scaler.restore(row.motion.last)),
            time_ms: row.cadence.time_ms(row.cadence.newest()),
            interval_ms: row.cadence.interval_ms(),
            season: grid.season(),
            status: status(&grid, step, false),
            experts,
            coverage: row.standing.coverage.rate().map(f64::from),
            skill: row.standing.skill(),
            scale: row.scaler.sigma(),
        })
    }

    /// Observations admitted and not yet stepped.
    #[must_use]
    pub const fn admitted(&self) -> usize {
        self.batch.waiting()
    }

    /// For metrics.
    #[must_use]
    pub const fn stats(&self) -> &PartitionStats {
        &self.stats
    }

    /// Memory of the slab, the index and the ids.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slab.bytes() + self.index.bytes()
    }

    /// A hash of every stream's id and state, in order of first observation: equal where the state is bitwise equal.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        (0..self.slab.len()).fold(0, |hash, slot| {
            let with_id = stable_hash(mix(hash), self.index.id(slot).as_bytes());
            stable_hash(with_id, bytemuck::cast_slice(self.slab.row(slot)))
        })
    }
}

fn assert_fits(setup: &Setup, model: &Model) {
    if let Err(error) = model.fits(&setup.shape) {
        panic!("a model that does not fit was offered: {error}");
    }
}
