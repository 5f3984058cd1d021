//! Which snapshot a partition is restored from, and how what was begun with one has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::snapshot::{Content, Form, Header};
use crate::series::observation::NextOffset;
use crate::worker::SwitchLog;
use crate::worker::ports::{Error, PartitionId};
use crate::worker::report::Loading;

/// A search for the newest snapshot that fits.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Comes back with the answer: one that is asked for no more is told from one that is.
    pub ticket: u64,
    /// Whose.
    pub id: PartitionId,
    /// Name of its topic.
    pub topic: String,
    /// What is committed: a snapshot of a later offset is of another history.
    pub at_most: NextOffset,
    /// Of the cluster that the offset is of.
    pub cluster: String,
    /// Of the configuration that shapes state.
    pub fingerprint: u64,
    /// What the committed offset says of base and versions; `None` where that is not ours.
    pub log: Option<SwitchLog>,
    /// How a row is laid out.
    pub form: Arc<Form>,
    /// How far it is, for whoever waits.
    pub progress: Arc<Progress>,
}

/// How far the reading of a snapshot is: written by whoever reads it, shown by whoever waits for it. Decides nothing.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    whole: AtomicU64,
}

impl Progress {
    /// A file of `bytes` is read from its beginning.
    pub fn begin(&self, bytes: u64) {
        self.read.store(0, Ordering::Relaxed);
        self.whole.store(bytes, Ordering::Relaxed);
    }

    /// So many more of its bytes are read.
    pub fn add(&self, bytes: usize) {
        self.read
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// As of now.
    #[must_use]
    pub fn loading(&self) -> Loading {
        let whole = self.whole.load(Ordering::Relaxed);
        Loading {
            read: self.read.load(Ordering::Relaxed).min(whole),
            whole,
        }
    }
}

impl Wanted {
    /// Why a snapshot with that header is not this partition's past; `None` where it is.
    #[must_use]
    pub fn refuses(&self, header: &Header) -> Option<String> {
        let differs = |what: &str, found: &str, wanted: &str| {
            Some(format!("its {what} is `{found}`, this one's is `{wanted}`"))
        };
        if header.cluster != self.cluster {
            return differs("cluster", &header.cluster, &self.cluster);
        }
        if header.topic != self.topic {
            return differs("topic", &header.topic, &self.topic);
        }
        if header.partition != self.id.partition {
            let (found, wanted) = (header.partition.0.to_string(), self.id.partition.0.to_string());
            return differs("partition", &found, &wanted);
        }
        if header.fingerprint != self.fingerprint {
            return Some(
                "the configuration that shapes state was another one when it was taken (interval, seasons, time zone, \
                 experts or model)"
                    .to_owned(),
            );
        }
        if header.next > self.at_most {
            return Some(format!(
                "it is of offset {}, and {} is committed: of another history",
                header.next, self.at_most
            ));
        }
        let Ok(log) = header.switch_log.parse::<SwitchLog>() else {
            return Some(format!("its switch log is `{}`", header.switch_log));
        };
        match &self.log {
            Some(committed) if !committed.continues(&log, header.next) => Some(format!(
                "its switch log `{log}` is no past of the committed one `{committed}`"
            )),
            _ => None,
        }
    }
}

/// How something has ended that was begun through [`Snapshots`](crate::worker::ports::Snapshots).
#[derive(Debug)]
pub enum Ended {
    /// A search.
    Loaded {
        /// Of the search.
        ticket: u64,
        /// The newest one that fits; `None` where there is none.
        ///
        /// # Errors
        /// Transient: the store is away.
        found: Result<Option<Box<(Header, Content)>>, Error>,
        /// Newer ones that do not fit, each a sentence with its name and the reason.
        refused: Vec<String>,
    },
    /// A snapshot is durable under its name.
    Written {
        /// As it was begun with: the same partition may have another state by now.
        ticket: u64,
        /// Its offset.
        next: NextOffset,
        /// Bytes of its file.
        bytes: u64,
        /// Offset of the oldest one that was kept; `None` where that could not be found out.
        oldest: Option<NextOffset>,
    },
    /// A snapshot could not be written and left nothing behind.
    Failed {
        /// As it was begun with.
        ticket: u64,
        /// Why, and the way out.
        reason: String,
    },
}
