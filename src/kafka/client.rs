//! Properties of the clients: ours by default, the operator's over them, and over those what exactly-once rests on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::faults::{self, Mechanism};
use crate::kafka::Config;
use crate::kafka::holder::member_client_id;

/// Longest that one question to the cluster may take. Well below `session.timeout.ms`, and far below
/// `max.poll.interval.ms`: a restore asks several.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that a commit may take. Longer than `transaction.timeout.ms` makes no sense: the broker has ended
/// the transaction by then.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);

/// Group of a pipeline.
#[must_use]
pub fn group_id(config: &Config, pipeline: &str) -> String {
    format!("{}.{pipeline}", config.group)
}

/// `group.instance.id` and `transactional.id` of a worker: one name, so that one restart takes both back.
#[must_use]
pub fn worker_id(config: &Config, pipeline: &str, worker: usize) -> String {
    format!("{}.{pipeline}.{}.{worker}", config.group, config.instance)
}

/// What every client has in common.
pub(crate) fn base(config: &Config, client_id: &str, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (key, value) in defaults {
        client.set(*key, *value);
    }
    for (key, value) in &config.client {
        client.set(key, value);
    }
    client.set("bootstrap.servers", config.brokers.join(","));
    client.set("client.id", client_id);
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// A member of the pipeline's group.
pub(crate) fn consumer(config: &Config, pipeline: &str, worker: usize) -> ClientConfig {
    let id = worker_id(config, pipeline, worker);
    let defaults = [
        ("session.timeout.ms", "20000"),
        ("heartbeat.interval.ms", "3000"),
        ("max.poll.interval.ms", "300000"),
        ("fetch.wait.max.ms", "100"), // a fetch that waits holds up that of a partition that starts; smaller: idle traffic
        ("fetch.queue.backoff.ms", "20"), // the default of a second starves a worker that keeps up
        ("fetch.error.backoff.ms", "200"),
        ("queued.max.messages.kbytes", "16384"), // bounds what is prefetched, per partition
        ("topic.metadata.refresh.interval.ms", "30000"), // finds new partitions
        ("reconnect.backoff.max.ms", "2000"),
        ("statistics.interval.ms", "2000"), // brings the log ends, for lag
    ];
    let mut client = base(config, &member_client_id(&id), &defaults);
    client.set("group.id", group_id(config, pipeline));
    client.set("group.instance.id", id);
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", "error");
    let isolation = if faults::is_off(Mechanism::IsolationLevel) {
        "read_uncommitted"
    } else {
        "read_committed"
    };
    client.set("isolation.level", isolation);
    client.set("check.crcs", "true");
    client.set("enable.partition.eof", "true");
    client.set("allow.auto.create.topics", "false");
    // Some lines with each refresh of the metadata; one of them says that a topic was created anew.
    let debug = config.client.get("debug");
    let contexts = debug.map_or("metadata".to_owned(), |contexts| format!("{contexts},metadata"));
    client.set("debug", contexts);
    client.set_log_level(RDKafkaLogLevel::Debug);
    client
}

/// A client that asks about the group and reads single records, and never joins.
pub(crate) fn visitor(config: &Config, pipeline: &str, purpose: &str) -> ClientConfig {
    let id = format!("{}.{pipeline}.{}.{purpose}", config.group, config.instance);
    let defaults = [
        ("reconnect.backoff.max.ms", "2000"),
        // A fetch that waits at the end of a log holds up the one of the next question.
        ("fetch.wait.max.ms", "10"),
    ];
    let mut client = base(config, &id, &defaults);
    client.set("group.id", group_id(config, pipeline));
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", "error");
    client.set("isolation.level", "read_committed");
    client.set("check.crcs", "true");
    client.set("enable.partition.eof", "true");
    client.set("allow.auto.create.topics", "false");
    client
}

/// A member that comes for one rebalance, beside a worker's consumer. Its session time-out is the worker's: the brokers
/// take that one.
pub(crate) fn guest(config: &Config, pipeline: &str, worker: usize) -> ClientConfig {
    let mut client = consumer(config, pipeline, worker);
    client.remove("group.instance.id");
    client.set(
        "client.id",
        format!("{}.guest", worker_id(config, pipeline, worker)),
    );
    client.set("statistics.interval.ms", "0");
    client
}

/// The transactional producer of a worker.
pub(crate) fn producer(config: &Config, pipeline: &str, worker: usize) -> ClientConfig {
    let id = worker_id(config, pipeline, worker);
    let defaults = [
        ("linger.ms", "5"), // smaller: a request per record; larger: latency without throughput
        ("transaction.timeout.ms", "15000"), // how long a killed worker's transaction hides later ones from readers
        ("connections.max.idle.ms", "5000"), // see librdkafka#5456: a send_offsets that hangs beyond its time-out
        ("reconnect.backoff.max.ms", "2000"),
        ("queue.buffering.max.kbytes", "65536"), // bounds what is queued; beyond it the worker waits
        // 1048588, the brokers' default for a batch, less its own overhead: a letter of full size passes.
        ("message.max.bytes", "1048000"),
    ];
    let mut client = base(config, &id, &defaults);
    client.set("transactional.id", id);
    client.set("enable.idempotence", "true");
    client.set("acks", "all");
    client.set("partitioner", "murmur2_random"); // the Java clients' rule
    client
}
