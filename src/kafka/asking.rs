//! A worker's questions to the cluster, asked on a thread of their own: one that hangs, or that nobody needs an answer to
//! any more, holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};

use crate::kafka::Config;
use crate::kafka::client::ASK_TIMEOUT;
use crate::kafka::errors::transient;
use crate::kafka::lookout::{INTERVAL_MAX, Lookout, Post};
use crate::kafka::lookup::{self, Lookup};
use crate::kafka::membership;
use crate::kafka::rebalance::Context;
use crate::series::observation::Partition;
use crate::worker::ports::{Answer, Committed, Error, PartitionId, Question};

/// What questions are asked of: lives on their thread.
pub(super) struct Asking {
    config: Config,
    pipeline: String,
    topics: Vec<String>,
    /// Of a call about one partition.
    timeout: Duration,
    consumer: Arc<BaseConsumer<Context>>,
    /// Made when first needed.
    lookup: Option<Lookup>,
    lookout: Lookout,
}

impl Asking {
    pub(super) fn new(post: &Post, consumer: &Arc<BaseConsumer<Context>>, timeout: Duration) -> Self {
        Self {
            config: post.config.clone(),
            pipeline: post.pipeline.clone(),
            topics: post.topics.clone(),
            timeout,
            consumer: Arc::clone(consumer),
            lookup: None,
            lookout: Lookout::new(post.clone()),
        }
    }

    fn lookup(&mut self) -> Result<&Lookup, Error> {
        if self.lookup.is_none() {
            let lookup = Lookup::open(&self.config, &self.pipeline)?;
            self.lookup = Some(lookup.within(self.timeout));
        }
        Ok(self.lookup.as_ref().expect("made above"))
    }

    /// Answers a question of a worker. Blocks for as long as the client's time-outs say.
    ///
    /// # Errors
    /// Of the call.
    pub(super) fn answer(&mut self, question: Question) -> Result<Answer, Error> {
        Ok(match question {
            Question::Cluster => Answer::Cluster(self.cluster()?),
            Question::Partitions(topic) => Answer::Partitions(self.partitions(topic)?),
            Question::Committed(ids) => Answer::Committed(self.committed(&ids)?),
            // Not through the member's client: there the question would wait behind a fetch that waits for records.
            Question::Log(id) => {
                let topic = self.topics[id.topic].clone();
                Answer::Log(self.lookup()?.log(&topic, id.partition)?)
            }
            Question::OffsetAt(id, timestamp_ms) => {
                let topic = self.topics[id.topic].clone();
                let found = self.lookup()?.offset_at(&topic, id.partition, timestamp_ms)?;
                Answer::OffsetAt(found)
            }
            Question::RecordBefore(id, next) => {
                let topic = self.topics[id.topic].clone();
                let lookup = self.lookup()?;
                let log = lookup.log(&topic, id.partition)?;
                Answer::RecordBefore(lookup.record_before(&topic, id.partition, next, log)?)
            }
        })
    }

    fn partitions(&self, topic: usize) -> Result<Vec<PartitionId>, Error> {
        let count = lookup::partition_count(&self.config, self.consumer.client(), &self.topics[topic])?;
        let id = |partition| PartitionId {
            topic,
            partition: Partition(partition),
        };
        Ok((0..count).map(id).collect())
    }

    fn committed(&self, ids: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        let mut list = TopicPartitionList::with_capacity(ids.len());
        for id in ids {
            list.add_partition(&self.topics[id.topic], id.partition.0);
        }
        let found = lookup::committed(&self.config, &self.consumer, list)?;
        let committed = ids.iter().map(|id| {
            let entry = found.find_partition(&self.topics[id.topic], id.partition.0);
            let (next, metadata) = entry.map_or((None, String::new()), |entry| lookup::entry(&entry));
            Committed {
                partition: *id,
                next,
                metadata,
            }
        });
        Ok(committed.collect())
    }

    fn cluster(&self) -> Result<String, Error> {
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
