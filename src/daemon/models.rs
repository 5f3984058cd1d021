//! The versions of a pipeline as its workers and its trainer see them: one slot for the newest, swapped whole.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error as StdError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::daemon::board::{PipelineBoard, lock};
use crate::engine::{Model, ModelVersion, Origin};
use crate::nn::{Params, Shape};
use crate::store::{self, ModelStore, Put};
use crate::{engine, worker};

/// Older versions kept in memory: a replay over several switches loads each of them once for all partitions.
const RECENT_MAX: usize = 8;

/// Newest version of a pipeline, and the way to the older ones. Shared by its workers and its trainer.
#[derive(Debug)]
pub struct Catalogue {
    store: ModelStore,
    shape: Shape,
    board: Arc<PipelineBoard>,
    newest: Mutex<Arc<Model>>,
    recent: Mutex<VecDeque<Arc<Model>>>,
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// FNV-1a over `<group>/<pipeline>`: any process of the group makes the same version 1.
fn seed(group: &str, pipeline: &str) -> u64 {
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
    /// # Errors
    /// The store's: try again.
    pub fn open(
        store: ModelStore,
        group: &str,
        config: &engine::Config,
        board: Arc<PipelineBoard>,
    ) -> Result<Self, store::Error> {
        let shape = engine::shape(config);
        let newest = loop {
            let made = match store.newest()? {
                Some(model) if model.fits(&shape).is_ok() => break model,
                found => begin(found.as_ref(), &shape, seed(group, &board.name)),
            };
            if let Put::Stored = store.put(&made)? {
                tracing::info!(
                    pipeline = board.name,
                    version = made.version.0,
                    "no stored weights fit the config: a new lineage begins"
                );
                break made;
            }
            // Another process was faster: its version is the newest now.
        };
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
        let Some(&version) = self.store.list()?.last() else {
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

    /// Deletes old versions that are not in `named`; returns how many.
    ///
    /// # Errors
    /// The store's.
    pub fn prune(&self, named: &BTreeSet<ModelVersion>) -> Result<usize, store::Error> {
        self.store.prune(named).map(|gone| gone.len())
    }

    fn load(&self, version: ModelVersion) -> Result<Option<Arc<Model>>, store::Error> {
        let newest = self.newest();
        if newest.version == version {
            return Ok(Some(newest));
        }
        if let Some(found) = lock(&self.recent).iter().find(|model| model.version == version) {
            return Ok(Some(Arc::clone(found)));
        }
        let model = match self.store.load(version) {
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

/// The version after `newest` with fresh weights, in a lineage of its own.
fn begin(newest: Option<&Model>, shape: &Shape, seed: u64) -> Model {
    let version = ModelVersion(newest.map_or(1, |model| model.version.0 + 1));
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

/// The [port](worker::ports::Models) of one worker.
#[derive(Clone, Debug)]
pub struct SlotModels(pub Arc<Catalogue>);

impl worker::ports::Models for SlotModels {
    fn newest(&mut self) -> Arc<Model> {
        self.0.newest()
    }

    fn load(&mut self, version: ModelVersion) -> Result<Option<Arc<Model>>, worker::ports::Error> {
        self.0
            .load(version)
            .map_err(|error| worker::ports::Error::Transient {
                doing: "load a version of the model",
                reason: chain(&error),
            })
    }
}
