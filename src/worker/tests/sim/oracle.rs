//! Judges every commit, every snapshot, and states in between by what should have come out.

use std::rc::Rc;

use super::coverage::Cover;
use super::process::SimWorker;
use super::reference::{Expected, Past, Reference, Tools};
use super::transactions::{Pending, Published};
use super::versions::model;
use super::world::{Check, Opened, Pid, World};
use crate::engine::snapshot::{self, Header};
use crate::faults::{self, Mechanism};
use crate::worker::ports::PartitionId;

/// What is known of a partition's committed past.
#[derive(Default)]
pub(super) struct Audit {
    /// Every outcome below it is visible.
    pub(super) cursor: i64,
    pub(super) reference: Option<Reference>,
    /// Fingerprints of the states at committed offsets.
    prints: Vec<(i64, Past, u64)>,
    /// Version that a worker says it serves.
    pub(super) serving: u64,
    /// An operator has set the offset, so that another base may be right.
    pub(super) reset: bool,
    /// An operator has set the offset at some time: switches that lie after it are made again where they were made.
    pub(super) was_reset: bool,
}

impl Audit {
    pub(super) fn new(cursor: i64) -> Self {
        Self {
            cursor,
            ..Self::default()
        }
    }
}

/// Offset and timestamp of the last record before an offset.
type Last = (i64, i64);
/// Base, and the switches after it: offset, version.
type Switches = (i64, Vec<(i64, u64)>);

/// Base and switch log of a committed offset's metadata, and the last record before it; `None` where it is not of that
/// form.
fn parse_committed(metadata: &str) -> Option<(Switches, Last)> {
    let (log, last) = metadata.strip_prefix("2;")?.rsplit_once(';')?;
    let (offset, timestamp_ms) = last.split_once(':')?;
    let last = (offset.parse().ok()?, timestamp_ms.parse().ok()?);
    Some((parse(&format!("1;{log}"))?, last))
}

