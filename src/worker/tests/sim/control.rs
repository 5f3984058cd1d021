//! Negative controls: with a mechanism switched off, the simulation has to notice, and by the check that the mechanism is
//! there for.

use super::run::run;
use super::world::Check;
use crate::faults::{self, Mechanism};

/// Histories until somebody has to notice. The rarest mechanism shows in one of some four hundred.
const HISTORIES_MAX: u64 = 6_000;

/// Switched on again whatever happens: other tests may run on this thread.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        faults::switch_off(None);
    }
}

/// A history that is right, and with a mechanism off is wrong first by the check that the mechanism is there for. Other
/// histories may be wrong by what follows from it.
fn control(mechanism: Mechanism, check: Check) {
    let off = Off;
    faults::switch_off(Some(mechanism));
    let fails = |seed: &u64| {
        let violation = run(*seed, None).violation;
        violation.is_some_and(|violation| violation.check == check)
    };
    let found = (0..HISTORIES_MAX).find(fails);
    drop(off);
    let Some(seed) = found else {
        panic!(
            "nobody noticed by {check:?} in {HISTORIES_MAX} histories that `{}` is off",
            mechanism.name()
        );
    };
    assert_eq!(run(seed, None).violation, None, "with `{}` on", mechanism.name());
    eprintln!("control {}: seed {seed}, {check:?}", mechanism.name());
}

#[test]
fn control_offsets_in_transaction() {
    control(Mechanism::OffsetsInTransaction, Check::Missing);
}

#[test]
fn control_generation_check() {
    control(Mechanism::GenerationCheck, Check::Twice);
}

#[test]
fn control_drop_on_revoke() {
    control(Mechanism::DropOnRevoke, Check::Unassigned);
}

#[test]
fn control_muted_replay() {
    control(Mechanism::MutedReplay, Check::Twice);
}

#[test]
fn control_snapshot_after_commit() {
    control(Mechanism::SnapshotAfterCommit, Check::Snapshot);
}

#[test]
fn control_checksum() {
    control(Mechanism::Checksum, Check::State);
}

#[test]
fn control_dead_letter_offset() {
    control(Mechanism::DeadLetterOffset, Check::Twice);
}

#[test]
fn control_loss_on_abort() {
    control(Mechanism::LossOnAbort, Check::Missing);
}

#[test]
fn control_isolation_level() {
    control(Mechanism::IsolationLevel, Check::Invented);
}

#[test]
fn control_log_identity() {
    control(Mechanism::LogIdentity, Check::AnotherLog);
}

#[test]
fn control_order_in_batch() {
    control(Mechanism::OrderInBatch, Check::Order);
}

#[test]
fn control_tape_once() {
    control(Mechanism::TapeOnce, Check::Tape);
}
