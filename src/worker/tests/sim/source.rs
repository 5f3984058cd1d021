//! The consumer of a process.

use std::rc::Rc;
use std::time::Duration;

use super::consumer::Found;
use super::coverage::Cover;
use super::input::{self, InputHeaders};
use super::process::Sim;
use super::world::{Check, Opened, Pid, Reading, SESSION};
use crate::engine::snapshot::Anchor;

use crate::series::observation::{NextOffset, Offset, Partition};
use crate::worker::ports::{Answer, Committed, Error, Event, Log, PartitionId, Question, Record, Source};

/// The worker's port.
pub(super) struct SimSource {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
}

/// Proof of membership, as the client knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) generation: i32,
}

pub(super) fn failed(doing: &'static str) -> Error {
    Error::Transient {
        doing,
        reason: "injected".to_owned(),
    }
}

pub(super) fn instance_in_use() -> Error {
    Error::InstanceInUse {
        instance: "a".to_owned(),
    }
}

impl SimSource {
    fn read(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Option<Event> {
        let found = self.sim.world.borrow_mut().next_record(self.pid)?;
        Some(match found {
            Found::End(id) => Event::End(id),
            Found::OutOfRange => Event::OutOfRange,
            Found::Record(partition, offset, input) => {
                each(&Record {
                    partition,
                    offset: Offset(offset),
                    timestamp_ms: input.timestamp_ms,
                    key: input.key.as_deref(),
                    value: input.value.as_deref(),
                    headers: &InputHeaders(&input),
                });
                Event::Record
            }
        })
    }

    fn call(&self, doing: &'static str) -> Result<(), Error> {
        if self.sim.enter(self.pid) {
            Err(failed(doing))
        } else {
            Ok(())
        }
    }

    fn note_answer(&mut self, doing: &str, ids: &[PartitionId]) {
        let mut world = self.sim.world.borrow_mut();
        let unanswered = world.processes[self.pid].client.unanswered.take();
        if unanswered.is_none() {
            let text = format!("process {} {doing} {ids:?} and was not asked to", self.pid);
            world.violate(Check::Unassigned, text);
        }
    }
}

/// What is asked of the cluster, and comes late.
impl SimSource {
    /// As it is now: by the time it is heard it may be old.
    fn answer(&self, question: Question) -> Result<Answer, Error> {
        Ok(match question {
            Question::Cluster => {
                self.call("asking for the cluster")?;
                Answer::Cluster("simulated".to_owned())
            }
            Question::Partitions(topic) => Answer::Partitions(self.partitions(topic)?),
            Question::Committed(ids) => Answer::Committed(self.committed(&ids)?),
            Question::Log(id) => Answer::Log(self.log(id)?),
            Question::OffsetAt(id, timestamp_ms) => Answer::OffsetAt(self.offset_at(id, timestamp_ms)?),
            Question::RecordBefore(id, next) => Answer::RecordBefore(self.record_before(id, next)?),
        })
    }

    fn partitions(&self, topic: usize) -> Result<Vec<PartitionId>, Error> {
        self.call("asking for partitions")?;
        let world = self.sim.world.borrow();
        Ok(world
            .logs
            .keys()
            .copied()
            .filter(|id| id.topic == topic)
            .collect())
    }

    fn committed(&self, partitions: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        self.call("reading offsets")?;
        let mut world = self.sim.world.borrow_mut();
        if partitions.iter().any(|id| world.is_unstable(*id)) {
            world.cover(Cover::UnstableOffset);
            return Err(failed("reading offsets on which a transaction is pending"));
        }
        let blind = world.now < world.trouble.blind_until && !world.processes[self.pid].rng.once_in(3);
        if blind {
            world.cover(Cover::BlindRead);
        }
        for id in partitions {
            // Nobody has read what lies before a start, or in a new partition: it is new to the trainer.
            let first = match world.committed.get(id) {
                Some((next, metadata)) if !metadata.starts_with("1;") => next.0,
                _ => 0,
            };
            let told = &mut world.processes[self.pid].taped.first_told;
            told.entry(*id).or_insert(first);
        }
        let answer = partitions.iter().map(|id| {
            let known = world.committed.get(id).filter(|_| !blind);
            let (next, metadata) = known.cloned().unzip();
            Committed {
                partition: *id,
                next,
                metadata: metadata.unwrap_or_default(),
            }
        });
        Ok(answer.collect())
    }

    fn log(&self, id: PartitionId) -> Result<Log, Error> {
        self.call("asking for the log")?;
        let mut world = self.sim.world.borrow_mut();
        let (start, end) = world.ends(id);
        world.processes[self.pid].seen_ends.insert(id, (start, end));
        Ok(Log {
            start: NextOffset(start),
            end: NextOffset(end),
        })
    }

    fn offset_at(&self, id: PartitionId, timestamp_ms: i64) -> Result<Option<NextOffset>, Error> {
        self.call("asking for the offset of a time")?;
        let world = self.sim.world.borrow();
        let log = &world.logs[&id];
        let found = (log.start..log.end(&world.fates)).find(|offset| {
            log.raw(*offset)
                .is_some_and(|input| input.timestamp_ms >= timestamp_ms)
        });
        Ok(found.map(NextOffset))
    }

