//! What became of the records that were handed to a producer.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use crate::kafka::log;
use crate::kafka::rebalance::lock;
use crate::series::observation::Partition;
use crate::worker::ports::{Destination, PartitionId};

/// What a record that failed was: where it went to, and the input partition that it is about.
pub(super) type Blame = (Destination, PartitionId);

/// What is on its way, and the failure that says most.
#[derive(Default)]
struct Flight {
    queued: u64,
    delivered: u64,
    failure: Option<(RDKafkaErrorCode, Blame)>,
}

impl Flight {
    /// A record beside the one that is refused fails with it, and may be told of first: it is not the one to blame.
    fn fail(&mut self, code: RDKafkaErrorCode, blame: Blame) {
        if !self.is_explained() {
            self.failure = Some((code, blame));
        }
    }

    fn is_explained(&self) -> bool {
        self.failure
            .is_some_and(|(code, _)| code != RDKafkaErrorCode::InvalidDifferentRecord)
    }

    fn on_its_way(&self) -> u64 {
        self.queued - self.delivered
    }
}

/// Told by the library's delivery reports, on rdkafka's polling thread.
#[derive(Clone, Default)]
pub(super) struct Deliveries(Arc<(Mutex<Flight>, Condvar)>);

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::trouble(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// A packed [`Blame`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, packed: usize) {
        let mut flight = lock(&self.0.0);
        flight.delivered += 1;
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            flight.fail(code, unpack(packed));
        }
        if flight.on_its_way() == 0 || flight.is_explained() {
            self.0.1.notify_all();
        }
    }
}

impl Deliveries {
    /// One more is handed over. To be said before: the report may come before the caller goes on.
    pub(super) fn queued(&self) {
        lock(&self.0.0).queued += 1;
    }

    /// It was not taken.
    pub(super) fn unqueued(&self) {
        lock(&self.0.0).queued -= 1;
    }

    pub(super) fn failure(&self) -> Option<(RDKafkaErrorCode, Blame)> {
        lock(&self.0.0).failure
    }

    /// Waits until at most `left` records are on their way, or one has failed. Whether it came to that in time.
    pub(super) fn wait(&self, left: u64, timeout: Duration) -> bool {
        let (flight, changed) = &*self.0;
        let busy = |flight: &mut Flight| !flight.is_explained() && flight.on_its_way() > left;
        let (flight, waited) = changed
            .wait_timeout_while(lock(flight), timeout, busy)
            .unwrap_or_else(PoisonError::into_inner);
        drop(flight);
        !waited.timed_out()
    }

    /// Waits a little for half of what is on its way.
    pub(super) fn wait_for_room(&self) {
        let left = lock(&self.0.0).on_its_way() / 2;
        self.wait(left, Duration::from_millis(100));
    }

    /// A pause that is not slept through when a record fails.
    pub(super) fn pause(&self) {
        let (flight, changed) = &*self.0;
        let never = |flight: &mut Flight| !flight.is_explained();
        drop(changed.wait_timeout_while(lock(flight), Duration::from_millis(50), never));
    }

    #[cfg(test)]
    pub(super) fn fail(&self, code: RDKafkaErrorCode, blame: Blame) {
        lock(&self.0.0).failure = Some((code, blame));
    }
}

pub(super) fn pack((to, id): Blame) -> usize {
    let partition = usize::try_from(id.partition.0).unwrap_or(0);
    (id.topic << 33) | ((to as usize) << 32) | partition
}

fn unpack(packed: usize) -> Blame {
    let id = PartitionId {
        topic: packed >> 33,
        partition: Partition(i32::try_from(packed & 0xffff_ffff).unwrap_or(0)),
    };
    let to = if (packed >> 32) & 1 == Destination::Forecasts as usize {
        Destination::Forecasts
    } else {
        Destination::DeadLetters
    };
    (to, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn blame(to: Destination, topic: usize, partition: i32) -> Blame {
        let partition = Partition(partition);
        (to, PartitionId { topic, partition })
    }

    #[test]
    fn blame_is_packed_and_unpacked() {
        for to in [Destination::Forecasts, Destination::DeadLetters] {
            for (topic, partition) in [(0, 0), (1, i32::MAX), (1 << 20, 7)] {
                assert_eq!(
                    unpack(pack(blame(to, topic, partition))),
                    blame(to, topic, partition)
                );
            }
        }
    }

    #[test]
    fn record_beside_a_refused_one_is_not_to_blame() {
        let (beside, refused) = (
            blame(Destination::Forecasts, 0, 1),
            blame(Destination::Forecasts, 0, 2),
        );
        let mut flight = Flight {
            queued: 3,
            ..Flight::default()
        };
        flight.fail(RDKafkaErrorCode::InvalidDifferentRecord, beside);
        assert!(!flight.is_explained(), "the reason is still to come");
        flight.fail(RDKafkaErrorCode::InvalidRecord, refused);
        flight.fail(RDKafkaErrorCode::InvalidDifferentRecord, beside);
        flight.fail(RDKafkaErrorCode::MessageTimedOut, beside);
        assert_eq!(flight.failure, Some((RDKafkaErrorCode::InvalidRecord, refused)));
    }
}
