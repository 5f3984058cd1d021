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
pub(super) fn held_by(daemon: &Daemon) -> i32 {
    daemon.metric("tidecast_partitions", "").unwrap_or(0.0) as i32
}

/// `kill -9` at random moments, from before the first transaction to deep inside the work.
pub(super) fn random_kills(broker: &Broker, seed: u64, kills: usize) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "random", Settings::training(seed, 1));
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut daemon = rig.daemon("a");
    rig.switched_from(1)?;
    for kill in 1..=kills {
        pass(Duration::from_millis(random.random_range(300..2500)));
        daemon.kill();
        let (since, mark) = (Stopwatch::start(), rig.mark());
        let version = rig.observer.version();
        daemon = rig.daemon("a");
        // Every other one is left to recover; the rest are hit again while they do.
        if kill % 2 == 0 {
            rig.recover("kill -9 at random", since, &mark)?;
        }
        if kill % 4 == 0 {
            rig.switched_from(version)?;
        }
    }
    rig.finish(vec![daemon])
}

/// All instances are killed in the same moment.
pub(super) fn all_killed(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "all", Settings::training(seed, 1));
    let mut daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.wait("both hold partitions", || {
        daemons.iter().all(|daemon| held_by(daemon) > 0).then_some(())
    })?;
    rig.switched_from(1)?;
    for _ in 0..2 {
        let version = rig.observer.version();
        daemons.iter().for_each(|daemon| daemon.signal("KILL"));
        daemons.drain(..).for_each(Daemon::kill);
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemons = vec![rig.daemon("a"), rig.daemon("b")];
        rig.recover("kill -9 of all instances at once", since, &mark)?;
        rig.switched_from(version)?;
    }
    rig.finish(daemons)
}

/// An instance is stopped for longer than its session lasts, and comes back as a zombie.
pub(super) fn stopped(broker: &Broker, seed: u64, open: bool) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "stopped", Settings::training(seed, 1));
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.wait("both hold partitions", || {
        daemons.iter().all(|daemon| held_by(daemon) > 0).then_some(())
    })?;
    rig.progress()?;
    if open {
        // Again, until it is in the middle of a transaction.
        rig.wait("a stop hits an open transaction", || {
            daemons[0].signal("STOP");
            if rig.is_open(false) {
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
    let version = rig.observer.version();
    rig.wait("the other one holds everything", || {
        (held_by(&daemons[1]) == rig.settings.partitions).then_some(())
    })?;
    // So that the zombie comes back with weights that serve no more.
    rig.switched_from(version)?;
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

/// Who comes when a member has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// The same instance again.
    Back,
    /// One that the group has never seen.
    Anew,
}

/// Every two seconds one of two members ends, cleanly and by `kill -9` in turn, and another comes.
///
/// A member that comes back has its partitions at once. What another one had that is gone for good waits until its session
/// is over, and so does the rebalance that shares it out; it goes to the newest member, which by then is gone itself, for as
/// long as members live no longer than sessions last. The partitions of the one that stays never wait for that: if a
/// rebalance stopped them, they would for a session.
pub(super) fn churn(
    broker: &Broker,
    seed: u64,
    (comes, rounds): (Comes, usize),
) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "churn", Settings::new(seed));
    let session = Duration::from_millis(rig.settings.session_ms.into());
    let name = |round: usize| match comes {
        Comes::Back => "b".to_owned(),
        Comes::Anew => format!("guest-{round}"),
    };
    let stays = rig.daemon("a");
    let mut other = rig.daemon(&name(0));
    rig.wait("both hold partitions", || {
        (held_by(&stays) > 0 && held_by(&other) > 0).then_some(())
    })?;
    rig.progress()?;
    rig.observer.begin_silences(rig.settings.partitions);
    for round in 1..=rounds {
        pass(Duration::from_secs(2));
        if round % 2 == 0 {
            other.kill();
        } else {
            let log = other.log();
            let status = other.terminate();
            assert!(status.success(), "{status}:\n{log}");
        }
        other = rig.daemon(&name(round));
    }
    let silences = rig.observer.silences();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.wait("every partition is served", || {
        let served = rig.observer.past(&mark).len();
        (served == silences.len()).then_some(())
    })?;
    let settled = since.elapsed();
    println!(
        "members churn, {comes:?}: nothing of a partition for at most {silences:.1?}, then {settled:.1?}"
    );
    let (least, most) = (silences.iter().min().unwrap(), silences.iter().max().unwrap());
    // Two sessions, for a machine that is busy: a rebalance that stopped them would, as long as it goes on.
    assert!(*least < 2 * session, "a rebalance has stopped those that stay");
    assert!(settled < 5 * session, "not everything is served once it is over");
    match comes {
        Comes::Back => assert!(*most < 3 * session, "a member that comes back does not go on"),
        Comes::Anew => assert!(
            *most > session,
            "nobody has waited for a session: nothing is measured"
        ),
    }
    rig.finish(vec![stays, other])
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
pub(super) fn twins(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
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
    held(stopped(Broker::shared(), 33, true));
}

#[test]
fn faults_stopped_without_an_open_transaction() {
    held(stopped(Broker::shared(), 34, false));
}

#[test]
fn faults_members_churn() {
    held(churn(Broker::shared(), 35, (Comes::Back, 8)));
}

#[test]
fn faults_members_churn_under_new_names() {
    held(churn(Broker::shared(), 39, (Comes::Anew, 8)));
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
