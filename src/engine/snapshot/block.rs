//! Rows on their way from a slab into a file.

use crate::engine::snapshot::BLOCK_ROWS;

/// Up to [`BLOCK_ROWS`] rows with their ids. Its buffers keep their memory from use to use.
#[derive(Debug, Default)]
pub struct Block {
    pub(super) ids: String,
    /// (rows) end of each id in `ids`.
    pub(super) ends: Vec<usize>,
    /// (rows) the partition's clock at the stream's newest observation.
    pub(super) seen_ms: Vec<i64>,
    /// (rows, words).
    pub(super) rows: Vec<f32>,
}

impl Block {
    /// Without a row, with room for [`BLOCK_ROWS`] of `words` f32 each.
    pub(super) fn new(words: usize) -> Self {
        Self {
            ids: String::new(),
            ends: Vec::with_capacity(BLOCK_ROWS),
            seen_ms: Vec::with_capacity(BLOCK_ROWS),
            rows: Vec::with_capacity(BLOCK_ROWS * words),
        }
    }

    pub(super) fn push(&mut self, id: &str, seen_ms: i64, row: &[f32]) {
        self.ids.push_str(id);
        self.ends.push(self.ids.len());
        self.seen_ms.push(seen_ms);
        self.rows.extend_from_slice(row);
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
        self.seen_ms.clear();
        self.rows.clear();
    }

    /// Rows it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of its rows and ids.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.ids.len() + self.rows.len() * size_of::<f32>()
    }
}
