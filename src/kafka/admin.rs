//! Questions about the cluster that an operator would ask before a start, and topics for the demo.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use crate::kafka::fit::span;
pub use crate::kafka::sample::{Ids, Sample, Sampled, sample};

use crate::kafka::lookup::Visitor;
use crate::kafka::properties::hide;
use crate::kafka::{Config, client, fit};
use crate::worker;

/// Trouble of an administrative call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library refused the client.
    #[error("no client for the cluster: correct `kafka.brokers` and `kafka.client`")]
    Client(#[source] KafkaError),
    /// A call failed.
    #[error("{doing} failed")]
    Call {
        /// What was tried.
        doing: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// A topic was refused.
    #[error("topic `{topic}`: {reason}")]
    Topic {
        /// Which one.
        topic: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Without the value of a refused property, which may be a secret.
    pub(crate) fn client(error: KafkaError) -> Self {
        Self::Client(hide(error))
    }
}

/// What a topic is to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Observations.
    Input,
    /// Forecasts.
    Output,
    /// Dead letters.
    DeadLetter,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "forecasts",
            Self::DeadLetter => "dead letters",
        })
    }
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What it is to the pipeline.
    pub role: Role,
    /// Number of partitions.
    pub partitions: usize,
    /// Smallest number of replicas of a partition.
    pub replicas: usize,
    /// `retention.ms`; negative means for ever; `None`: not readable.
    pub retention_ms: Option<i64>,
    /// `cleanup.policy`; `None`: not readable.
    pub cleanup: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It runs, with a risk.
    Warning,
    /// It will not run.
    Error,
}

/// Something that an operator should know before a start. Displays as what, why, way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A topic, a group, the brokers.
    pub subject: String,
    /// What, why, way out.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            severity,
            subject: subject.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// What was seen of one pipeline's surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes of the cluster; 0 where it did not answer.
    pub nodes: usize,
    /// Topics that are there and readable.
    pub topics: Vec<Topic>,
    /// What is wrong or worth knowing, in the order of the questions.
    pub findings: Vec<Finding>,
}

/// Looks at topics, partitions, replication, retention and authorisation of one pipeline. Changes nothing, joins no
/// group. Each question takes at most `deadline`.
///
/// # Errors
/// [`Error::Client`] only: everything else is a finding.
pub fn look(config: &Config, worker: &worker::Config, deadline: Duration) -> Result<Report, Error> {
    let consumer: BaseConsumer<Visitor> = client::visitor(config, &worker.pipeline, "check")
        .create_with_context(Visitor)
        .map_err(Error::client)?;
    let mut report = Report::default();
    let mut missing = Vec::new();
    let wanted = worker.topics.iter().map(|name| (name, Role::Input)).chain([
        (&worker.output_topic, Role::Output),
        (&worker.dead_letter_topic, Role::DeadLetter),
    ]);
    for (name, role) in wanted {
        match consumer.fetch_metadata(Some(name), deadline) {
            Ok(metadata) => {
                report.nodes = metadata.brokers().len();
                see_topic(&metadata, (name, role), &mut report, &mut missing);
            }
            Err(error) => {
                report.findings.push(unreachable(config, &error, deadline));
                return Ok(report);
            }
        }
    }
    if !missing.is_empty() {
        let there = names_there(&consumer, deadline);
        fit::missing(&missing, &there, (config, worker), &mut report);
    }
    see_settings(config, deadline, &mut report);
    see_group(config, worker, &consumer, deadline, &mut report);
    fit::compare(worker, &mut report);
    Ok(report)
}

fn unreachable(config: &Config, error: &KafkaError, deadline: Duration) -> Finding {
    let text = format!(
        "no answer within {} s ({error}); check the addresses in `kafka.brokers`, the network, and `security.protocol` in \
         `kafka.client`",
        deadline.as_secs()
    );
    Finding::new(Severity::Error, config.brokers.join(","), text)
}

/// Names of the cluster's topics that this user may see, without the cluster's own; empty where there is no answer.
fn names_there(consumer: &BaseConsumer<Visitor>, deadline: Duration) -> Vec<String> {
    let metadata = consumer.fetch_metadata(None, deadline);
    metadata.map_or_else(
        |_| Vec::new(),
        |metadata| {
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            names.filter(|name| !name.starts_with("__")).collect()
        },
    )
}

