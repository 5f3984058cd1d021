//! Everything that outlives a process, and what a process is to the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::coverage::{Cover, Coverage};
use super::group::Group;
use super::input::{Fate as InputFate, Log};
use super::oracle::Audit;
use super::reference::Past;
use super::rng::Rng;
use super::scenario::Scenario;
use super::step::Fate;
use super::store::{Handle, Store};
use super::tape::Taped;
use super::transactions::Producer;
use crate::engine::Engine;
use crate::series::observation::NextOffset;
use crate::worker::ports::{Answer, Error, Event, PartitionId};
use crate::worker::report::PartitionPhase;

/// Place in `World::processes`; a process that is started anew gets another one.
pub(super) type Pid = usize;

/// A member that is not heard of for so long is taken out of its group.
pub(super) const SESSION: Duration = Duration::from_secs(8);
/// A transaction that is not ended for so long is aborted: longer than a session, so that a process can sleep through
/// the one and not the other.
pub(super) const TRANSACTION: Duration = Duration::from_secs(25);

/// What was found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) text: String,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// Two outcomes of one observation.
    Twice,
    /// An offset was committed without an outcome below it.
    Missing,
    /// Outcomes are not in the order of their observations.
    Order,
    /// An outcome is of no observation that a reader of committed records can see.
    Invented,
    /// A forecast is not what the engine says over the same records and versions.
    Bytes,
    /// A dead letter is not what was received, or says another reason.
    Letter,
    /// Something was done about a partition that was not assigned.
    Unassigned,
    /// A transaction was open when partitions were given back.
    OpenAcrossUnassign,
    /// A topic that was created anew is read on at the offset of the one before.
    AnotherLog,
    /// A snapshot is not the state at its offset.
    Snapshot,
    /// A state in memory is not that of its records.
    State,
    /// The tape has a reading twice, or one that it must not have, or one is missing that is not counted as lost.
    Tape,
    /// Base or switch log of a committed offset say what cannot be.
    Metadata,
    /// A bound was passed.
    Bound,
    /// A published number is not finite, or quantiles cross.
    Numbers,
    /// A partition is out of service without a cause of its own.
    Parked,
    /// Counters do not agree with what happened.
    Count,
    /// The worker panicked.
    Panic,
    /// Nothing moves though nothing fails any more.
    Stuck,
}

/// How a partition came to be read by a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened {
    /// Of the log that is read.
    pub(super) incarnation: u32,
    /// Oldest offset left, as the process was told.
    pub(super) log_start: i64,
    /// Ranges that are in no state though they lie between the base and the position: they were deleted before they
    /// were read, and a snapshot had what lay before.
    pub(super) gaps: Vec<(i64, i64)>,
    /// What its state hangs on, as far as it is known: from the snapshot, or the last commit.
    pub(super) past: Option<Past>,
}

/// Where a process reads a partition that it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) position: i64,
    pub(super) running: bool,
    pub(super) ended: bool,
}

/// The group as a process' client sees it.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) joined: bool,
    pub(super) generation: i32,
    /// Another process joined with its instance id.
    pub(super) fenced: bool,
    /// The group took it out, and it will hear of that when it asks next.
    pub(super) expelled: bool,
    pub(super) inbox: VecDeque<Event>,
    pub(super) unanswered: Option<Event>,
    pub(super) held: BTreeMap<PartitionId, Reading>,
    pub(super) turn: usize,
    /// Records handed out since the last event or pause.
    pub(super) run: usize,
    /// Topics that were created anew, and it has not been told.
    pub(super) recreated: BTreeSet<PartitionId>,
}

/// A process of one worker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) instance: usize,
    pub(super) alive: bool,
    /// Stopped by a signal in the middle of a call.
    pub(super) suspended: bool,
    pub(super) fate: Fate,
    /// Of the turn that is going on.
    pub(super) calls: usize,
    pub(super) points: usize,
    pub(super) last_call: Duration,
    pub(super) rng: Rng,
    pub(super) client: Client,
    /// Epoch of its producer, if there is one.
    pub(super) epoch: Option<u32>,
    pub(super) newest: u64,
    /// Answers to its questions, and when they come.
    pub(super) answers: VecDeque<(Duration, u64, Result<Answer, Error>)>,
    /// Versions that it loads, and when that ends.
    pub(super) loads: VecDeque<(Duration, u64)>,
    pub(super) snapshots: Handle,
    /// Ends of logs as it was told last.
    pub(super) seen_ends: BTreeMap<PartitionId, (i64, i64)>,
    pub(super) opened: BTreeMap<PartitionId, Opened>,
    /// Observations that it has told outcomes of, and those of the commits that it knows of.
    pub(super) told: u64,
    pub(super) heard: u64,
    pub(super) parked: BTreeSet<PartitionId>,
    /// How far it says its partitions are.
    pub(super) phases: BTreeMap<PartitionId, PartitionPhase>,
    pub(super) trouble: Option<String>,
    pub(super) lost_told: BTreeMap<PartitionId, u64>,
    /// Partitions of which records were lost, to be told by the next report.
    pub(super) lost_due: BTreeSet<PartitionId>,
    pub(super) taped: Taped,
}

