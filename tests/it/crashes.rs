//! Killed at any moment, nothing is lost, nothing doubled, and the forecasts are the same to the byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};

use crate::broker::daemon::{Daemon, await_until, pass};
use crate::broker::{Broker, Names, kcat, sections};
use crate::outcomes::streams_are_in_order;

const PARTITIONS: i32 = 3;
const STREAMS: usize = 12;
const KILLS: usize = 10;
/// Long beside the producer's linger, so that a transaction holds records for most of its life.
const COMMIT_MS: u32 = 500;
/// Kills at most, until one hit an open transaction.
const KILLS_MAX: usize = 25;
/// Observations of a partition that are fed at a time: whole minutes of all its streams.
const BURST: usize = 17 * STREAMS;

fn config(broker: &Broker, names: &Names, instance: &str) -> String {
    let kafka = format!(
        r#"commit_interval_ms = {COMMIT_MS}
client = {{ "session.timeout.ms" = "6000" }}"#
    );
    let sections = sections(&broker.servers, &names.group, instance, &kafka);
    let Names {
        input,
        forecasts,
        letters,
        ..
    } = names;
    format!(
        r#"{sections}
[training]
cpu_share = 0
[pipeline.plant]
input = {{ topics = ["{input}"], format = "json", id = "id", time = "t", values = ["v"], start = "earliest" }}
output = {{ topic = "{forecasts}", start_when = "always" }}
dead_letter = {{ topic = "{letters}", drops = true }}
interval = "1m"
seasons = [12]
horizons = [1, 2, 6]
"#
    )
}

/// Values of a partition's streams, minute by minute: a short cycle and noise.
struct Feed {
    partition: i32,
    minute: i64,
    noise: rand_pcg::Pcg64,
}

impl Feed {
    fn all(seed: u64) -> Vec<Self> {
        (0..PARTITIONS)
            .map(|partition| Self {
                partition,
                minute: 0,
                noise: rand_pcg::Pcg64::seed_from_u64(seed + u64::from(partition.unsigned_abs())),
            })
            .collect()
    }

    fn next(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            for stream in 0..STREAMS {
                let phase = std::f64::consts::TAU * (self.minute % 12) as f64 / 12.0;
                let value = 20.0 + 3.0 * phase.sin() + self.noise.random_range(-0.5..0.5);
                let seconds = 1_767_607_200 + self.minute * 60;
                lines.push(format!(
                    r#"{{"id":"s{}-{stream}","t":{seconds},"v":{value:.3}}}"#,
                    self.partition
                ));
            }
            self.minute += 1;
        }
        lines
    }
}

fn feed(broker: &Broker, topic: &str, feeds: &mut [Feed]) -> usize {
    let mut fed = 0;
    for source in feeds {
        let lines = source.next(BURST);
        let messages: Vec<_> = lines
            .iter()
            .map(|line| (Some("k"), Some(line.as_str())))
            .collect();
        kcat::write(&broker.servers, topic, source.partition, &messages);
        fed += lines.len();
    }
    fed
}

/// Key, value and headers: what must not depend on a crash.
type Content = (Option<String>, Option<String>, Vec<(String, String)>);

/// By source.
fn by_source(records: &[kcat::Record]) -> BTreeMap<String, Content> {
    let mut sources = BTreeMap::new();
    for record in records {
        let source = record.header("tidecast.source").unwrap().to_owned();
        let content = (record.key.clone(), record.value.clone(), record.headers.clone());
        assert!(
            sources.insert(source.clone(), content).is_none(),
            "doubled: {source}"
        );
    }
    sources
}

fn await_outcomes(broker: &Broker, topic: &str, count: usize) -> Vec<kcat::Record> {
    await_until(
        &format!("{count} forecasts in {topic}"),
        Duration::from_secs(90),
        || {
            let records = kcat::read(&broker.servers, topic);
            assert!(
                records.len() <= count,
                "{} forecasts of {count} observations",
                records.len()
            );
            (records.len() == count).then_some(records)
        },
    )
}

/// Whether records lie in a transaction that nobody ended. One whose end was under way when its producer was killed is
/// over a moment later.
fn left_open(servers: &str, topic: &str) -> bool {
    (0..2).all(|look| {
        pass(Duration::from_secs(look));
        kcat::count(servers, topic, true) < kcat::count(servers, topic, false)
    })
}

