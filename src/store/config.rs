//! Where models and snapshots live.

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `file:///absolute/path`.
    pub url: String,
    /// Newest snapshots of a partition that stay, at least 3: the newest one may be damaged, and the one before it too.
    pub keep: usize,
}
