//! Rows of fixed size in chunks: growth never moves a row.

use bytemuck::{Pod, Zeroable};

/// f32 words of a line.
pub(crate) const LINE_WORDS: usize = 16;
/// Rows of a chunk: at 10 KB a row 5 MB, large enough for huge pages, small enough for a partition of few streams.
///
/// Tests have many small slabs, and cross the chunks' borders with few rows.
const CHUNK_ROWS: usize = if cfg!(test) { 8 } else { 512 };

/// One cache line of f32 words; rows are whole lines, so that no two rows share one.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE_WORDS]);

/// Rows of `words` f32 each, zeroed when they are taken.
#[derive(Debug)]
pub(crate) struct Slab {
    words: usize,
    rows: usize,
    chunks: Vec<Box<[Line]>>,
}

impl Slab {
    /// `words` is a multiple of [`LINE_WORDS`].
    pub(crate) fn new(words: usize) -> Self {
        assert!(
            words > 0 && words.is_multiple_of(LINE_WORDS),
            "a row is whole lines"
        );
        Self {
            words,
            rows: 0,
            chunks: Vec::new(),
        }
    }

    /// Takes the next row; it is all zero.
    pub(crate) fn grow(&mut self) -> usize {
        if self.rows == self.chunks.len() * CHUNK_ROWS {
            let lines = CHUNK_ROWS * self.words / LINE_WORDS;
            self.chunks.push(bytemuck::allocation::zeroed_slice_box(lines));
        }
        self.rows += 1;
        self.rows - 1
    }

    /// f32 words of a row.
    pub(crate) const fn words(&self) -> usize {
        self.words
    }

    /// Rows taken.
    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_ROWS * self.words * size_of::<f32>()
    }

    /// The row at `slot`, 64-byte aligned.
    pub(crate) fn row(&self, slot: usize) -> &[f32] {
        let start = slot % CHUNK_ROWS * self.words;
        let words: &[f32] = bytemuck::cast_slice(&self.chunks[slot / CHUNK_ROWS]);
        &words[start..start + self.words]
    }

    /// A copy of the row at `slot`, aligned as rows are.
    pub(crate) fn copy(&self, slot: usize) -> RowCopy {
        let lines = self.words / LINE_WORDS;
        let start = slot % CHUNK_ROWS * lines;
        RowCopy(self.chunks[slot / CHUNK_ROWS][start..start + lines].to_vec())
    }

    /// The row at `slot`, 64-byte aligned.
    pub(crate) fn row_mut(&mut self, slot: usize) -> &mut [f32] {
        let start = slot % CHUNK_ROWS * self.words;
        let words: &mut [f32] = bytemuck::cast_slice_mut(&mut self.chunks[slot / CHUNK_ROWS]);
        &mut words[start..start + self.words]
    }
}

/// A row outside the slab.
#[derive(Debug)]
pub(crate) struct RowCopy(Vec<Line>);

impl RowCopy {
    /// Its words.
    pub(crate) fn words(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