/// Kills it at random moments under a feed that never pauses; the records, and how often every partition was fed.
fn run_killed(broker: &Broker, dir: &Path, names: &Names, seed: u64) -> (Vec<kcat::Record>, usize) {
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let killing = AtomicBool::new(true);
    let (fed, rounds) = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let mut feeds = Feed::all(seed);
            let (mut fed, mut rounds) = (0, 0);
            while killing.load(Ordering::Relaxed) {
                fed += feed(broker, &names.input, &mut feeds);
                rounds += 1;
            }
            (fed, rounds)
        });
        for kill in 1..=KILLS_MAX {
            let daemon = Daemon::start(dir, &config(broker, names, "a"));
            // From before its first transaction to deep inside its work.
            pass(Duration::from_millis(random.random_range(300..3500)));
            daemon.kill();
            // All of them may have fallen between transactions: then a few more.
            if kill >= KILLS && left_open(&broker.servers, &names.forecasts) {
                break;
            }
        }
        killing.store(false, Ordering::Relaxed);
        feeder.join().unwrap()
    });
    let daemon = Daemon::start(dir, &config(broker, names, "a"));
    let records = await_outcomes(broker, &names.forecasts, fed);
    assert!(daemon.terminate().success());
    (records, rounds)
}

fn run_undisturbed(
    broker: &Broker,
    dir: &Path,
    names: &Names,
    rounds: usize,
    seed: u64,
) -> Vec<kcat::Record> {
    let mut feeds = Feed::all(seed);
    let fed: usize = (0..rounds).map(|_| feed(broker, &names.input, &mut feeds)).sum();
    let daemon = Daemon::start(dir, &config(broker, names, "a"));
    let records = await_outcomes(broker, &names.forecasts, fed);
    assert!(daemon.terminate().success());
    records
}

#[test]
fn crashes_ten_kills_lose_and_double_nothing_and_change_no_byte() {
    let seed = 7;
    // Same names on two brokers: the weights come from group and pipeline, the records name their topic.
    let brokers = [Broker::start("killed"), Broker::start("undisturbed")];
    let names = Names::new("crashes");
    for broker in &brokers {
        names.make(broker, PARTITIONS);
    }
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (killed, rounds) = run_killed(&brokers[0], dirs[0].path(), &names, seed);
    // The kills did hit work in flight: what a careless reader sees beyond the committed records was aborted.
    let published = kcat::count(&brokers[0].servers, &names.forecasts, false);
    println!(
        "{} records, {} more in aborted transactions",
        killed.len(),
        published - killed.len()
    );
    assert!(
        published > killed.len(),
        "no kill hit an open transaction (seed {seed})"
    );
    let undisturbed = run_undisturbed(&brokers[1], dirs[1].path(), &names, rounds, seed);
    streams_are_in_order(&killed);
    let (killed, undisturbed) = (by_source(&killed), by_source(&undisturbed));
    assert_eq!(killed.len(), undisturbed.len());
    for (source, record) in &undisturbed {
        assert_eq!(killed.get(source), Some(record), "{source} (seed {seed})");
    }
    assert!(kcat::read(&brokers[0].servers, &names.letters).is_empty());
}

