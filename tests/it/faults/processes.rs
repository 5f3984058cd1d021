//! Processes that are killed, stopped, doubled, and that come and go.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rdkafka::producer::Producer as _;

use super::feed::{Feed, producer, send};
use super::oracle::{Allowance, Violation};
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Daemon, Stopwatch, pass};

/// Fails with the violation as people read it.
pub(super) fn held(result: Result<Summary, Violation>) -> Summary {
    result.unwrap_or_else(|violation| panic!("{violation}"))
}

/// Partitions that a daemon says it holds.
fn held_by(daemon: &Daemon) -> i32 {
    daemon.metric("tidecast_partitions", "").unwrap_or(0.0) as i32
}

/// `kill -9` at random moments, from before the first transaction to deep inside the work.
pub(super) fn random_kills(broker: &Broker, seed: u64, kills: usize) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "random", Settings::new(seed));
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut daemon = rig.daemon("a");
    for kill in 1..=kills {
        pass(Duration::from_millis(random.random_range(300..2500)));
        daemon.kill();
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemon = rig.daemon("a");
        // Every other one is left to recover; the rest are hit again while they do.
        if kill % 2 == 0 {
            rig.recover("kill -9 at random", since, &mark)?;
        }
    }
    rig.finish(vec![daemon])
}

/// All instances are killed in the same moment.
pub(super) fn all_killed(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "all", Settings::new(seed));
    let mut daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.wait("both hold partitions", || {
        daemons.iter().all(|daemon| held_by(daemon) > 0).then_some(())
    })?;
    for _ in 0..2 {
        rig.progress()?;
        daemons.iter().for_each(|daemon| daemon.signal("KILL"));
        daemons.drain(..).for_each(Daemon::kill);
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemons = vec![rig.daemon("a"), rig.daemon("b")];
        rig.recover("kill -9 of all instances at once", since, &mark)?;
    }
    rig.finish(daemons)
}

/// An instance is stopped for longer than its session lasts, and comes back as a zombie.
pub(super) fn stopped(rig: Rig<'_>, open: bool) -> Result<Summary, Violation> {
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.wait("both hold partitions", || {
        daemons.iter().all(|daemon| held_by(daemon) > 0).then_some(())
    })?;
    rig.progress()?;
    if open {
        // Again, until it is in the middle of a transaction.
        rig.wait("a stop hits an open transaction", || {
            daemons[0].signal("STOP");
            if rig.is_open() {
                return Some(());
            }
            daemons[0].signal("CONT");
            None
        })?;
    } else {
        rig.settle(&Allowance::default())?;
        daemons[0].signal("STOP");
        rig.feeder.resume();
    }
    rig.wait("the other one holds everything", || {
        (held_by(&daemons[1]) == rig.settings.partitions).then_some(())
    })?;
    rig.progress()?;
    daemons[0].signal("CONT");
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let name = if open { "with" } else { "without" };
    let fault = format!("stopped beyond the session time-out, {name} an open transaction");
    rig.recover(&fault, since, &mark)?;
    rig.wait("both hold partitions again", || {
        daemons.iter().all(|daemon| held_by(daemon) > 0).then_some(())
    })?;
    rig.finish(daemons)
}

/// Members join and leave every two seconds: by name, so that each is a new member to the group.
pub(super) fn come_and_go(broker: &Broker, seed: u64, rounds: usize) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "members", Settings::new(seed));
    let first = rig.daemon("a");
    rig.progress()?;
    for round in 0..rounds {
        let mut guest = rig.daemon(&format!("guest-{round}"));
        pass(Duration::from_secs(2));
        let (since, mark) = (Stopwatch::start(), rig.mark());
        if round % 2 == 0 {
            guest.signal("TERM");
            rig.recover("a member leaves after two seconds", since, &mark)?;
            let status = guest.await_exit(Duration::from_secs(60));
            assert!(status.success(), "{status}:\n{}", guest.log());
        } else {
            guest.kill();
            rig.recover("a member is killed after two seconds", since, &mark)?;
        }
    }
    rig.finish(vec![first])
}

