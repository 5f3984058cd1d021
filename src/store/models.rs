//! The versions of one pipeline's weights.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::{Model, ModelVersion};
use crate::store::error::chain;
use crate::store::{Entry, Error, Put, Store};

/// Versions that stay whether or not somebody names them: at one per 30 s half an hour to roll back in by hand.
const KEPT: usize = 64;
const SUFFIX: &str = ".safetensors";
/// What goes on training from a version. Five times its size, so that few are kept.
const STATE_SUFFIX: &str = ".trainer";
/// The newest is gone on from; the others are for a hand that takes the newest versions away.
const STATES_KEPT: usize = 8;

/// The model files of one pipeline: `<group>/<pipeline>/models/<version:08>.safetensors`.
#[derive(Clone, Debug)]
pub struct ModelStore {
    store: Arc<Store>,
    /// `<group>/<pipeline>/models`.
    directory: String,
}

impl ModelStore {
    /// Over `store`; names match `[a-z0-9-]+`.
    #[must_use]
    pub fn new(store: Arc<Store>, group: &str, pipeline: &str) -> Self {
        Self {
            store,
            directory: format!("{group}/{pipeline}/models"),
        }
    }

    /// Path of a version from the store's root.
    #[must_use]
    pub fn path(&self, version: ModelVersion) -> String {
        format!("{}/{:08}{SUFFIX}", self.directory, version.0)
    }

    /// Versions that are there, ascending; other files in the directory are passed over.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self) -> Result<Vec<ModelVersion>, Error> {
        Ok(self.versions(&self.store.list(&self.directory)?))
    }

    fn versions(&self, entries: &[Entry]) -> Vec<ModelVersion> {
        let mut versions: Vec<_> = entries
            .iter()
            .filter_map(|entry| self.version_of(&entry.path))
            .collect();
        versions.sort_unstable(); // by number: names are in that order up to 8 digits only
        versions
    }

    /// One version; `None` where its file is missing.
    ///
    /// # Errors
    /// The store's; [`Error::Model`] for a file that cannot be read as that version.
    pub fn load(&self, version: ModelVersion) -> Result<Option<Model>, Error> {
        let path = self.path(version);
        let Some(bytes) = self.store.get(&path)? else {
            return Ok(None);
        };
        let refuse = |reason: String| Error::Model {
            path: path.clone(),
            reason,
        };
        let model = Model::from_bytes(&bytes).map_err(|error| refuse(chain(&error)))?;
        if model.version != version {
            return Err(refuse(format!("its header names version `{}`", model.version.0)));
        }
        Ok(Some(model))
    }

    /// The newest version; `None` where there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn newest(&self) -> Result<Option<Model>, Error> {
        match self.list()?.last() {
            Some(&version) => self.load(version),
            None => Ok(None),
        }
    }

    /// Stores a version unless it is there: of two trainers one wins.
    ///
    /// # Errors
    /// The store's. After [`Error::Deadline`] the version may be there: load it before going on.
    pub fn put(&self, model: &Model) -> Result<Put, Error> {
        self.store
            .put_if_absent(&self.path(model.version), model.to_bytes())
    }

    /// Path of what goes on training from a version.
    fn state_path(&self, version: ModelVersion) -> String {
        format!("{}/{:08}{STATE_SUFFIX}", self.directory, version.0)
    }

    /// Keeps what goes on training from a version, unless something is kept there.
    ///
    /// # Errors
    /// The store's.
    pub fn put_state(&self, version: ModelVersion, bytes: Vec<u8>) -> Result<Put, Error> {
        self.store.put_if_absent(&self.state_path(version), bytes)
    }

    /// What goes on training from a version, as it was kept; `None` where nothing is.
    ///
    /// # Errors
    /// The store's.
    pub fn load_state(&self, version: ModelVersion) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(&self.state_path(version))
    }

    /// Deletes versions beyond the newest 64 that are not in `protected`, and returns them; and what went on training
    /// from versions beyond the newest 8, since only the newest is ever gone on from.
    ///
    /// # Errors
    /// The store's.
    pub fn prune(&self, protected: &BTreeSet<ModelVersion>) -> Result<Vec<ModelVersion>, Error> {
        let entries = self.store.list(&self.directory)?;
        let versions = self.versions(&entries);
        let old = &versions[..versions.len().saturating_sub(KEPT)];
        let doomed: Vec<_> = old
            .iter()
            .copied()
            .filter(|version| !protected.contains(version))
            .collect();
        for &version in &doomed {
            self.store.delete(&self.path(version))?;
        }
        let kept = &versions[versions.len().saturating_sub(STATES_KEPT)..];
        let states = entries.iter().filter(|entry| entry.path.ends_with(STATE_SUFFIX));
        for state in
            states.filter(|state| !kept.iter().any(|&version| self.state_path(version) == state.path))
        {
            self.store.delete(&state.path)?;
        }
        Ok(doomed)
    }

    fn version_of(&self, path: &str) -> Option<ModelVersion> {
        let name = path.strip_prefix(&self.directory)?.strip_prefix('/')?;
        let version = name.strip_suffix(SUFFIX)?.parse().ok().map(ModelVersion)?;
        // One name per version: `1.safetensors` is not version 1.
        (self.path(version) == path).then_some(version)
    }
}
