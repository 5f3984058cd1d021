//! What the demo feeds: readings of streams, from the plant or from a file.

/// One reading of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Index into the names of the source.
    pub stream: usize,
    /// Event time, milliseconds since 1970.
    pub time_ms: i64,
    /// `None`: the sensor says that it has no value.
    pub value: Option<f64>,
}

/// Readings in time order.
pub(crate) trait Readings: Send {
    /// Ids of the streams.
    fn names(&self) -> &[String];
    /// Replaces `out` by the readings of the next point in time; false at the end.
    fn next(&mut self, out: &mut Vec<Reading>) -> bool;
}
