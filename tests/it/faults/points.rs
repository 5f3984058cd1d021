//! Processes that kill themselves at a named point, or hang there.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use tidecast::faults::Point;

use super::observer::Mark;
use super::oracle::Violation;
use super::processes::{held, held_by};
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Daemon, Stopwatch, Surroundings};

const SIGKILL: i32 = 9;

/// A death that nobody has recovered from yet.
struct Death {
    at: Point,
    since: Stopwatch,
    mark: Mark,
}

impl Death {
    fn recover(self, rig: &Rig<'_>) -> Result<(), Violation> {
        let fault = format!("kill -9 at {}", self.at.name());
        rig.recover(&fault, self.since, &self.mark)
    }
}

/// An instance that dies the `count`th time it comes to a point.
fn doomed(rig: &Rig<'_>, at: Point, count: u32) -> Daemon {
    let fault = format!("{}:{count}", at.name());
    let surroundings = Surroundings {
        variables: &[("TIDECAST_FAULT", &fault)],
        ..Surroundings::default()
    };
    rig.daemon_in("a", surroundings)
}

/// Waits until it has killed itself.
fn die(rig: &Rig<'_>, mut daemon: Daemon, at: Point) -> Result<Death, Violation> {
    let what = format!("the daemon kills itself at {}", at.name());
    let status = rig.wait(&what, || daemon.ended())?;
    assert_eq!(
        status.signal(),
        Some(SIGKILL),
        "{status} at {}:\n{}",
        at.name(),
        daemon.log()
    );
    let (since, mark) = (Stopwatch::start(), rig.mark());
    Ok(Death { at, since, mark })
}

/// One after the other, each recovering from the deaths before, unless it dies before that: what waited while a slow machine
/// started it may be all that it lives for.
pub(super) fn killed_at(rig: &Rig<'_>, points: &[(Point, u32)]) -> Result<Daemon, Violation> {
    let mut deaths: Vec<Death> = Vec::new();
    for &(at, count) in points {
        let mut daemon = doomed(rig, at, count);
        let is_past = |death: &Death| rig.observer.is_past(&death.mark);
        let recovers = rig.wait("it recovers, or dies", || {
            let recovered = deaths.iter().all(is_past);
            (recovered || daemon.ended().is_some()).then_some(recovered)
        })?;
        if recovers {
            deaths.drain(..).try_for_each(|death| death.recover(rig))?;
        }
        deaths.push(die(rig, daemon, at)?);
    }
    let daemon = rig.daemon("a");
    deaths.into_iter().try_for_each(|death| death.recover(rig))?;
    Ok(daemon)
}

/// Counts are so high that a process has mostly committed something new before it dies.
const OF_A_TRANSACTION: [(Point, u32); 6] = [
    (Point::AfterPoll, 60),
    (Point::MidProduce, 600),
    (Point::BeforeOffsets, 8),
    (Point::AfterOffsets, 8),
    (Point::BeforeCommit, 8),
    (Point::AfterCommit, 8),
];
const OF_A_SNAPSHOT: [(Point, u32); 3] = [
    (Point::SnapshotCopy, 6),
    (Point::SnapshotWrite, 6),
    (Point::SnapshotRename, 6),
];

/// Of a process that was killed with records behind its newest snapshots.
const OF_A_RESTORE: [(Point, u32); 2] = [(Point::SnapshotLoad, 2), (Point::Replay, 2)];

pub(super) fn of_transactions(broker: &Broker, seed: u64, off: Option<&str>) -> Result<Summary, Violation> {
    let rig = Rig::start(
        broker,
        "points",
        Settings {
            off: off.map(str::to_owned),
            ..Settings::new(seed)
        },
    );
    let daemon = killed_at(&rig, &OF_A_TRANSACTION)?;
    rig.finish(vec![daemon])
}

pub(super) fn of_state(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "state", Settings::training(seed, 1));
    let daemon = killed_at(&rig, &OF_A_SNAPSHOT)?;
    daemon.kill();
    // It dies before it serves: the second of three partitions.
    for (at, count) in OF_A_RESTORE {
        die(&rig, doomed(&rig, at, count), at)?;
    }
    let death = die(&rig, doomed(&rig, Point::Restore, 2), Point::Restore)?;
    let daemon = doomed(&rig, Point::ModelSwitch, 2);
    death.recover(&rig)?;
    let death = die(&rig, daemon, Point::ModelSwitch)?;
    let daemon = rig.daemon("a");
    death.recover(&rig)?;
    rig.finish(vec![daemon])
}

