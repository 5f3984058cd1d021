//! What happens to the world beside its processes.

use super::coverage::Cover;
use super::input::{Entry, Fate, Log};
use super::oracle::Audit;
use super::rng::Rng;
use super::source::id;
use super::step::Step;
use super::world::{Poison, World};
use crate::series::observation::NextOffset;
use crate::worker::ports::PartitionId;

/// Records of a partition at most: histories are many, not long.
const RECORDS_MAX: i64 = 48;
/// Records that are lost at once at most.
const TAIL_MAX: i64 = 12;
/// Versions at most: each is made once per thread.
const VERSIONS_MAX: u64 = 40;

impl World {
    pub(super) fn happen(&mut self, step: Step) {
        match step {
            Step::Pass { time } => self.pass(time),
            Step::Rebalance { seed } => {
                if !self.group.members.is_empty() {
                    self.balance(&mut Rng::new(u64::from(seed)), true);
                }
            }
            Step::Write { seed } => self.write(&mut Rng::new(u64::from(seed))),
            Step::EndInput { commits } => self.end_input(commits),
            Step::Arrive => self.arrive(),
            Step::Train { by } => self.newest = (self.newest + by).min(VERSIONS_MAX),
            Step::LoseVersion { back } => self.lose_version(back),
            Step::Damage { seed } => self.damage(&mut Rng::new(u64::from(seed))),
            Step::Disk { full, slow, away } => {
                self.trouble.disk_full = full;
                self.trouble.disk_slow = slow;
                self.trouble.store_away = away;
            }
            Step::Blind { time } => self.trouble.blind_until = self.now + time,
            Step::Retain { seed } => self.retain(&mut Rng::new(u64::from(seed))),
            Step::LoseTail { seed } => self.lose_tail(&mut Rng::new(u64::from(seed))),
            Step::AddPartition => self.add_partition(),
            Step::Poison { seed } => self.poison(&mut Rng::new(u64::from(seed))),
            Step::Reset { .. } | Step::Recreate { .. } => self.operate(step),
            Step::RecreateLive { seed } => {
                let mut rng = Rng::new(u64::from(seed));
                self.excused = true;
                let ids = self.ids();
                self.recreate(rng.pick(&ids), &mut rng);
                self.cover(Cover::LogRecreatedLive);
            }
            Step::Turn { .. } | Step::Start { .. } | Step::Stop { .. } | Step::Kill { .. } => {}
        }
    }

    /// Records come into a partition: by themselves, in a transaction, or offsets without a record.
    pub(super) fn write(&mut self, rng: &mut Rng) {
        let ids = self.ids();
        let id = rng.pick(&ids);
        let tx = rng.once_in(3).then_some(self.fates.len());
        if tx.is_some() {
            self.fates.push(Fate::Pending);
        }
        let count = 1 + rng.below(6);
        let Some(log) = self.logs.get_mut(&id) else { return };
        if log.len() >= RECORDS_MAX {
            self.fates.truncate(tx.unwrap_or(self.fates.len()));
            return;
        }
        for _ in 0..count {
            if rng.once_in(10) {
                log.entries.push(Entry::Hole);
            } else {
                // Others write into the same partition meanwhile.
                let of = tx.filter(|_| !rng.once_in(4));
                log.write(id, rng, of);
            }
        }
    }

    /// The oldest transaction of the input side ends; its markers take an offset each.
    pub(super) fn end_input(&mut self, commits: bool) {
        let Some(tx) = self.fates.iter().position(|fate| *fate == Fate::Pending) else {
            return;
        };
        self.fates[tx] = if commits { Fate::Committed } else { Fate::Aborted };
        for log in self.logs.values_mut() {
            let of = |entry: &Entry| matches!(entry, Entry::Record(_, Some(other)) if *other == tx);
            if log.entries.iter().any(of) {
                log.entries.push(Entry::Hole);
            }
        }
    }

    /// A version that is not the newest loses its file; or all are found again.
    fn lose_version(&mut self, back: u64) {
        self.excused = true;
        if back == 0 {
            self.trouble.missing_versions.clear();
        } else if self.newest > back {
            let lost = self.newest - back;
            self.trouble.missing_versions.insert(lost);
        }
    }

    fn retain(&mut self, rng: &mut Rng) {
        let ids = self.ids();
        let id = rng.pick(&ids);
        let end = self.ends(id).1;
        self.excused = true;
        // Of a topic created anew whose first records are gone nobody could know that it is another one.
        if let Some(log) = self.logs.get_mut(&id)
            && end > log.start
            && log.incarnation == 0
        {
            let span = usize::try_from(end - log.start).unwrap_or(0);
            log.start += i64::try_from(rng.below(span)).unwrap_or(0);
        }
    }

    fn add_partition(&mut self) {
        let of_first = self.logs.keys().filter(|id| id.topic == 0).count();
        if of_first >= 3 {
            return;
        }
        let added = id(0, i32::try_from(of_first).unwrap_or(0));
        self.logs.insert(added, Log::new(0));
        self.audits.insert((added, 0), Audit::new(0));
        self.group.unbalanced = true;
        self.cover(Cover::PartitionAdded);
    }

    fn poison(&mut self, rng: &mut Rng) {
        let ids = self.ids();
        let id = rng.pick(&ids);
        let next = self.committed.get(&id).map_or(0, |entry| entry.0.0);
        let offset = next + i64::try_from(rng.below(8)).unwrap_or(0);
        let how = rng.pick(&[Poison::Panic, Poison::Refused, Poison::Unexplained]);
        // A panic may be the snapshot's fault: state is made without it.
        self.excused |= how == Poison::Panic;
        self.trouble.poison.insert((id, offset), how);
    }

