//! The versions of one pipeline's weights.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::{Model, ModelVersion};
use crate::store::disk::{Getting, numbered_name};
use crate::store::error::chain;
use crate::store::{Error, Numbered, Put, Store};

/// Versions that stay whether or not somebody names them: at one per 30 s half an hour to roll back in by hand.
const KEPT: usize = 64;
const SUFFIX: &str = ".safetensors";
/// What goes on training from a version. Five times its size, so that few are kept.
const STATE_SUFFIX: &str = ".trainer";
/// The newest is gone on from; the others are for a hand that takes the newest versions away.
const STATES_KEPT: usize = 8;
/// Versions that are looked at, the newest and the oldest: pruned to 64 and what is named, there are never as many, unless
/// pruning was held up for a month. 100,000 numbers take 5 MB.
const LISTED_MAX: usize = 100_000;
/// Files that one pruning deletes at most: what is left is for the next one.
const PRUNED_MAX: usize = 1024;

/// What is kept at one place, as a mark: whether somebody else has kept something there meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(Option<(u32, usize)>);

impl Mark {
    /// Of nothing.
    pub const NOTHING: Self = Self(None);

    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Some((crc32fast::hash(bytes), bytes.len())))
    }
}

/// The model files of one pipeline: `<group>/<pipeline>/models/<version:08>.safetensors`.
#[derive(Clone, Debug)]
pub struct ModelStore {
    store: Arc<Store>,
    /// `<group>/<pipeline>/models`.
    directory: String,
}

/// A load that nobody waits for; see [`ModelStore::begin_load`].
#[derive(Debug)]
pub struct Loading {
    /// Which version.
    pub version: ModelVersion,
    getting: Getting,
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
        format!("{}/{}", self.directory, numbered_name(version.0, SUFFIX))
    }

    /// Versions that are there, ascending, the newest 100,000; other files in the directory are passed over.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self) -> Result<Vec<ModelVersion>, Error> {
        let listed = self.numbered(SUFFIX, LISTED_MAX)?;
        Ok(listed.newest.into_iter().map(ModelVersion).collect())
    }

    /// The newest version that is there.
    ///
    /// # Errors
    /// The store's.
    pub fn newest_version(&self) -> Result<Option<ModelVersion>, Error> {
        let listed = self.numbered(SUFFIX, 1)?;
        Ok(listed.newest.last().copied().map(ModelVersion))
    }

    /// Files in the directory that are neither a version nor what goes on training from one.
    ///
    /// # Errors
    /// The store's.
    pub fn strangers(&self) -> Result<u64, Error> {
        let others = self.numbered(SUFFIX, 1)?.others;
        let states = self.numbered(STATE_SUFFIX, LISTED_MAX)?.newest.len() as u64;
        Ok(others.saturating_sub(states))
    }

    fn numbered(&self, suffix: &'static str, most: usize) -> Result<Numbered, Error> {
        self.store.list(&self.directory, suffix, most)
    }

    /// One version; `None` where its file is missing.
    ///
    /// # Errors
    /// The store's; [`Error::Model`] for a file that cannot be read as that version.
    pub fn load(&self, version: ModelVersion) -> Result<Option<Model>, Error> {
        self.read(version, self.store.get(&self.path(version))?)
    }

    /// Begins to load a version: nothing waits for it.
    ///
    /// # Errors
    /// The store's: nothing was begun.
    pub fn begin_load(&self, version: ModelVersion) -> Result<Loading, Error> {
        let getting = self.store.begin_get(&self.path(version))?;
        Ok(Loading { version, getting })
    }

    /// What has become of a load; `None` while it goes on.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn loaded(&self, loading: &Loading) -> Option<Result<Option<Model>, Error>> {
        let got = self.store.got(&loading.getting)?;
        Some(got.and_then(|bytes| self.read(loading.version, bytes)))
    }

    fn read(&self, version: ModelVersion, bytes: Option<Vec<u8>>) -> Result<Option<Model>, Error> {
        let path = self.path(version);
        let Some(bytes) = bytes else { return Ok(None) };
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
        match self.newest_version()? {
            Some(version) => self.load(version),
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
        format!("{}/{}", self.directory, numbered_name(version.0, STATE_SUFFIX))
    }

    /// Keeps what goes on training from a version in place of what is `known` to be there, if anything is. Where something
    /// else is there somebody else trains from that version: it stays, and the answer is [`Put::Exists`].
    ///
    /// Two that look at the same moment may both write; whole states of the same version they are both.
    ///
    /// # Errors
    /// The store's.
    pub fn put_state(&self, version: ModelVersion, bytes: Vec<u8>, known: &[Mark]) -> Result<Put, Error> {
        let path = self.state_path(version);
        let found = self.store.get(&path)?;
        match found.map_or(Mark::NOTHING, |found| Mark::of(&found)) {
            found if !known.contains(&found) => Ok(Put::Exists),
            Mark::NOTHING => self.store.put_if_absent(&path, bytes),
            _ => self.store.replace(&path, bytes).map(|()| Put::Stored),
        }
    }

    /// What goes on training from a version, as it was kept; `None` where nothing is.
    ///
    /// # Errors
    /// The store's.
    pub fn load_state(&self, version: ModelVersion) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(&self.state_path(version))
    }

    /// Versions beyond the newest 64: those that may go where nobody names them.
    ///
    /// # Errors
    /// The store's.
    pub fn old(&self) -> Result<BTreeSet<ModelVersion>, Error> {
        let Numbered { newest, oldest, .. } = self.numbered(SUFFIX, LISTED_MAX)?;
        let kept = newest.iter().rev().nth(KEPT - 1);
        let old = oldest
            .into_iter()
            .take_while(|version| kept.is_some_and(|kept| version < kept));
        Ok(old.map(ModelVersion).collect())
    }

    /// Deletes `versions`, a thousand at a time; returns how many.
    ///
    /// # Errors
    /// The store's.
    pub fn delete(&self, versions: &BTreeSet<ModelVersion>) -> Result<usize, Error> {
        for &version in versions.iter().take(PRUNED_MAX) {
            self.store.delete(&self.path(version))?;
        }
        Ok(versions.len().min(PRUNED_MAX))
    }

    /// Deletes what went on training from versions beyond the newest 8, since only the newest is ever gone on from.
    ///
    /// # Errors
    /// The store's.
    pub fn prune_states(&self) -> Result<(), Error> {
        let kept = self.numbered(SUFFIX, STATES_KEPT)?.newest;
        let states = self.numbered(STATE_SUFFIX, LISTED_MAX)?.oldest;
        for &version in states.difference(&kept).take(PRUNED_MAX) {
            self.store.delete(&self.state_path(ModelVersion(version)))?;
        }
        Ok(())
    }
}
