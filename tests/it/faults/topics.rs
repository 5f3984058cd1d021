//! Topics and offsets that change under the daemon, and clocks that jump.

use std::path::PathBuf;
use std::time::Duration;

use super::cluster::{commit_again, committed, committed_whole, delete_records, delete_topic, reset, widen};
use super::observer::Mark;
use super::oracle::{Allowance, Span, Violation};
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use super::stores::{await_snapshots, snapshots};
use crate::broker::daemon::{Daemon, Stopwatch, await_until};
use crate::broker::{Broker, try_topics};

fn stop(daemon: Daemon) {
    let log = daemon.log();
    let status = daemon.terminate();
    assert!(status.success(), "{status}:\n{log}");
}

/// Feeds so many further records and waits until they are in the topic.
fn feed(rig: &Rig<'_>, records: usize) -> Result<(), Violation> {
    let fed = || rig.feeder.fed.lock().unwrap().iter().map(Vec::len).sum::<usize>();
    let wanted = fed() + records;
    rig.feeder.resume();
    rig.wait("more is fed", || (fed() >= wanted).then_some(()))?;
    rig.feeder.pause();
    Ok(())
}

/// Records are deleted before they were read: they are counted as lost, and nothing else is.
pub(super) fn retention(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "retention", Settings::new(seed));
    let daemon = rig.daemon("a");
    rig.progress()?;
    rig.settle(&Allowance::default())?;
    let partitions = rig.settings.partitions;
    let read = committed(broker, &rig.names, partitions);
    // So that nothing that is deleted is needed for the state.
    rig.wait("a snapshot of all that is committed", || {
        let newest = |files: &Vec<PathBuf>| files.last()?.file_name()?.to_str()?.parse::<i64>().ok();
        let all = snapshots(&rig);
        all.iter()
            .map(newest)
            .eq(read.iter().copied().map(Some))
            .then_some(())
    })?;
    stop(daemon);
    feed(&rig, 300)?;
    let kept: Vec<i64> = read.iter().map(|offset| offset + 40).collect();
    delete_records(broker, &rig.names.input, &kept);
    let spans = (0..).zip(read.iter().zip(&kept));
    let allowance = Allowance {
        lost: spans
            .map(|(partition, (&from, &to))| Span { partition, from, to })
            .collect(),
        ..Allowance::default()
    };
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon("a");
    rig.feeder.resume();
    rig.recover("retention passes the committed offset", since, &mark)?;
    rig.wait("the lost records are counted", || {
        let lost = daemon.metric("tidecast_records_lost_total", "")?;
        (lost as i64 == 40 * i64::from(partitions)).then_some(())
    })?;
    rig.finish_allowing(vec![daemon], &allowance)
}

/// An operator sets the group back: what comes again is the same, to the byte.
pub(super) fn offsets_reset(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "reset", Settings::new(seed));
    let daemon = rig.daemon("a");
    rig.progress()?;
    feed(&rig, 900)?;
    rig.settle(&Allowance::default())?;
    stop(daemon);
    let read = committed(broker, &rig.names, rig.settings.partitions);
    let back: Vec<i64> = read.iter().map(|offset| offset / 2).collect();
    let allowance = Allowance {
        repeated: (0..)
            .zip(back.iter().zip(&read))
            .map(|(partition, (&from, &to))| Span { partition, from, to })
            .collect(),
        ..Allowance::default()
    };
    rig.observer.allow(allowance.clone());
    reset(broker, &rig.names, &back);
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon("a");
    rig.feeder.resume();
    rig.recover("an operator sets the offsets back", since, &mark)?;
    rig.finish_allowing(vec![daemon], &allowance)
}

