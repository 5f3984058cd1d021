//! Negative controls: with a mechanism switched off, the simulation has to notice, and by the check that the mechanism is
//! there for.

use super::run::run;
use super::world::Check;
use crate::faults::{self, Mechanism};

/// Histories until somebody has to notice. The rarest mechanism shows in one of some hundred.
const HISTORIES_MAX: u64 = 2_000;

/// Switched on again whatever happens: other tests may run on this thread.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        faults::switch_off(None);
    }
}

/// The first violation with a mechanism off; it has to be one of `checks`.
fn control(mechanism: Mechanism, checks: &[Check]) {
    let off = Off;
    faults::switch_off(Some(mechanism));
    let found = (0..HISTORIES_MAX).find_map(|seed| Some((seed, run(seed, None).violation?)));
    drop(off);
    let Some((seed, violation)) = found else {
        panic!(
            "nobody noticed in {HISTORIES_MAX} histories that `{}` is off",
            mechanism.name()
        );
    };
    assert!(
        checks.contains(&violation.check),
        "`{}`: seed {seed} fails by {violation:?}, not by one of {checks:?}",
        mechanism.name()
    );
    eprintln!("control {}: seed {seed}, {:?}", mechanism.name(), violation.check);
}

#[test]
fn control_offsets_in_transaction() {
    control(Mechanism::OffsetsInTransaction, &[Check::Missing]);
}

#[test]
fn control_generation_check() {
    // Two that go on beside each other, under versions of their own.
    control(Mechanism::GenerationCheck, &[Check::Twice, Check::Metadata]);
}

#[test]
fn control_drop_on_revoke() {
    control(
        Mechanism::DropOnRevoke,
        &[Check::Unassigned, Check::Twice, Check::Stuck],
    );
}

#[test]
fn control_muted_replay() {
    control(Mechanism::MutedReplay, &[Check::Twice]);
}

#[test]
fn control_snapshot_after_commit() {
    control(Mechanism::SnapshotAfterCommit, &[Check::Snapshot]);
}

#[test]
fn control_checksum() {
    control(
        Mechanism::Checksum,
        &[Check::Bytes, Check::Letter, Check::Snapshot],
    );
}

#[test]
fn control_dead_letter_offset() {
    control(Mechanism::DeadLetterOffset, &[Check::Missing, Check::Twice]);
}

#[test]
fn control_loss_on_abort() {
    control(
        Mechanism::LossOnAbort,
        &[Check::Missing, Check::Twice, Check::OpenAcrossUnassign],
    );
}

#[test]
fn control_isolation_level() {
    control(Mechanism::IsolationLevel, &[Check::Invented]);
}

#[test]
fn control_log_identity() {
    control(Mechanism::LogIdentity, &[Check::AnotherLog]);
}

#[test]
fn control_order_in_batch() {
    control(Mechanism::OrderInBatch, &[Check::Order]);
}
