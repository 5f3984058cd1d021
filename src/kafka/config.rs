//! How to reach the cluster, and as whom.

use std::collections::BTreeMap;

/// Cluster and identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// host:port each, at least one.
    pub brokers: Vec<String>,
    /// Prefix of group ids: pipeline groups are `<group>.<pipeline>`.
    pub group: String,
    /// Stable and unique per process.
    pub instance: String,
    /// librdkafka properties of the operator; secrets resolved; never logged.
    pub client: BTreeMap<String, String>,
}
