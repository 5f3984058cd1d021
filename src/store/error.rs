//! Why the store did not do it, and the way out.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// Why the store did not do it. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used.
    #[error("`store.url` `{url}` {reason}: give `file:///absolute/path`")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The disk refused.
    #[error("cannot {action} `{path}` in the store `{url}`: {way_out}")]
    Disk {
        /// As configured.
        url: String,
        /// File or directory.
        path: String,
        /// What was tried.
        action: &'static str,
        /// Cause in a word and what to do.
        way_out: &'static str,
        /// What the system said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// An object above the bound is neither written nor read into memory.
    #[error(
        "`{path}` has {bytes} bytes, more than the {max} that an object may have: it is no file of this program, move it away"
    )]
    TooLarge {
        /// Object.
        path: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A path that cannot name an object.
    #[error("`{path}` cannot name an object: use letters, digits, `-`, `_`, `.` and `/`")]
    Path {
        /// As given.
        path: String,
    },
    /// The queue of requests is full: the disk is slower than what is asked of it.
    #[error("the store `{url}` has {queued} requests waiting: its disk is too slow, try again later")]
    Busy {
        /// As configured.
        url: String,
        /// The bound.
        queued: usize,
    },
    /// No answer in time. A put may or may not have happened: read before writing again.
    #[error(
        "the store `{url}` did not answer about `{path}` within {deadline:?}: look at the disk or mount behind it"
    )]
    Deadline {
        /// As configured.
        url: String,
        /// Object or prefix.
        path: String,
        /// The bound.
        deadline: Duration,
    },
    /// The store's thread has ended.
    #[error("the store `{url}` has stopped: restart the service and read its log")]
    Stopped {
        /// As configured.
        url: String,
    },
    /// A model file that cannot be served.
    #[error("`{path}` is not the model that its name says: {reason}; restore it from a copy or delete it")]
    Model {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// What to do about an error of the system. Sentences, since the operator sees them first.
pub(super) fn way_out(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind as K;
    match kind {
        K::StorageFull | K::QuotaExceeded => {
            "the disk is full: free space there or point `store.url` at another disk"
        }
        K::ReadOnlyFilesystem => {
            "the file system is read-only: mount it writable, or name the directory in the unit's `ReadWritePaths=` or `StateDirectory=`"
        }
        K::PermissionDenied => {
            "permission denied: give the directory to the service's user, or point `store.url` elsewhere"
        }
        K::NotADirectory | K::AlreadyExists => {
            "a file is in the way of a directory: move it, or point `store.url` elsewhere"
        }
        K::NotFound => "the directory cannot be made there: create it, or point `store.url` elsewhere",
        _ => "look at the disk or mount behind it",
    }
}

/// Finds the system's error under the layers that object stores wrap around it.
pub(super) fn io_kind(error: &(dyn StdError + 'static)) -> io::ErrorKind {
    let mut layer = Some(error);
    while let Some(inner) = layer {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            return found.kind();
        }
        layer = inner.source();
    }
    io::ErrorKind::Other
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
