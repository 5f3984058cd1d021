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
    // Without waiting for pending commits: what those name beyond it is among the newest versions, which stay anyway.
    let lookup = Lookup::glance(config, &worker.pipeline)?;
    let mut versions = BTreeSet::new();
    for topic in &worker.topics {
        let count = lookup::partition_count(config, lookup.consumer().client(), topic)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition(topic, partition);
        }
        let committed = lookup::committed(config, lookup.consumer(), list)?;
        for element in committed.elements() {
            let (_, metadata) = lookup::entry(&element);
            let log: SwitchLog = metadata.parse().map_err(|_| {
                let place = format!("{topic}/{}", element.partition());
                transient(
                    "reading the switch logs",
                    format!("partition `{place}` has none that can be read"),
                )
            })?;
            versions.extend(log.entries().iter().map(|(_, version)| *version));
        }
    }
    Ok(versions)
}
