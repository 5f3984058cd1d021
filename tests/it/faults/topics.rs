//! Topics and offsets that change under the daemon, and clocks that jump.

use std::time::Duration;

use rdkafka::producer::Producer as _;

use super::cluster::{commit_again, committed, committed_whole, delete_records, delete_topic, reset, widen};
use super::feed::{Feed, producer, send};
use super::oracle::{Allowance, Span, Violation};
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
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
    stop(daemon);
    let partitions = rig.settings.partitions;
    let read = committed(broker, &rig.names, partitions);
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

/// A topic created anew is not the one that was read. While it is read, the process waits: the group's offsets are gone
/// with the old topic, and nobody but the operator knows what was meant. With the old offsets set again: parked.
fn created_anew(broker: &Broker, seed: u64) -> Result<(), Violation> {
    let rig = Rig::start(broker, "anew", Settings::new(seed));
    let daemon = rig.daemon("a");
    rig.progress()?;
    rig.settle(&Allowance::default())?;
    let read = committed(broker, &rig.names, rig.settings.partitions);
    create_anew(&rig);
    await_reasons(&rig, &daemon, "no committed offset")?;
    stop(daemon);
    reset(broker, &rig.names, &read);
    let daemon = rig.daemon("a");
    await_reasons(&rig, &daemon, "parked")?;
    await_reasons(&rig, &daemon, "lies beyond the log's end")?;
    println!("fault: topic created anew: ok, waits, then parked, with a sentence each");
    stop(daemon);
    Ok(())
}

/// Fills the topic that was made anew with more records than were committed of the old one, each a moment later than the
/// old one in its place.
fn outgrow(rig: &Rig<'_>, committed: &[(i64, String)]) {
    let producer = producer(&rig.broker.servers, &[]);
    for (partition, (offset, _)) in (0..).zip(committed) {
        let count = usize::try_from(offset + 20).unwrap();
        for mut message in Feed::new(rig.settings.recipe, partition).take(count) {
            message.timestamp_ms += 7;
            send(&producer, (&rig.names.input, partition), &message);
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Nothing of a topic created anew is passed over in silence where it has grown longer than the old one was read: while the
/// daemon runs, and while it is stopped; whether the group's offsets went with the old topic, or are there still.
fn created_anew_and_outgrown(broker: &Broker, seed: u64) -> Result<(), Violation> {
    let rig = Rig::start(broker, "outgrown", Settings::new(seed));
    let daemon = rig.daemon("a");
    rig.progress()?;
    rig.settle(&Allowance::default())?;
    let read = committed_whole(broker, &rig.names, rig.settings.partitions);
    assert!(
        read.iter().all(|(_, metadata)| metadata.starts_with("2;")),
        "{read:?}"
    );
    rig.observer.allow(Allowance {
        input_anew: true,
        ..Allowance::default()
    });
    create_anew(&rig);
    outgrow(&rig, &read);
    await_reasons(&rig, &daemon, "no committed offset")?;
    stop(daemon);
    commit_again(broker, &rig.names, &read);
    let daemon = rig.daemon("a");
    await_reasons(&rig, &daemon, "parked")?;
    await_reasons(&rig, &daemon, "the one that was read and committed there")?;
    stop(daemon);
    let still = committed_whole(broker, &rig.names, rig.settings.partitions);
    assert_eq!(still, read, "nothing was committed in the new topic");
    // Once more while nobody runs.
    create_anew(&rig);
    outgrow(&rig, &read);
    commit_again(broker, &rig.names, &read);
    let daemon = rig.daemon("a");
    await_reasons(&rig, &daemon, "the one that was read and committed there")?;
    println!("fault: topic created anew and outgrown: ok, waits, then parked, with a sentence each");
    stop(daemon);
    Ok(())
}

#[test]
fn faults_topic_created_anew_and_outgrown() {
    created_anew_and_outgrown(Broker::shared(), 76).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn faults_topic_created_anew() {
    created_anew(Broker::shared(), 74).unwrap_or_else(|violation| panic!("{violation}"));
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
