//! Models and snapshots at rest, on `file://`; the only place that names `object_store`.
//!
//! [`Store`] owns one named thread with a small runtime of its own and answers blocking calls within a deadline;
//! [`ModelStore`] lays a pipeline's versions out in it. [`SnapshotStore`] has threads of its own, since a snapshot takes
//! seconds where a model takes milliseconds. Objects are immutable: they are put if absent, synced to disk together with
//! their directory, and only ever deleted whole; only what goes on training from a version is replaced, whole.

pub mod config;
mod directory;
pub mod disk;
pub mod error;
pub mod models;
pub mod snapshots;

pub use config::Config;
pub use disk::{Numbered, Put, Store};
pub use error::{Error, chain};
pub use models::{Loading, Mark, ModelStore};
pub use snapshots::{NamedVersions, SnapshotPort, SnapshotStore};

#[cfg(test)]
mod tests;
