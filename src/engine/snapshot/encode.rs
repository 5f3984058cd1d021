//! Blocks to bytes.

use crc32fast::Hasher;

use crate::engine::snapshot::pack::{Raw, pack};
use crate::engine::snapshot::{BLOCK, Block, DONE, FORMAT, HEADER_BYTES_MAX, Header, MAGIC};

/// Writes a snapshot: the header at once, then block by block; nothing of it is valid before [`Encoder::finish`].
#[derive(Debug)]
pub struct Encoder {
    words: usize,
    /// Of the CRCs so far.
    checks: Hasher,
    blocks: u32,
    rows: u64,
    raw: Raw,
}

impl Encoder {
    /// Appends the header to `out`.
    ///
    /// # Panics
    /// Where the header's texts are longer than 64 KB together: a switch log and a topic's name are far shorter.
    #[must_use]
    pub fn new(header: &Header, out: &mut Vec<u8>) -> Self {
        let json = header.to_json();
        assert!(json.len() <= HEADER_BYTES_MAX, "texts of a header are bounded");
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(json.len() as u32).to_le_bytes());
        out.extend_from_slice(&json);
        let mut encoder = Self {
            words: header.dims.words,
            checks: Hasher::new(),
            blocks: 0,
            rows: 0,
            raw: Raw::default(),
        };
        encoder.close(start, out);
        encoder
    }

    /// Appends a block to `out`; an empty one leaves no trace.
    ///
    /// # Panics
    /// Where the block's rows are not those of the header.
    pub fn block(&mut self, block: &Block, out: &mut Vec<u8>) {
        if block.is_empty() {
            return;
        }
        assert_eq!(
            block.rows.len(),
            block.len() * self.words,
            "a block is of the header's partition"
        );
        let start = out.len();
        let raw = self.raw.fill(block, self.words);
        for number in [BLOCK, self.blocks, block.len() as u32, raw.len() as u32, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let packed = out.len();
        pack(raw, out);
        let packed_len = ((out.len() - packed) as u32).to_le_bytes();
        out[packed - packed_len.len()..packed].copy_from_slice(&packed_len);
        self.close(start, out);
        self.blocks += 1;
        self.rows += block.len() as u64;
    }

    /// Appends the closing counts.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&DONE.to_le_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        self.checks.update(&out[start..]);
        out.extend_from_slice(&self.checks.finalize().to_le_bytes());
    }

    /// Appends the CRC of what was appended since `start`.
    fn close(&mut self, start: usize, out: &mut Vec<u8>) {
        let crc = crc32fast::hash(&out[start..]).to_le_bytes();
        self.checks.update(&crc);
        out.extend_from_slice(&crc);
    }
}
