//! How to reach the cluster, and as whom.

use std::collections::BTreeMap;
use std::fmt;

/// Cluster and identity.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Config {
    /// Without the values of the properties: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("instance", &self.instance)
            .field("client", &self.client.keys())
            .finish()
    }
}
