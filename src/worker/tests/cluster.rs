//! A small Kafka in memory: a log with transactions, a group, and faults at chosen calls.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::fakes::FakeClock;
use crate::engine::snapshot::Anchor;
use crate::series::observation::{NextOffset, Offset};
use crate::worker::ports::{
    Answer, Committed, Destination, Error, Event, Headers, Log, PartitionId, Question, Record, Source,
};

/// A published record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    pub(super) to: Destination,
    pub(super) origin: PartitionId,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Published {
    pub(super) fn header(&self, name: &str) -> String {
        let found = self.headers.iter().rfind(|header| header.0 == name);
        let value = found.and_then(|header| header.1.clone()).unwrap_or_default();
        String::from_utf8(value).unwrap()
    }
}

/// A record of an input topic.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp_ms: i64,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

struct InputHeaders<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Headers for InputHeaders<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        (&self.0[index].0, self.0[index].1.as_deref())
    }
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process ends there: unwinds out of the worker.
    Crash,
    /// The call fails.
    Fail,
    /// A commit succeeds, and its answer is lost.
    AnswerLost,
}

/// Everything that outlives a worker.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) inputs: BTreeMap<PartitionId, Vec<Input>>,
    /// Oldest offset left.
    pub(super) starts: BTreeMap<PartitionId, i64>,
    pub(super) committed: BTreeMap<PartitionId, (NextOffset, String)>,
    /// What a `read_committed` reader sees.
    pub(super) published: Vec<Published>,
    pub(super) pending: Vec<Published>,
    pub(super) open: bool,
    pub(super) producer_epoch: u64,
    pub(super) calls: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) polls: u64,
    /// Before which poll which event comes.
    pub(super) events: BTreeMap<u64, Event>,
    /// Whether the last consumer was closed while the group waited for its answer: a real one would hang.
    pub(super) closed_unanswered: bool,
    /// Answers of `committed` that know nothing, still to be given.
    pub(super) blind_reads: u32,
    /// A broken cluster, for the negative control: the offset that comes back is the base.
    pub(super) forgets_offsets: bool,
    pub(super) connects_failing: u32,
    pub(super) membership: Option<Error>,
    pub(super) newest: u64,
    /// Records that were committed without the worker's knowing it.
    pub(super) unanswered: u64,
    pub(super) missing_versions: Vec<u64>,
    /// Whose questions are never answered, and versions whose load never ends.
    pub(super) silent: Option<PartitionId>,
    pub(super) silent_versions: Vec<u64>,
    /// A source whose outcome no broker takes, and whether the answer says which partition it is of.
    pub(super) poison: Option<(String, bool)>,
}

impl Cluster {
    fn is_silent(&self, question: &Question) -> bool {
        let of = match question {
            Question::Log(id) | Question::OffsetAt(id, _) | Question::RecordBefore(id, _) => Some(*id),
            _ => None,
        };
        of.is_some() && of == self.silent
    }
}

pub(super) type Shared = Rc<RefCell<Cluster>>;

pub(super) struct CrashMarker;

pub(super) fn failure(doing: &'static str) -> Error {
    Error::Transient {
        doing,
        reason: "injected".to_owned(),
    }
}

/// Counts a call and lets its fault happen. `Some` where the call itself must deal with it.
pub(super) fn call(cluster: &Shared) -> Option<Fault> {
    let fault = {
        let mut cluster = cluster.borrow_mut();
        cluster.calls += 1;
        let calls = cluster.calls;
        cluster.faults.remove(&calls)
    };
    if fault == Some(Fault::Crash) {
        std::panic::resume_unwind(Box::new(CrashMarker));
    }
    fault
}

pub(super) struct FakeSource {
    cluster: Shared,
    clock: FakeClock,
    /// Position, and whether paused.
    held: BTreeMap<PartitionId, (i64, bool, bool)>,
    answer_due: bool,
    first: bool,
    turn: usize,
    answers: VecDeque<(u64, Result<Answer, Error>)>,
}

impl FakeSource {
    pub(super) const fn new(cluster: Shared, clock: FakeClock) -> Self {
        Self {
            cluster,
            clock,
            held: BTreeMap::new(),
            answer_due: false,
            first: true,
            turn: 0,
            answers: VecDeque::new(),
        }
    }

    fn record(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Option<Event> {
        let ids: Vec<_> = self.held.keys().copied().collect();
        for step in 0..ids.len() {
            let id = ids[(self.turn + step) % ids.len()];
            let (position, paused, ended) = self.held[&id];
            if paused {
                continue;
            }
            let input = self.cluster.borrow().inputs[&id]
                .get(usize::try_from(position).unwrap())
                .cloned();
            let Some(input) = input else {
                if !ended {
                    self.held.insert(id, (position, paused, true));
                    return Some(Event::End(id));
                }
                continue;
            };
            // Runs of three, so that batches hold several records of one partition.
            self.turn = if position % 3 == 2 {
                self.turn + step + 1
            } else {
                self.turn + step
            };
            self.held.insert(id, (position + 1, false, false));
            each(&Record {
                partition: id,
                offset: Offset(position),
                timestamp_ms: input.timestamp_ms,
                key: input.key.as_deref(),
                value: input.value.as_deref(),
                headers: &InputHeaders(&input.headers),
            });
            return Some(Event::Record);
        }
        None
    }
}

impl FakeSource {
    fn answer(&self, question: Question) -> Result<Answer, Error> {
        Ok(match question {
            Question::Cluster => Answer::Cluster("fake".to_owned()),
            Question::Partitions(topic) => Answer::Partitions(self.partitions(topic)?),
            Question::Committed(ids) => Answer::Committed(self.committed(&ids)?),
            Question::Log(id) => Answer::Log(self.log(id)?),
            Question::OffsetAt(id, timestamp_ms) => Answer::OffsetAt(self.offset_at(id, timestamp_ms)?),
            Question::RecordBefore(id, next) => Answer::RecordBefore(self.record_before(id, next)?),
        })
    }

