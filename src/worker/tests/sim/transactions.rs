//! A transaction coordinator: epochs, pending offsets, time-outs, and answers that are lost or late.

use std::time::Duration;

use super::coverage::Cover;
use super::world::{Check, Pid, TRANSACTION, World};
use crate::faults::{self, Mechanism};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Destination, PartitionId};

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
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().rfind(|header| header.0 == name);
        let value = found.and_then(|header| header.1.as_deref()).unwrap_or_default();
        std::str::from_utf8(value).unwrap_or("")
    }

    /// Offset and index of the observation that it is the outcome of.
    pub(super) fn source(&self) -> (i64, usize) {
        let mut parts = self.header("tidecast.source").rsplit('/');
        let index = parts.next().and_then(|part| part.parse().ok());
        let offset = parts.next().and_then(|part| part.parse().ok());
        (offset.unwrap_or(-1), index.unwrap_or(usize::MAX))
    }
}

/// An offset in a transaction.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: PartitionId,
    pub(super) next: NextOffset,
    pub(super) metadata: String,
}

/// A transaction that is not over for everybody.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) pid: Pid,
    began: Duration,
    pub(super) records: Vec<Published>,
    pub(super) offsets: Vec<Pending>,
    /// It is committed; its markers are on their way, so that its offsets are not stable yet.
    pub(super) decided: bool,
    /// A commit that the client gave up on is on its way to the coordinator.
    pub(super) arriving: bool,
}

/// What the coordinator knows of one transactional id.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) epoch: u32,
    pub(super) transaction: Option<Transaction>,
}

impl World {
    /// A new producer under an instance's id: fences the one before and ends its transaction.
    pub(super) fn new_producer(&mut self, pid: Pid) {
        let instance = self.processes[pid].instance;
        let arriving = self.producers[instance]
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.arriving);
        if arriving && self.processes[pid].rng.once_in(2) {
            self.cover(Cover::CommitArrivedLate);
            self.decide(instance, true); // the old producer's request came first
        }
        let producer = &mut self.producers[instance];
        producer.epoch += 1;
        self.processes[pid].epoch = Some(producer.epoch);
        if let Some(transaction) = self.producers[instance].transaction.take()
            && !transaction.decided
        {
            self.cover(Cover::AbortedByNextProducer);
        }
    }

    /// Whether a process' producer is the current one of its instance.
    pub(super) fn is_current(&self, pid: Pid) -> bool {
        let process = &self.processes[pid];
        process.epoch == Some(self.producers[process.instance].epoch)
    }

    /// Whether a process has a transaction that it may still commit.
    pub(super) fn has_open(&self, pid: Pid) -> bool {
        self.is_current(pid)
            && self.producers[self.processes[pid].instance]
                .transaction
                .as_ref()
                .is_some_and(|transaction| transaction.pid == pid && !transaction.decided)
    }

    /// The open transaction of a current producer; one is begun where there is none.
    pub(super) fn open(&mut self, pid: Pid) -> &mut Transaction {
        let instance = self.processes[pid].instance;
        let slot = &mut self.producers[instance].transaction;
        if slot.as_ref().is_some_and(|transaction| transaction.decided) {
            *slot = None; // its markers are written: the next one has waited for them
        }
        let began = self.now;
        slot.get_or_insert_with(|| Transaction {
            pid,
            began,
            records: Vec::new(),
            offsets: Vec::new(),
            decided: false,
            arriving: false,
        })
    }

    /// Whether the group takes offsets from this member.
    pub(super) fn admits(&mut self, pid: Pid, generation: i32) -> bool {
        let ours = self.is_member(pid) && generation == self.group.generation;
        if !ours {
            self.cover(Cover::CommitRefusedByGeneration);
        }
        ours || faults::is_off(Mechanism::GenerationCheck)
    }

    /// The coordinator decides: outcomes and offsets become visible at once.
    pub(super) fn decide(&mut self, instance: usize, stable: bool) {
        let Some(mut transaction) = self.producers[instance].transaction.take() else {
            return;
        };
        let records = std::mem::take(&mut transaction.records);
        let offsets = transaction.offsets.clone();
        self.make_visible(transaction.pid, records, &offsets);
        self.commits += 1;
        self.cover(Cover::Commit);
        if !stable {
            transaction.decided = true;
            self.producers[instance].transaction = Some(transaction);
        }
    }

    /// Offsets without a transaction: the broken worker of a negative control.
    pub(super) fn commit_alone(&mut self, pid: Pid, offsets: &[Pending]) {
        self.make_visible(pid, Vec::new(), offsets);
    }

    /// Markers and late requests arrive.
    pub(super) fn arrive(&mut self) {
        for instance in 0..self.producers.len() {
            let Some(transaction) = &self.producers[instance].transaction else {
                continue;
            };
            if transaction.decided {
                self.producers[instance].transaction = None;
            } else if transaction.arriving {
                self.cover(Cover::CommitArrivedLate);
                self.decide(instance, true);
            }
        }
    }

    pub(super) fn time_out_transactions(&mut self) {
        for instance in 0..self.producers.len() {
            let over = |transaction: &Transaction| self.now.saturating_sub(transaction.began) > TRANSACTION;
            let Some(transaction) = self.producers[instance]
                .transaction
                .as_ref()
                .filter(|it| over(it))
            else {
                continue;
            };
            if !transaction.decided {
                self.producers[instance].epoch += 1;
                self.cover(Cover::TransactionTimedOut);
            }
            self.producers[instance].transaction = None;
        }
    }

    /// Whether a transaction is pending on a partition's committed offset.
    pub(super) fn is_unstable(&self, id: PartitionId) -> bool {
        self.producers
            .iter()
            .filter_map(|producer| producer.transaction.as_ref())
            .any(|transaction| transaction.offsets.iter().any(|pending| pending.id == id))
    }

    /// A process does something about a partition that it does not hold.
    pub(super) fn check_held(&mut self, pid: Pid, id: PartitionId, doing: &str) {
        if !self.processes[pid].client.held.contains_key(&id) {
            self.violate(
                Check::Unassigned,
                format!("process {pid} {doing} for {id:?}, which it does not hold"),
            );
        }
    }
}
