//! State of a partition at rest: how rows are copied while the partition goes on, and the file they become.
//!
//! # Capture
//! [`PartitionState::begin_capture`] marks the streams there are. [`PartitionState::capture`] copies some of their rows at
//! a time; a row that is about to be stepped, or taken over by another stream, is copied first. So the blocks together are
//! the state at `begin_capture` exactly, whatever is stepped meanwhile, and a step waits for one copy of a row at most.
//!
//! # File, format 2
//! Format 1 is the same with other rows: the experts' linear regressions were not in them.
//!
//! Numbers are little-endian; a CRC is that of zlib (CRC-32, IEEE).
//! ```text
//! "TIDECAST" · u32 format · u32 length · header (JSON) · u32 CRC of all before
//! block*: u32 'BLOK' · u32 number from 0 · u32 rows · u32 raw length · u32 packed length · packed · u32 CRC of the block
//! u32 'DONE' · u32 blocks · u64 rows · u32 CRC of the header's CRC, every block's CRC, and the three before · nothing more
//! ```
//! Packed is LZ4 (one block, no frame). Unpacked: (rows) u32 length of id · (rows) i64 last seen · (4, words, rows) bytes
//! of the rows' words, lowest first · ids.
//!
//! A reader believes no length before it was bounded, and names what it refuses ([`Refusal`]).
//!
//! [`PartitionState::begin_capture`]: crate::engine::PartitionState::begin_capture
//! [`PartitionState::capture`]: crate::engine::PartitionState::capture

mod block;
mod capture;
mod encode;
mod form;
mod header;
mod pack;
mod read;
mod refusal;

pub use block::Block;
pub(crate) use capture::Capture;
#[cfg(test)]
pub(crate) use capture::tests_only::ROWS_PER_BLOCK;
pub use encode::Encoder;
pub use form::{Form, fingerprint, form};
pub use header::{Anchor, Dims, Header};
pub use read::{Content, read, read_header};
pub use refusal::{Part, Refusal};

/// Rows of a block at most: at 12 KB a row some 800 KB, which stays in the second-level cache while it is transposed;
/// fewer compress worse, more cost a longer copy before a block can be handed over.
pub const BLOCK_ROWS: usize = 64;
/// Bytes of an id at most that a reader believes; the codec refuses ids far shorter (`input.stream_max_bytes`).
pub const ID_BYTES_MAX: usize = 1 << 16;

/// The format that is written.
const FORMAT: u32 = 2;
const MAGIC: [u8; 8] = *b"TIDECAST";
const BLOCK: u32 = u32::from_le_bytes(*b"BLOK");
const DONE: u32 = u32::from_le_bytes(*b"DONE");
/// Bytes of a header at most: a switch log has at most 4096, a topic's name 249.
const HEADER_BYTES_MAX: usize = 1 << 16;
