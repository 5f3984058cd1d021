//! `--report`: one page that a browser opens offline.

mod gallery;

use std::path::Path;

use anyhow::Context as _;

use super::course::Run;
use super::extent::Extent;
pub(super) use gallery::Gallery;

/// What the page is made from.
pub(super) struct Page<'a> {
    pub(super) run: &'a Run,
    pub(super) extent: &'a Extent,
    pub(super) gallery: &'a Gallery,
    pub(super) input: &'a Path,
    /// As it results from all layers.
    pub(super) config: &'a str,
}

/// Writes the page.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(path: &Path, page: &Page<'_>) -> anyhow::Result<()> {
    std::fs::write(path, "").with_context(|| format!("`{}` cannot be written", path.display()))
}
