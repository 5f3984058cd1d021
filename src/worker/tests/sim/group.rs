//! A group coordinator: generations, static members, cooperative assignment.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::Cover;
use super::rng::Rng;
use super::world::{Pid, SESSION, World};
use crate::worker::ports::{Event, PartitionId};

/// A static member, by its instance.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// The process that joined last with this instance.
    pub(super) pid: Pid,
    pub(super) assigned: BTreeSet<PartitionId>,
    /// Taken from it, and not given back yet: nobody else gets them before.
    pub(super) revoking: BTreeSet<PartitionId>,
}

/// The group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: i32,
    pub(super) members: BTreeMap<usize, Member>,
    /// Whether somebody came or went, or gave something back.
    pub(super) unbalanced: bool,
}

impl World {
    /// A process joins: with the instance of a member it takes that one's place, without a rebalance.
    pub(super) fn join(&mut self, pid: Pid) {
        let instance = self.processes[pid].instance;
        let generation = self.group.generation;
        if let Some(member) = self.group.members.get_mut(&instance) {
            let before = std::mem::replace(&mut member.pid, pid);
            // What the old process was to give back, nobody claims now.
            member.revoking.clear();
            self.group.unbalanced = true;
            let assigned: Vec<_> = member.assigned.iter().copied().collect();
            if before != pid {
                self.processes[before].client.fenced = true;
            }
            self.processes[pid].client.inbox.clear();
            if !assigned.is_empty() {
                self.processes[pid]
                    .client
                    .inbox
                    .push_back(Event::Assigned(assigned));
            }
        } else {
            let member = Member {
                pid,
                ..Member::default()
            };
            self.group.members.insert(instance, member);
            self.group.unbalanced = true;
        }
        let client = &mut self.processes[pid].client;
        client.joined = true;
        client.generation = generation;
    }

    /// Whether a process is the current member of its instance.
    pub(super) fn is_member(&self, pid: Pid) -> bool {
        let instance = self.processes[pid].instance;
        self.group
            .members
            .get(&instance)
            .is_some_and(|member| member.pid == pid)
    }

    /// Takes out whoever was not heard of for a session.
    pub(super) fn expire_members(&mut self) {
        let stale: Vec<usize> = self
            .group
            .members
            .iter()
            .filter(|(_, member)| self.now.saturating_sub(self.processes[member.pid].last_call) > SESSION)
            .map(|(&instance, _)| instance)
            .collect();
        for instance in stale {
            if let Some(member) = self.group.members.remove(&instance) {
                self.processes[member.pid].client.expelled = true;
                self.cover(Cover::SessionExpired);
            }
            self.group.unbalanced = true;
            // Everybody else has to join the next generation; the one taken out is not in it.
            self.group.generation += 1;
            self.tell_generation();
        }
    }

    fn tell_generation(&mut self) {
        let generation = self.group.generation;
        for member in self.group.members.values() {
            let process = &mut self.processes[member.pid];
            if process.alive && !process.suspended {
                process.client.generation = generation;
            }
        }
    }

    /// Gives every partition to somebody: what is owned is taken first and given in a later round. A process that is
    /// dead or suspended keeps what it has until its session is over.
    pub(super) fn balance(&mut self, rng: &mut Rng, shuffles: bool) {
        self.group.unbalanced = false;
        let live: Vec<usize> = self
            .group
            .members
            .iter()
            .filter(|(_, member)| {
                let process = &self.processes[member.pid];
                process.alive && !process.suspended
            })
            .map(|(&instance, _)| instance)
            .collect();
        if live.is_empty() {
            return;
        }
        self.group.generation += 1;
        let (mut gained, mut taken) = (BTreeMap::<usize, Vec<_>>::new(), BTreeMap::<usize, Vec<_>>::new());
        for id in self.ids() {
            let owner = self
                .group
                .members
                .iter()
                .find(|(_, member)| member.assigned.contains(&id) || member.revoking.contains(&id));
            let Some((&owner, member)) = owner else {
                gained
                    .entry(self.emptiest(&live, rng, &gained))
                    .or_default()
                    .push(id);
                continue;
            };
            if member.revoking.contains(&id) || !live.contains(&owner) {
                continue;
            }
            let crowded = member.assigned.len() > self.logs.len().div_ceil(live.len());
            if (shuffles && rng.once_in(2)) || crowded {
                let target = rng.pick(&live);
                if target != owner {
                    taken.entry(owner).or_default().push(id);
                }
            }
        }
        for (instance, ids) in taken {
            self.take(instance, ids);
        }
        for (instance, ids) in gained {
            self.give(instance, ids);
        }
        self.tell_generation();
    }

    fn emptiest(&self, live: &[usize], rng: &mut Rng, gained: &BTreeMap<usize, Vec<PartitionId>>) -> usize {
        let load = |instance: &usize| {
            self.group.members[instance].assigned.len() + gained.get(instance).map_or(0, Vec::len)
        };
        let least = live.iter().map(load).min().unwrap_or(0);
        let candidates: Vec<usize> = live
            .iter()
            .copied()
            .filter(|instance| load(instance) == least)
            .collect();
        rng.pick(&candidates)
    }

    fn take(&mut self, instance: usize, ids: Vec<PartitionId>) {
        let Some(member) = self.group.members.get_mut(&instance) else {
            return;
        };
        for id in &ids {
            member.assigned.remove(id);
            member.revoking.insert(*id);
        }
        self.processes[member.pid]
            .client
            .inbox
            .push_back(Event::Revoked(ids));
    }

    fn give(&mut self, instance: usize, ids: Vec<PartitionId>) {
        let Some(member) = self.group.members.get_mut(&instance) else {
            return;
        };
        member.assigned.extend(ids.iter().copied());
        self.processes[member.pid]
            .client
            .inbox
            .push_back(Event::Assigned(ids));
    }

    /// A process gave partitions back.
    pub(super) fn given_back(&mut self, pid: Pid, ids: &[PartitionId]) {
        if !self.is_member(pid) {
            return;
        }
        let instance = self.processes[pid].instance;
        if let Some(member) = self.group.members.get_mut(&instance) {
            for id in ids {
                member.revoking.remove(id);
                // Where it was told that it lost them, it owns them no more.
                member.assigned.remove(id);
            }
            self.group.unbalanced = true;
        }
    }
}
