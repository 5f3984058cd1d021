//! Which versions of the weights a group's committed offsets name: those must stay in the store.

use std::collections::BTreeSet;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use crate::engine::ModelVersion;
use crate::kafka::Config;
use crate::kafka::errors::transient;
use crate::kafka::lookup::{self, Lookup};
use crate::worker;
use crate::worker::ports::Error;
use crate::worker::switch_log::SwitchLog;

/// Every version that a switch log of a partition of the pipeline names, whoever owns it.
///
/// # Errors
/// Transient: the cluster is away, a partition has no offset yet, or a log cannot be read: nothing may be concluded.
pub fn versions_named(config: &Config, worker: &worker::Config) -> Result<BTreeSet<ModelVersion>, Error> {
    let mut versions = BTreeSet::new();
    each_metadata(config, worker, |place, metadata| {
        let log: SwitchLog = metadata.parse().map_err(|_| {
            transient(
                "reading the switch logs",
                format!("partition `{place}` has none that can be read"),
            )
        })?;
        versions.extend(log.entries().iter().map(|(_, version)| *version));
        Ok(())
    })?;
    Ok(versions)
}

/// The newest version that is named: no other weights may be given its number or one before. Offsets without a log of ours
/// name none.
///
/// # Errors
/// Transient: the cluster is away.
pub fn newest_named(config: &Config, worker: &worker::Config) -> Result<Option<ModelVersion>, Error> {
    let mut newest = None;
    each_metadata(config, worker, |_, metadata| {
        if let Ok(log) = metadata.parse::<SwitchLog>() {
            newest = newest.max(log.entries().iter().map(|(_, version)| *version).max());
        }
        Ok(())
    })?;
    Ok(newest)
}

/// Calls `each` with every partition of the pipeline and the metadata of its committed offset.
fn each_metadata(
    config: &Config,
    worker: &worker::Config,
    mut each: impl FnMut(&str, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    // Without waiting for pending commits: what those name beyond it is among the newest versions, which stay anyway.
    let lookup = Lookup::glance(config, &worker.pipeline)?;
    for topic in &worker.topics {
        let count = lookup::partition_count(config, lookup.consumer().client(), topic)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition(topic, partition);
        }
        let committed = lookup::committed(config, lookup.consumer(), list)?;
        for element in committed.elements() {
            let (_, metadata) = lookup::entry(&element);
            each(&format!("{topic}/{}", element.partition()), &metadata)?;
        }
    }
    Ok(())
}
