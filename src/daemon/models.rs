//! The versions of a pipeline as its workers and its trainer see them: one slot for the newest, swapped whole.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::daemon::board::{PipelineBoard, lock};
use crate::engine::{Model, ModelVersion, Origin};
use crate::nn::{Params, Shape};
use crate::store::{self, Loading, Mark, ModelStore, Put, chain};
use crate::training::State;
use crate::worker::ports::Loaded;
use crate::{engine, worker};

/// Older versions kept in memory: a replay over several switches loads each of them once for all partitions.
const RECENT_MAX: usize = 8;

/// Where training stands, and the model that it may roll back to.
pub type Standing = (State, Option<Arc<Model>>);

/// Files beside the versions from which on somebody is told: they are passed over, and each listing takes longer.
const STRANGERS_MAX: u64 = 10_000;

/// Newest version of a pipeline, and the way to the older ones. Shared by its workers and its trainer.
#[derive(Debug)]
pub struct Catalogue {
    store: ModelStore,
    shape: Shape,
    board: Arc<PipelineBoard>,
    newest: Mutex<Arc<Model>>,
    recent: Mutex<VecDeque<Arc<Model>>>,
}

/// FNV-1a over `<group>/<pipeline>`: any process of the group makes the same version 1.
pub(crate) fn seed(group: &str, pipeline: &str) -> u64 {
    let name = format!("{group}/{pipeline}");
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Catalogue {
    /// The newest version of the store, or the first one, made from a hash of group and pipeline and stored before
    /// anything is committed that could name it. A newest one of another shape (the config's `model` was changed) stays;
    /// the next version begins a new lineage.
    ///
    /// `named` is the newest version that a committed offset names, asked for **before** this: a version is stored before
    /// it is named. Where the store has lost it, no number up to it is given to other weights, or a replay would take them
    /// for those: the newest weights left, or fresh ones, come back as the version after it.
    ///
    /// # Errors
    /// The store's: try again.
    pub fn open(
        store: ModelStore,
        group: &str,
        config: &engine::Config,
        board: Arc<PipelineBoard>,
        named: Option<ModelVersion>,
    ) -> Result<Self, store::Error> {
        let shape = engine::shape(config);
        let is_known = |model: &Model| named.is_none_or(|named| model.version >= named);
        let newest = loop {
            let made = match store.newest()? {
                Some(model) if model.fits(&shape).is_ok() && is_known(&model) => break model,
                Some(model) if model.fits(&shape).is_ok() => copy(&model, named),
                found => begin(found.as_ref(), &shape, seed(group, &board.name), named),
            };
            if let Put::Stored = store.put(&made)? {
                log_made(&board.name, &made, named);
                break made;
            }
            // Another process was faster: its version is the newest now.
        };
        match store.strangers()? {
            files if files > STRANGERS_MAX => tracing::warn!(
                pipeline = board.name,
                files,
                "the folder of the weights holds files that are none of this program's, which are passed over each time it is \
                 listed: move them away"
            ),
            _ => {}
        }
        let newest = Arc::new(newest);
        board.model_version.store(newest.version.0, Ordering::Relaxed);
        Ok(Self {
            store,
            shape,
            board,
            newest: Mutex::new(newest),
            recent: Mutex::default(),
        })
    }

    /// The newest version known here.
    #[must_use]
    pub fn newest(&self) -> Arc<Model> {
        Arc::clone(&lock(&self.newest))
    }

    /// `model` is the newest now, unless a newer one is known; workers see it at their next turn.
    pub fn serve(&self, model: Arc<Model>) {
        let mut newest = lock(&self.newest);
        if model.version > newest.version {
            self.board.model_version.store(model.version.0, Ordering::Relaxed);
            let before = std::mem::replace(&mut *newest, model);
            self.remember(before);
        }
    }

    /// Looks into the store for a version above the newest known and serves it; returns it.
    ///
    /// # Errors
    /// The store's.
    pub fn refresh(&self) -> Result<Option<Arc<Model>>, store::Error> {
        let known = self.newest().version;
        let Some(version) = self.store.newest_version()? else {
            return Ok(None);
        };
        if version <= known {
            return Ok(None);
        }
        let Some(model) = self.store.load(version)? else {
            return Ok(None);
        };
        if let Err(error) = model.fits(&self.shape) {
            tracing::warn!(pipeline = self.board.name, version = version.0, %error, "a version of another shape is not served");
            return Ok(None);
        }
        let model = Arc::new(model);
        self.serve(Arc::clone(&model));
        Ok(Some(model))
    }

    /// Stores a version unless it is there.
    ///
    /// # Errors
    /// The store's.
    pub fn put(&self, model: &Model) -> Result<Put, store::Error> {
        self.store.put(model)
    }

    /// Keeps what goes on training from a version in place of what is `known` to be kept; [`Put::Exists`] where something
    /// else is.
    ///
    /// # Errors
    /// The store's.
    pub fn put_state(
        &self,
        version: ModelVersion,
        bytes: Vec<u8>,
        known: &[Mark],
    ) -> Result<Put, store::Error> {
        self.store.put_state(version, bytes, known)
    }

    /// What is kept beside a version, as a mark.
    ///
    /// # Errors
    /// The store's.
    pub fn kept(&self, version: ModelVersion) -> Result<Mark, store::Error> {
        let found = self.store.load_state(version)?;
        Ok(found.map_or(Mark::NOTHING, |found| Mark::of(&found)))
    }

    /// What goes on training from a version, and the model it may roll back to; `None` where nothing is kept that can be
    /// used, which is logged. And the mark of what is kept, usable or not.
    ///
    /// # Errors
    /// The store's.
    pub fn load_state(&self, version: ModelVersion) -> Result<(Option<Standing>, Mark), store::Error> {
        let Some(bytes) = self.store.load_state(version)? else {
            return Ok((None, Mark::NOTHING));
        };
        let standing = self.standing(version, &bytes)?;
        Ok((standing, Mark::of(&bytes)))
    }

    fn standing(&self, version: ModelVersion, bytes: &[u8]) -> Result<Option<Standing>, store::Error> {
        match State::from_bytes(bytes) {
            Ok(state) => {
                let ancestor = match state.ancestor() {
                    Some(ancestor) => self.load(ancestor)?,
                    None => None,
                };
                Ok(Some((state, ancestor)))
            }
            Err(error) => {
                tracing::warn!(
                    pipeline = self.board.name,
                    version = version.0,
                    error = chain(&error),
                    "what was kept of the trainer cannot be used: training begins from the served weights"
                );
                Ok(None)
            }
        }
    }

    /// Versions that may be deleted where nobody names them. What goes on training from older ones is deleted at once: only
    /// the newest is gone on from.
    ///
    /// # Errors
    /// The store's.
    pub fn old(&self) -> Result<BTreeSet<ModelVersion>, store::Error> {
        self.store.prune_states()?;
        self.store.old()
    }

    /// Deletes versions; returns how many.
    ///
    /// # Errors
    /// The store's.
    pub fn delete(&self, versions: &BTreeSet<ModelVersion>) -> Result<usize, store::Error> {
        self.store.delete(versions)
    }

    /// A version that is in memory.
    fn known(&self, version: ModelVersion) -> Option<Arc<Model>> {
        let newest = self.newest();
        if newest.version == version {
            return Some(newest);
        }
        let recent = lock(&self.recent);
        recent.iter().find(|model| model.version == version).cloned()
    }

    fn load(&self, version: ModelVersion) -> Result<Option<Arc<Model>>, store::Error> {
        match self.known(version) {
            Some(known) => Ok(Some(known)),
            None => self.take(version, self.store.load(version)),
        }
    }

    /// What a load of a version that a switch log names has brought.
    fn take(
        &self,
        version: ModelVersion,
        loaded: Result<Option<Model>, store::Error>,
    ) -> Result<Option<Arc<Model>>, store::Error> {
        let model = match loaded {
            Ok(Some(model)) => model,
            Ok(None) => {
                tracing::error!(
                    pipeline = self.board.name,
                    version = version.0,
                    "a version that a switch log names is not in the store: the one before it serves on, or else the newest, and the log will say so"
                );
                return Ok(None);
            }
            Err(error @ store::Error::Model { .. }) => {
                // A file that is not what it says does not become so by waiting.
                tracing::error!(
                    pipeline = self.board.name,
                    version = version.0,
                    error = chain(&error),
                    "a version that a switch log names cannot be read: the one before it serves on, or else the newest, and the log will say so"
                );
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = model.fits(&self.shape) {
            tracing::warn!(pipeline = self.board.name, version = version.0, %error, "a version that a switch log names has another shape: the one before it serves on, or else the newest, and the log will say so");
            return Ok(None);
        }
        let model = Arc::new(model);
        self.remember(Arc::clone(&model));
        Ok(Some(model))
    }

    fn remember(&self, model: Arc<Model>) {
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(model);
    }
}

fn log_made(pipeline: &str, made: &Model, named: Option<ModelVersion>) {
    let version = made.version.0;
    match named {
        Some(named) if made.version.0 == named.0 + 1 => tracing::error!(
            pipeline,
            version,
            named = named.0,
            from = made.parent.map(|parent| parent.0),
            "committed offsets name versions that the store has lost: what is left of it, or fresh weights, serve as the \
             version after them"
        ),
        _ => tracing::info!(
            pipeline,
            version,
            "no stored weights fit the config: a new lineage begins"
        ),
    }
}

/// The number after every one that was given.
fn number_after(newest: Option<&Model>, named: Option<ModelVersion>) -> ModelVersion {
    let newest = newest.map(|model| model.version);
    ModelVersion(newest.max(named).map_or(1, |version| version.0 + 1))
}

/// The newest weights left as the version after those that are named and lost: states go on.
fn copy(newest: &Model, named: Option<ModelVersion>) -> Model {
    let origin = Origin {
        version: number_after(Some(newest), named),
        parent: Some(newest.version),
        lineage: newest.lineage,
        made: "rollback".to_owned(),
    };
    Model::from_params(origin, newest.params.clone()).with_priors(newest.priors.clone())
}

/// The version after all others with fresh weights, in a lineage of its own.
fn begin(newest: Option<&Model>, shape: &Shape, seed: u64, named: Option<ModelVersion>) -> Model {
    let version = number_after(newest, named);
    // Another version another lineage: with the first one the seed itself, as every process of the group makes it.
    let lineage = seed.wrapping_add(version.0 - 1);
    let origin = Origin {
        version,
        parent: newest.map(|model| model.version),
        lineage,
        made: "first".to_owned(),
    };
    Model::from_params(origin, Params::init(shape, lineage))
}

/// The [port](worker::ports::Models) of one worker: the store's thread reads, and nothing here waits for it.
#[derive(Debug)]
pub struct SlotModels {
    catalogue: Arc<Catalogue>,
    loading: Vec<Loading>,
    /// Versions that were in memory when they were asked for.
    known: VecDeque<Arc<Model>>,
}

impl SlotModels {
    /// Loads nothing yet.
    #[must_use]
    pub const fn new(catalogue: Arc<Catalogue>) -> Self {
        Self {
            catalogue,
            loading: Vec::new(),
            known: VecDeque::new(),
        }
    }
}

fn away(error: &store::Error) -> worker::ports::Error {
    worker::ports::Error::Transient {
        doing: "load a version of the model",
        reason: chain(error),
    }
}

impl worker::ports::Models for SlotModels {
    fn newest(&mut self) -> Arc<Model> {
        self.catalogue.newest()
    }

    fn load(&mut self, version: ModelVersion) -> Result<(), worker::ports::Error> {
        if let Some(known) = self.catalogue.known(version) {
            self.known.push_back(known);
            return Ok(());
        }
        let begun = self.catalogue.store.begin_load(version);
        self.loading.push(begun.map_err(|error| away(&error))?);
        Ok(())
    }

    fn loaded(&mut self) -> Option<Loaded> {
        if let Some(known) = self.known.pop_front() {
            return Some(Loaded {
                version: known.version,
                found: Ok(Some(known)),
            });
        }
        let catalogue = &self.catalogue;
        let ended = |(place, loading): (usize, &Loading)| Some((place, catalogue.store.loaded(loading)?));
        let (place, loaded) = self.loading.iter().enumerate().find_map(ended)?;
        let version = self.loading.swap_remove(place).version;
        let found = self.catalogue.take(version, loaded);
        Some(Loaded {
            version,
            found: found.map_err(|error| away(&error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::store::Store;

    fn engine_config() -> engine::Config {
        let set = [
            "service.instance=test",
            "pipeline.plant.input.topics=sensors",
            "pipeline.plant.input.values=v",
            "pipeline.plant.output.topic=forecasts",
            "pipeline.plant.dead_letter.topic=dead",
            "pipeline.plant.model.hidden=4",
        ];
        let sources = config::Sources {
            set: set.map(str::to_owned).to_vec(),
            ..config::Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        config.pipelines[0].worker.engine.clone()
    }

    fn open(directory: &std::path::Path, named: Option<u64>) -> Catalogue {
        let config = store::Config {
            url: format!("file://{}", directory.display()),
            keep: 3,
        };
        let models = ModelStore::new(Arc::new(Store::open(&config).unwrap()), "tidecast", "plant");
        let board = Arc::new(PipelineBoard::new("plant", &["sensors".to_owned()], 1));
        Catalogue::open(
            models,
            "tidecast",
            &engine_config(),
            board,
            named.map(ModelVersion),
        )
        .unwrap()
    }

    fn origin(catalogue: &Catalogue) -> (u64, Option<u64>, String) {
        let origin = catalogue.newest().origin();
        (
            origin.version.0,
            origin.parent.map(|parent| parent.0),
            origin.made,
        )
    }

    #[test]
    fn a_store_that_was_lost_goes_on_above_every_version_that_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let fresh = open(directory.path(), None);
        assert_eq!(origin(&fresh), (1, None, "first".to_owned()));
        let lost = tempfile::tempdir().unwrap();
        let anew = open(lost.path(), Some(7));
        assert_eq!(origin(&anew), (8, None, "first".to_owned()));
        assert_ne!(anew.newest().lineage, fresh.newest().lineage);
        // Once more, as after any restart: nothing is made.
        assert_eq!(origin(&open(lost.path(), Some(8))).0, 8);
        assert_eq!(origin(&open(lost.path(), Some(7))).0, 8);
    }

    #[test]
    fn a_store_that_lost_its_newest_versions_goes_on_with_what_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let before = open(directory.path(), None).newest();
        let after = open(directory.path(), Some(5));
        assert_eq!(origin(&after), (6, Some(1), "rollback".to_owned()));
        let newest = after.newest();
        assert_eq!(
            (newest.lineage, &newest.params),
            (before.lineage, &before.params),
            "hidden states go on"
        );
    }

    #[test]
    fn where_training_stands_comes_back_with_its_ancestor_and_damage_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = open(directory.path(), None);
        let first = catalogue.newest();
        let origin = Origin {
            version: ModelVersion(2),
            parent: Some(first.version),
            lineage: first.lineage,
            made: "online".to_owned(),
        };
        let second = Arc::new(Model::from_params(origin, first.params.clone()));
        catalogue.put(&second).unwrap();
        catalogue.serve(Arc::clone(&second));
        let training = crate::training::Config {
            rows_per_observation: 14.0,
            learning_rate: 2e-3,
            chunk: 4,
            batch: 4,
            cpu_share: 0.5,
            publish_interval: std::time::Duration::from_secs(30),
            tape_bytes: 1 << 20,
        };
        let horizons = engine::HorizonPlan::of(&engine_config()).scored;
        let trainer = crate::training::Trainer::new(training, &horizons, second, 7);
        let version = ModelVersion(2);
        let nothing = catalogue.load_state(version).unwrap();
        assert!(nothing.0.is_none() && nothing.1 == Mark::NOTHING);
        let state = trainer.state();
        let put = catalogue.put_state(version, state.to_bytes(), &[Mark::NOTHING]);
        assert_eq!(put.unwrap(), Put::Stored);
        let (standing, mark) = catalogue.load_state(version).unwrap();
        assert_eq!(mark, Mark::of(&state.to_bytes()));
        let (found, ancestor) = standing.unwrap();
        assert_eq!(found.to_bytes(), state.to_bytes());
        assert!(ancestor.is_none());
        let file = directory.path().join("tidecast/plant/models/00000002.trainer");
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let (standing, damaged) = catalogue.load_state(version).unwrap();
        assert!(standing.is_none() && damaged != mark);
    }
}
