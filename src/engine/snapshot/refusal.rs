//! Why a snapshot is not used.

use std::fmt;

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Magic, format and the description of what the snapshot is of.
    Header,
    /// A block of rows, from 0.
    Block(u32),
    /// The closing counts.
    End,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::Block(number) => write!(f, "block {number}"),
            Self::End => f.write_str("the closing counts"),
        }
    }
}

/// Why a snapshot is not used. Each says what was found and what was expected; an older snapshot or replay stands in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file cannot be read.
    #[error("{part} cannot be read")]
    Read {
        /// Where.
        part: Part,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file ends too early.
    #[error("the file ends within {part}: it was cut off")]
    Truncated {
        /// Where.
        part: Part,
    },
    /// No snapshot at all.
    #[error("the file begins with `{found}`, a snapshot with `TIDECAST`")]
    Magic {
        /// First bytes, as text.
        found: String,
    },
    /// Of another release.
    #[error("the format is `{found}`, this release reads up to `{newest}`")]
    Format {
        /// In the file.
        found: u32,
        /// The newest that is known.
        newest: u32,
    },
    /// The bytes are not those that were written.
    #[error("the checksum of {part} is `{found:08x}`, its bytes give `{expected:08x}`: the file is damaged")]
    Checksum {
        /// Where.
        part: Part,
        /// In the file.
        found: u32,
        /// Of the bytes.
        expected: u32,
    },
    /// A length that no snapshot has.
    #[error("{part} claims a length of `{found}` bytes, at most `{most}` are possible")]
    Length {
        /// Where.
        part: Part,
        /// In the file.
        found: u64,
        /// Bound.
        most: u64,
    },
    /// The header is not understood.
    #[error("the header cannot be understood")]
    Header(#[source] serde_json::Error),
    /// Neither a block nor the end.
    #[error("where {part} should begin stands `{found:08x}`")]
    Tag {
        /// What should come: a block, if not the end.
        part: Part,
        /// In the file.
        found: u32,
    },
    /// A block is missing, repeated or out of order.
    #[error("block `{expected}` should follow, the file has block `{found}`: one is missing or repeated")]
    Order {
        /// In the file.
        found: u32,
        /// The next one.
        expected: u32,
    },
    /// A count does not agree.
    #[error("{part} claims `{found}` {what}, it should be `{expected}`")]
    Count {
        /// Where.
        part: Part,
        /// Of what.
        what: &'static str,
        /// In the file.
        found: u64,
        /// As it should be.
        expected: u64,
    },
    /// A block does not unpack to what it claims.
    #[error("{part} cannot be unpacked: {why}")]
    Unpack {
        /// Where.
        part: Part,
        /// Why.
        why: String,
    },
    /// An id occurs twice.
    #[error("{part} holds the stream `{id}` a second time")]
    Repeated {
        /// Where.
        part: Part,
        /// Of the stream.
        id: String,
    },
    /// Bytes after the end.
    #[error("bytes follow the closing counts")]
    Trailing,
    /// Of another configuration.
    #[error(
        "the snapshot is of a configuration with the fingerprint `{found:016x}`, this one has `{expected:016x}`: a key that shapes state was changed"
    )]
    Configuration {
        /// In the file.
        found: u64,
        /// Of this configuration.
        expected: u64,
    },
    /// Rows of another shape.
    #[error("`{what}` of the rows is `{found}`, `{expected}` is needed")]
    Dims {
        /// Which dimension.
        what: &'static str,
        /// In the file.
        found: String,
        /// What can be read.
        expected: String,
    },
}