/// An instance that is stopped inside a transaction, which is still open when it comes back.
pub(super) fn zombie(broker: &Broker, seed: u64, off: Option<&str>) -> Result<Summary, Violation> {
    let settings = Settings {
        // Else the broker ends the transaction before its owner comes back.
        transaction_ms: 30_000,
        off: off.map(str::to_owned),
        ..Settings::new(seed)
    };
    stopped(Rig::start(broker, "zombie", settings), true)
}

/// Killed again and again with an input of which half cannot be read: what was refused last must count as read.
pub(super) fn refused_kills(broker: &Broker, seed: u64, off: Option<&str>) -> Result<Summary, Violation> {
    let mut settings = Settings {
        off: off.map(str::to_owned),
        ..Settings::new(seed)
    };
    settings.recipe.refused_percent = 50;
    if off.is_some() {
        // Without it what is refused last may never come out.
        settings.patience = Duration::from_secs(20);
    }
    let rig = Rig::start(broker, "refused", settings);
    let mut daemon = rig.daemon("a");
    for _ in 0..4 {
        rig.progress()?;
        daemon.kill();
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemon = rig.daemon("a");
        rig.recover("kill -9 while half of the input is refused", since, &mark)?;
    }
    rig.finish(vec![daemon])
}

/// Somebody else's aborted transactions in the input: they are no observations.
pub(super) fn aborted_input(broker: &Broker, seed: u64, off: Option<&str>) -> Result<Summary, Violation> {
    let settings = Settings {
        off: off.map(str::to_owned),
        ..Settings::new(seed)
    };
    let rig = Rig::start(broker, "aborted", settings);
    let daemon = rig.daemon("a");
    let limit = Duration::from_secs(30);
    let producer = producer(
        &broker.servers,
        &[
            ("transactional.id", &rig.names.input),
            ("message.timeout.ms", "30000"),
        ],
    );
    producer.init_transactions(limit).unwrap();
    // Streams of its own: those of the feed must not be changed by what must not be seen.
    let mut other = Feed::new(rig.settings.recipe, 1000);
    for round in 0..4 {
        rig.progress()?;
        producer.begin_transaction().unwrap();
        for message in other.by_ref().take(30) {
            send(
                &producer,
                (&rig.names.input, round % rig.settings.partitions),
                &message,
            );
        }
        producer.flush(limit).unwrap();
        let (since, mark) = (Stopwatch::start(), rig.mark());
        producer.abort_transaction(limit).unwrap();
        rig.recover("an aborted transaction in the input", since, &mark)?;
    }
    rig.finish(vec![daemon])
}

/// Two processes under one name.
fn twins(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "twins", Settings::new(seed));
    let mut twins = vec![rig.daemon("a")];
    rig.progress()?;
    twins.push(rig.daemon("a"));
    let (gone, status) = rig.wait("one of them ends", || {
        twins
            .iter_mut()
            .enumerate()
            .find_map(|(index, daemon)| daemon.ended().map(|status| (index, status)))
    })?;
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let log = twins.remove(gone).log();
    assert_eq!(status.code(), Some(76), "{log}");
    assert!(
        log.contains("`service.instance` `a` is in use by another process"),
        "{log}"
    );
    rig.recover("a second process of an instance", since, &mark)?;
    rig.finish(twins)
}

#[test]
fn faults_killed_at_random() {
    held(random_kills(Broker::shared(), 31, 8));
}

#[test]
fn faults_all_instances_killed_at_once() {
    held(all_killed(Broker::shared(), 32));
}

#[test]
fn faults_stopped_with_an_open_transaction() {
    held(stopped(
        Rig::start(Broker::shared(), "stopped", Settings::new(33)),
        true,
    ));
}

#[test]
fn faults_stopped_without_an_open_transaction() {
    held(stopped(
        Rig::start(Broker::shared(), "stopped", Settings::new(34)),
        false,
    ));
}

#[test]
fn faults_members_come_and_go() {
    held(come_and_go(Broker::shared(), 35, 6));
}

#[test]
fn faults_twins() {
    held(twins(Broker::shared(), 36));
}

#[test]
fn faults_killed_while_half_is_refused() {
    held(refused_kills(Broker::shared(), 38, None));
}

#[test]
fn faults_aborted_transactions_in_the_input() {
    held(aborted_input(Broker::shared(), 37, None));
}
