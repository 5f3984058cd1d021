//! The worker's real code over a small Kafka in memory.

mod cluster;
mod fakes;
mod parking;
mod producer;
mod promise;
mod recovery;
mod sim;
mod snapshots;
mod switching;
mod turns;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use cluster::{Cluster, CrashMarker, Input, Published, Shared};
use fakes::{FakeObserver, TestWorker, id, worker};

use crate::series::observation::NextOffset;
use crate::worker::SwitchLog;
use crate::worker::ports::Destination;

/// A record of the mixed input: mostly good, and every kind of outcome among them.
fn input(partition: i32, step: i64) -> Input {
    let time = 1_700_000_000_000 + (step / 2) * 1000;
    let stream = format!("s{partition}{}", step % 2);
    let number = (step * 7 % 11) as f64 + 0.5;
    let value = match step {
        5 => Some("no json".to_owned()),
        8 => None,
        11 => Some(format!(r#"{{"id":"{stream}","t":{},"v":1}}"#, time - 60_000)),
        14 => Some(format!(r#"{{"id":"{stream}","t":{time},"v":null}}"#)),
        17 => Some(format!(
            r#"[{{"id":"{stream}","t":{time},"v":2}},3,{{"id":"x{partition}","t":{time},"v":4}},{{"t":1}}]"#
        )),
        _ => Some(format!(r#"{{"id":"{stream}","t":{time},"v":{number}}}"#)),
    };
    Input {
        key: (step % 3 != 0).then(|| stream.into_bytes()),
        value: value.map(String::into_bytes),
        timestamp_ms: time + 5,
        headers: vec![
            ("trace".to_owned(), Some(step.to_le_bytes().to_vec())),
            ("null".to_owned(), None),
        ],
    }
}

/// Two partitions of `records` each, from the beginning, nothing served yet.
fn cluster(records: i64) -> Shared {
    let mut cluster = Cluster {
        newest: 1,
        ..Cluster::default()
    };
    for partition in 0..2 {
        let log = (0..records).map(|step| input(partition, step)).collect();
        cluster.inputs.insert(id(partition), log);
        let metadata = SwitchLog::new(NextOffset(0)).to_string();
        cluster.committed.insert(id(partition), (NextOffset(0), metadata));
    }
    Rc::new(RefCell::new(cluster))
}

fn is_done(cluster: &Shared) -> bool {
    let cluster = cluster.borrow();
    cluster.inputs.iter().all(|(id, log)| {
        let end = i64::try_from(log.len()).unwrap();
        cluster
            .committed
            .get(id)
            .is_some_and(|committed| committed.0.0 >= end)
    })
}

/// Turns until everything is committed. `false` where a crash fault ended the process first.
fn turn_until_done(cluster: &Shared, worker: &mut TestWorker) -> bool {
    for _ in 0..5000 {
        if is_done(cluster) {
            return true;
        }
        let turned = catch_unwind(AssertUnwindSafe(|| worker.turn()));
        match turned {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                assert!(!error.ends_worker(), "{error}");
                worker.begin_again(&error);
            }
            Err(panic) if panic.is::<CrashMarker>() => return false,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    panic!("not done after 5000 turns: {:?}", cluster.borrow().committed);
}

/// Processes one after the other until everything is committed; the observers' totals.
fn run(cluster: &Shared) -> FakeObserver {
    loop {
        let (mut worker, observer, _) = worker(cluster);
        if turn_until_done(cluster, &mut worker) {
            return observer;
        }
        drop(worker); // a killed process: nothing of it is left but what the cluster holds
    }
}

/// What a reader sees, in order per topic and input partition.
fn visible(cluster: &Shared) -> BTreeMap<(bool, i32), Vec<Published>> {
    let mut visible = BTreeMap::<_, Vec<_>>::new();
    for published in &cluster.borrow().published {
        let place = (
            published.to == Destination::Forecasts,
            published.origin.partition.0,
        );
        visible.entry(place).or_default().push(published.clone());
    }
    visible
}

fn sources(cluster: &Shared) -> Vec<String> {
    cluster
        .borrow()
        .published
        .iter()
        .map(|published| published.header("tidecast.source"))
        .collect()
}

/// Observations of the mixed input, by source.
fn expected(records: i64) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    for partition in 0..2 {
        for step in 0..records {
            let count = if step == 17 { 4 } else { 1 };
            expected.extend((0..count).map(|index| format!("sensors/{partition}/{step}/{index}")));
        }
    }
    expected
}

fn assert_exactly_once(cluster: &Shared, records: i64) {
    let sources = sources(cluster);
    let once: BTreeSet<_> = sources.iter().cloned().collect();
    assert_eq!(sources.len(), once.len(), "an outcome was published twice");
    assert_eq!(
        once,
        expected(records),
        "an outcome is missing, or is of no observation"
    );
}

/// Calls that an undisturbed run makes, and what it publishes.
fn undisturbed(records: i64) -> (u64, BTreeMap<(bool, i32), Vec<Published>>) {
    let cluster = cluster(records);
    run(&cluster);
    let calls = cluster.borrow().calls;
    (calls, visible(&cluster))
}

const SECOND: Duration = Duration::from_secs(1);
