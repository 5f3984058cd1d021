//! What a committed offset carries beside itself: base and switch log, and which record was the last one before it.

use std::fmt;
use std::str::FromStr;

use crate::engine::snapshot::Anchor;
use crate::series::observation::Offset;
use crate::worker::switch_log::{ParseError, SwitchLog, number};

const FORMAT: &str = "2";

/// The metadata of a committed offset: `2;base;<offset>:<version>,…;<offset>:<timestamp>`, or, where no record is known,
/// as releases before this form wrote it: `1;base;<offset>:<version>,…`.
///
/// The record is the proof that a log is the one that was read: offsets say nothing about a topic that was created anew, or
/// that lost its newest records and was written on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Base and versions.
    pub log: SwitchLog,
    /// The last record before the offset, as it was read.
    pub last: Option<Anchor>,
}

impl Metadata {
    /// Whether a text is of a newer release: it names versions, and which cannot be told.
    #[must_use]
    pub fn is_newer(text: &str) -> bool {
        let format = text.split_once(';').and_then(|(format, _)| number(format).ok());
        format.is_some_and(|format| format > 2)
    }
}

/// Writes the metadata of an offset from a log as text and the last record before it. A record without a timestamp proves
/// nothing.
pub(crate) fn write(log: &str, last: Option<Anchor>) -> String {
    match (log.split_once(';'), last.filter(|last| last.timestamp_ms >= 0)) {
        (Some((_, rest)), Some(last)) => format!("{FORMAT};{rest};{}:{}", last.offset, last.timestamp_ms),
        _ => log.to_owned(),
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(&self.log.to_string(), self.last))
    }
}

fn record(text: &str) -> Option<Anchor> {
    let (offset, timestamp_ms) = text.split_once(':')?;
    Some(Anchor {
        offset: Offset(number(offset).ok()?),
        timestamp_ms: number(timestamp_ms).ok()?,
    })
}

impl FromStr for Metadata {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((log, last)) = text
            .strip_prefix(FORMAT)
            .and_then(|rest| rest.strip_prefix(';'))
            .and_then(|rest| rest.rsplit_once(';'))
        else {
            let log = text.parse()?;
            return Ok(Self { log, last: None });
        };
        let last = record(last)
            .ok_or_else(|| ParseError::new(text, "its last record is not of the form `offset:timestamp`"))?;
        Ok(Self {
            log: SwitchLog::of_fields(log).map_err(|reason| ParseError::new(text, reason))?,
            last: Some(last),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::ModelVersion;
    use crate::series::observation::NextOffset;
    use crate::worker::METADATA_BYTES_MAX;

    const fn anchor(offset: i64, timestamp_ms: i64) -> Anchor {
        Anchor {
            offset: Offset(offset),
            timestamp_ms,
        }
    }

    #[test]
    fn metadata_reads_back_as_written_and_the_form_before_it_is_read() {
        for (text, log, last) in [
            ("1;5;", "1;5;", None),
            ("1;0;0:1,10:2", "1;0;0:1,10:2", None),
            ("2;0;0:1,10:2;19:1700", "1;0;0:1,10:2", Some(anchor(19, 1700))),
            ("2;5;;7:0", "1;5;", Some(anchor(7, 0))),
        ] {
            let metadata: Metadata = text.parse().unwrap();
            assert_eq!((metadata.log.to_string().as_str(), metadata.last), (log, last));
            assert_eq!(metadata.to_string(), text);
        }
        assert_eq!(
            write("1;0;0:1", Some(anchor(5, -1))),
            "1;0;0:1",
            "no timestamp proves nothing"
        );
    }

    #[test]
    fn what_is_not_written_here_is_refused() {
        for text in [
            "",
            "2",
            "2;0",
            "2;0;",
            "2;0;0:1",
            "2;0;0:1;",
            "2;0;0:1;5",
            "2;0;0:1;5:-1",
            "2;0;0:1;05:1",
            "2;0;0:1;5:1;",
            "1;0;0:1;5:1",
            "3;0;0:1;5:1",
            "2;0;1:0;5:1",
        ] {
            assert!(text.parse::<Metadata>().is_err(), "`{text}` passed");
        }
    }

    #[test]
    fn longest_metadata_fits_the_brokers_limit() {
        let base = i64::MAX - 100;
        let mut log = SwitchLog::new(NextOffset(base));
        for step in 0..64 {
            log.switch(NextOffset(base + step), ModelVersion(i64::MAX as u64));
        }
        let metadata = Metadata {
            log,
            last: Some(anchor(i64::MAX, i64::MAX)),
        };
        let text = metadata.to_string();
        assert!(text.len() <= METADATA_BYTES_MAX, "{}", text.len());
        assert_eq!(text.parse(), Ok(metadata));
    }

    proptest! {
        #[test]
        fn parsing_anything_never_panics_and_what_passes_reads_back(text in "[0-9;:,2]{0,40}|.{0,40}") {
            if let Ok(metadata) = text.parse::<Metadata>() {
                prop_assert_eq!(metadata.to_string(), text);
            }
        }
    }
}
