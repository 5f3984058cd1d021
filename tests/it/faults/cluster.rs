//! What an operator, or an accident, does to topics and groups.

use std::future::Future;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::observer::{COMMITTED, consumer};
use crate::broker::daemon::await_until;
use crate::broker::{Broker, Names};

const LIMIT: Duration = Duration::from_secs(30);

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.servers);
    config.create().unwrap()
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(LIMIT))
        .operation_timeout(Some(LIMIT))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().build().unwrap().block_on(future)
}

/// What retention does: everything before these offsets is gone.
pub(super) fn delete_records(broker: &Broker, topic: &str, before: &[i64]) {
    let mut list = TopicPartitionList::new();
    for (partition, &offset) in (0..).zip(before) {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
    }
    let deleted = block_on(admin(broker).delete_records(&list, &options())).unwrap();
    for element in deleted.elements() {
        element.error().unwrap();
    }
}

/// More partitions for a topic.
pub(super) fn widen(broker: &Broker, topic: &str, partitions: usize) {
    let wanted = NewPartitions::new(topic, partitions);
    let results = block_on(admin(broker).create_partitions([&wanted], &options())).unwrap();
    results.into_iter().for_each(|result| {
        result.unwrap();
    });
}

pub(super) fn delete_topic(broker: &Broker, topic: &str) {
    let results = block_on(admin(broker).delete_topics(&[topic], &options())).unwrap();
    results.into_iter().for_each(|result| {
        result.unwrap();
    });
}

fn group_of(names: &Names) -> String {
    format!("{}.plant", names.group)
}

/// A client of the pipeline's group that never joins it.
fn visitor(broker: &Broker, names: &Names) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &broker.servers)
        .set("group.id", group_of(names))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap()
}

/// Offsets that the group has committed, by partition.
pub(super) fn committed(broker: &Broker, names: &Names, partitions: i32) -> Vec<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&names.input, 0, partitions - 1);
    let answer = visitor(broker, names).committed_offsets(list, LIMIT).unwrap();
    let offsets = answer.elements();
    offsets
        .iter()
        .map(|element| element.offset().to_raw().unwrap())
        .collect()
}

/// The same, with what was committed beside each of them.
pub(super) fn committed_whole(broker: &Broker, names: &Names, partitions: i32) -> Vec<(i64, String)> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&names.input, 0, partitions - 1);
    let answer = visitor(broker, names).committed_offsets(list, LIMIT).unwrap();
    let offsets = answer.elements();
    offsets
        .iter()
        .map(|element| (element.offset().to_raw().unwrap(), element.metadata().to_owned()))
        .collect()
}

/// Commits offsets as they were, once the group has no members any more: as if its coordinator had been away while the
/// topic was deleted, and had not forgotten them.
pub(super) fn commit_again(broker: &Broker, names: &Names, offsets: &[(i64, String)]) {
    let mut list = TopicPartitionList::new();
    for (partition, (offset, metadata)) in (0..).zip(offsets) {
        let mut element = list.add_partition(&names.input, partition);
        element.set_offset(Offset::Offset(*offset)).unwrap();
        element.set_metadata(metadata);
    }
    let visitor = visitor(broker, names);
    await_until("the group is empty", Duration::from_secs(60), || {
        visitor.commit(&list, CommitMode::Sync).ok()
    });
}

/// What `kafka-consumer-groups --reset-offsets` does, once the group has no members any more.
pub(super) fn reset(broker: &Broker, names: &Names, offsets: &[i64]) {
    let mut list = TopicPartitionList::new();
    for (partition, &offset) in (0..).zip(offsets) {
        list.add_partition_offset(&names.input, partition, Offset::Offset(offset))
            .unwrap();
    }
    let visitor = visitor(broker, names);
    await_until("the group is empty", Duration::from_secs(60), || {
        visitor.commit(&list, CommitMode::Sync).ok()
    });
}

/// The nodes that coordinate the group, and the transactions of an instance's first worker.
pub(super) fn coordinators(broker: &Broker, names: &Names, instance: &str) -> (u16, u16) {
    let group = group_of(names);
    let transactions = format!("{group}.{instance}.0");
    (
        leader(broker, "__consumer_offsets", &group),
        leader(broker, "__transaction_state", &transactions),
    )
}

/// The node that leads the partition of an internal topic that a name falls into.
fn leader(broker: &Broker, topic: &str, name: &str) -> u16 {
    // Java's `String.hashCode`, without its sign: the brokers' rule.
    let hash = name.bytes().fold(0_i32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(i32::from(byte))
    });
    let consumer = consumer(&broker.servers, COMMITTED);
    await_until("the coordinator is known", Duration::from_secs(60), || {
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).ok()?;
        let topic = metadata.topics().first()?;
        let count = i32::try_from(topic.partitions().len())
            .ok()
            .filter(|count| *count > 0)?;
        let wanted = (hash & i32::MAX) % count;
        let partition = topic
            .partitions()
            .iter()
            .find(|partition| partition.id() == wanted)?;
        u16::try_from(partition.leader()).ok().filter(|node| *node > 0)
    })
}
