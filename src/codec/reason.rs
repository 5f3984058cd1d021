//! Why an observation is in the dead-letter topic.

use crate::engine::Outcome;

/// The code in a dead letter's header `tidecast.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No value, or an empty array.
    Empty,
    /// The value, the key that should name the stream, or an escaped id is no UTF-8.
    NotUtf8,
    /// No JSON, or no object.
    Malformed,
    /// The stream's id is absent, null, empty or of another type.
    NoStream,
    /// The id is longer than `stream_max_bytes`.
    StreamTooLong,
    /// The time is absent or null.
    NoTime,
    /// The time cannot be read.
    BadTime,
    /// The event time lies too far after the Kafka timestamp.
    TimeInFuture,
    /// The value field is absent.
    NoValue,
    /// The value is of another type.
    NotANumber,
    /// The value is beyond a 64-bit float.
    NotFinite,
    /// The message is beyond its bounds.
    TooLarge,
    /// Drop outcome: its step is filled already.
    Duplicate,
    /// Drop outcome: before the stream's newest step.
    Late,
    /// Drop outcome: a null.
    Missing,
    /// Drop outcome: the partition is full.
    OverCapacity,
    /// Drop outcome: the stream is not ready.
    Muted,
}

impl Reason {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 17] = [
        Self::Empty,
        Self::NotUtf8,
        Self::Malformed,
        Self::NoStream,
        Self::StreamTooLong,
        Self::NoTime,
        Self::BadTime,
        Self::TimeInFuture,
        Self::NoValue,
        Self::NotANumber,
        Self::NotFinite,
        Self::TooLarge,
        Self::Duplicate,
        Self::Late,
        Self::Missing,
        Self::OverCapacity,
        Self::Muted,
    ];

    /// The code, as in the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::NoStream => "no_stream",
            Self::StreamTooLong => "stream_too_long",
            Self::NoTime => "no_time",
            Self::BadTime => "bad_time",
            Self::TimeInFuture => "time_in_future",
            Self::NoValue => "no_value",
            Self::NotANumber => "not_a_number",
            Self::NotFinite => "not_finite",
            Self::TooLarge => "too_large",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::OverCapacity => "over_capacity",
            Self::Muted => "muted",
        }
    }

    /// What an outcome that is dropped is called in the dead-letter topic; `None` for a forecast.
    #[must_use]
    pub const fn of_outcome(outcome: &Outcome<'_>) -> Option<Self> {
        match outcome {
            Outcome::Forecast(_) => None,
            Outcome::Duplicate => Some(Self::Duplicate),
            Outcome::Late => Some(Self::Late),
            Outcome::Missing => Some(Self::Missing),
            Outcome::OverCapacity => Some(Self::OverCapacity),
            Outcome::Muted => Some(Self::Muted),
        }
    }

    /// A sentence that says what the code means, for the drop outcomes (the decoder has better ones for the rest).
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Empty => "the message holds no observation",
            Self::NotUtf8 => "the bytes are no UTF-8",
            Self::Malformed => "the message is no JSON object or array of objects",
            Self::NoStream => "the observation names no stream",
            Self::StreamTooLong => "the stream's id is longer than `input.stream_max_bytes`",
            Self::NoTime => "the observation has no time",
            Self::BadTime => "the time cannot be read",
            Self::TimeInFuture => "the time lies too far after the record's Kafka timestamp",
            Self::NoValue => "the value field is absent",
            Self::NotANumber => "the value is no JSON number",
            Self::NotFinite => "the value is beyond a 64-bit float",
            Self::TooLarge => "the message is larger than `input.value_max_bytes`",
            Self::Duplicate => "the stream's step at this time is filled already",
            Self::Late => "the time lies before the stream's newest step",
            Self::Missing => "the value is null: a missing reading, it took its step",
            Self::OverCapacity => "the partition holds `streams_max` streams already",
            Self::Muted => "the stream is not ready, and `output.start_when` is \"ready\"",
        }
    }
}