fn see_topic(
    metadata: &rdkafka::metadata::Metadata,
    (name, role): (&str, Role),
    report: &mut Report,
    missing: &mut Vec<(String, Role)>,
) {
    let found = metadata.topics().iter().find(|topic| topic.name() == name);
    let subject = format!("topic `{name}` ({role})");
    let code = found.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
    let partitions = found.map_or(0, |topic| topic.partitions().len());
    match code {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            let right = if role == Role::Input {
                "Read and Describe"
            } else {
                "Write and Describe"
            };
            let text = format!("this user is not authorised; grant it {right} on the topic");
            report.findings.push(Finding::new(Severity::Error, subject, text));
        }
        None | Some(RDKafkaErrorCode::NoError) if partitions > 0 => {
            let replicas = found
                .into_iter()
                .flat_map(rdkafka::metadata::MetadataTopic::partitions)
                .map(|partition| partition.replicas().len())
                .min();
            report.topics.push(Topic {
                name: name.to_owned(),
                role,
                partitions,
                replicas: replicas.unwrap_or(0),
                retention_ms: None,
                cleanup: None,
            });
        }
        None
        | Some(
            RDKafkaErrorCode::NoError
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic,
        ) => missing.push((name.to_owned(), role)),
        Some(other) => {
            let text = format!("the cluster answers `{other}`; ask its operator, then check again");
            report.findings.push(Finding::new(Severity::Error, subject, text));
        }
    }
}

fn see_settings(config: &Config, deadline: Duration, report: &mut Report) {
    if report.topics.is_empty() {
        return;
    }
    let admin = match admin(config) {
        Ok(admin) => admin,
        Err(error) => {
            report.findings.push(Finding::new(
                Severity::Note,
                "settings of topics",
                error.to_string(),
            ));
            return;
        }
    };
    let specifiers: Vec<_> = report
        .topics
        .iter()
        .map(|topic| ResourceSpecifier::Topic(&topic.name))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(deadline));
    let answers = block_on(admin.describe_configs(&specifiers, &options)).unwrap_or_default();
    for (index, topic) in report.topics.iter_mut().enumerate() {
        let Some(Ok(answer)) = answers.get(index) else {
            let subject = format!("topic `{}` ({})", topic.name, topic.role);
            let text = "its settings are not readable; grant DescribeConfigs to have retention checked";
            report.findings.push(Finding::new(Severity::Note, subject, text));
            continue;
        };
        let value = |name: &str| answer.get(name).and_then(|entry| entry.value.clone());
        topic.retention_ms = value("retention.ms").and_then(|text| text.parse().ok());
        topic.cleanup = value("cleanup.policy");
    }
}

fn see_group(
    config: &Config,
    worker: &worker::Config,
    consumer: &BaseConsumer<Visitor>,
    deadline: Duration,
    report: &mut Report,
) {
    let Some(input) = report.topics.iter().find(|topic| topic.role == Role::Input) else {
        return;
    };
    let mut list = TopicPartitionList::new();
    list.add_partition(&input.name, 0);
    let group = client::group_id(config, &worker.pipeline);
    let code = match consumer.committed_offsets(list, deadline) {
        Ok(list) => list
            .elements()
            .iter()
            .find_map(|element| element.error().err())
            .and_then(|error| error.rdkafka_error_code()),
        Err(error) => error.rdkafka_error_code(),
    };
    if code == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
        let text = "this user is not authorised; grant it Read on the group";
        report
            .findings
            .push(Finding::new(Severity::Error, format!("group `{group}`"), text));
    }
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of partitions.
    pub partitions: i32,
    /// Settings other than the cluster's defaults.
    pub settings: &'a [(&'a str, &'a str)],
}

/// Makes topics with the cluster's default replication.
///
/// # Errors
/// [`Error`]; topics before the refused one may have been made.
pub fn create(config: &Config, wanted: &[Wanted<'_>], deadline: Duration) -> Result<(), Error> {
    let admin = admin(config)?;
    let topics: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|topic| {
            let mut new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(-1));
            for (key, value) in topic.settings {
                new = new.set(key, value);
            }
            new
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(deadline))
        .operation_timeout(Some(deadline));
    let results = block_on(admin.create_topics(&topics, &options)).map_err(|source| Error::Call {
        doing: format!("creating topics at {}", config.brokers.join(",")),
        source,
    })?;
    for result in results {
        result.map_err(|(topic, code)| Error::Topic {
            topic,
            reason: format!("not created: {code}"),
        })?;
    }
    Ok(())
}

/// Deletes topics that this process has made.
///
/// # Errors
/// [`Error`]; topics before the refused one may be gone.
pub fn delete(config: &Config, names: &[&str], deadline: Duration) -> Result<(), Error> {
    let admin = admin(config)?;
    let options = AdminOptions::new()
        .request_timeout(Some(deadline))
        .operation_timeout(Some(deadline));
    let results = block_on(admin.delete_topics(names, &options)).map_err(|source| Error::Call {
        doing: format!("deleting topics at {}", config.brokers.join(",")),
        source,
    })?;
    for result in results {
        result.map_err(|(topic, code)| Error::Topic {
            topic,
            reason: format!("not deleted: {code}"),
        })?;
    }
    Ok(())
}

fn admin(config: &Config) -> Result<AdminClient<Visitor>, Error> {
    use rdkafka::config::FromClientConfigAndContext as _;
    let settings = client::base(config, &format!("{}.admin", config.instance), &[]);
    AdminClient::from_config_and_context(&settings, Visitor).map_err(Error::client)
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client on this thread; its own time-out bounds it.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
