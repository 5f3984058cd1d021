//! A block as one run of bytes: transposed, so that values of a field over many streams stand together, and its words cut
//! into planes of bytes, since signs and exponents repeat where mantissas do not. LZ4 then halves a warm stream's row and
//! quarters a young one's; zstd at its lowest level makes 9 % less of it in twice the time, by a library in C.

use crate::engine::snapshot::{BLOCK_ROWS, Block, ID_BYTES_MAX};

/// Bytes of a word, and planes.
const WORD: usize = size_of::<f32>();
/// Bytes of a row's numbers beside its words: length of the id, last seen.
const BESIDE: usize = size_of::<u32>() + size_of::<i64>();

/// Bytes of a block of `rows` with ids of `ids_len` bytes together, unpacked.
pub(super) const fn raw_len(rows: usize, words: usize, ids_len: usize) -> usize {
    rows * (BESIDE + words * WORD) + ids_len
}

/// Most bytes of a block, unpacked.
pub(super) const fn raw_len_max(words: usize) -> usize {
    raw_len(BLOCK_ROWS, words, BLOCK_ROWS * ID_BYTES_MAX)
}

/// A block unpacked: lengths of ids, last seen, the words' bytes (planes, words, rows), ids.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    /// (words, rows).
    transposed: Vec<u32>,
}

impl Raw {
    /// Room for `len` bytes.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        self.bytes.resize(len, 0);
        &mut self.bytes
    }

    /// Lays out a block; gives its bytes.
    pub(super) fn fill(&mut self, block: &Block, words: usize) -> &[u8] {
        let rows = block.len();
        self.bytes.clear();
        let mut start = 0;
        for &end in &block.ends {
            let length = u32::try_from(end - start).expect("an id is far below 4 GB");
            self.bytes.extend_from_slice(&length.to_le_bytes());
            start = end;
        }
        for seen_ms in &block.seen_ms {
            self.bytes.extend_from_slice(&seen_ms.to_le_bytes());
        }
        self.transposed.resize(rows * words, 0);
        for (word, column) in self.transposed.chunks_exact_mut(rows).enumerate() {
            for (to, row) in column.iter_mut().zip(block.rows.chunks_exact(words)) {
                *to = row[word].to_bits();
            }
        }
        let planes = self.bytes.len();
        self.bytes.resize(raw_len(rows, words, 0), 0);
        let [first, second, third, fourth] = quarters_mut(&mut self.bytes[planes..]);
        let to = first.iter_mut().zip(second).zip(third.iter_mut().zip(fourth));
        for (((first, second), (third, fourth)), word) in to.zip(&self.transposed) {
            [*first, *second, *third, *fourth] = word.to_le_bytes();
        }
        self.bytes.extend_from_slice(block.ids.as_bytes());
        &self.bytes
    }

    /// The parts of a block of `rows`; its bytes are at least [`raw_len`] of no ids.
    pub(super) fn split(&mut self, rows: usize, words: usize) -> Parts<'_> {
        let (lengths, rest) = self.bytes.split_at(rows * size_of::<u32>());
        let (seen, rest) = rest.split_at(rows * size_of::<i64>());
        let (planes, ids) = rest.split_at(rows * words * WORD);
        let [first, second, third, fourth] = quarters(planes);
        self.transposed.resize(rows * words, 0);
        let from = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (((&first, &second), (&third, &fourth)), word) in from.zip(&mut self.transposed) {
            *word = u32::from_le_bytes([first, second, third, fourth]);
        }
        Parts {
            lengths: lengths.as_chunks().0,
            seen: seen.as_chunks().0,
            transposed: &self.transposed,
            ids,
        }
    }
}

fn quarters(planes: &[u8]) -> [&[u8]; WORD] {
    let (low, high) = planes.split_at(planes.len() / 2);
    let ((first, second), (third, fourth)) = (low.split_at(low.len() / 2), high.split_at(high.len() / 2));
    [first, second, third, fourth]
}

fn quarters_mut(planes: &mut [u8]) -> [&mut [u8]; WORD] {
    let (low, high) = planes.split_at_mut(planes.len() / 2);
    let (half_low, half_high) = (low.len() / 2, high.len() / 2);
    let ((first, second), (third, fourth)) = (low.split_at_mut(half_low), high.split_at_mut(half_high));
    [first, second, third, fourth]
}

/// A block unpacked, by its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// (rows) little-endian.
    lengths: &'a [[u8; 4]],
    /// (rows) little-endian.
    seen: &'a [[u8; 8]],
    /// (words, rows).
    transposed: &'a [u32],
    pub(super) ids: &'a [u8],
}

impl Parts<'_> {
    /// (rows) length of each id.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> + '_ {
        self.lengths.iter().map(|&length| u32::from_le_bytes(length))
    }

    pub(super) fn seen_ms(&self, row: usize) -> i64 {
        i64::from_le_bytes(self.seen[row])
    }

    /// Writes row `row` into `out` (words).
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        for (to, column) in out
            .iter_mut()
            .zip(self.transposed.chunks_exact(self.lengths.len()))
        {
            *to = f32::from_bits(column[row]);
        }
    }
}

/// Most bytes that [`pack`] makes of `raw_len`.
pub(super) const fn packed_len_max(raw_len: usize) -> usize {
    lz4_flex::block::get_maximum_output_size(raw_len)
}

/// Most bytes that `packed_len` can unpack to: a byte of LZ4 stands for 255 at most.
pub(super) const fn unpacked_len_max(packed_len: usize) -> usize {
    packed_len.saturating_mul(255)
}

/// Appends `raw` packed.
pub(super) fn pack(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packed_len_max(raw.len()), 0);
    let len = lz4_flex::block::compress_into(raw, &mut out[start..]).expect("there is room for the longest");
    out.truncate(start + len);
}

/// Fills `raw` from what [`pack`] made.
pub(super) fn unpack(packed: &[u8], raw: &mut [u8]) -> Result<(), String> {
    let expected = raw.len();
    match lz4_flex::block::decompress_into(packed, raw) {
        Ok(len) if len == expected => Ok(()),
        Ok(len) => Err(format!("it gives `{len}` bytes and claims `{expected}`")),
        Err(error) => Err(error.to_string()),
    }
}
