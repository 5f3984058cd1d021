//! The fixed row of a stream.

use crate::engine::Config;

/// A field of the row, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSize {
    /// Name.
    pub name: &'static str,
    /// Bytes per stream.
    pub bytes: usize,
    /// What it is.
    pub what: &'static str,
}

/// The row's fields with their sizes; their sum is the row's size, padding included.
#[must_use]
pub fn row_table(_config: &Config) -> Vec<FieldSize> {
    unimplemented!("signature first")
}
