//! What a worker asks of the world. Kafka stands behind it in service, a simulation in tests.
//!
//! Every call is made on the worker's own thread. Nothing calls back into the worker: a rebalance is a return value of
//! [`Source::poll`], and the group waits until the worker has answered it. What serves all partitions together (a poll, a
//! commit, a new producer) may block for as long as its implementation bounds it. What one partition needs to be restored
//! never does, since the others are served meanwhile: it is asked for, and the answer is looked for between turns.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::snapshot::{Anchor, Block, Header};
use crate::engine::{Model, ModelVersion, TapeChunk};
use crate::series::observation::{NextOffset, Offset, Partition};
use crate::worker::report::TurnReport;
use crate::worker::snapshots::{Ended, Wanted};

/// A partition of one of the pipeline's input topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// Index into `worker::Config::topics`.
    pub topic: usize,
    /// Its number in that topic.
    pub partition: Partition,
}

/// Headers of a received record, in order; names may repeat.
pub trait Headers {
    /// How many there are.
    fn count(&self) -> usize;
    /// Name and value of the one at `index`, which is below `count`.
    fn get(&self, index: usize) -> (&str, Option<&[u8]>);
}

/// A received record, borrowed from the client's buffer: it lives for the length of the closure it is handed to.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Where it came from.
    pub partition: PartitionId,
    /// Its place there.
    pub offset: Offset,
    /// Kafka timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// As received.
    pub key: Option<&'a [u8]>,
    /// As received; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// As received.
    pub headers: &'a dyn Headers,
}

/// What a poll brought. At most one record or one event each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing within the time-out.
    Idle,
    /// A record was handed to the closure.
    Record,
    /// Everything that the partition holds now has been handed out. For readiness only: never for correctness.
    End(PartitionId),
    /// Some partition's next offset is not in its log any more (or not yet): all have to be restored.
    OutOfRange,
    /// Partitions that the group gives; answer with [`Source::hold`].
    Assigned(Vec<PartitionId>),
    /// Partitions that the group takes; still ours until answered with [`Source::release`].
    Revoked(Vec<PartitionId>),
    /// Partitions that the group has taken already: no commit; answer with [`Source::release`].
    Lost(Vec<PartitionId>),
}

/// The committed offset of a partition, stable (no transaction pending on it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Which partition.
    pub partition: PartitionId,
    /// `None`: the coordinator knows none. Never to be read as 0.
    pub next: Option<NextOffset>,
    /// Empty where there is none.
    pub metadata: String,
}

/// The ends of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Offset of the oldest record left.
    pub start: NextOffset,
    /// One past the newest record that a `read_committed` reader can see.
    pub end: NextOffset,
}

/// What is asked of the cluster to restore partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The cluster's id: offsets mean nothing in another one.
    Cluster,
    /// Every partition of a topic, whoever owns it.
    Partitions(usize),
    /// Committed offsets. Trouble where a transaction is pending on one of them, which is told soon.
    Committed(Vec<PartitionId>),
    /// Ends of a partition's log.
    Log(PartitionId),
    /// The first offset whose record is at or after that Kafka time, milliseconds since 1970.
    OffsetAt(PartitionId, i64),
    /// The last record before that offset.
    RecordBefore(PartitionId, NextOffset),
}

/// The answer to the [`Question`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The cluster's id.
    Cluster(String),
    /// All there are.
    Partitions(Vec<PartitionId>),
    /// In the order asked for.
    Committed(Vec<Committed>),
    /// Asked from the broker.
    Log(Log),
    /// `None` where no record is.
    OffsetAt(Option<NextOffset>),
    /// `None` where none is left.
    RecordBefore(Option<Anchor>),
}

/// The consuming side: a static member of the pipeline's group.
pub trait Source {
    /// Proof of membership, to be sent with a commit.
    type Membership;