/// Dies while the group takes a partition away, and comes back at once.
pub(super) fn in_revoke(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "revoke", Settings::new(seed));
    let daemon = doomed(&rig, Point::Revoke, 1);
    rig.progress()?;
    let second = rig.daemon("b");
    let death = die(&rig, daemon, Point::Revoke)?;
    let daemon = rig.daemon("a");
    death.recover(&rig)?;
    rig.finish(vec![daemon, second])
}

/// An instance that hangs at a point whenever it is told to.
struct Hanging {
    daemon: Daemon,
    /// It hangs while this is there.
    file: PathBuf,
}

impl Hanging {
    fn start(rig: &Rig<'_>, at: Point) -> Self {
        let file = rig.dir.path().join(format!("hang-{}", at.name()));
        let fault = format!("hang:{}:{}", at.name(), file.display());
        let surroundings = Surroundings {
            variables: &[("TIDECAST_FAULT", &fault)],
            ..Surroundings::default()
        };
        Self {
            daemon: rig.daemon_in("a", surroundings),
            file,
        }
    }

    /// Returns once it hangs.
    fn hang(&self, rig: &Rig<'_>) -> Result<(), Violation> {
        fs::write(&self.file, "").unwrap();
        rig.wait("it hangs", || {
            (fs::read(&self.file).ok()? == b"hung").then_some(())
        })
    }

    fn go_on(&self) {
        fs::remove_file(&self.file).unwrap();
    }
}

/// An instance is stopped inside a transaction for longer than its session lasts, wakes up when others have its partitions,
/// and goes on with that transaction, which nobody has ended.
pub(super) fn zombie(broker: &Broker, seed: u64, at: Point, off: Option<&str>) -> Result<Summary, Violation> {
    let settings = Settings {
        // Else the broker ends the transaction before its owner comes back.
        transaction_ms: 120_000,
        off: off.map(str::to_owned),
        ..Settings::new(seed)
    };
    let rig = Rig::start(broker, "zombie", settings);
    let zombie = Hanging::start(&rig, at);
    let other = rig.daemon("b");
    rig.wait("both hold partitions", || {
        (held_by(&zombie.daemon) > 0 && held_by(&other) > 0).then_some(())
    })?;
    rig.progress()?;
    zombie.hang(&rig)?;
    rig.wait("its transaction is open", || rig.is_open(false).then_some(()))?;
    zombie.daemon.signal("STOP");
    rig.wait("the other one holds everything", || {
        (held_by(&other) == rig.settings.partitions).then_some(())
    })?;
    rig.progress()?;
    assert!(rig.is_open(true), "somebody has ended the zombie's transaction");
    zombie.go_on();
    zombie.daemon.signal("CONT");
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let fault = format!("stopped at {} with a transaction that stays open", at.name());
    rig.recover(&fault, since, &mark)?;
    rig.wait("both hold partitions again", || {
        (held_by(&zombie.daemon) > 0 && held_by(&other) > 0).then_some(())
    })?;
    rig.finish(vec![zombie.daemon, other])
}

/// A call of the client does not come back (librdkafka#5456): the worker leaves it and its client, and goes on with another
/// one. The call goes on once nobody waits for it.
pub(super) fn overstaying(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "overstay", Settings::new(seed));
    let hanging = Hanging::start(&rig, Point::BeforeOffsets);
    rig.progress()?;
    hanging.hang(&rig)?;
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover("a client's call does not come back", since, &mark)?;
    let log = hanging.daemon.log();
    assert!(
        log.contains("the client's call did not come back in time"),
        "{log}"
    );
    hanging.go_on();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover("it comes back once nobody waits for it", since, &mark)?;
    rig.finish(vec![hanging.daemon])
}

#[test]
fn faults_client_whose_call_does_not_come_back() {
    held(overstaying(Broker::shared(), 46));
}

#[test]
fn faults_zombie_with_its_transaction_still_open() {
    held(zombie(Broker::shared(), 44, Point::BeforeOffsets, None));
    held(zombie(Broker::shared(), 45, Point::AfterOffsets, None));
}

#[test]
fn faults_killed_at_each_point_of_a_transaction() {
    held(of_transactions(Broker::shared(), 41, None));
}

#[test]
fn faults_killed_at_each_point_of_state() {
    let summary = held(of_state(Broker::shared(), 42));
    assert!(summary.versions > 1, "no version of the weights was switched to");
}

#[test]
fn faults_killed_in_revoke() {
    held(in_revoke(Broker::shared(), 43));
}
