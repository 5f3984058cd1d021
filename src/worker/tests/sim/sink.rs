//! The producer of a process.

use std::rc::Rc;

use super::coverage::Cover;
use super::process::Sim;
use super::source::{Membership, failed, instance_in_use};
use super::step::Stage;
use super::transactions::{Pending, Published};
use super::world::{Check, Pid, Poison};
use crate::faults::{self, Mechanism, Point};
use crate::worker::ports::{Commit, Destination, Error, Outgoing, ReadMembership, Sink};

/// The worker's port.
pub(super) struct SimSink {
    pub(super) sim: Rc<Sim>,
    pub(super) pid: Pid,
}

/// What a deliberate panic says.
pub(super) const POISON: &str = "poisoned";

impl SimSink {
    /// What becomes of an outcome that cannot be published.
    fn poisoned(&self, published: &Published) -> Option<Error> {
        let world = self.sim.world.borrow();
        if world.processes[self.pid]
            .snapshots
            .poisoned
            .contains(&published.origin)
        {
            drop(world);
            std::panic::resume_unwind(Box::new(POISON.to_owned()));
        }
        let key = (published.origin, published.source().0);
        let poison = *world.trouble.poison.get(&key)?;
        drop(world);
        let partition = match poison {
            Poison::Panic => std::panic::resume_unwind(Box::new(POISON.to_owned())),
            Poison::Refused => Some(published.origin),
            Poison::Unexplained => None,
        };
        Some(Error::Refused {
            doing: "producing",
            reason: POISON.to_owned(),
            partition,
        })
    }

    /// Outcomes are delivered; offsets go into the transaction if the group takes them.
    fn send_offsets(&self, offsets: &[Commit<'_>], membership: Membership) -> Result<(), Error> {
        let mut world = self.sim.world.borrow_mut();
        let pid = self.pid;
        if !world.is_current(pid) {
            world.cover(Cover::CommitRefusedByEpoch);
            return Err(failed("committing with a producer that is fenced"));
        }
        if world.processes[pid].client.fenced && !faults::is_off(Mechanism::GenerationCheck) {
            return Err(instance_in_use());
        }
        if !world.admits(pid, membership.generation) {
            return Err(failed("committing as a member of an older generation"));
        }
        let mut pending = Vec::new();
        for commit in offsets {
            world.check_held(pid, commit.partition, "commits");
            pending.push(Pending {
                id: commit.partition,
                next: commit.next,
                metadata: commit.metadata.to_owned(),
            });
        }
        if faults::is_off(Mechanism::OffsetsInTransaction) {
            world.commit_alone(pid, &pending);
        } else {
            world.open(pid).offsets.extend(pending);
        }
        world.open(pid); // also where it is only offsets that are committed
        Ok(())
    }

    /// The commit reaches the coordinator, now, later, or never; of how many observations it is.
    fn end_transaction(&self) -> Result<u64, Error> {
        let fails = self.sim.enter_stage(self.pid, Stage::End);
        let mut world = self.sim.world.borrow_mut();
        let (pid, instance) = (self.pid, world.processes[self.pid].instance);
        if !world.processes[pid].alive {
            return Err(failed("committing"));
        }
        if !world.is_current(pid) || !world.has_open(pid) {
            world.cover(Cover::CommitRefusedByEpoch);
            return Err(failed("committing with a producer that is fenced"));
        }
        if fails {
            if world.processes[pid].rng.once_in(2) {
                world.open(pid).arriving = true;
            }
            return Err(failed("committing"));
        }
        let stable = world.healed || world.processes[pid].rng.once_in(2);
        let judged = world.judged;
        world.decide(instance, stable);
        Ok(world.judged - judged)
    }
}

impl Sink for SimSink {
    type Membership = Membership;

    fn connect(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error> {
        alive();
        if self.sim.enter(self.pid) {
            return Err(failed("connecting"));
        }
        let mut world = self.sim.world.borrow_mut();
        world.new_producer(self.pid);
        Ok(())
    }

    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error> {
        if self.sim.enter(self.pid) {
            return Err(failed("producing"));
        }
        let headers = record.headers.iter();
        let published = Published {
            to,
            origin: record.origin,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        };
        if let Some(error) = self.poisoned(&published) {
            return Err(error);
        }
        let mut world = self.sim.world.borrow_mut();
        world.check_held(self.pid, record.origin, "publishes");
        if world.processes[self.pid].epoch.is_none() {
            let text = format!("process {} publishes without a producer", self.pid);
            world.violate(Check::OpenAcrossUnassign, text);
        }
        // A client learns only at the commit that its producer was fenced.
        if world.is_current(self.pid) {
            world.open(self.pid).records.push(published);
        }
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[Commit<'_>],
        membership: &mut ReadMembership<'_, Membership>,
    ) -> Result<(), Error> {
        if self.sim.enter_stage(self.pid, Stage::Deliver) {
            return Err(failed("delivering"));
        }
        faults::point(Point::BeforeOffsets);
        let membership = membership()?;
        self.send_offsets(offsets, membership)?;
        faults::point(Point::AfterOffsets);
        if self.sim.enter_stage(self.pid, Stage::Offsets) {
            return Err(failed("putting offsets into the transaction"));
        }
        faults::point(Point::BeforeCommit);
        let observations = self.end_transaction()?;
        faults::point(Point::AfterCommit);
        if self.sim.enter_stage(self.pid, Stage::Answer) {
            self.sim.world.borrow_mut().cover(Cover::AnswerLost);
            return Err(failed("hearing of the commit"));
        }
        self.sim.world.borrow_mut().processes[self.pid].heard += observations;
        Ok(())
    }

    fn discard(&mut self) {
        if !self.sim.is_dead(self.pid) {
            self.sim.world.borrow_mut().processes[self.pid].epoch = None;
        }
    }
}
