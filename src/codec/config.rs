//! What the decoder looks for in a message.

/// Unit of a numeric time field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// By magnitude.
    Auto,
    /// Seconds (fractions allowed).
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// Input of one pipeline (format `json`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Field or dotted path of the stream id; `None`: the message key.
    pub id: Option<String>,
    /// Field or dotted path of the time; `None`: the Kafka timestamp.
    pub time: Option<String>,
    /// Unit of a numeric time.
    pub time_unit: TimeUnit,
    /// Value fields or dotted paths, at least one.
    pub values: Vec<String>,
    /// An event time later than the Kafka timestamp by more than this is refused, milliseconds.
    pub future_max_ms: i64,
    /// Bytes of a stream id at most.
    pub stream_max_bytes: usize,
    /// Bytes of a message's value at most.
    pub value_max_bytes: usize,
}
