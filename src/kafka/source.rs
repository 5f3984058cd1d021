//! The consuming side of a worker: a static member of its pipeline's group, on the worker's own thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::engine::snapshot::Anchor;
use crate::faults::{self, Mechanism};
use crate::kafka::apart::{Apart, NotStarted};
use crate::kafka::asking::{Asking, ONE, SEVERAL};
use crate::kafka::client;
use crate::kafka::errors::{classify, transient};
use crate::kafka::leaving::Leaving;
use crate::kafka::lookout::{Post, Rounds};
use crate::kafka::lookup;
use crate::kafka::rebalance::Context;
use crate::kafka::{Config, membership};
use crate::series::observation::{NextOffset, Offset, Partition};
use crate::worker;
use crate::worker::ports::{Committed, Error, Event, Headers, Log, PartitionId, Record, Source};

/// Waiting time for the consumer's end: some milliseconds where nothing hangs.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A consumer behind the worker's port. Closing it leaves a static membership in the group: a restart within the
/// session time-out takes its partitions back without a rebalance.
///
/// A partition is not read before its state is there: the group may have given more than the client's assignment holds.
/// It is read by an assignment with an explicit offset, and stopped by taking it out of the assignment. A seek does not
/// do: librdkafka answers one that overtakes a pending query of a logical offset by asking again and then reading from
/// *that* offset, and it refuses to seek a partition whose offset was out of range.
pub struct KafkaSource {
    config: Config,
    topics: Vec<String>,
    post: Post,
    rounds: Rounds,
    /// `None` only while this is dropped.
    consumer: Option<Arc<BaseConsumer<Context>>>,
    /// Started when first needed, and again where a question was left.
    asking: Option<Apart<Asking>>,
    /// Its id, once asked: a client speaks with one cluster as long as it lives.
    cluster: Option<String>,
    leaving: Leaving,
}

/// Headers are parsed when they are asked for: most records' never are.
struct ReceivedHeaders<'a, 'b>(&'a BorrowedMessage<'b>);

impl Headers for ReceivedHeaders<'_, '_> {
    fn count(&self) -> usize {
        self.0.headers().map_or(0, rdkafka::message::Headers::count)
    }

    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        let Some(headers) = self.0.headers() else {
            return ("", None);
        };
        // rdkafka panics on a name that is not UTF-8, and no record may end a worker: such a header loses its name.
        catch_unwind(AssertUnwindSafe(|| headers.try_get(index)))
            .ok()
            .flatten()
            .map_or(("", None), |header| (header.key, header.value))
    }
}

