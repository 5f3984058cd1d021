//! What names an observation, and the observation itself.

use std::fmt;

/// Number of a partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

/// Place of a record in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// The offset to resume at: one past the last one whose effect is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(pub i64);

impl Offset {
    /// The offset to resume at once this record's effect is complete.
    #[must_use]
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

impl NextOffset {
    /// Whether a record at `offset` lies before this one: its effect is complete already.
    #[must_use]
    pub const fn is_past(self, offset: Offset) -> bool {
        offset.0 < self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an observation within its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Offset of the message that carried it.
    pub offset: Offset,
    /// element × number of value fields + field, from 0.
    pub index: u32,
    /// Kafka timestamp of that message, milliseconds since 1970; the outcome's record carries it on.
    pub timestamp_ms: i64,
}

/// One reading of one stream, borrowed from the message it came in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation<'a> {
    /// Id of the stream, at most `stream_max_bytes` long.
    pub stream: &'a str,
    /// Event time, milliseconds since 1970.
    pub time_ms: i64,
    /// Invariant: finite. `None` is a missing reading: it takes its step.
    pub value: Option<f64>,
    /// Where it came from.
    pub source: Source,
}