    fn partitions(&self, topic: usize) -> Result<Vec<PartitionId>, Error> {
        let cluster = self.cluster.borrow();
        let ids = cluster.inputs.keys().copied();
        Ok(ids.filter(|id| id.topic == topic).collect())
    }

    fn committed(&self, partitions: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        if call(&self.cluster).is_some() {
            return Err(failure("reading offsets"));
        }
        let mut cluster = self.cluster.borrow_mut();
        let blind = cluster.blind_reads > 0;
        cluster.blind_reads = cluster.blind_reads.saturating_sub(1);
        let answer = partitions.iter().map(|id| {
            let known = cluster.committed.get(id).filter(|_| !blind);
            let (next, metadata) = known.cloned().unzip();
            let metadata = metadata.unwrap_or_default();
            let base = metadata.split(';').nth(1).and_then(|base| base.parse().ok());
            let next = if cluster.forgets_offsets {
                base.map(NextOffset)
            } else {
                next
            };
            Committed {
                partition: *id,
                next,
                metadata,
            }
        });
        Ok(answer.collect())
    }

    fn log(&self, partition: PartitionId) -> Result<Log, Error> {
        if call(&self.cluster).is_some() {
            return Err(failure("asking for the log"));
        }
        let cluster = self.cluster.borrow();
        Ok(Log {
            start: NextOffset(*cluster.starts.get(&partition).unwrap_or(&0)),
            end: NextOffset(i64::try_from(cluster.inputs[&partition].len()).unwrap()),
        })
    }

    fn offset_at(&self, partition: PartitionId, timestamp_ms: i64) -> Result<Option<NextOffset>, Error> {
        let cluster = self.cluster.borrow();
        let start = usize::try_from(*cluster.starts.get(&partition).unwrap_or(&0)).unwrap();
        let log = &cluster.inputs[&partition];
        let found = (start..log.len()).find(|offset| log[*offset].timestamp_ms >= timestamp_ms);
        Ok(found.map(|offset| NextOffset(i64::try_from(offset).unwrap())))
    }

    fn record_before(&self, partition: PartitionId, next: NextOffset) -> Result<Option<Anchor>, Error> {
        let cluster = self.cluster.borrow();
        let before = usize::try_from(next.0).unwrap().checked_sub(1);
        Ok(before.map(|offset| Anchor {
            offset: Offset(next.0 - 1),
            timestamp_ms: cluster.inputs[&partition][offset].timestamp_ms,
        }))
    }
}

impl Source for FakeSource {
    type Membership = ();

    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(&Record<'_>)) -> Result<Event, Error> {
        assert!(!self.answer_due, "the group stands still until it is answered");
        if call(&self.cluster).is_some() {
            return Err(failure("polling"));
        }
        let event = {
            let mut cluster = self.cluster.borrow_mut();
            cluster.polls += 1;
            let polls = cluster.polls;
            if std::mem::take(&mut self.first) {
                Some(Event::Assigned(cluster.inputs.keys().copied().collect()))
            } else {
                cluster.events.remove(&polls)
            }
        };
        if let Some(event) = event {
            self.answer_due = matches!(event, Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_));
            return Ok(event);
        }
        if let Some(event) = self.record(each) {
            self.clock.advance(Duration::from_millis(7));
            return Ok(event);
        }
        self.clock.advance(timeout.max(Duration::from_millis(1)));
        Ok(Event::Idle)
    }

    fn hold(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.answer_due = false;
        for id in partitions {
            self.held.insert(*id, (0, true, false));
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        for id in partitions {
            self.held.get_mut(id).unwrap().1 = true;
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.answer_due = false;
        let open = self.cluster.borrow().open;
        assert!(!open, "a transaction is open across an unassign");
        for id in partitions {
            self.held.remove(id);
        }
        Ok(())
    }

    fn start(&mut self, partition: PartitionId, from: NextOffset) -> Result<(), Error> {
        if call(&self.cluster).is_some() {
            return Err(failure("seeking"));
        }
        *self.held.get_mut(&partition).unwrap() = (from.0, false, false);
        Ok(())
    }

    fn ask(&mut self, ticket: u64, question: Question) -> Result<(), Error> {
        if !self.cluster.borrow().is_silent(&question) {
            let answer = self.answer(question);
            self.answers.push_back((ticket, answer));
        }
        Ok(())
    }

    fn answered(&mut self) -> Option<(u64, Result<Answer, Error>)> {
        self.answers.pop_front()
    }

    fn forget(&mut self) {
        self.answers.clear();
    }

    fn end_heard(&self, partition: PartitionId) -> Option<NextOffset> {
        let end = self.cluster.borrow().inputs[&partition].len();
        Some(NextOffset(i64::try_from(end).unwrap()))
    }

    fn membership(&mut self) -> Result<(), Error> {
        let refusal = self.cluster.borrow_mut().membership.take();
        refusal.map_or(Ok(()), Err)
    }
}

impl Drop for FakeSource {
    fn drop(&mut self) {
        self.cluster.borrow_mut().closed_unanswered = self.answer_due;
    }
}
