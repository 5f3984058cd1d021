//! A block as one run of bytes: transposed, so that values of a field over many streams stand together.

use crate::engine::snapshot::{BLOCK_ROWS, Block, ID_BYTES_MAX};

const _: () = assert!(
    cfg!(target_endian = "little"),
    "rows are written as they lie in memory"
);

/// Bytes of a row's numbers beside its words: length of the id, last seen.
const BESIDE: usize = size_of::<u32>() + size_of::<i64>();

/// Bytes of a block of `rows` with ids of `ids_len` bytes together, unpacked.
pub(super) const fn raw_len(rows: usize, words: usize, ids_len: usize) -> usize {
    rows * (BESIDE + words * size_of::<f32>()) + ids_len
}

/// Most bytes of a block, unpacked.
pub(super) const fn raw_len_max(words: usize) -> usize {
    raw_len(BLOCK_ROWS, words, BLOCK_ROWS * ID_BYTES_MAX)
}

/// A block unpacked: lengths of ids, last seen (low and high half), words of rows transposed, ids.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Whole words, so that numbers are aligned; zeros behind the ids.
    buffer: Vec<u32>,
    len: usize,
}

impl Raw {
    /// Room for `len` bytes, of which nothing is known.
    pub(super) fn resize(&mut self, len: usize) {
        self.len = len;
        self.buffer.resize(len.div_ceil(size_of::<u32>()), 0);
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.buffer)[..self.len]
    }

    /// Its bytes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.buffer)[..self.len]
    }

    /// Lays out a block.
    pub(super) fn fill(&mut self, block: &Block, words: usize) {
        let rows = block.len();
        self.resize(raw_len(rows, words, block.ids.len()));
        let (lengths, rest) = self.buffer.split_at_mut(rows);
        let mut start = 0;
        for (length, &end) in lengths.iter_mut().zip(&block.ends) {
            *length = u32::try_from(end - start).expect("an id is far below 4 GB");
            start = end;
        }
        let (seen, rest) = rest.split_at_mut(2 * rows);
        for (halves, &seen_ms) in seen.chunks_exact_mut(2).zip(&block.seen_ms) {
            halves.copy_from_slice(&bytemuck::cast::<i64, [u32; 2]>(seen_ms));
        }
        let (planes, ids) = rest.split_at_mut(rows * words);
        let source: &[u32] = bytemuck::cast_slice(&block.rows);
        for (word, plane) in planes.chunks_exact_mut(rows).enumerate() {
            for (row, to) in plane.iter_mut().enumerate() {
                *to = source[row * words + word];
            }
        }
        let ids: &mut [u8] = bytemuck::cast_slice_mut(ids);
        ids.fill(0);
        ids[..block.ids.len()].copy_from_slice(block.ids.as_bytes());
    }

    /// The parts of a block of `rows`.
    pub(super) fn split(&self, rows: usize, words: usize) -> Parts<'_> {
        let (lengths, rest) = self.buffer.split_at(rows);
        let (seen, rest) = rest.split_at(2 * rows);
        let (planes, _) = rest.split_at(rows * words);
        Parts {
            lengths,
            seen,
            planes,
            ids: &self.bytes()[raw_len(rows, words, 0)..],
        }
    }
}

/// A block unpacked, by its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// (rows).
    pub(super) lengths: &'a [u32],
    /// (rows, 2).
    seen: &'a [u32],
    /// (words, rows).
    planes: &'a [u32],
    pub(super) ids: &'a [u8],
}

impl Parts<'_> {
    pub(super) fn seen_ms(&self, row: usize) -> i64 {
        bytemuck::cast([self.seen[2 * row], self.seen[2 * row + 1]])
    }

    /// Writes row `row` into `out` (words).
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let rows = self.lengths.len();
        for (to, plane) in out.iter_mut().zip(self.planes.chunks_exact(rows)) {
            *to = f32::from_bits(plane[row]);
        }
    }
}

/// Most bytes that [`pack`] makes of `raw_len`.
pub(super) const fn packed_len_max(raw_len: usize) -> usize {
    raw_len
}

/// Appends `raw` packed.
pub(super) fn pack(raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(raw);
}

/// Fills `raw` from what [`pack`] made.
pub(super) fn unpack(packed: &[u8], raw: &mut [u8]) -> Result<(), String> {
    if packed.len() != raw.len() {
        return Err(format!("`{}` bytes give `{}`", packed.len(), raw.len()));
    }
    raw.copy_from_slice(packed);
    Ok(())
}
