//! Standard output that may be closed early.

use std::fmt;
use std::io::{self, Write as _};

/// Standard output did not take it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct Closed(#[source] pub(super) io::Error);

/// Writes `text` and a line feed.
pub(super) fn line(text: &dyn fmt::Display) -> Result<(), Closed> {
    writeln!(io::stdout().lock(), "{text}").map_err(Closed)
}

/// `1 topic`, `2 topics`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