    /// Waits at most `timeout` for one record or event. After `Assigned`, `Revoked` or `Lost` the group stands still
    /// until it is answered, and no record is handed out before.
    ///
    /// # Errors
    /// Trouble of the client: retried by polling on, except for [`Error::InstanceInUse`] and [`Error::Fatal`].
    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(&Record<'_>)) -> Result<Event, Error>;

    /// Takes what was assigned, without reading a record from it.
    ///
    /// # Errors
    /// The assignment was refused; the group will assign anew.
    fn hold(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Reads no further record from partitions that are held or running; drops what is prefetched.
    ///
    /// # Errors
    /// As of the client; a call on a partition that is already paused is no error.
    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Gives partitions back. Their state and every transaction that holds their offsets must be gone.
    ///
    /// # Errors
    /// As of the client; the group goes on all the same.
    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Reads a held or paused partition from `from` on.
    ///
    /// # Errors
    /// The partition stays paused; try again.
    fn start(&mut self, partition: PartitionId, from: NextOffset) -> Result<(), Error>;

    /// Begins to ask the cluster; the answer comes by [`Source::answered`] with the ticket, sooner or later.
    ///
    /// # Errors
    /// Transient: nothing was begun.
    fn ask(&mut self, ticket: u64, question: Question) -> Result<(), Error>;

    /// An answer that has come, with the ticket of its question. Does not wait for one.
    ///
    /// # Errors
    /// Within: transient, or [`Error::InstanceInUse`] and [`Error::Fatal`].
    fn answered(&mut self) -> Option<(u64, Result<Answer, Error>)>;

    /// Nobody waits any more for an answer to what was asked so far.
    fn forget(&mut self);

    /// The log's end as last heard, without asking: for lag.
    fn end_heard(&self, partition: PartitionId) -> Option<NextOffset>;

    /// Membership as of now. To be read anew for every commit, right before the group is told of it.
    ///
    /// # Errors
    /// [`Error::NotMember`] where the group no longer knows this member: a commit would not be fenced.
    fn membership(&mut self) -> Result<Self::Membership, Error>;
}

/// Which topic a record is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `output.topic`.
    Forecasts,
    /// `dead_letter.topic`.
    DeadLetters,
}

/// A record to be published, borrowed from the worker's buffers; the sink copies it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Input partition: gives the partition where both topics have the same count, and takes the blame.
    pub origin: PartitionId,
    /// Kafka timestamp, milliseconds since 1970: that of the input record.
    pub timestamp_ms: i64,
    /// Null stays null.
    pub key: Option<&'a [u8]>,
    /// Null stays null.
    pub value: Option<&'a [u8]>,
    /// In order; names may repeat.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// An offset to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Which partition.
    pub partition: PartitionId,
    /// Every outcome below it is in the transaction.
    pub next: NextOffset,
    /// At most [`METADATA_BYTES_MAX`](crate::worker::METADATA_BYTES_MAX).
    pub metadata: &'a str,
}

/// Reads [`Source::membership`].
pub type ReadMembership<'a, M> = dyn FnMut() -> Result<M, Error> + 'a;

/// The producing side: one transactional producer.
///
/// Any error but those of [`Sink::connect`] means that the outcome is unknown: the worker calls [`Sink::discard`] and
/// begins again. There is no abort: a new producer under the same id aborts what the old one left.
pub trait Sink {
    /// What [`Source::membership`] gives.
    type Membership;

