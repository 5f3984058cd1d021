//! The consuming side of a worker: a static member of its pipeline's group, on the worker's own thread.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::faults::{self, Mechanism};
use crate::kafka::client;
use crate::kafka::errors::classify;
use crate::kafka::leaving::Leaving;
use crate::kafka::lookout::Post;
use crate::kafka::questions::{For, Questions, last_record};
use crate::kafka::rebalance::Context;
use crate::kafka::{Config, membership};
use crate::series::observation::{NextOffset, Offset, Partition};
use crate::worker;
use crate::worker::ports::{Answer, Error, Event, Headers, PartitionId, Question, Record, Source};

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
    /// Both `None` only while this is dropped.
    consumer: Option<Arc<BaseConsumer<Context>>>,
    questions: Option<Questions>,
    /// Where each partition that is read was begun, and whether its end was told since.
    begun: BTreeMap<PartitionId, (NextOffset, End)>,
    leaving: Leaving,
}

/// What is known of a partition's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Not seen yet.
    Ahead,
    /// Some partition of that number has come to its end, and the cluster is asked whether it is this one.
    Asked,
    Told,
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
        Self::join(Post {
            config: config.clone(),
            pipeline: worker.pipeline.clone(),
            worker: index,
            topics: worker.topics.clone(),
            other_topic: worker.output_topic.clone(),
            leaving,
        })
    }

    fn join(post: Post) -> Result<Self, Error> {
        let (config, topics) = (post.config.clone(), post.topics.clone());
        let consumer: BaseConsumer<Context> = client::consumer(&config, &post.pipeline, post.worker)
            .create_with_context(Context::new(topics.clone()))
            .map_err(|error| classify(&config, "opening the consumer", &error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&names)
            .map_err(|error| classify(&config, "subscribing to the input topics", &error))?;
        Ok(Self {
            config,
            topics,
            leaving: post.leaving.clone(),
            questions: Some(Questions::new(post)),
            consumer: Some(Arc::new(consumer)),
            begun: BTreeMap::new(),
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

    const fn questions(&mut self) -> &mut Questions {
        self.questions.as_mut().expect("taken only while this is dropped")
    }

    /// Begins to ask, beside the worker.
    fn begin(&mut self, by: For, question: Question) -> Result<(), Error> {
        let consumer = Arc::clone(self.consumer());
        self.questions().ask(&consumer, by, question)
    }

    /// A partition of that number has come to its end. The library does not say of which topic: where several are read,
    /// the cluster is asked what their last records are.
    fn note_end(&mut self, partition: Partition) {
        let of_number = |entry: &(&PartitionId, &mut (NextOffset, End))| entry.0.partition == partition;
        let mut read: Vec<_> = self.begun.iter_mut().filter(of_number).collect();
        if let [(id, (_, end))] = &mut read[..] {
            *end = End::Told;
            let event = Event::End(**id);
            self.consumer().context().defer(event);
            return;
        }
        let ahead = |entry: &(&PartitionId, &mut (NextOffset, End))| entry.1.1 == End::Ahead;
        let unknown: Vec<_> = read
            .iter()
            .filter(|entry| ahead(entry))
            .map(|entry| *entry.0)
            .collect();
        for id in unknown {
            if self.begin(For::End(id), last_record(id)).is_ok()
                && let Some(begun) = self.begun.get_mut(&id)
            {
                begun.1 = End::Asked;
            }
        }
    }

    /// What the last record of a partition is whose end may have been reached.
    fn hear_end(&mut self, id: PartitionId, answer: Result<Answer, Error>) {
        let position = self.position(id);
        let Some((from, end)) = self.begun.get_mut(&id) else {
            return;
        };
        *end = End::Ahead; // the next end of a partition of its number asks anew
        let Ok(Answer::RecordBefore(last)) = answer else {
            return;
        };
        let position = position.unwrap_or(*from).max(*from);
        if last.is_none_or(|last| position.is_past(last.offset)) {
            *end = End::Told;
            self.consumer().context().defer(Event::End(id));
        }
    }

    /// Where the client's next record of a partition is, once it has handed one out.
    fn position(&self, id: PartitionId) -> Option<NextOffset> {
        let list = self.consumer().position().ok()?;
        match list
            .find_partition(&self.topics[id.topic], id.partition.0)?
            .offset()
        {
            KafkaOffset::Offset(offset) => Some(NextOffset(offset)),
            _ => None,
        }
    }

    fn failure(&mut self, error: &KafkaError) -> Result<Event, Error> {
        match error {
            KafkaError::PartitionEOF(partition) => {
                self.note_end(Partition(*partition));
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
        let consumer = Arc::clone(self.consumer());
        self.questions().look_around(&consumer, timeout);
        let polled = consumer.poll(timeout);
        if consumer.context().take_recreated() {
            // What was polled may be of another history, and everything is read again anyway.
            return Ok(Event::OutOfRange);
        }
        match polled {
            Some(Ok(message)) => Ok(self.hand_out(&message, each)),
            Some(Err(error)) => self.failure(&error),
            None => Ok(consumer.context().next_event().unwrap_or(Event::Idle)),
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
        self.begun.retain(|id, _| !partitions.contains(id));
        if read.is_empty() {
            return Ok(());
        }
        self.stop_reading("pausing partitions", &read)
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        // Also where none of them is read: the group waits for the call.
        let read = self.read_now(partitions)?;
        self.begun.retain(|id, _| !partitions.contains(id));
        self.stop_reading("giving partitions back", &read)
    }

    fn start(&mut self, partition: PartitionId, from: NextOffset) -> Result<(), Error> {
        self.pause(&[partition])?;
        let list = self.list(&[partition], KafkaOffset::Offset(from.0));
        self.consumer()
            .incremental_assign(&list)
            .map_err(|error| classify(&self.config, "starting a partition", &error))?;
        self.begun.insert(partition, (from, End::Ahead));
        Ok(())
    }

    fn ask(&mut self, ticket: u64, question: Question) -> Result<(), Error> {
        self.begin(For::Worker(ticket), question)
    }

    fn answered(&mut self) -> Option<(u64, Result<Answer, Error>)> {
        loop {
            match self.questions().answered()? {
                (For::Worker(ticket), answer) => return Some((ticket, answer)),
                (For::End(id), answer) => self.hear_end(id, answer),
            }
        }
    }

    fn forget(&mut self) {
        self.questions().forget();
        for (_, end) in self.begun.values_mut().filter(|begun| begun.1 == End::Asked) {
            *end = End::Ahead;
        }
    }

    fn end_heard(&self, partition: PartitionId) -> Option<NextOffset> {
        self.consumer().context().end_heard(partition)
    }

    fn membership(&mut self) -> Result<Self::Membership, Error> {
        if faults::is_off(Mechanism::GenerationCheck) {
            let consumer = Arc::clone(self.consumer());
            return self.questions().stranger(&consumer);
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
        if let (Some(questions), Some(consumer)) = (self.questions.take(), self.consumer.take()) {
            let budget = self.leaving.budget(END_PATIENCE);
            questions.close(consumer, || budget.left());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::embedded::EmbeddedBroker;
    use crate::kafka::feed::{Feeder, Outgoing};
    use crate::kafka::lookup::now;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn end_is_told_of_the_topic_that_has_come_to_it() {
        let broker = EmbeddedBroker::start(&[("empty", 1), ("full", 1), ("out", 1)]).unwrap();
        let config = Config {
            brokers: vec![broker.bootstrap().to_owned()],
            group: "g".to_owned(),
            instance: "i".to_owned(),
            client: BTreeMap::new(),
        };
        let feeder = Feeder::open(&config).unwrap();
        for _ in 0..3 {
            let outgoing = Outgoing {
                topic: "full",
                key: "s",
                value: b"1",
                timestamp_ms: 7,
            };
            feeder.send(&outgoing, PATIENCE).unwrap();
        }
        feeder.flush("full", PATIENCE).unwrap();
        let mut source = KafkaSource::join(Post {
            config,
            pipeline: "p".to_owned(),
            worker: 0,
            topics: vec!["empty".to_owned(), "full".to_owned()],
            other_topic: "out".to_owned(),
            leaving: Leaving::new(|| false, PATIENCE),
        })
        .unwrap();
        let [empty, full] = [0, 1].map(|topic| PartitionId {
            topic,
            partition: Partition(0),
        });
        let (mut records, mut ends, mut held) = (0, Vec::new(), 0);
        let deadline = now() + PATIENCE;
        while ends.len() < 2 && now() < deadline {
            let event = source
                .poll(Duration::from_millis(20), &mut |_| records += 1)
                .unwrap();
            match event {
                Event::Assigned(ids) => {
                    source.hold(&ids).unwrap();
                    held += ids.len();
                    if held == 2 {
                        source.start(empty, NextOffset(0)).unwrap();
                    }
                }
                // Only now: its end would hide the other's.
                Event::End(id) if id == empty => {
                    assert_eq!(records, 0);
                    ends.push(id);
                    source.start(full, NextOffset(0)).unwrap();
                    source.note_end(Partition(0)); // of the empty one, once more
                }
                Event::End(id) => {
                    assert_eq!((id, records), (full, 3));
                    ends.push(id);
                }
                _ => {}
            }
            assert!(source.answered().is_none(), "the worker has asked nothing");
        }
        assert_eq!(ends, [empty, full]);
    }
}
