//! Copies of refused records.

use std::fmt::Write as _;

use crate::codec::headers::{self, Place};
use crate::codec::reason::Reason;

/// Bytes that the record format itself and the four headers of ours need at most beside key, value, received headers,
/// topic name (249) and message: lengths, varints, header names.
const OVERHEAD_BYTES: usize = 1024;

/// What is published for one refused observation beside key, timestamp and headers, which stay as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// As received (null stays null); `None` with a `tidecast.truncated` header where it would not fit.
    pub value: Option<&'a [u8]>,
    /// To follow the received headers, since readers take the last of a name.
    headers: [(&'static str, &'a [u8]); 4],
    count: usize,
}

impl<'a> DeadLetter<'a> {
    /// Headers of ours, to be put after the received ones.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, &'a [u8])] {
        &self.headers[..self.count]
    }
}

/// Makes dead letters; keeps the buffers of their headers.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    record_max_bytes: usize,
    source: String,
    truncated: String,
}

impl DeadLetters {
    /// For a topic (and producer) that take records of at most `record_max_bytes`.
    #[must_use]
    pub const fn new(record_max_bytes: usize) -> Self {
        Self {
            record_max_bytes,
            source: String::new(),
            truncated: String::new(),
        }
    }

    /// A dead letter for the observation at `place`. `received_bytes` is the length of the received key and of all
    /// received headers (names and values), `value` the message's value as received.
    pub fn letter<'a>(
        &'a mut self,
        place: &Place<'_>,
        (reason, message): (Reason, &'a str),
        received_bytes: usize,
        value: Option<&'a [u8]>,
    ) -> DeadLetter<'a> {
        headers::write_source(place, &mut self.source);
        let value_bytes = value.map_or(0, <[u8]>::len);
        let around = received_bytes
            .saturating_add(message.len())
            .saturating_add(OVERHEAD_BYTES);
        let fits = around.saturating_add(value_bytes) <= self.record_max_bytes;
        self.truncated.clear();
        if !fits {
            write!(self.truncated, "{value_bytes}").expect("writing to a string cannot fail");
        }
        DeadLetter {
            value: value.filter(|_| fits),
            headers: [
                (headers::SOURCE, self.source.as_bytes()),
                (headers::REASON, reason.as_str().as_bytes()),
                (headers::MESSAGE, message.as_bytes()),
                (headers::TRUNCATED, self.truncated.as_bytes()),
            ],
            count: if fits { 3 } else { 4 },
        }
    }
}