/// A partition more in every topic, the outputs first, while two instances serve.
pub(super) fn partitions_added(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "wider", Settings::new(seed));
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    rig.progress()?;
    let count = usize::try_from(rig.settings.partitions).unwrap();
    for topic in [&rig.names.letters, &rig.names.forecasts, &rig.names.input] {
        widen(broker, topic, count + 1);
    }
    rig.observer.widen();
    rig.feeder.widen();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover("partitions added, the old ones", since, &mark)?;
    rig.wait("a forecast of the new partition", || {
        rig.observer
            .has_forecast_of(rig.settings.partitions)
            .then_some(())
    })?;
    rig.finish(daemons)
}

/// Event times and Kafka timestamps jump days ahead and back, and the process dies in between.
pub(super) fn clock_jumps(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let mut settings = Settings::new(seed);
    settings.recipe.jump_minutes = 7;
    let rig = Rig::start(broker, "clock", settings);
    let mut daemon = rig.daemon("a");
    for _ in 0..3 {
        rig.progress()?;
        daemon.kill();
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemon = rig.daemon("a");
        rig.recover("kill -9 while clocks jump", since, &mark)?;
    }
    rig.finish(vec![daemon])
}

/// Deletes the input topic and makes it again, empty.
fn create_anew(rig: &Rig<'_>) {
    rig.observer.let_input_go();
    delete_topic(rig.broker, &rig.names.input);
    // The brokers take a moment to forget the old one.
    await_until("the topic is made anew", Duration::from_secs(30), || {
        try_topics(rig.broker, &[(&rig.names.input, rig.settings.partitions)]).ok()
    });
}

/// Waits for `/readyz` to say so of every partition.
fn await_reasons(rig: &Rig<'_>, daemon: &Daemon, sentence: &str) -> Result<(), Violation> {
    rig.wait(&format!("not ready: {sentence}"), || {
        let (status, body) = daemon.get("/readyz")?;
        let named = |partition| body.contains(&format!("topic `{}` partition {partition}", rig.names.input));
        let all = (0..rig.settings.partitions).all(named);
        (status == 503 && body.contains(sentence) && all).then_some(())
    })
}

/// Serves the topic that was made anew from its beginning, and again after a kill: nothing of the old one is in the way.
fn serve_anew(mut rig: Rig<'_>, fault: &str) -> Result<Summary, Violation> {
    rig.feed_anew();
    let (since, mark) = (
        Stopwatch::start(),
        Mark(vec![0; rig.settings.partitions as usize]),
    );
    let daemon = rig.daemon("a");
    rig.recover(fault, since, &mark)?;
    serve_on(rig, daemon, &Allowance::default())
}

/// Serves after a kill, once there are snapshots of the new topic.
fn serve_on(rig: Rig<'_>, daemon: Daemon, allowance: &Allowance) -> Result<Summary, Violation> {
    let written = || daemon.metric("tidecast_snapshots_total", "");
    rig.wait("snapshots of the new topic", || {
        written().filter(|count| *count >= 6.0)
    })?;
    daemon.kill();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon("a");
    rig.recover("kill -9 after a topic was created anew", since, &mark)?;
    rig.finish_allowing(vec![daemon], allowance)
}

/// A topic that has been served and was then created anew, with what was committed of the old one.
fn replaced(rig: &Rig<'_>) -> Result<(Daemon, Vec<(i64, String)>), Violation> {
    let daemon = rig.daemon("a");
    rig.progress()?;
    await_snapshots(rig, 2)?;
    rig.settle(&Allowance::default())?;
    let read = committed_whole(rig.broker, &rig.names, rig.settings.partitions);
    assert!(
        read.iter().all(|(_, metadata)| metadata.starts_with("2;")),
        "{read:?}"
    );
    create_anew(rig);
    Ok((daemon, read))
}

/// A topic created anew is not the one that was read. While it is read, the process waits: the group's offsets are gone
/// with the old topic, and nobody but the operator knows what was meant; a restart begins with it as with a new one.
pub(super) fn created_anew(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "anew", Settings::new(seed));
    let (daemon, _) = replaced(&rig)?;
    await_reasons(&rig, &daemon, "a restart begins with it as with a new one")?;
    stop(daemon);
    serve_anew(rig, "topic created anew: waits, and is served after a restart")
}

