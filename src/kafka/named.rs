//! Which versions of the weights a group's committed offsets name: those must stay in the store.

use std::collections::BTreeSet;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use crate::engine::ModelVersion;
use crate::kafka::Config;
use crate::kafka::lookup::{self, Lookup};
use crate::series::observation::NextOffset;
use crate::worker;
use crate::worker::Metadata;
use crate::worker::ports::Error;

/// What the committed offsets of a pipeline name, whoever owns the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Versions that a switch log names.
    pub versions: BTreeSet<ModelVersion>,
    /// Partitions whose metadata is of a newer release: what they name cannot be told.
    pub newer: Vec<String>,
    /// Partitions whose metadata is not ours (an operator set the offset): they are restored by their snapshots' logs, and
    /// name nothing themselves.
    pub foreign: Vec<String>,
    /// Partitions for which the group answers no committed offset: new ones, or a coordinator in transition.
    pub absent: BTreeSet<String>,
}

impl Named {
    fn note(&mut self, place: String, next: Option<NextOffset>, metadata: &str) {
        match metadata.parse::<Metadata>() {
            _ if next.is_none() => {
                self.absent.insert(place);
            }
            Ok(Metadata { log, .. }) => self.versions.extend(log.entries().iter().map(|entry| entry.1)),
            Err(_) if Metadata::is_newer(metadata) => self.newer.push(place),
            Err(_) => self.foreign.push(place),
        }
    }
}

/// What the committed offsets of every partition of the pipeline name.
///
/// # Errors
/// Transient: the cluster is away, nothing may be concluded.
pub fn versions_named(config: &Config, worker: &worker::Config) -> Result<Named, Error> {
    // Without waiting for pending commits: what those name beyond it is among the newest versions, which stay anyway.
    let lookup = Lookup::glance(config, &worker.pipeline)?;
    let mut named = Named::default();
    for topic in &worker.topics {
        let count = lookup::partition_count(config, lookup.consumer().client(), topic)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition(topic, partition);
        }
        let committed = lookup::committed(config, lookup.consumer(), list)?;
        for element in committed.elements() {
            let (next, metadata) = lookup::entry(&element);
            named.note(format!("{topic}/{}", element.partition()), next, &metadata);
        }
    }
    Ok(named)
}

/// The newest version that is named: no other weights may be given its number or one before. Offsets without a log of ours
/// name none.
///
/// # Errors
/// Transient: the cluster is away.
pub fn newest_named(config: &Config, worker: &worker::Config) -> Result<Option<ModelVersion>, Error> {
    Ok(versions_named(config, worker)?.versions.last().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_of_another_kind_hides_no_other() {
        let mut named = Named::default();
        let at = |next| Some(NextOffset(next));
        named.note("t/0".into(), at(9), "1;0;0:1,4:7");
        named.note("t/1".into(), at(9), "");
        named.note("t/2".into(), at(9), "set by hand; 3");
        named.note("t/3".into(), at(9), "3;0;0:5;more");
        named.note("t/4".into(), None, "");
        named.note("t/5".into(), at(9), "2;0;0:3;8:1700");
        named.note("t/6".into(), at(9), "1;0;0:x");
        assert_eq!(named.versions, [1, 3, 7].map(ModelVersion).into());
        assert_eq!(named.foreign, ["t/1", "t/2", "t/6"]);
        assert_eq!(named.newer, ["t/3"]);
        assert_eq!(named.absent, ["t/4".to_owned()].into());
    }
}
