//! The versions of one pipeline's weights.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::{Model, ModelVersion};
use crate::store::{Error, Put, Store};

/// The model files of one pipeline: `<group>/<pipeline>/models/<version:08>.safetensors`.
#[derive(Clone, Debug)]
pub struct ModelStore {}

impl ModelStore {
    /// Over `store`; names match `[a-z0-9-]+`.
    #[must_use]
    pub fn new(_store: Arc<Store>, _group: &str, _pipeline: &str) -> Self {
        Self {}
    }

    /// Versions that are there, ascending.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self) -> Result<Vec<ModelVersion>, Error> {
        Err(Error::Todo)
    }

    /// One version; `None` where its file is missing.
    ///
    /// # Errors
    /// The store's; a file that cannot be read as that version.
    pub fn load(&self, _version: ModelVersion) -> Result<Option<Model>, Error> {
        Err(Error::Todo)
    }

    /// The newest version; `None` where there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn newest(&self) -> Result<Option<Model>, Error> {
        Err(Error::Todo)
    }

    /// Stores a version unless it is there: of two trainers one wins.
    ///
    /// # Errors
    /// The store's.
    pub fn put(&self, _model: &Model) -> Result<Put, Error> {
        Err(Error::Todo)
    }

    /// Deletes versions beyond the newest 64 that are not in `protected`; returns them.
    ///
    /// # Errors
    /// The store's.
    pub fn prune(&self, _protected: &BTreeSet<ModelVersion>) -> Result<Vec<ModelVersion>, Error> {
        Err(Error::Todo)
    }
}
