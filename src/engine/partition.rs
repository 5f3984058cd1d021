//! State of one partition: its streams, the model that serves them, the batch in hand.

use std::sync::Arc;

use crate::engine::batch::{Batch, Entry, NO_SLOT};
use crate::engine::clock::{Hearing, Voice};
use crate::engine::index::{Index, VACANT, mix, stable_hash};
use crate::engine::issue::{Mixes, show_weights, status};
use crate::engine::setup::Setup;
use crate::engine::slab::Slab;
use crate::engine::snapshot::{Capture, Content};
use crate::engine::{Clock, Model, PartitionStats, Status};
use crate::series::observation::{Observation, Partition};

/// State of one partition.
#[derive(Debug)]
pub struct PartitionState {
    pub(crate) setup: Arc<Setup>,
    pub(crate) model: Arc<Model>,
    pub(crate) index: Index,
    pub(crate) slab: Slab,
    /// Where a compact row is worked with.
    pub(crate) room: Vec<f32>,
    pub(crate) batch: Batch,
    pub(crate) stats: PartitionStats,
    pub(crate) clock: Clock,
    hearing: Hearing,
    /// Rows on their way into a snapshot; boxed, since most of the time there are none.
    pub(crate) capture: Option<Box<Capture>>,
    /// Whether forecasts are published with few of their horizons.
    pub(crate) thin: bool,
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
        Self {
            index: Index::new(seed_of(topic, partition)),
            slab: Slab::new(setup.layout.rest_words()),
            room: vec![0.0; setup.layout.room()],
            batch: Batch::default(),
            stats: PartitionStats::new(&setup.plan, &setup.config.quantiles),
            clock: Clock::START,
            hearing: Hearing::default(),
            capture: None,
            thin: false,
            setup,
            model,
        }
    }

    /// Takes the streams of a snapshot; it has none yet.
    pub(crate) fn fill(&mut self, seed: u64, content: Content) {
        let Content {
            mut index,
            slab,
            clock,
        } = content;
        assert_eq!(
            slab.words(),
            self.slab.words(),
            "a snapshot is read for the engine that takes it"
        );
        index.reseed(seed);
        self.index = index;
        self.slab = slab;
        self.clock = clock;
    }

    /// Interns the stream and appends to the batch.
    pub(crate) fn admit(&mut self, observation: &Observation<'_>) {
        if self.index.has_released() && self.batch.is_stepped() {
            let capture = self.capture.as_deref();
            self.index
                .reclaim(|slot| capture.is_some_and(|capture| capture.is_left(slot)));
        }
        let known = self.index.get(observation.stream);
        let seen_ms = self.hear(observation, known);
        let slot = match known {
            Some(slot) => {
                self.index.note_seen(slot, seen_ms);
                slot as u32
            }
            None if self.has_room() => self.begin(observation.stream, seen_ms),
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

    /// The clock hears an observation; when its stream was seen.
    fn hear(&mut self, observation: &Observation<'_>, known: Option<usize>) -> i64 {
        let config = &self.setup.config;
        let streams = self.index.len();
        let voice = Voice {
            time_ms: observation.time_ms,
            offset: observation.source.offset,
            seen_ms: known.map(|slot| self.index.seen_ms()[slot]),
            admitted: known.is_some() || streams < config.streams_max,
        };
        self.clock
            .hear(&voice, &mut self.hearing, streams, config.stream_ttl_ms)
    }

    /// Whether another stream fits, after idle ones were forgotten where that is what it takes. A function of the
    /// observations alone: neither batches nor restarts change what is forgotten.
    fn has_room(&mut self) -> bool {
        let streams_max = self.setup.config.streams_max;
        if self.index.len() >= streams_max && self.clock.is_sweep_due(self.setup.config.stream_ttl_ms) {
            self.sweep();
        }
        self.index.len() < streams_max
    }

    /// Forgets every idle stream. What the batch in hand holds of them is stepped all the same: row and id stay until
    /// the next batch.
    fn sweep(&mut self) {
        let ttl_ms = self.setup.config.stream_ttl_ms;
        let mut oldest_ms = self.clock.now_ms;
        for slot in 0..self.slab.len() {
            let seen_ms = self.index.seen_ms()[slot];
            if self.clock.is_idle(seen_ms, ttl_ms) {
                self.index.forget(slot);
                self.stats.forgotten += 1;
            } else if seen_ms != VACANT {
                // Seen by a time that has come back since: else it would keep its place until then.
                self.index.note_seen(slot, seen_ms.min(self.clock.now_ms));
                oldest_ms = oldest_ms.min(seen_ms);
            }
        }
        self.clock.swept(oldest_ms, ttl_ms);
    }

    fn begin(&mut self, id: &str, seen_ms: i64) -> u32 {
        let slot = self.index.next_slot();
        if slot == self.slab.len() {
            self.slab.grow();
        } else {
            self.copy_first(slot);
        }
        let interned = self.index.insert(id, seen_ms);
        assert_eq!(slot, interned, "a row per id");
        let (layout, model) = (&self.setup.layout, &self.model);
        layout.begin(self.slab.row_mut(slot), &mut self.room, |row| {
            if let Some(priors) = &model.priors {
                priors.begin(layout, row);
            }
            row.progress.lineage = model.lineage;
        });
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

    /// While on, forecasts are published with the first and the last of their horizons only, as [`Status::Degraded`] where
    /// that leaves any out. Output only: state and the numbers of these horizons are the same bits.
    pub const fn thin(&mut self, on: bool) {
        self.thin = on;
    }

    /// Streams held.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.index.len()
    }

    /// Ids of the streams held, in the order of their rows.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.index.live().map(|slot| self.index.id(slot))
    }

    /// A stream as people see it.
    #[must_use]
    pub fn stream(&self, id: &str) -> Option<StreamView> {
        let setup = &*self.setup;
        let mut copy = self.slab.copy(self.index.get(id)?);
        let mut room = vec![0.0; setup.layout.room()];
        let row = setup.layout.open(copy.words(), &mut room);
        let grid = setup.grid(row.cadence.interval_ms(), row.choice());
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
            season: grid.calendar.day.steps.max(1),
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

    /// A hash of every stream's id and state and of the clock: equal where the state is bitwise equal, whatever rows the
    /// streams lie in.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Clock {
            now_ms,
            median_ms,
            oldest_ms,
        } = self.clock;
        let clock = [now_ms, median_ms, oldest_ms].map(|time_ms| time_ms as u64);
        let of_stream = |slot: usize| {
            let seen_ms = self.index.seen_ms()[slot] as u64;
            let with_id = stable_hash(seen_ms, self.index.id(slot).as_bytes());
            let words: &[u64] = bytemuck::cast_slice(self.slab.row(slot));
            words.iter().fold(with_id, |hash, &word| mix(hash ^ word))
        };
        let streams = self.index.live().map(of_stream).fold(0, u64::wrapping_add);
        clock.iter().fold(streams, |hash, &word| mix(hash ^ word))
    }
}

/// Tells streams of one partition from those of another.
pub(crate) fn seed_of(topic: &str, partition: Partition) -> u64 {
    stable_hash(partition.0 as u64, topic.as_bytes())
}

fn assert_fits(setup: &Setup, model: &Model) {
    if let Err(error) = model.fits(&setup.shape) {
        panic!("a model that does not fit was offered: {error}");
    }
}
