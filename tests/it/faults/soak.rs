//! The scenarios again and again, with other seeds and longer, until the time is over.

use std::time::Duration;

use super::brokers::{cluster, hangs, killed};
use super::lag::lagging;
use super::network::network;
use super::oracle::Violation;
#[cfg(feature = "faults")]
use super::points::{in_revoke, of_state, of_transactions};
use super::processes::{aborted_input, all_killed, come_and_go, random_kills, refused_kills, zombie};
use super::rig::Summary;
use super::stores::{damaged, deleted, full, small, tampered};
use super::topics::{clock_jumps, offsets_reset, partitions_added, retention};
use super::wall::stepped;
use crate::broker::Broker;
use crate::broker::daemon::Stopwatch;

/// A scenario on the broker that all share, with a seed.
type Scenario = fn(&Broker, u64) -> Result<Summary, Violation>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("random kills", |broker, seed| random_kills(broker, seed, 30)),
    ("all killed", all_killed),
    ("zombie", |broker, seed| zombie(broker, seed, None)),
    ("come and go", |broker, seed| come_and_go(broker, seed, 15)),
    ("refused", |broker, seed| refused_kills(broker, seed, None)),
    ("aborted input", |broker, seed| aborted_input(broker, seed, None)),
    #[cfg(feature = "faults")]
    ("points of a transaction", |broker, seed| {
        of_transactions(broker, seed, None)
    }),
    #[cfg(feature = "faults")]
    ("points of state", of_state),
    #[cfg(feature = "faults")]
    ("in a revoke", in_revoke),
    ("store deleted", deleted),
    ("snapshots damaged", damaged),
    ("snapshots tampered with", |broker, seed| {
        tampered(broker, seed, None)
    }),
    ("store full", full),
    ("retention", retention),
    ("offsets reset", offsets_reset),
    ("partitions added", partitions_added),
    ("clocks jump", clock_jumps),
    ("lagging", lagging),
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// `TIDECAST_SOAK_SECONDS` (60) of scenarios, the first seed from `TIDECAST_SOAK_SEED` (else the process's number). Ends
/// with the round that is under way.
#[test]
#[ignore = "as long as asked: `make soak`"]
fn soak_faults() {
    let seconds = number("TIDECAST_SOAK_SECONDS", 60);
    let mut seed = number("TIDECAST_SOAK_SEED", u64::from(std::process::id()) * 1000);
    let clock = Stopwatch::start();
    let shared = Broker::shared();
    let three = Broker::reserve("soak-cluster", 3);
    three.launch();
    let (proxied, listener, proxy) = Broker::start_proxied("soak-network");
    let mut rounds = 0;
    let is_over = || clock.elapsed() >= Duration::from_secs(seconds);
    while !is_over() {
        println!("soak: round {rounds}, TIDECAST_SOAK_SEED={seed}");
        let hold = |name: &str, result: Result<Summary, Violation>| match result {
            Ok(summary) => println!("soak: {name}, seed {seed}: ok, {summary:?}"),
            Err(violation) => panic!("{name}, TIDECAST_SOAK_SEED={seed}: {violation}"),
        };
        for (name, scenario) in SCENARIOS {
            hold(name, scenario(shared, seed));
            if is_over() {
                return;
            }
        }
        for (name, result) in [
            ("small disk", small(shared, seed)),
            ("wall clock stepped", stepped(shared, seed)),
        ] {
            match result.transpose() {
                Some(result) => hold(name, result),
                None => println!("soak: {name}: skipped"),
            }
        }
        hold("network", network(&proxied, (listener, proxy), seed));
        hold("the broker killed", killed(&proxied, seed, 5));
        hold("the broker hangs", hangs(&proxied, seed, 5));
        hold("cluster", cluster(&three, seed, Duration::from_secs(60)));
        seed += 1;
        rounds += 1;
    }
}
