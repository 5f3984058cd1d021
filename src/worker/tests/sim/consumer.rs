//! What a process' client brings to a poll: what the group says, and records.

use std::rc::Rc;

use super::coverage::Cover;
use super::input;
use super::source::instance_in_use;
use super::world::{Pid, Reading, World};
use crate::faults::{self, Mechanism};
use crate::worker::ports::{Error, Event, PartitionId};

impl World {
    /// What the group has for a process before it reads on.
    pub(super) fn group_event(&mut self, pid: Pid, idle: bool) -> Result<Option<Event>, Error> {
        if self.processes[pid].client.fenced {
            return Err(instance_in_use());
        }
        self.notice_generation(pid);
        if std::mem::take(&mut self.processes[pid].client.expelled) {
            let client = &mut self.processes[pid].client;
            client.joined = false;
            client.generation = -1;
            client.inbox.clear();
            if !client.held.is_empty() {
                return Ok(Some(Event::Lost(client.held.keys().copied().collect())));
            }
        }
        if !self.processes[pid].client.joined {
            self.join(pid);
        }
        let mut rng = self.processes[pid].rng.clone();
        if self.group.unbalanced && (self.healed || idle || rng.once_in(2)) {
            self.balance(&mut rng, !self.healed);
        }
        let due = idle || rng.once_in(3);
        self.processes[pid].rng = rng;
        Ok(due
            .then(|| self.processes[pid].client.inbox.pop_front())
            .flatten())
    }

    /// A process that slept while the others went on into another generation: it joins that one with what it has, or is
    /// told that its assignment is void.
    fn notice_generation(&mut self, pid: Pid) {
        let generation = self.group.generation;
        let is_member = self.is_member(pid);
        let process = &mut self.processes[pid];
        if is_member && process.client.joined && process.client.generation != generation {
            process.client.generation = generation;
            process.client.expelled = process.rng.once_in(2);
        }
    }

    pub(super) fn note_event(&mut self, pid: Pid, event: &Event) {
        self.tell(|| format!("process {pid} is told {event:?}"));
        match event {
            Event::Revoked(_) => self.cover(Cover::Revoked),
            Event::Lost(_) => self.cover(Cover::Lost),
            _ => {}
        }
        if matches!(event, Event::Revoked(_)) && self.processes[pid].client.run > 0 {
            self.cover(Cover::RevokedMidTurn);
        }
        let client = &mut self.processes[pid].client;
        client.run = 0;
        client.unanswered = Some(event.clone());
    }

    /// The next record or end of one of the partitions that are read, in runs so that batches hold several.
    pub(super) fn next_record(&mut self, pid: Pid) -> Option<Found> {
        let uncommitted = faults::is_off(Mechanism::IsolationLevel);
        // It hears of a topic's new id before any record of it.
        if !std::mem::take(&mut self.processes[pid].client.recreated).is_empty() {
            return Some(Found::OutOfRange);
        }
        let ids: Vec<PartitionId> = self.processes[pid].client.held.keys().copied().collect();
        let turn = self.processes[pid].client.turn;
        for step in 0..ids.len() {
            let id = ids[(turn + step) % ids.len()];
            let reading = self.processes[pid].client.held[&id];
            if !reading.running {
                continue;
            }
            let log = &self.logs[&id];
            let end = if uncommitted {
                log.len()
            } else {
                log.end(&self.fates)
            };
            if reading.position < log.start || reading.position > log.len() {
                self.reading(pid, id).running = false;
                return Some(Found::OutOfRange);
            }
            let record = (reading.position..end).find_map(|offset| {
                let found = if uncommitted {
                    log.raw(offset)
                } else {
                    log.visible(offset, &self.fates)
                };
                Some((offset, Rc::clone(found?)))
            });
            if let Some((offset, input)) = record {
                if (reading.position..offset).any(|passed| log.raw(passed).is_some()) {
                    self.cover(Cover::AbortedInputSkipped);
                }
                let reading = self.reading(pid, id);
                reading.position = offset + 1;
                reading.ended = false;
                let client = &mut self.processes[pid].client;
                client.run += 1;
                client.turn = turn + step + usize::from(offset % 3 == 2);
                self.cover(Cover::Record);
                return Some(Found::Record(id, offset, input));
            }
            if !reading.ended {
                self.reading(pid, id).ended = true;
                return Some(Found::End(id));
            }
        }
        None
    }

    fn reading(&mut self, pid: Pid, id: PartitionId) -> &mut Reading {
        self.processes[pid].client.held.entry(id).or_default()
    }
}

/// What a poll finds.
pub(super) enum Found {
    Record(PartitionId, i64, Rc<input::Input>),
    End(PartitionId),
    OutOfRange,
}
