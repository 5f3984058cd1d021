//! What the group tells the consumer, kept for the poll that brought it.
//!
//! librdkafka raises a rebalance inside a poll and stands still until the application calls `incremental_assign` or
//! `incremental_unassign`. rdkafka's poll returns right after the callback. So the callback only notes the event; the
//! poll that ran it hands it to the worker on the same thread before any further record, and the worker's answer makes
//! the call. That is "inside the callback" as far as the group can see, and it needs no shared state.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::kafka::log;
use crate::series::observation::{NextOffset, Partition};
use crate::worker::ports::{Event, PartitionId};

/// Shared with the client, which calls it on the polling thread only; the locks are there for the type system.
pub(crate) struct Context {
    topics: Vec<String>,
    waiting: Mutex<VecDeque<Event>>,
    ends: Mutex<HashMap<PartitionId, NextOffset>>,
    /// Whether the consumer is being closed: then the callback answers by itself.
    closing: AtomicBool,
    /// Whether a topic was created anew under its name, and nobody was told yet.
    recreated: AtomicBool,
}

/// What the library says where a topic's id is another one than before. It goes on reading at the offset that it has, in
/// another history (its source: "an offset reset must be triggered"), and says it nowhere else. It is said before any
/// record of the new topic is fetched: a fetch names the topic by its id.
fn says_recreated(facility: &str, message: &str) -> bool {
    /// Before the library has heard an id.
    const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    facility == "METADATA"
        && message
            .split_once(" changed id from ")
            .is_some_and(|(_, ids)| !ids.starts_with(NO_ID))
}

impl Context {
    pub(crate) fn new(topics: Vec<String>) -> Self {
        Self {
            topics,
            waiting: Mutex::default(),
            ends: Mutex::default(),
            closing: AtomicBool::new(false),
            recreated: AtomicBool::new(false),
        }
    }

    /// From now on rebalances are answered by the callback: nobody polls for them any more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The next event that a poll brought.
    pub(crate) fn next_event(&self) -> Option<Event> {
        lock(&self.waiting).pop_front()
    }

    /// Notes an event to be handed out by the next poll.
    pub(crate) fn defer(&self, event: Event) {
        lock(&self.waiting).push_back(event);
    }

    /// Whether a topic was created anew since this was asked last.
    pub(crate) fn take_recreated(&self) -> bool {
        self.recreated.load(Ordering::Acquire) && self.recreated.swap(false, Ordering::AcqRel)
    }

    /// The log's end as the last statistics said.
    pub(crate) fn end_heard(&self, id: PartitionId) -> Option<NextOffset> {
        lock(&self.ends).get(&id).copied()
    }

    /// Index of a topic of ours.
    pub(crate) fn topic_index(&self, topic: &str) -> Option<usize> {
        self.topics.iter().position(|name| name == topic)
    }

    /// Partitions of ours in a list, ascending.
    pub(crate) fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        let mut ids: Vec<_> = list
            .elements()
            .iter()
            .filter_map(|element| {
                Some(PartitionId {
                    topic: self.topic_index(element.topic())?,
                    partition: Partition(element.partition()),
                })
            })
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// A panic while one of these short locks was held leaves plain data: it stays usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if says_recreated(facility, message) {
            tracing::warn!(target: "librdkafka", "{message}");
            self.recreated.store(true, Ordering::Release);
        }
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = lock(&self.ends);
        for topic in statistics.topics.values() {
            let Some(index) = self.topic_index(&topic.topic) else {
                continue;
            };
            for partition in topic.partitions.values() {
                if partition.partition >= 0 && partition.ls_offset >= 0 {
                    let id = PartitionId {
                        topic: index,
                        partition: Partition(partition.partition),
                    };
                    ends.insert(id, NextOffset(partition.ls_offset));
                }
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answer = if assigned {
                consumer.incremental_assign(list)
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answer {
                log::trouble(&error, "answering a rebalance while closing");
            }
            return;
        }
        let ids = self.ids(list);
        self.defer(if assigned {
            Event::Assigned(ids)
        } else if consumer.assignment_lost() {
            Event::Lost(ids)
        } else {
            Event::Revoked(ids)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_created_anew_is_told_from_one_that_is_seen_first() {
        let said = |message: &str| says_recreated("METADATA", message);
        assert!(said(
            "[thrd:main]: Topic sensors changed id from cQk0bEnLSsKRnG9M0Xr2Wg to pL3v0cN2QcO8yC9Zc7Wk1w"
        ));
        assert!(!said(
            "[thrd:main]: Topic sensors changed id from AAAAAAAAAAAAAAAAAAAAAA to pL3v0cN2QcO8yC9Zc7Wk1w"
        ));
        assert!(!said("[thrd:main]: Topic sensors partition 0 Leader 1 Epoch 0"));
        assert!(!says_recreated("TOPBRK", "changed id from a to b"));
    }

    #[test]
    fn context_tells_of_a_topic_created_anew_once() {
        let context = Context::new(vec!["sensors".to_owned()]);
        assert!(!context.take_recreated());
        let message =
            "[thrd:main]: Topic sensors changed id from cQk0bEnLSsKRnG9M0Xr2Wg to pL3v0cN2QcO8yC9Zc7Wk1w";
        context.log(RDKafkaLogLevel::Debug, "METADATA", message);
        assert!(context.take_recreated() && !context.take_recreated());
    }
}