impl KafkaSource {
    /// Joins nothing yet: the group is joined by polling.
    ///
    /// # Errors
    /// [`Error::Fatal`] where the client refuses its properties.
    pub(crate) fn open(
        config: &Config,
        worker: &worker::Config,
        index: usize,
        leaving: Leaving,
    ) -> Result<Self, Error> {
        let context = Context::new(worker.topics.clone());
        let consumer: BaseConsumer<Context> = client::consumer(config, &worker.pipeline, index)
            .create_with_context(context)
            .map_err(|error| classify(config, "opening the consumer", &error))?;
        let names: Vec<&str> = worker.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&names)
            .map_err(|error| classify(config, "subscribing to the input topics", &error))?;
        Ok(Self {
            config: config.clone(),
            topics: worker.topics.clone(),
            post: Post {
                config: config.clone(),
                pipeline: worker.pipeline.clone(),
                worker: index,
                topics: worker.topics.clone(),
                other_topic: worker.output_topic.clone(),
                leaving: leaving.clone(),
            },
            rounds: Rounds::new(),
            consumer: Some(Arc::new(consumer)),
            asking: None,
            cluster: None,
            leaving,
        })
    }

    /// A list with one offset for each partition.
    fn list(&self, partitions: &[PartitionId], offset: KafkaOffset) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for id in partitions {
            list.add_partition_offset(&self.topics[id.topic], id.partition.0, offset)
                .expect("the offset is a valid one: it is built from a non-negative number or a name");
        }
        list
    }

    /// Those of `partitions` that the client reads, by its own account.
    fn read_now(&self, partitions: &[PartitionId]) -> Result<Vec<PartitionId>, Error> {
        let list = self
            .consumer()
            .assignment()
            .map_err(|error| classify(&self.config, "asking the client what it reads", &error))?;
        let mut ids = self.consumer().context().ids(&list);
        ids.retain(|id| partitions.contains(id));
        Ok(ids)
    }

    fn stop_reading(&self, doing: &'static str, ids: &[PartitionId]) -> Result<(), Error> {
        let list = self.list(ids, KafkaOffset::Invalid);
        self.consumer()
            .incremental_unassign(&list)
            .map_err(|error| classify(&self.config, doing, &error))
    }

    fn consumer(&self) -> &Arc<BaseConsumer<Context>> {
        self.consumer.as_ref().expect("taken only while this is dropped")
    }

    /// The thread that asks, and that closes the consumer.
    fn start_asking(&self) -> Result<Apart<Asking>, NotStarted> {
        let Post { pipeline, worker, .. } = &self.post;
        let owner = format!("{} consumer", client::worker_id(&self.config, pipeline, *worker));
        let name = format!("c{worker}.{pipeline}");
        Apart::start(&owner, &name, Asking::new(&self.post, self.consumer()))
    }

    /// Begins a look at the group where one is due.
    fn look_around(&mut self, timeout: Duration) {
        if !self.rounds.is_due(timeout) || self.leaving.is_asked() {
            return;
        }
        if self.asking.is_none() {
            self.asking = self.start_asking().ok(); // else with the next round
        }
        let begun = self.asking.as_ref().map(|asking| asking.begin(Asking::look));
        self.rounds.note(begun);
    }

    /// Asks, and waits for at most `whole`. Nobody needs an answer once it is time to leave.
    fn ask<R: Send + 'static>(
        &mut self,
        doing: &'static str,
        whole: Duration,
        question: impl FnOnce(&mut Asking) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        self.leaving.stay(doing)?;
        let asking = match self.asking.take() {
            Some(asking) => asking,
            None => self.start_asking().map_err(|error| transient(doing, error))?,
        };
        let deadline = lookup::now() + whole;
        let left = || match self.leaving.stay(doing) {
            Ok(()) => deadline.saturating_duration_since(lookup::now()),
            Err(_) => Duration::ZERO,
        };
        let answer = asking
            .call(left, question)
            .map_err(|missing| self.leaving.missing(doing, missing))?;
        self.asking = Some(asking);
        answer
    }

    fn failure(&self, error: &KafkaError) -> Result<Event, Error> {
        match error {
            KafkaError::PartitionEOF(partition) => {
                // The library does not say of which topic; this is for readiness only.
                for topic in 0..self.topics.len() {
                    let partition = Partition(*partition);
                    let event = Event::End(PartitionId { topic, partition });
                    self.consumer().context().defer(event);
                }
                Ok(self.consumer().context().next_event().unwrap_or(Event::Idle))
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => Ok(Event::OutOfRange),
            KafkaError::MessageConsumptionFatal(_) => Err(self.fatal(error)),
            _ => Err(classify(&self.config, "reading the input topics", error)),
        }
    }

    /// The library keeps what a fatal error was about.
    fn fatal(&self, error: &KafkaError) -> Error {
        let doing = "reading the input topics";
        match self.consumer().client().fatal_error() {
            Some((RDKafkaErrorCode::FencedInstanceId, _)) => Error::InstanceInUse {
                instance: self.config.instance.clone(),
            },
            Some((code, reason)) => Error::Fatal {
                doing,
                reason: format!("{code}: {reason}"),
            },
            None => classify(&self.config, doing, error),
        }
    }

    fn hand_out(&self, message: &BorrowedMessage<'_>, each: &mut dyn FnMut(&Record<'_>)) -> Event {
        let Some(topic) = self.consumer().context().topic_index(message.topic()) else {
            return Event::Idle; // not subscribed to: cannot be
        };
        each(&Record {
            partition: PartitionId {
                topic,
                partition: Partition(message.partition()),
            },
            offset: Offset(message.offset()),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key(),
            value: message.payload(),
            headers: &ReceivedHeaders(message),
        });
        Event::Record
    }
}

impl Source for KafkaSource {
    type Membership = Arc<ConsumerGroupMetadata>;

    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(&Record<'_>)) -> Result<Event, Error> {
        if let Some(event) = self.consumer().context().next_event() {
            return Ok(event);
        }
        self.look_around(timeout);
        let polled = self.consumer().poll(timeout);
        if self.consumer().context().take_recreated() {
            // What was polled may be of another history, and everything is read again anyway.
            return Ok(Event::OutOfRange);
        }
        match polled {
            Some(Ok(message)) => Ok(self.hand_out(&message, each)),
            Some(Err(error)) => self.failure(&error),
            None => Ok(self.consumer().context().next_event().unwrap_or(Event::Idle)),
        }
    }

