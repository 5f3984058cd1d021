//! Where a pipeline starts, settled before its workers join.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::kafka::Config;
use crate::kafka::errors::{classify, transient};
use crate::kafka::lookup::{self, Lookup};
use crate::series::observation::{NextOffset, Partition};
use crate::worker;
use crate::worker::config::Start;
use crate::worker::ports::{Error, Log};
use crate::worker::switch_log::SwitchLog;

/// For each input topic without any committed offset: resolves `start` for every partition, and the base (`warmup`
/// before it, by Kafka time), and commits both as a client that is no member. The broker refuses that while the group has
/// members; then they have done it. Blocks for a bounded time; to be tried again while the error is transient.
///
/// # Errors
/// Transient: the cluster is away, a topic is not there, or a topic without offsets belongs to a group that has members.
/// Fatal: the client refuses its properties.
pub fn resolve_start(config: &Config, worker: &worker::Config) -> Result<(), Error> {
    // Whether there is an offset is asked without regard to pending transactions: a killed process leaves one, and what
    // would end it (the worker's new producer) comes after this.
    let glance = Lookup::glance(config, &worker.pipeline)?;
    for topic in &worker.topics {
        let count = lookup::partition_count(config, glance.consumer().client(), topic)?;
        if has_offsets(config, &glance, topic, count)? {
            continue;
        }
        let lookup = Lookup::open(config, &worker.pipeline)?;
        let mut list = TopicPartitionList::new();
        for partition in (0..count).map(Partition) {
            let (start, base) = resolve(&lookup, topic, partition, worker)?;
            let doing = "resolving `start`";
            let mut element = list.add_partition(topic, partition.0);
            element
                .set_offset(KafkaOffset::Offset(start.0))
                .map_err(|error| classify(config, doing, &error))?;
            element.set_metadata(SwitchLog::new(base).to_string());
        }
        commit(config, &lookup, topic, &list)?;
    }
    Ok(())
}

fn has_offsets(config: &Config, lookup: &Lookup, topic: &str, count: i32) -> Result<bool, Error> {
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        list.add_partition(topic, partition);
    }
    let committed = lookup::committed(config, lookup.consumer(), list)?;
    let elements = committed.elements();
    Ok(elements.iter().any(|element| lookup::entry(element).0.is_some()))
}

fn resolve(
    lookup: &Lookup,
    topic: &str,
    partition: Partition,
    worker: &worker::Config,
) -> Result<(NextOffset, NextOffset), Error> {
    let log = lookup.log(topic, partition)?;
    let start = match worker.start {
        Start::Earliest => return Ok((log.start, log.start)),
        Start::Latest => log.end,
    };
    let base = warmup_base(lookup, topic, partition, log, worker.warmup)?;
    Ok((start, base))
}

/// The first offset that is at most `warmup` older than the last record.
fn warmup_base(
    lookup: &Lookup,
    topic: &str,
    partition: Partition,
    log: Log,
    warmup: Duration,
) -> Result<NextOffset, Error> {
    if warmup.is_zero() {
        return Ok(log.end);
    }
    let Some(newest) = lookup.record_before(topic, partition, log.end, log)? else {
        return Ok(log.end);
    };
    let span_ms = i64::try_from(warmup.as_millis()).unwrap_or(i64::MAX);
    let found = lookup.offset_at(topic, partition, newest.timestamp_ms.saturating_sub(span_ms))?;
    Ok(found.unwrap_or(log.end).clamp(log.start, log.end))
}

fn commit(config: &Config, lookup: &Lookup, topic: &str, list: &TopicPartitionList) -> Result<(), Error> {
    let doing = "committing where to start";
    let Err(error) = lookup.consumer().commit(list, CommitMode::Sync) else {
        return Ok(());
    };
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
        )
    );
    if !refused {
        return Err(classify(config, doing, &error));
    }
    let count = lookup::partition_count(config, lookup.consumer().client(), topic)?;
    if has_offsets(config, lookup, topic, count)? {
        return Ok(());
    }
    Err(transient(
        doing,
        format!(
            "the group has members and no offsets for topic `{topic}`; stop the pipeline's other instances until this one \
             has started, or wait for the session of a killed one to end"
        ),
    ))
}
