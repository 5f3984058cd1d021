//! Negative controls: a mechanism is switched off, and the oracle must see it.

use tidecast::faults::Point;

use super::oracle::{Check, Violation};
use super::points::{of_transactions, zombie};
use super::processes::{aborted_input, refused_kills};
use super::rig::Summary;
use super::stores::tampered;
use crate::broker::Broker;

/// The oracle is red, and for the reason that the mechanism is there for.
fn is_seen(result: Result<Summary, Violation>, mechanism: &str, checks: &[Check]) {
    match result {
        Ok(summary) => panic!("nobody saw that `{mechanism}` is off: {summary:?}"),
        Err(violation) => {
            println!("control: {mechanism} off: seen, {violation}");
            assert!(checks.contains(&violation.check), "{violation}");
        }
    }
}

#[test]
fn faults_control_offsets_in_transaction() {
    let off = Some("offsets-in-transaction");
    let result = of_transactions(Broker::shared(), 41, off);
    is_seen(result, "offsets-in-transaction", &[Check::Doubled]);
}

#[test]
fn faults_control_generation_check() {
    let off = Some("generation-check");
    let result = zombie(Broker::shared(), 33, Point::BeforeOffsets, off);
    is_seen(result, "generation-check", &[Check::Doubled, Check::Order]);
}

#[test]
fn faults_control_isolation_level() {
    let off = Some("isolation-level");
    let result = aborted_input(Broker::shared(), 37, off);
    is_seen(result, "isolation-level", &[Check::Set]);
}

#[test]
fn faults_control_dead_letter_offset() {
    let off = Some("dead-letter-offset");
    let result = refused_kills(Broker::shared(), 38, off);
    is_seen(result, "dead-letter-offset", &[Check::Doubled, Check::Stuck]);
}

#[test]
fn faults_control_checksum() {
    let off = Some("checksum");
    let result = tampered(Broker::shared(), 84, off);
    is_seen(result, "checksum", &[Check::Bytes]);
}