    /// A new producer that fences the one before it and ends its transaction. Calls `alive` before each of its blocking
    /// calls: how many they are hangs on the number of topics.
    ///
    /// # Errors
    /// Transient, or [`Error::Fatal`] (a property that the client does not know).
    fn connect(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error>;

    /// Queues a record in the open transaction, beginning one where none is.
    ///
    /// # Errors
    /// Not queued, or an earlier one failed.
    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error>;

    /// Puts `offsets` into the open transaction, beginning one where none is, and commits it. `Ok` only where it is
    /// known to be committed, and every record of it delivered. `membership` is read once, when everything is delivered
    /// and the offsets are put into the transaction next: delivering may take seconds, and the generation is the fence.
    ///
    /// # Errors
    /// Unknown outcome; that of `membership` as it is.
    fn commit(
        &mut self,
        offsets: &[Commit<'_>],
        membership: &mut ReadMembership<'_, Self::Membership>,
    ) -> Result<(), Error>;

    /// Drops the producer with all that it holds. Never aborts. No effect where there is none.
    fn discard(&mut self);
}

/// How a load of a version has ended.
#[derive(Debug)]
pub struct Loaded {
    /// Which one.
    pub version: ModelVersion,
    /// `None` where it is not there.
    ///
    /// # Errors
    /// Transient: the store is away.
    pub found: Result<Option<Arc<Model>>, Error>,
}

/// The pipeline's versions of weights.
pub trait Models {
    /// The newest version that this process knows; does not block. There is one before a worker runs: version 1 is
    /// stored before the first commit.
    fn newest(&mut self) -> Arc<Model>;

    /// Begins to load a version that a switch log names; the answer comes by [`Models::loaded`].
    ///
    /// # Errors
    /// Transient: nothing was begun.
    fn load(&mut self, version: ModelVersion) -> Result<(), Error>;

    /// A version whose load has ended. Does not wait for one.
    fn loaded(&mut self) -> Option<Loaded>;
}

/// Snapshots at rest. Nothing here blocks: reading and writing happen elsewhere, and how they end is asked for.
pub trait Snapshots {
    /// Begins to look for the newest snapshot that `wanted` does not refuse; the answer is an [`Ended::Loaded`] with its
    /// ticket.
    ///
    /// # Errors
    /// Transient: nothing was begun.
    fn load(&mut self, wanted: Wanted) -> Result<(), Error>;

    /// A search that has come further since this was asked last: its ticket, and the offset of the snapshot that is being
    /// read. One that is never heard of hangs, or waits for one that does.
    fn reading(&mut self) -> Option<(u64, NextOffset)>;

    /// Whether what was handed over before, given up or not, is still being worked on: one that is begun now would wait.
    fn is_busy(&mut self) -> bool;

    /// Begins to write one; one at a time. Its end comes with the `ticket`.
    ///
    /// # Errors
    /// Transient: nothing was begun.
    fn begin(&mut self, ticket: u64, id: PartitionId, header: Header) -> Result<(), Error>;

    /// Hands over a block of the one that is being written; its memory comes back by [`Snapshots::empty`].
    fn write(&mut self, block: Block);

    /// A block that is written, to be filled again; waits for one at most `wait`.
    fn empty(&mut self, wait: Duration) -> Option<Block>;

    /// Every block was handed over: the snapshot is to be made durable under its name. Answered by [`Ended::Written`] or
    /// [`Ended::Failed`].
    fn finish(&mut self);

    /// Gives up the one that is being written: it leaves nothing behind.
    fn abandon(&mut self);

    /// How something that was begun has ended, if anything has.
    fn ended(&mut self) -> Option<Ended>;
}

/// The way to the trainer: bounded and one-way, with empties coming back.
pub trait Tape {
    /// A full chunk. `Err` gives it back where the trainer does not keep up: its rows are dropped and counted.
    ///
    /// # Errors
    /// The chunk itself.
    #[allow(
        clippy::result_large_err,
        reason = "moved once per thousand rows; a box would be allocated for each"
    )]
    fn offer(&mut self, chunk: TapeChunk) -> Result<(), TapeChunk>;

    /// An empty chunk to be filled again.
    fn empty(&mut self) -> Option<TapeChunk>;
}

/// A tape that takes nothing: where nothing is trained.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTape;

impl Tape for NoTape {
    fn offer(&mut self, chunk: TapeChunk) -> Result<(), TapeChunk> {
        Err(chunk)
    }

    fn empty(&mut self) -> Option<TapeChunk> {
        None
    }
}

/// Monotonic time. It decides when to batch, commit and switch, never what.
pub trait Clock {
    /// Since an arbitrary start.
    fn now(&self) -> Duration;
}

/// What a worker is doing, for a watchdog outside of it: told **before** it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Polling, stepping, producing: ends within a second.
    Turn,
    /// In a blocking call of a commit.
    Committing,
    /// In a blocking call of a new producer.
    Connecting,
    /// Making the state of a partition.
    Restoring,
    /// Closing the clients.
    Closing,
}

/// Who watches a worker: metrics, readiness, the watchdog. Called often: must not block.
pub trait Observer {
    /// What begins now. Each call is a sign of life.
    fn activity(&mut self, activity: Activity);

    /// A turn has ended.
    fn turn(&mut self, report: &TurnReport<'_>);
}

/// What a port answers when it cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// May pass by itself.
    #[error("{doing}: {reason}")]
    Transient {
        /// What was tried.
        doing: &'static str,
        /// What the other side said.
        reason: String,
    },
    /// Trying again gives the same: a step that panics, a record that the broker refuses for what it is. What an outage
    /// can cause is never this, since it parks the partition to blame.
    #[error("{doing}: {reason}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// Why it was refused.
        reason: String,
        /// The partition to blame, where it is known.
        partition: Option<PartitionId>,
    },
    /// The group does not know this member any more.
    #[error("this worker is no member of its group at the moment: {reason}")]
    NotMember {
        /// How that is known.
        reason: String,
    },
    /// Another process joined with this worker's id.
    #[error("`service.instance` `{instance}` is in use by another process")]
    InstanceInUse {
        /// `service.instance`.
        instance: String,
    },
    /// Does not pass by itself.
    #[error("{doing}: {reason}")]
    Fatal {
        /// What was tried.
        doing: &'static str,
        /// What the other side said, and the way out.
        reason: String,
    },
}

impl Error {
    /// Whether trying again makes no sense: the worker ends.
    #[must_use]
    pub const fn ends_worker(&self) -> bool {
        matches!(self, Self::InstanceInUse { .. } | Self::Fatal { .. })
    }
}
