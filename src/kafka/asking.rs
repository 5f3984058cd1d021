//! A worker's questions to the cluster, asked on a thread of their own: one that hangs, or that nobody needs an answer to
//! any more, holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};

use crate::engine::snapshot::Anchor;
use crate::kafka::Config;
use crate::kafka::client::ASK_TIMEOUT;
use crate::kafka::errors::transient;
use crate::kafka::lookout::{INTERVAL_MAX, LOOK_TIMEOUT, Lookout, Post};
use crate::kafka::lookup::{self, Lookup};
use crate::kafka::membership;
use crate::kafka::rebalance::Context;
use crate::series::observation::{NextOffset, Partition};
use crate::worker::ports::{Error, Log};

/// Longest that a question is waited for which is one call with a time-out of its own. It may come after a look.
pub(super) const ONE: Duration = ASK_TIMEOUT
    .saturating_add(LOOK_TIMEOUT)
    .saturating_add(Duration::from_secs(1));
/// Longest that one is waited for which takes several calls.
pub(super) const SEVERAL: Duration = Duration::from_secs(60);

/// What questions are asked of: lives on their thread.
pub(super) struct Asking {
    config: Config,
    pipeline: String,
    consumer: Arc<BaseConsumer<Context>>,
    /// Made when first needed.
    lookup: Option<Lookup>,
    lookout: Lookout,
}

impl Asking {
    pub(super) fn new(post: &Post, consumer: &Arc<BaseConsumer<Context>>) -> Self {
        Self {
            config: post.config.clone(),
            pipeline: post.pipeline.clone(),
            consumer: Arc::clone(consumer),
            lookup: None,
            lookout: Lookout::new(post.clone()),
        }
    }

    fn lookup(&mut self) -> Result<&Lookup, Error> {
        if self.lookup.is_none() {
            self.lookup = Some(Lookup::open(&self.config, &self.pipeline)?);
        }
        Ok(self.lookup.as_ref().expect("made above"))
    }

    pub(super) fn partition_count(&self, topic: &str) -> Result<i32, Error> {
        lookup::partition_count(&self.config, self.consumer.client(), topic)
    }

    pub(super) fn committed(&self, list: TopicPartitionList) -> Result<TopicPartitionList, Error> {
        lookup::committed(&self.config, &self.consumer, list)
    }

    /// Not through the member's client: there the question would wait behind a fetch that waits for records.
    pub(super) fn log(&mut self, topic: &str, partition: Partition) -> Result<Log, Error> {
        self.lookup()?.log(topic, partition)
    }

    pub(super) fn offset_at(
        &mut self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Option<NextOffset>, Error> {
        self.lookup()?.offset_at(topic, partition, timestamp_ms)
    }

    pub(super) fn record_before(
        &mut self,
        topic: &str,
        partition: Partition,
        next: NextOffset,
    ) -> Result<Option<Anchor>, Error> {
        let lookup = self.lookup()?;
        let log = lookup.log(topic, partition)?;
        lookup.record_before(topic, partition, next, log)
    }

    pub(super) fn cluster(&self) -> Result<String, Error> {
        let id = self.consumer.client().fetch_cluster_id(ASK_TIMEOUT);
        id.filter(|id| !id.is_empty())
            .ok_or_else(|| transient("asking for the cluster's id", "no broker has said it in time"))
    }

    /// Looks at the group; says how long to wait before the next look.
    pub(super) fn look(&mut self) -> Duration {
        let me = membership::member(&self.consumer);
        if self.lookup().is_err() {
            return INTERVAL_MAX; // a question that needs it says why it cannot be made
        }
        let lookup = self.lookup.as_ref().expect("made above");
        self.lookout.look(lookup, me)
    }

    /// What a client without a membership would send with a commit: fences nothing.
    pub(super) fn stranger(&mut self) -> Result<Arc<ConsumerGroupMetadata>, Error> {
        let metadata = self.lookup()?.consumer().group_metadata();
        metadata.map(Arc::new).ok_or_else(|| Error::NotMember {
            reason: "the client has no group".to_owned(),
        })
    }
}