/// What goes wrong at the moment, of what is not of one call.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) disk_full: bool,
    pub(super) disk_slow: bool,
    pub(super) store_away: bool,
    /// Until then the coordinator may answer that there is no offset.
    pub(super) blind_until: Duration,
    pub(super) missing_versions: BTreeSet<u64>,
    /// Records whose outcome cannot be published, and how that shows.
    pub(super) poison: BTreeMap<(PartitionId, i64), Poison>,
}

/// How an outcome fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    /// The worker panics on it.
    Panic,
    /// The broker refuses it, and says which it was.
    Refused,
    /// The broker refuses the transaction that it is in.
    Unexplained,
}

/// Everything that outlives a process.
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) now: Duration,
    pub(super) logs: BTreeMap<PartitionId, Log>,
    /// Logs of topics that were deleted, by how often they had been created.
    pub(super) old_logs: BTreeMap<(PartitionId, u32), Log>,
    /// Partitions whose committed offset is of a log before the one that is there, with the last record of that, where the
    /// offset names it.
    pub(super) of_another_log: BTreeMap<PartitionId, Option<(i64, i64)>>,
    pub(super) fates: Vec<InputFate>,
    pub(super) committed: BTreeMap<PartitionId, (NextOffset, String)>,
    pub(super) producers: Vec<Producer>,
    pub(super) group: Group,
    pub(super) store: Store,
    pub(super) processes: Vec<Process>,
    pub(super) newest: u64,
    pub(super) trouble: Trouble,
    pub(super) healed: bool,
    /// By partition and how often its topic was created.
    pub(super) audits: BTreeMap<(PartitionId, u32), Audit>,
    pub(super) engine: Option<Box<Engine>>,
    /// Which states are compared.
    pub(super) sampler: Rng,
    pub(super) coverage: Coverage,
    pub(super) violation: Option<Violation>,
    /// Observations with an outcome so far, published or only counted.
    pub(super) judged: u64,
    /// Something happened after which a state may have to be made anew.
    pub(super) excused: bool,
    /// What happened, in words, where somebody wants to read it.
    pub(super) story: Option<Vec<String>>,
    /// Commits so far: for progress.
    pub(super) commits: u64,
}

impl World {
    /// Notes the first thing that is wrong.
    pub(super) fn violate(&mut self, check: Check, text: String) {
        self.violation.get_or_insert(Violation { check, text });
    }

    /// A sentence for whoever reads a history.
    pub(super) fn tell(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let seconds = self.now.as_secs_f64();
            story.push(format!("{seconds:9.3} {}", sentence()));
        }
    }

    pub(super) fn cover(&mut self, cover: Cover) {
        self.coverage.note(cover);
    }

    /// A partition's log, of a topic that was created so often.
    pub(super) fn log_of(&self, id: PartitionId, incarnation: u32) -> &Log {
        let old = self.old_logs.get(&(id, incarnation));
        old.unwrap_or_else(|| &self.logs[&id])
    }

    /// What is known of the committed past of a partition as it is now.
    pub(super) fn audit(&mut self, id: PartitionId) -> &mut Audit {
        let incarnation = self.logs[&id].incarnation;
        self.audits.entry((id, incarnation)).or_default()
    }

    /// Ids of all partitions there are.
    pub(super) fn ids(&self) -> Vec<PartitionId> {
        self.logs.keys().copied().collect()
    }

    /// Oldest and newest offsets of a partition for a `read_committed` reader.
    pub(super) fn ends(&self, id: PartitionId) -> (i64, i64) {
        let log = &self.logs[&id];
        (log.start, log.end(&self.fates))
    }

    /// Whether every record that a reader can see lies below its committed offset.
    pub(super) fn is_done(&self) -> bool {
        self.logs.iter().all(|(id, log)| {
            let next = self.committed.get(id).map_or(0, |entry| entry.0.0);
            let from = next.max(log.start);
            (from..log.len()).all(|offset| log.visible(offset, &self.fates).is_none())
        })
    }

    /// Lets time pass: sessions and transactions end by it.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.expire_members();
        self.time_out_transactions();
    }
}
