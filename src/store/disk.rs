//! Blocking calls onto an object store that lives on its own thread.

use std::time::Duration;

use crate::store::Config;

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Written and synced.
    Stored,
    /// Something was there already and is unchanged.
    Exists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the store's root, `/`-separated.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Signature first.
    #[error("unimplemented")]
    Todo,
}

/// An object store behind one thread. Cheap to share in an `Arc`.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens the store, makes its directory, and removes temporaries that a crash left.
    ///
    /// # Errors
    /// The URL is not a `file://` one, or its directory cannot be made or written.
    pub fn open(_config: &Config) -> Result<Self, Error> {
        Err(Error::Todo)
    }

    /// Gives up on a call after `deadline` (default 10 s).
    #[must_use]
    pub fn with_deadline(self, _deadline: Duration) -> Self {
        self
    }

    /// Writes an object unless one of that path is there.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn put_if_absent(&self, _path: &str, _bytes: Vec<u8>) -> Result<Put, Error> {
        Err(Error::Todo)
    }

    /// An object's bytes; `None` where there is none.
    ///
    /// # Errors
    /// The disk's, too large, the deadline.
    pub fn get(&self, _path: &str) -> Result<Option<Vec<u8>>, Error> {
        Err(Error::Todo)
    }

    /// The objects under `prefix`, ascending by path.
    ///
    /// # Errors
    /// The disk's, too many, the deadline.
    pub fn list(&self, _prefix: &str) -> Result<Vec<Entry>, Error> {
        Err(Error::Todo)
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// The disk's, the deadline.
    pub fn delete(&self, _path: &str) -> Result<(), Error> {
        Err(Error::Todo)
    }
}