    fn hold(&mut self, _partitions: &[PartitionId]) -> Result<(), Error> {
        // The answer that the group waits for. Nothing is read until `start` says from where.
        self.consumer()
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|error| classify(&self.config, "taking assigned partitions", &error))
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let read = self.read_now(partitions)?;
        if read.is_empty() {
            return Ok(());
        }
        self.stop_reading("pausing partitions", &read)
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        // Also where none of them is read: the group waits for the call.
        let read = self.read_now(partitions)?;
        self.stop_reading("giving partitions back", &read)
    }

    fn start(&mut self, partition: PartitionId, from: NextOffset) -> Result<(), Error> {
        self.pause(&[partition])?;
        let list = self.list(&[partition], KafkaOffset::Offset(from.0));
        self.consumer()
            .incremental_assign(&list)
            .map_err(|error| classify(&self.config, "starting a partition", &error))
    }

    fn partitions(&mut self, topic: usize) -> Result<Vec<PartitionId>, Error> {
        let name = self.topics[topic].clone();
        let doing = "asking for the partitions of a topic";
        let count = self.ask(doing, ONE, move |asking| asking.partition_count(&name))?;
        let id = |partition| PartitionId {
            topic,
            partition: Partition(partition),
        };
        Ok((0..count).map(id).collect())
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        let list = self.list(partitions, KafkaOffset::Invalid);
        let doing = "asking for committed offsets";
        let found = self.ask(doing, ONE, move |asking| asking.committed(list))?;
        let committed = partitions.iter().map(|id| {
            let topic = &self.topics[id.topic];
            let entry = found.find_partition(topic, id.partition.0);
            let (next, metadata) = entry.map_or((None, String::new()), |entry| lookup::entry(&entry));
            Committed {
                partition: *id,
                next,
                metadata,
            }
        });
        Ok(committed.collect())
    }

    fn log(&mut self, id: PartitionId) -> Result<Log, Error> {
        let topic = self.topics[id.topic].clone();
        let doing = "asking for the log's ends";
        self.ask(doing, ONE, move |asking| asking.log(&topic, id.partition))
    }

    fn offset_at(&mut self, id: PartitionId, timestamp_ms: i64) -> Result<Option<NextOffset>, Error> {
        let topic = self.topics[id.topic].clone();
        let doing = "asking for the offset of a time";
        self.ask(doing, ONE, move |asking| {
            asking.offset_at(&topic, id.partition, timestamp_ms)
        })
    }

    fn record_before(&mut self, id: PartitionId, next: NextOffset) -> Result<Option<Anchor>, Error> {
        let topic = self.topics[id.topic].clone();
        let doing = "reading the last record before an offset";
        self.ask(doing, SEVERAL, move |asking| {
            asking.record_before(&topic, id.partition, next)
        })
    }

    fn cluster(&mut self) -> Result<String, Error> {
        if let Some(id) = &self.cluster {
            return Ok(id.clone());
        }
        let id = self.ask("asking for the cluster's id", ONE, |asking| asking.cluster())?;
        self.cluster = Some(id.clone());
        Ok(id)
    }

    fn end_heard(&self, partition: PartitionId) -> Option<NextOffset> {
        self.consumer().context().end_heard(partition)
    }

    fn membership(&mut self) -> Result<Self::Membership, Error> {
        if faults::is_off(Mechanism::GenerationCheck) {
            return self.ask("reading the membership", ONE, Asking::stranger);
        }
        membership::read(self.consumer())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The consumer's own drop polls until it is closed; nobody would answer what those polls bring.
        self.consumer().context().close();
        while let Some(event) = self.consumer().context().next_event() {
            // Closing: the member goes whatever the answer is.
            let _ = match event {
                Event::Assigned(_) => self.hold(&[]),
                Event::Revoked(ids) | Event::Lost(ids) => self.release(&ids),
                _ => Ok(()),
            };
        }
        let asking = self.asking.take().map_or_else(|| self.start_asking(), Ok);
        // This one first: the thread's is the last one then, and the consumer is closed there. Without a thread, here.
        self.consumer = None;
        if let Ok(asking) = asking {
            let budget = self.leaving.budget(END_PATIENCE);
            asking.end(|| budget.left());
        }
    }
}
