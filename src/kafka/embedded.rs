//! A broker inside this process, for the demo and for tests of client errors.
//!
//! It is librdkafka's mock cluster. What it lacks: transactions are accepted and have no meaning (records of an aborted
//! one are visible, an old producer is not fenced), so exactly-once needs a real broker. It keeps about 5 MiB per
//! partition and drops what is older, in memory only.

use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

/// Longest that the broker may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What this broker cannot do, for whoever shows it.
pub const LIMITS: &str = "exactly-once needs a real broker: the one in here ignores transactions";

/// Why there is no embedded broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library refused.
    #[error("the embedded broker did not start")]
    Refused(#[source] KafkaError),
    /// A topic was refused.
    #[error("the embedded broker refused topic `{topic}`; each is named once")]
    Topic {
        /// Which one.
        topic: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// The system has no thread for it.
    #[error("no thread for the embedded broker")]
    Thread(#[source] std::io::Error),
    /// No answer in time.
    #[error("the embedded broker was not up after {} s", START_TIMEOUT.as_secs())]
    Late,
}

/// A running broker; it ends, with all its records, when this is dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    bootstrap: String,
    /// Dropped first: that ends the thread.
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts one node on a free port of the loopback with `topics` (name, partitions).
    ///
    /// # Errors
    /// [`Error`]; nothing is left running then.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, Error> {
        let wanted: Vec<(String, i32)> = topics
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        let (stop, stopped) = mpsc::sync_channel(0);
        let (report, reported) = mpsc::sync_channel(1);
        let thread = Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || {
                // The cluster's handle must stay on the thread that made it.
                let cluster = match open(&wanted) {
                    Ok(cluster) => cluster,
                    Err(error) => {
                        let _ = report.send(Err(error)); // the starter gave up: nobody to tell
                        return;
                    }
                };
                let _ = report.send(Ok(cluster.bootstrap_servers()));
                let _ = stopped.recv(); // ends when the other side is dropped
            })
            .map_err(Error::Thread)?;
        let mut broker = Self {
            bootstrap: String::new(),
            stop: Some(stop),
            thread: Some(thread),
        };
        broker.bootstrap = reported.recv_timeout(START_TIMEOUT).map_err(|_| Error::Late)??;
        Ok(broker)
    }

    /// host:port, for `kafka.brokers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has been printed; a drop has nobody to hand it to
        }
    }
}

fn open(
    topics: &[(String, i32)],
) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Error> {
    let cluster = MockCluster::new(1).map_err(Error::Refused)?;
    for (topic, partitions) in topics {
        cluster
            .create_topic(topic, *partitions, 1)
            .map_err(|source| Error::Topic {
                topic: topic.clone(),
                source,
            })?;
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_broker_refuses_a_topic_named_twice() {
        assert!(
            matches!(EmbeddedBroker::start(&[("a", 1), ("a", 1)]), Err(Error::Topic { topic, .. }) if topic == "a")
        );
    }
}
