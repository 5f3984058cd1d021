//! Where models (later snapshots) live.

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `file:///absolute/path`.
    pub url: String,
}