/// The same with the old offsets, which lie beyond the new log's end: parked, until the operator sets them.
pub(super) fn created_anew_and_parked(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "parked", Settings::new(seed));
    let (daemon, read) = replaced(&rig)?;
    stop(daemon);
    commit_again(broker, &rig.names, &read);
    let daemon = rig.daemon("a");
    await_reasons(&rig, &daemon, "parked")?;
    await_reasons(&rig, &daemon, "lies beyond the log's end")?;
    await_reasons(&rig, &daemon, "stop the pipeline and set its group's offsets")?;
    stop(daemon);
    reset(broker, &rig.names, &vec![0; read.len()]);
    serve_anew(
        rig,
        "topic created anew, old offsets: parked, and served once they are set",
    )
}

/// Feeds more of the new topic than was read of the old one.
fn outgrow(rig: &Rig<'_>, committed: &[(i64, String)]) -> Result<(), Violation> {
    rig.wait(
        "the new topic is longer than what was read of the old one",
        || {
            let fed = rig.feeder.fed.lock().unwrap();
            let longer = |(fed, (offset, _)): (&Vec<_>, &(i64, _))| fed.len() as i64 > offset + 20;
            (fed.len() == committed.len() && fed.iter().zip(committed).all(longer)).then_some(())
        },
    )?;
    rig.feeder.pause();
    Ok(())
}

/// Nothing of a topic created anew is passed over in silence where it has grown longer than the old one was read: while the
/// daemon runs, and while it is stopped; whether the group's offsets went with the old topic, or are there still. Where the
/// operator has them set again as they are, reading goes on there, with what lies before as history.
pub(super) fn created_anew_and_outgrown(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let mut rig = Rig::start(broker, "outgrown", Settings::new(seed));
    let (daemon, read) = replaced(&rig)?;
    rig.feed_anew();
    outgrow(&rig, &read)?;
    await_reasons(&rig, &daemon, "no committed offset")?;
    stop(daemon);
    commit_again(broker, &rig.names, &read);
    let daemon = rig.daemon("a");
    await_reasons(&rig, &daemon, "parked")?;
    await_reasons(&rig, &daemon, "the one that was read and committed there")?;
    await_reasons(&rig, &daemon, "to go on there")?;
    stop(daemon);
    let still = committed_whole(broker, &rig.names, rig.settings.partitions);
    assert_eq!(still, read, "nothing was committed in the new topic");
    let there: Vec<i64> = read.iter().map(|(offset, _)| *offset).collect();
    reset(broker, &rig.names, &there);
    let muted = (0..).zip(&there).map(|(partition, &to)| Span {
        partition,
        from: 0,
        to,
    });
    let allowance = Allowance {
        muted: muted.collect(),
        ..Allowance::default()
    };
    rig.feeder.resume();
    let (since, mark) = (Stopwatch::start(), Mark(there));
    let daemon = rig.daemon("a");
    rig.recover(
        "topic created anew and outgrown: parked, and gone on with once offsets are set",
        since,
        &mark,
    )?;
    serve_on(rig, daemon, &allowance)
}

#[test]
fn faults_topic_created_anew_and_outgrown() {
    held(created_anew_and_outgrown(Broker::shared(), 76));
}

#[test]
fn faults_topic_created_anew() {
    held(created_anew(Broker::shared(), 74));
    held(created_anew_and_parked(Broker::shared(), 77));
}

#[test]
fn faults_retention_passes_the_committed_offset() {
    held(retention(Broker::shared(), 71));
}

#[test]
fn faults_offsets_set_back_by_an_operator() {
    held(offsets_reset(Broker::shared(), 72));
}

#[test]
fn faults_partitions_added() {
    held(partitions_added(Broker::shared(), 73));
}

#[test]
fn faults_clocks_jump() {
    held(clock_jumps(Broker::shared(), 75));
}