/// Base and switch log as a snapshot's header says them.
fn parse(log: &str) -> Option<(i64, Vec<(i64, u64)>)> {
    let mut parts = log.split(';');
    let (Some("1"), Some(base), Some(entries), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let entry = |text: &str| {
        let (offset, version) = text.split_once(':')?;
        Some((offset.parse().ok()?, version.parse().ok()?))
    };
    let entries: Option<Vec<(i64, u64)>> = entries.split(',').map(entry).collect();
    Some((base.parse().ok()?, entries?))
}

impl World {
    /// A transaction is committed: what becomes visible, and the offsets that do.
    pub(super) fn make_visible(&mut self, pid: Pid, records: Vec<Published>, offsets: &[Pending]) {
        let mut left = records;
        for pending in offsets {
            let ours = |record: &Published| record.origin == pending.id;
            let (of_partition, others) = left.into_iter().partition(ours);
            left = others;
            self.tell(|| {
                let Pending { id, next, metadata } = pending;
                format!("process {pid} commits {next} of {id:?} with `{metadata}`")
            });
            self.judge(pid, pending, of_partition);
            self.committed
                .insert(pending.id, (pending.next, pending.metadata.clone()));
        }
        if let Some(record) = left.first() {
            let text = format!(
                "an outcome of {:?} became visible without an offset above it",
                record.origin
            );
            self.violate(Check::Twice, text);
        }
        let others_go_on = self
            .processes
            .iter()
            .any(|process| process.alive && !process.parked.is_empty());
        if others_go_on {
            self.cover(Cover::ParkedWhileOthersCommit);
        }
    }

    fn judge(&mut self, pid: Pid, pending: &Pending, records: Vec<Published>) {
        let id = pending.id;
        let opened = self.processes[pid].opened.get(&id).cloned().unwrap_or_default();
        let incarnation = opened.incarnation;
        self.judge_log(pid, pending, incarnation);
        let (entries_max, bytes_max) = (64, 4096);
        let without_last = || Some((parse(&pending.metadata)?, (-1, -1)));
        let Some(((base, entries), last)) = parse_committed(&pending.metadata).or_else(without_last) else {
            return self.violate(Check::Metadata, format!("`{}` at {id:?}", pending.metadata));
        };
        let record = self.log_of(id, incarnation).raw(last.0.max(0));
        let sent_ms = record.map(|input| input.timestamp_ms);
        let is_last = last.0 == pending.next.0 - 1 && sent_ms == Some(last.1);
        if !is_last && !faults::is_off(Mechanism::DeadLetterOffset) {
            let text = format!(
                "`{}` with {} at {id:?}, whose record is of {sent_ms:?}",
                pending.metadata, pending.next
            );
            self.violate(Check::Metadata, text);
        }
        let ascends = entries.is_sorted_by(|one, other| one.0 < other.0);
        let key = (id, incarnation);
        let again = self.audits.get(&key).is_some_and(|audit| audit.was_reset);
        let within = entries
            .iter()
            .all(|entry| entry.0 >= base && (again || entry.0 <= pending.next.0));
        if pending.metadata.len() > bytes_max || entries.len() > entries_max || !ascends || !within {
            self.violate(
                Check::Metadata,
                format!("`{}` with {} at {id:?}", pending.metadata, pending.next),
            );
        }
        let audit = self.audits.entry(key).or_default();
        let cursor = audit.cursor;
        if pending.next.0 < cursor {
            let text = format!("the offset of {id:?} went from {cursor} back to {}", pending.next);
            return self.violate(Check::Twice, text);
        }
        let from = self.skip_lost(pid, id, &opened);
        let past = Self::past_of((base, entries), &opened, from);
        if let Some(opened) = self.processes[pid].opened.get_mut(&id) {
            opened.past = Some(past.clone());
        }
        let expected = self.expect(id, past, from, pending.next.0);
        self.compare((id, incarnation), from, &expected, &records);
        self.note_spoken(pid, (id, incarnation), &expected);
        let audit = self.audits.entry(key).or_default();
        audit.cursor = pending.next.0;
        audit.reset = false;
        if incarnation != self.logs[&id].incarnation {
            let current = (id, self.logs[&id].incarnation);
            self.audits.entry(current).or_default().cursor = pending.next.0;
        }
        if self.is_same_record(id, incarnation, last.0) {
            self.of_another_log.remove(&id);
        } else {
            // It was under way while the topic was created anew: from now on the offset is the old log's.
            self.of_another_log.insert(id, Some(last));
        }
    }

    /// Whether a log has at an offset the record that was there in one before it.
    fn is_same_record(&self, id: PartitionId, incarnation: u32, offset: i64) -> bool {
        let log = &self.logs[&id];
        let records = (
            log.raw(offset.max(0)),
            self.log_of(id, incarnation).raw(offset.max(0)),
        );
        log.incarnation == incarnation
            || matches!(records, (Some(one), Some(other)) if Rc::ptr_eq(one, other))
    }

    /// The offset that a process has restored from is of another log than the one it reads: nobody may go on there, as far
    /// as it can be known.
    fn judge_log(&mut self, pid: Pid, pending: &Pending, incarnation: u32) {
        let id = pending.id;
        if incarnation != self.logs[&id].incarnation {
            return;
        }
        let Some(last) = self.of_another_log.get(&id).copied() else {
            return;
        };
        let log = &self.logs[&id];
        let is_another = |last: &Last| {
            let found = log.visible(last.0, &self.fates);
            last.0 >= log.start && found.is_some_and(|input| input.timestamp_ms != last.1)
        };
        if last.as_ref().is_some_and(is_another) {
            let text = format!(
                "process {pid} goes on to {} of {id:?}, a topic created anew, where {last:?} was the last record",
                pending.next
            );
            return self.violate(Check::AnotherLog, text);
        }
        self.cover(Cover::AnotherLogUnknown);
    }

    /// Where outcomes go on: what was deleted before it was read has none, and the process has to say so.
    fn skip_lost(&mut self, pid: Pid, id: PartitionId, opened: &Opened) -> i64 {
        let key = (id, opened.incarnation);
        let cursor = self.audits.entry(key).or_default().cursor;
        if cursor >= opened.log_start {
            return cursor;
        }
        if !self.committed.contains_key(&id) {
            return opened.log_start; // it is new, and starts where its log does
        }
        self.cover(Cover::RecordsLost);
        match self.processes[pid].lost_told.get(&id) {
            Some(0) => {
                let text = format!("records of {id:?} were lost, and process {pid} does not say so");
                self.violate(Check::Count, text);
            }
            Some(_) => {}
            None => {
                self.processes[pid].lost_due.insert(id);
            }
        }
        opened.log_start
    }

    /// What a process' state hangs on, by base and switch log as it says them and by what is known of the time that it
    /// forgot.
    fn past_of(said: (i64, Vec<(i64, u64)>), opened: &Opened, until: i64) -> Past {
        let (base, mut versions) = said;
        let first = versions.first().map_or(base, |entry| entry.0);
        let told = opened.past.iter().filter(|told| told.base == base);
        let forgotten = told.flat_map(|told| &told.versions);
        let forgotten: Vec<_> = forgotten.filter(|entry| entry.0 < first).copied().collect();
        versions.splice(..0, forgotten);
        Past {
            incarnation: opened.incarnation,
            base,
            versions,
            gaps: opened.gaps.iter().copied().filter(|gap| gap.0 < until).collect(),
        }
    }

    /// Lends what a reference needs to step a partition's log.
    fn with_tools<T>(
        &mut self,
        (id, incarnation): (PartitionId, u32),
        work: impl FnOnce(&mut Tools<'_>) -> T,
    ) -> T {
        let mut engine = self.engine.take().expect("lent once at a time");
        let result = work(&mut Tools {
            scenario: &self.scenario,
            engine: &mut engine,
            log: self.log_of(id, incarnation),
            fates: &self.fates,
        });
        self.engine = Some(engine);
        result
    }

    /// The outcomes that a commit of `next` has to make visible, and the state that it is of.
    fn expect(&mut self, id: PartitionId, past: Past, from: i64, next: i64) -> Vec<Expected> {
        let key = (id, past.incarnation);
        let audit = self.audits.entry(key).or_default();
        let reset = audit.reset;
        let kept = audit.reference.take();
        let mut reference = match kept {
            Some(mut kept) if kept.past.agrees(&past, past.base, from) && kept.position <= from => {
                kept.past = past;
                kept
            }
            kept => {
                if kept.is_some() {
                    self.cover(Cover::StateRebuilt);
                    self.judge_rebuilt(id, &kept, &past, reset);
                }
                self.with_tools(key, |tools| Reference::new(tools, id, past))
            }
        };
        let spoken = reference.spoken;
        let expected = self.with_tools(key, |tools| reference.advance(tools, next, from));
        self.judged += reference.spoken - spoken;
        if let Some(wrong) = reference.wrong.take() {
            self.violate(Check::Numbers, wrong);
        }
        if reference.state.stats().forgotten > 0 {
            self.cover(Cover::StreamForgotten);
        }
        let print = (next, reference.past.clone(), reference.state.fingerprint());
        let audit = self.audits.entry(key).or_default();
        audit.prints.push(print);
        audit.reference = Some(reference);
        expected
    }

    /// Whether there was a reason to make state anew, from another base or under other versions.
    fn judge_rebuilt(&mut self, id: PartitionId, kept: &Option<Reference>, past: &Past, reset: bool) {
        let Some(before) = kept.as_ref().map(|kept| &kept.past) else {
            return;
        };
        let long = before.versions.len() > 32;
        if !self.excused && !reset && !long {
            let text = format!("the state of {id:?} went from {before:?} to {past:?}, and nothing was lost");
            self.violate(Check::Metadata, text);
        }
    }

    /// A snapshot is under its name: it has to be the state at its offset. What that hangs on.
    pub(super) fn check_snapshot(
        &mut self,
        id: PartitionId,
        header: &Header,
        bytes: &[u8],
        opened: &Opened,
    ) -> Past {
        self.tell(|| {
            format!(
                "a snapshot of {id:?} at {} is written, `{}`",
                header.next, header.switch_log
            )
        });
        let Some(said) = parse(&header.switch_log) else {
            self.violate(Check::Snapshot, format!("the header of {id:?}: {header:?}"));
            return Past::default();
        };
        let next = header.next.0;
        let past = Self::past_of(said, opened, next);
        match self.state_of(id, header, bytes) {
            Ok(found) => {
                let wanted = self.state_at(id, next, &past);
                if found != wanted {
                    let text = format!("{id:?} at {next} of {past:?}: its state is not that of its records");
                    self.violate(Check::Snapshot, text);
                }
            }
            Err(text) => self.violate(Check::Snapshot, text),
        }
        past
    }

    /// After a turn, now and then: what a process has in memory, of committed records and of later ones.
    pub(super) fn compare_states(&mut self, pid: Pid, worker: &SimWorker) {
        let each = self.scenario.states_each;
        if self.violation.is_some() || !self.sampler.once_in(each) {
            return;
        }
        for slot in &worker.crew.slots {
            let id = slot.id;
            let opened = self.processes[pid].opened.get(&id).cloned();
            let (Some(open), Some(opened)) = (slot.open(), opened) else {
                continue;
            };
            let position = open.position.0;
            let log = &open.log;
            let switches = log.entries().iter().map(|(at, version)| (at.0, version.0));
            let past = Self::past_of((log.base().0, switches.collect()), &opened, position);
            if !open.batch.is_empty() || position <= past.base {
                continue;
            }
            self.cover(Cover::StateCompared);
            let found = open.state.fingerprint();
            if found != self.state_at(id, position, &past) {
                let text = format!(
                    "process {pid} at {position} of {id:?}, {past:?}: its state is not that of its records"
                );
                return self.violate(Check::State, text);
            }
        }
    }

    /// Fingerprint of the state in a snapshot's bytes.
    fn state_of(&mut self, id: PartitionId, header: &Header, bytes: &[u8]) -> Result<u64, String> {
        let engine = self.engine.as_ref().expect("lent to nobody now");
        let (read, content) = snapshot::read(&mut &bytes[..], &snapshot::form(engine))
            .map_err(|refusal| format!("{id:?} {}: {refusal}", header.next))?;
        if read != *header {
            return Err(format!(
                "the header of {id:?} is {read:?}, written was {header:?}"
            ));
        }
        let restored = engine.restore(self.scenario.topic(id), id.partition, model(1), content);
        Ok(restored.fingerprint())
    }

    /// Fingerprint of the state at an offset.
    fn state_at(&mut self, id: PartitionId, next: i64, past: &Past) -> u64 {
        let key = (id, past.incarnation);
        let prints = &self.audits.entry(key).or_default().prints;
        let known = prints
            .iter()
            .rfind(|(at, known, _)| *at == next && known.agrees(past, past.base, next));
        if let Some((_, _, print)) = known {
            return *print;
        }
        let print = self.with_tools(key, |tools| {
            let mut reference = Reference::new(tools, id, past.clone());
            reference.advance(tools, next, i64::MAX);
            reference.state.fingerprint()
        });
        let audit = self.audits.entry(key).or_default();
        audit.prints.push((next, past.clone(), print));
        print
    }
}