    fn record_before(&self, id: PartitionId, next: NextOffset) -> Result<Option<Anchor>, Error> {
        self.call("asking for a record")?;
        let world = self.sim.world.borrow();
        let found = input::last_before(&world.logs[&id], &world.fates, next.0);
        Ok(found.map(|(offset, timestamp_ms)| Anchor { offset, timestamp_ms }))
    }
}

impl Source for SimSource {
    type Membership = Membership;

    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(&Record<'_>)) -> Result<Event, Error> {
        self.call("polling")?;
        {
            let mut world = self.sim.world.borrow_mut();
            if world.processes[self.pid].client.unanswered.is_some() {
                let text = format!("process {} polls while the group waits for its answer", self.pid);
                world.violate(Check::Unassigned, text);
            }
            if let Some(event) = world.group_event(self.pid, false)? {
                world.note_event(self.pid, &event);
                return Ok(event);
            }
        }
        if let Some(event) = self.read(each) {
            self.sim.pass(Duration::from_millis(3));
            return Ok(event);
        }
        self.sim.pass(timeout.max(Duration::from_millis(1)));
        let mut world = self.sim.world.borrow_mut();
        world.processes[self.pid].client.run = 0;
        let now = world.now;
        world.processes[self.pid].last_call = now;
        match world.group_event(self.pid, true)? {
            Some(event) => {
                world.note_event(self.pid, &event);
                Ok(event)
            }
            None => Ok(Event::Idle),
        }
    }

    fn hold(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        if self.sim.is_dead(self.pid) {
            return Err(failed("holding"));
        }
        self.note_answer("holds", partitions);
        let mut world = self.sim.world.borrow_mut();
        let process = &mut world.processes[self.pid];
        for id in partitions {
            process.client.held.insert(*id, Reading::default());
            *process.snapshots.held.entry(*id).or_default() += 1;
            process.snapshots.handed.remove(id);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        if self.sim.is_dead(self.pid) {
            return Err(failed("pausing"));
        }
        let mut world = self.sim.world.borrow_mut();
        for id in partitions {
            if let Some(reading) = world.processes[self.pid].client.held.get_mut(id) {
                reading.running = false;
            }
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        if self.sim.is_dead(self.pid) {
            return Err(failed("releasing"));
        }
        self.note_answer("gives back", partitions);
        let mut world = self.sim.world.borrow_mut();
        if world.has_open(self.pid) {
            let text = format!("process {} gives {partitions:?} back", self.pid);
            world.violate(Check::OpenAcrossUnassign, text);
        }
        for id in partitions {
            world.processes[self.pid].client.held.remove(id);
        }
        world.given_back(self.pid, partitions);
        Ok(())
    }

    fn start(&mut self, id: PartitionId, from: NextOffset) -> Result<(), Error> {
        self.call("seeking")?;
        let mut world = self.sim.world.borrow_mut();
        world.check_held(self.pid, id, "reads");
        world.tell(|| format!("process {} reads {id:?} from {from} on", self.pid));
        let handed = world.processes[self.pid].snapshots.handed.remove(&id);
        if handed.is_none() {
            world.processes[self.pid].snapshots.poisoned.remove(&id);
        }
        let seen = world.processes[self.pid].seen_ends.get(&id).copied();
        let mut opened = Opened {
            incarnation: world.logs[&id].incarnation,
            log_start: seen.map_or(0, |seen| seen.0),
            ..Opened::default()
        };
        if let Some((next, past)) = handed.filter(|handed| from.0 >= handed.0) {
            opened.gaps.clone_from(&past.gaps);
            opened.past = Some(past);
            if from.0 > next {
                opened.gaps.push((next, from.0));
            }
            world.cover(Cover::SnapshotRestored);
        }
        let process = &mut world.processes[self.pid];
        process.opened.insert(id, opened);
        process.lost_told.remove(&id);
        process.lost_due.remove(&id);
        process.client.held.insert(
            id,
            Reading {
                position: from.0,
                running: true,
                ended: false,
            },
        );
        Ok(())
    }

    fn ask(&mut self, ticket: u64, question: Question) -> Result<(), Error> {
        let answer = self.answer(question);
        let mut world = self.sim.world.borrow_mut();
        let (now, healed) = (world.now, world.healed);
        let process = &mut world.processes[self.pid];
        let late = if healed { 399 } else { process.rng.below(400) };
        let wait = Duration::from_millis(match late {
            0 => 15_000,
            1..12 => 900,
            12..200 => 2,
            _ => 0,
        });
        process.answers.push_back((now + wait, ticket, answer));
        if wait > SESSION {
            world.cover(Cover::AnswerLate);
        }
        Ok(())
    }

    fn answered(&mut self) -> Option<(u64, Result<Answer, Error>)> {
        let mut world = self.sim.world.borrow_mut();
        let now = world.now;
        let answers = &mut world.processes[self.pid].answers;
        let due = answers.iter().position(|answer| answer.0 <= now)?;
        answers.remove(due).map(|(_, ticket, answer)| (ticket, answer))
    }

    fn forget(&mut self) {
        if !self.sim.is_dead(self.pid) {
            self.sim.world.borrow_mut().processes[self.pid].answers.clear();
        }
    }

    fn end_heard(&self, id: PartitionId) -> Option<NextOffset> {
        let world = self.sim.world.borrow();
        let known = world.logs.contains_key(&id);
        known.then(|| NextOffset(world.ends(id).1))
    }

    fn membership(&mut self) -> Result<Membership, Error> {
        let not_member = || Error::NotMember {
            reason: "simulated".to_owned(),
        };
        if self.sim.enter(self.pid) {
            return Err(not_member());
        }
        let world = self.sim.world.borrow();
        let client = &world.processes[self.pid].client;
        if !client.joined || client.generation < 0 {
            return Err(not_member());
        }
        Ok(Membership {
            generation: client.generation,
        })
    }
}

/// A partition of a topic.
pub(super) const fn id(topic: usize, partition: i32) -> PartitionId {
    PartitionId {
        topic,
        partition: Partition(partition),
    }
}
