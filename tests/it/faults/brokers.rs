//! Brokers that die, hang, and are all gone for a while.

use std::time::Duration;

use super::cluster::coordinators;
use super::oracle::Violation;
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Stopwatch, pass};

const NODES: [u16; 3] = [1, 2, 3];

/// Longer than any broker takes to come back, however busy the machine is; brokers take a quarter of an hour at most.
///
/// A coordinator of Apache Kafka 4.4.0 takes a partition without a leader for a deleted one and leaves out its marker; while
/// the only broker comes back, all are without. What a transaction held that it ends for its age then is committed by the next
/// one of the same producer. No client can see or mend that.
const PATIENT_MS: u32 = 600_000;

/// Kills a node while the others go on; recovery counts from its death, since that is when the others take over.
fn lose(rig: &Rig<'_>, fault: &str, node: u16) -> Result<(), Violation> {
    rig.progress()?;
    let version = rig.observer.version();
    rig.broker.signal(node, "KILL");
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover(fault, since, &mark)?;
    rig.switched_from(version)?;
    rig.broker.revive(&[node]);
    rig.progress()
}

/// Coordinators move, a node hangs, all of them are gone for `outage`.
pub(super) fn cluster(broker: &Broker, seed: u64, outage: Duration) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "cluster", Settings::training(seed, 3));
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.progress()?;
    let (group, _) = coordinators(broker, &rig.names, "a");
    lose(&rig, "the group's coordinator is killed", group)?;
    let (_, transactions) = coordinators(broker, &rig.names, "a");
    lose(&rig, "the transactions' coordinator is killed", transactions)?;
    let (group, _) = coordinators(broker, &rig.names, "b");
    broker.signal(group, "STOP");
    // Longer than sessions of members and of brokers last.
    pass(Duration::from_secs(12));
    broker.signal(group, "CONT");
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover("a node hangs for 12 s", since, &mark)?;
    let version = rig.observer.version();
    NODES.iter().for_each(|&node| broker.signal(node, "KILL"));
    pass(outage);
    broker.revive(&NODES);
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover(
        &format!("all brokers down for {} s", outage.as_secs()),
        since,
        &mark,
    )?;
    rig.switched_from(version)?;
    rig.finish(daemons)
}

/// The only broker is killed, again and again.
pub(super) fn killed(broker: &Broker, seed: u64, rounds: usize) -> Result<Summary, Violation> {
    let settings = Settings {
        transaction_ms: PATIENT_MS,
        ..Settings::training(seed, 1)
    };
    let rig = Rig::start(broker, "killed", settings);
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.switched_from(1)?;
    for _ in 0..rounds {
        let version = rig.observer.version();
        broker.signal(1, "KILL");
        pass(Duration::from_secs(2));
        broker.revive(&[1]);
        let (since, mark) = (Stopwatch::start(), rig.mark());
        rig.recover("the only broker is killed", since, &mark)?;
        rig.switched_from(version)?;
    }
    rig.finish(daemons)
}

/// The only broker hangs for longer than sessions and transactions last: what waited in its sockets is answered all at
/// once, requests of producers that are gone too.
pub(super) fn hangs(broker: &Broker, seed: u64, rounds: usize) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "hangs", Settings::new(seed));
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    for _ in 0..rounds {
        rig.progress()?;
        broker.signal(1, "STOP");
        pass(Duration::from_secs(10));
        broker.signal(1, "CONT");
        let (since, mark) = (Stopwatch::start(), rig.mark());
        rig.recover("the only broker hangs for 10 s", since, &mark)?;
    }
    rig.finish(daemons)
}

#[test]
fn faults_cluster_loses_coordinators_hangs_and_goes_down() {
    let broker = Broker::reserve("cluster", 3);
    broker.launch();
    held(cluster(&broker, 51, Duration::from_secs(60)));
}

#[test]
fn faults_broker_alone_killed_and_hanging() {
    let broker = Broker::start("alone");
    held(killed(&broker, 52, 2));
    held(hangs(&broker, 53, 2));
}