#[test]
fn crashes_two_instances_share_the_partitions_and_hand_them_over() {
    let broker = Broker::shared();
    let names = Names::made(broker, "share", PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let text = |instance: &str| config(broker, &names, instance);
    let mut feeds = Feed::all(11);
    let mut fed = feed(broker, &names.input, &mut feeds);
    let mut first = Daemon::start(dir.path(), &text("a"));
    first.await_ready();
    let mut second = Daemon::start(dir.path(), &text("b"));
    second.await_ready();
    await_until("both hold partitions", Duration::from_secs(60), || {
        let held =
            [&first, &second].map(|daemon| daemon.metric("tidecast_partitions", "").unwrap_or(0.0) as i32);
        (held.iter().all(|&count| count > 0) && held.iter().sum::<i32>() == PARTITIONS).then_some(())
    });
    fed += feed(broker, &names.input, &mut feeds);
    await_outcomes(broker, &names.forecasts, fed);
    // The second leaves under load; the first takes its partitions back after the session time-out.
    fed += feed(broker, &names.input, &mut feeds);
    assert!(second.terminate().success());
    fed += feed(broker, &names.input, &mut feeds);
    let records = await_outcomes(broker, &names.forecasts, fed);
    streams_are_in_order(&records);
    assert_eq!(by_source(&records).len(), fed);
    assert!(first.terminate().success());
}

#[test]
fn crashes_sigterm_under_load_ends_with_0_within_the_grace() {
    let broker = Broker::shared();
    let names = Names::made(broker, "term", PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let mut feeds = Feed::all(13);
    let fed: usize = (0..20).map(|_| feed(broker, &names.input, &mut feeds)).sum();
    let text = config(broker, &names, "a");
    let daemon = Daemon::start(dir.path(), &text);
    await_until("it is at work", Duration::from_secs(60), || {
        daemon
            .metric("tidecast_observations_total", "forecast")
            .filter(|&count| count > 0.0)
    });
    let before = daemon.log();
    daemon.signal("TERM");
    let mut daemon = daemon;
    let status = daemon.await_exit(Duration::from_secs(30));
    assert!(status.success(), "{status} after:\n{before}");
    // What it left undone, the next one does, once.
    let next = Daemon::start(dir.path(), &text);
    let records = await_outcomes(broker, &names.forecasts, fed);
    assert_eq!(by_source(&records).len(), fed);
    assert!(next.terminate().success());
}

#[test]
fn crashes_kafka_away_at_start_is_waited_for() {
    let broker = Broker::reserve("late", 1);
    let names = Names::new("late");
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &config(&broker, &names, "a"));
    let (status, reasons) = await_until("it says why it is not ready", Duration::from_secs(30), || {
        daemon
            .get("/readyz")
            .filter(|(_, body)| body.contains(&broker.servers))
    });
    assert_eq!(status, 503, "{reasons}");
    assert_eq!(daemon.get("/livez").map(|(status, _)| status), Some(200));
    broker.launch();
    names.make(&broker, PARTITIONS);
    let fed = feed(&broker, &names.input, &mut Feed::all(17));
    daemon.await_ready();
    assert_eq!(
        by_source(&await_outcomes(&broker, &names.forecasts, fed)).len(),
        fed
    );
    assert!(daemon.terminate().success());
}

#[test]
fn crashes_second_process_of_an_instance_makes_one_exit_with_76() {
    let broker = Broker::shared();
    let names = Names::made(broker, "twin", PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let text = config(broker, &names, "a");
    let mut twins = [Daemon::start(dir.path(), &text), Daemon::start(dir.path(), &text)];
    let fed = feed(broker, &names.input, &mut Feed::all(19));
    let (gone, status) = await_until("one of them ends", Duration::from_secs(60), || {
        twins
            .iter_mut()
            .enumerate()
            .find_map(|(index, daemon)| daemon.ended().map(|status| (index, status)))
    });
    assert_eq!(status.code(), Some(76), "{}", twins[gone].log());
    assert!(
        twins[gone]
            .log()
            .contains("`service.instance` `a` is in use by another process")
    );
    assert_eq!(
        by_source(&await_outcomes(broker, &names.forecasts, fed)).len(),
        fed
    );
    let [first, second] = twins;
    assert!((if gone == 0 { second } else { first }).terminate().success());
}

/// History before the start is read with the mouth shut; the streams are ready when the first new reading comes.
#[test]
fn crashes_warm_up_history_is_muted_and_makes_streams_ready() {
    let broker = Broker::shared();
    let names = Names::made(broker, "warm", PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let text = config(broker, &names, "a")
        .replace("start = \"earliest\"", "start = \"latest\", warmup = \"1h\"")
        .replace("start_when = \"always\"", "start_when = \"ready\"");
    let mut feeds = Feed::all(23);
    let history = feed(broker, &names.input, &mut feeds) + feed(broker, &names.input, &mut feeds);
    let mut daemon = Daemon::start(dir.path(), &text);
    daemon.await_ready();
    await_until("the history is read", Duration::from_secs(30), || {
        let muted = daemon.metric("tidecast_observations_total", "muted")?;
        (muted as usize == history).then_some(())
    });
    assert!(kcat::read(&broker.servers, &names.forecasts).is_empty());
    let fed = feed(broker, &names.input, &mut feeds);
    let records = await_outcomes(broker, &names.forecasts, fed);
    for record in &records {
        let json: serde_json::Value = serde_json::from_str(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(json["status"], "ready", "{json}");
    }
    assert!(daemon.terminate().success());
}
