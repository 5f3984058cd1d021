//! The cluster and the store, as a configuration would find them.

use std::time::Duration;

use crate::cli::output::{counted, line};
use crate::cli::refusals::Refusals;
use crate::codec::{Decoded, Decoder, Message};
use crate::config::{Config, Pipeline};
use crate::kafka::admin::{self, Finding, Sample, Severity, Topic};
use crate::series::observation::Offset;
use crate::store::{ModelStore, Store};

/// Longest that one question may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Newest records of a partition that are looked at for ids: streams report every few minutes at least, and this is minutes
/// of a busy partition.
const SAMPLED: u32 = 2000;
/// Ids that are named at most.
const NAMED: usize = 5;

/// What was found, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

impl Tally {
    /// Prints what keeps it from running.
    fn error(&mut self, text: &dyn std::fmt::Display) -> anyhow::Result<()> {
        self.errors += 1;
        Ok(line(&format_args!("error: {text}"))?)
    }

    /// Prints a risk.
    fn warning(&mut self, text: &dyn std::fmt::Display) -> anyhow::Result<()> {
        self.warnings += 1;
        Ok(line(&format_args!("warning: {text}"))?)
    }

    fn finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        match finding.severity {
            Severity::Note => Ok(line(&format_args!("note: {finding}"))?),
            Severity::Warning => self.warning(finding),
            Severity::Error => self.error(finding),
        }
    }
}

/// Prints what is found.
pub(super) fn look(config: &Config) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    store(config, &mut tally)?;
    for pipeline in &config.pipelines {
        cluster(config, pipeline, &mut tally)?;
    }
    Ok(tally)
}

fn store(config: &Config, tally: &mut Tally) -> anyhow::Result<()> {
    let store = match Store::open(&config.store) {
        Ok(store) => std::sync::Arc::new(store),
        Err(error) => return tally.error(&format_args!("{:#}", anyhow::Error::from(error))),
    };
    if let Some(trouble) = store.trouble() {
        tally.error(&trouble)?;
    }
    for pipeline in &config.pipelines {
        let name = &pipeline.worker.pipeline;
        let models = ModelStore::new(store.clone(), &config.kafka.group, name);
        match models.list() {
            Ok(versions) => {
                let newest = versions
                    .last()
                    .map_or_else(|| "none yet".to_owned(), |newest| newest.0.to_string());
                line(&format_args!(
                    "store: {} of `{name}`, newest {newest}",
                    counted(versions.len(), "version")
                ))?;
            }
            Err(error) => tally.error(&format_args!("{:#}", anyhow::Error::from(error)))?,
        }
    }
    Ok(())
}

fn cluster(config: &Config, pipeline: &Pipeline, tally: &mut Tally) -> anyhow::Result<()> {
    let name = &pipeline.worker.pipeline;
    let report = match admin::look(&config.kafka, &pipeline.worker, DEADLINE) {
        Ok(report) => report,
        Err(error) => return tally.error(&format_args!("{:#}", anyhow::Error::from(error))),
    };
    line(&format_args!(
        "\nPipeline {name}: {}",
        counted(report.nodes, "node")
    ))?;
    for topic in &report.topics {
        line(&topic_line(topic))?;
    }
    let before = tally.errors;
    for finding in &report.findings {
        tally.finding(finding)?;
    }
    if tally.errors == before {
        streams(config, pipeline, tally)?;
    }
    Ok(())
}

fn topic_line(topic: &Topic) -> String {
    let retention = match topic.retention_ms {
        None => "retention unknown".to_owned(),
        Some(ms) if ms < 0 => "kept for ever".to_owned(),
        Some(ms) => format!("kept {}", admin::span(ms)),
    };
    let Topic {
        name,
        role,
        partitions,
        replicas,
        ..
    } = topic;
    format!(
        "  {name} ({role}): {}, {}, {retention}",
        counted(*partitions, "partition"),
        counted(*replicas, "replica")
    )
}

/// Looks for streams that live in two partitions: each would be two streams with half the readings. Says why records are
/// refused.
fn streams(config: &Config, pipeline: &Pipeline, tally: &mut Tally) -> anyhow::Result<()> {
    let mut decoder = Decoder::new(pipeline.worker.input.clone());
    for topic in &pipeline.worker.topics {
        let mut refusals = Refusals::default();
        let found = admin::sample(
            &config.kafka,
            (&pipeline.worker.pipeline, topic),
            SAMPLED,
            DEADLINE,
            &mut |record, id| {
                let message = Message {
                    key: record.key,
                    value: record.value,
                    timestamp_ms: record.timestamp_ms,
                    offset: Offset(record.offset),
                };
                decoder.decode(&message, &mut |decoded| match decoded {
                    Decoded::Observation(seen) => {
                        refusals.good();
                        id(seen.stream);
                    }
                    Decoded::Refused { reason, .. } => refusals.refused(reason, record.value),
                });
            },
        );
        match found {
            Ok(found) => sampled(topic, &found, &refusals, tally)?,
            Err(error) => tally.warning(&format_args!(
                "topic `{topic}` was not sampled: {:#}",
                anyhow::Error::from(error)
            ))?,
        }
    }
    Ok(())
}

fn sampled(topic: &str, found: &Sample, refusals: &Refusals, tally: &mut Tally) -> anyhow::Result<()> {
    line(&format_args!(
        "  {topic}: {} in the newest {}",
        counted(found.streams, "stream"),
        counted(found.records, "record")
    ))?;
    if refusals.most() {
        tally.warning(&format_args!("topic `{topic}`: {refusals}"))?;
    } else if refusals.some() {
        line(&format_args!("note: topic `{topic}`: {refusals}"))?;
    }
    for (id, partitions) in found.split.iter().take(NAMED) {
        tally.error(&format_args!(
            "stream `{id}` lives in partitions {partitions:?} of `{topic}`, each half would be forecast by itself: let \
             producers key their records by stream"
        ))?;
    }
    let more = found.split.len().saturating_sub(NAMED);
    if more > 0 {
        tally.errors += more;
        line(&format_args!("error: and {} more", counted(more, "such stream")))?;
    }
    Ok(())
}
