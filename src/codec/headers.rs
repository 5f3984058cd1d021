//! Names and values of the record headers.

use std::fmt::{self, Write as _};

use crate::engine::ModelVersion;
use crate::series::observation::{Partition, Source};

/// Of forecasts and dead letters: `topic/partition/offset/index` of the observation.
pub const SOURCE: &str = "tidecast.source";
/// Of forecasts: `pipeline/version`.
pub const MODEL: &str = "tidecast.model";
/// Of dead letters: the code.
pub const REASON: &str = "tidecast.reason";
/// Of dead letters: a sentence.
pub const MESSAGE: &str = "tidecast.message";
/// Of dead letters whose value did not fit: its bytes.
pub const TRUNCATED: &str = "tidecast.truncated";
/// Of dead letters whose received headers did not fit either: how many they were.
pub const TRUNCATED_HEADERS: &str = "tidecast.truncated_headers";
/// Of dead letters whose key did not fit either: its bytes.
pub const TRUNCATED_KEY: &str = "tidecast.truncated_key";
/// Of forecasts.
pub const CONTENT_TYPE: &str = "content-type";
/// Value of [`CONTENT_TYPE`].
pub const JSON: &str = "application/json";

/// An observation's place in the cluster. Displays as the value of [`SOURCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Input topic.
    pub topic: &'a str,
    /// Partition of it.
    pub partition: Partition,
    /// Offset and index.
    pub source: Source,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            partition,
            source,
        } = self;
        write!(f, "{topic}/{partition}/{}/{}", source.offset, source.index)
    }
}

/// Replaces `out` by the value of [`SOURCE`].
pub fn write_source(place: &Place<'_>, out: &mut String) {
    out.clear();
    write!(out, "{place}").expect("writing to a string cannot fail");
}

/// Replaces `out` by the value of [`MODEL`].
pub fn write_model(pipeline: &str, version: ModelVersion, out: &mut String) {
    out.clear();
    write!(out, "{pipeline}/{}", version.0).expect("writing to a string cannot fail");
}