    /// Nobody runs: sessions end, and what was pending with them.
    pub(super) fn disband(&mut self) {
        self.group.members.clear();
        self.group.unbalanced = true;
        for producer in &mut self.producers {
            producer.epoch += 1;
            producer.transaction = None;
        }
    }

    /// What an operator does while nobody runs.
    pub(super) fn operate(&mut self, step: Step) {
        self.excused = true;
        match step {
            Step::Reset { seed } => {
                let mut rng = Rng::new(u64::from(seed));
                let ids = self.ids();
                let id = rng.pick(&ids);
                let (start, end) = self.ends(id);
                let span = usize::try_from(end - start + 1).unwrap_or(1);
                let to = start + i64::try_from(rng.below(span)).unwrap_or(0);
                let keeps_metadata = rng.once_in(2);
                self.set_offset(id, to, keeps_metadata);
            }
            Step::Recreate { seed } => {
                let mut rng = Rng::new(u64::from(seed));
                let ids = self.ids();
                self.recreate(rng.pick(&ids), &mut rng);
            }
            _ => {}
        }
    }

    /// An operator sets an offset: Kafka's own tool leaves no metadata, others keep it.
    pub(super) fn set_offset(&mut self, id: PartitionId, to: i64, keeps_metadata: bool) {
        let entry = self
            .committed
            .entry(id)
            .or_insert((NextOffset(to), String::new()));
        entry.0 = NextOffset(to);
        if !keeps_metadata {
            entry.1.clear();
        }
        let audit = self.audit(id);
        audit.cursor = to;
        audit.reset = true;
        audit.was_reset = true;
        if !keeps_metadata {
            self.of_another_log.remove(&id);
        }
        self.cover(Cover::OffsetsReset);
    }

    /// Whether a partition's topic was created anew and its offset went with the one before.
    pub(super) fn is_new(&self, id: PartitionId) -> bool {
        self.logs[&id].incarnation > 0 && !self.committed.contains_key(&id)
    }

    /// A partition's topic is deleted and created anew. The coordinator forgets its offset, unless it was away meanwhile.
    fn recreate(&mut self, id: PartitionId, rng: &mut Rng) {
        let incarnation = self.logs[&id].incarnation + 1;
        let mut log = Log::new(incarnation);
        for _ in 0..rng.below(30) {
            log.write(id, rng, None);
        }
        if let Some(old) = self.logs.insert(id, log) {
            self.old_logs.insert((id, incarnation - 1), old);
        }
        let mut audit = Audit::new(0);
        if rng.once_in(3) {
            self.committed.remove(&id);
            self.of_another_log.remove(&id);
        } else if let Some((next, metadata)) = self.committed.get(&id) {
            audit.cursor = next.0;
            let last = last_record(metadata);
            self.of_another_log.entry(id).or_insert(last);
        }
        audit.reset = true;
        self.audits.insert((id, incarnation), audit);
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            if process.client.held.contains_key(&id) {
                process.client.recreated.insert(id);
            }
            process.taped.excused.insert(id);
        }
        self.cover(Cover::LogRecreated);
    }

    /// A partition's newest records are lost. Who has read any of them hears of it before another record, and so does
    /// whoever is about to read; to the others nothing has happened.
    fn lose_tail(&mut self, rng: &mut Rng) {
        let ids = self.ids();
        let id = rng.pick(&ids);
        let old = &self.logs[&id];
        let (start, end) = (old.start, old.len());
        let count = usize::try_from((end - start).min(TAIL_MAX)).unwrap_or(0);
        if count == 0 {
            return;
        }
        let left = end - 1 - i64::try_from(rng.below(count)).unwrap_or(0);
        let log = old.without_tail(left);
        let incarnation = log.incarnation;
        self.excused = true;
        let committed = self.committed.get(&id).cloned();
        let before = self.audit(id).was_reset;
        let mut audit = Audit::new(committed.as_ref().map_or(0, |entry| entry.0.0));
        (audit.reset, audit.was_reset) = (true, before);
        if let Some(old) = self.logs.insert(id, log) {
            self.old_logs.insert((id, incarnation - 1), old);
        }
        self.audits.insert((id, incarnation), audit);
        if let Some((next, metadata)) = committed {
            let last = last_record(&metadata);
            if next.0 > left || last.is_some_and(|last| last.0 >= left) {
                self.of_another_log.entry(id).or_insert(last);
                self.cover(Cover::CommittedTailLost);
            }
        }
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            process.taped.excused.insert(id);
            let Some(reading) = process.client.held.get(&id) else {
                continue;
            };
            if !reading.running || reading.position > left {
                process.client.recreated.insert(id);
            } else if let Some(opened) = process.opened.get_mut(&id)
                && opened.incarnation + 1 == incarnation
            {
                opened.incarnation = incarnation;
            }
        }
        self.cover(Cover::LogTailLost);
    }

    /// Whatever failed, fails no more.
    pub(super) fn heal(&mut self) {
        self.trouble = super::world::Trouble::default();
        self.healed = true;
        while self.fates.contains(&Fate::Pending) {
            self.end_input(true);
        }
        self.arrive();
    }
}

/// The last record before a committed offset, as its metadata names it.
fn last_record(metadata: &str) -> Option<(i64, i64)> {
    let (_, last) = metadata.strip_prefix("2;")?.rsplit_once(';')?;
    let (offset, timestamp_ms) = last.split_once(':')?;
    Some((offset.parse().ok()?, timestamp_ms.parse().ok()?))
}
