//! A member that comes and goes, so that its group rebalances.
//!
//! The group's own members cannot ask for that: librdkafka has no call for it, subscribing anew to the same topics does
//! nothing, and a static member that unsubscribes gives all its partitions away. A guest is a dynamic member with the
//! same way of assigning that wants another topic than the rest: all join anew and say what they own, what nobody owns
//! finds an owner, no partition moves to the guest, and nobody stops reading. Its leaving makes a second round, as any
//! member's does. A guest that is killed is gone after its session time-out and has held up nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::kafka::errors::{classify, transient};
use crate::kafka::leaving::Leaving;
use crate::kafka::lookup::now;
use crate::kafka::{Config, client, log};
use crate::worker::ports::Error;

/// How long the others are waited for. They hear of it with a heartbeat, and one that commits comes after that.
const STAY_MAX: Duration = Duration::from_secs(30);
/// How soon a stop is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Reads nothing, whatever it is given.
struct Guest {
    /// Whether the group has made an assignment with it.
    assigned: AtomicBool,
}

impl ClientContext for Guest {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }
}

impl ConsumerContext for Guest {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, _: &mut TopicPartitionList) {
        let none = TopicPartitionList::new();
        let answer = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned.store(true, Ordering::Release);
            consumer.incremental_assign(&none)
        } else {
            consumer.incremental_unassign(&none)
        };
        if let Err(error) = answer {
            log::trouble(&error, "answering a rebalance as a guest");
        }
    }
}

/// Joins the group of worker `worker` beside it, wanting `topic`, and leaves as soon as the group has made an
/// assignment. Blocks for seconds: the others join with their next heartbeat.
///
/// # Errors
/// Transient: the group has not let it in, or not assigned, in time.
pub(super) fn visit(
    config: &Config,
    pipeline: &str,
    worker: usize,
    topic: &str,
    leaving: &Leaving,
) -> Result<(), Error> {
    let doing = "making the group rebalance";
    let guest = Guest {
        assigned: AtomicBool::new(false),
    };
    let consumer: BaseConsumer<Guest> = client::guest(config, pipeline, worker)
        .create_with_context(guest)
        .map_err(|error| classify(config, doing, &error))?;
    consumer
        .subscribe(&[topic])
        .map_err(|error| classify(config, doing, &error))?;
    let deadline = now() + STAY_MAX;
    let mut trouble = None;
    while now() < deadline && leaving.stay(doing).is_ok() {
        if let Some(Err(error)) = consumer.poll(LOOK) {
            trouble = Some(error);
        }
        if consumer.context().assigned.load(Ordering::Acquire) {
            return Ok(());
        }
    }
    leaving.stay(doing)?;
    Err(trouble.map_or_else(
        || transient(doing, "the other members have not joined anew in time"),
        |error| classify(config, doing, &error),
    ))
}
