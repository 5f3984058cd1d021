//! The cluster and the store, as a configuration would find them.

use std::time::Duration;

use crate::cli::output::line;
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

/// Prints what is found; the number of errors.
pub(super) fn look(config: &Config) -> anyhow::Result<usize> {
    let mut errors = store(config)?;
    for pipeline in &config.pipelines {
        errors += cluster(config, pipeline)?;
    }
    Ok(errors)
}

fn store(config: &Config) -> anyhow::Result<usize> {
    let store = match Store::open(&config.store) {
        Ok(store) => std::sync::Arc::new(store),
        Err(error) => {
            line(&format_args!("error: {:#}", anyhow::Error::from(error)))?;
            return Ok(1);
        }
    };
    let mut errors = 0;
    for pipeline in &config.pipelines {
        let name = &pipeline.worker.pipeline;
        let models = ModelStore::new(store.clone(), &config.kafka.group, name);
        match models.list() {
            Ok(versions) => {
                let newest = versions
                    .last()
                    .map_or_else(|| "none yet".to_owned(), |newest| newest.0.to_string());
                line(&format_args!(
                    "store: {} versions of `{name}`, newest {newest}",
                    versions.len()
                ))?;
            }
            Err(error) => {
                errors += 1;
                line(&format_args!("error: {:#}", anyhow::Error::from(error)))?;
            }
        }
    }
    Ok(errors)
}

fn cluster(config: &Config, pipeline: &Pipeline) -> anyhow::Result<usize> {
    let name = &pipeline.worker.pipeline;
    let report = admin::look(&config.kafka, &pipeline.worker, DEADLINE)?;
    line(&format_args!("\nPipeline {name}: {} nodes", report.nodes))?;
    report
        .topics
        .iter()
        .try_for_each(|topic| line(&topic_line(topic)))?;
    report
        .findings
        .iter()
        .try_for_each(|finding| line(&finding_line(finding)))?;
    let mut errors = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    if errors == 0 {
        errors += streams(config, pipeline)?;
    }
    Ok(errors)
}

fn topic_line(topic: &Topic) -> String {
    let retention = match topic.retention_ms {
        None => "retention unknown".to_owned(),
        Some(ms) if ms < 0 => "kept for ever".to_owned(),
        Some(ms) => format!("kept {:.1} days", ms as f64 / 86_400_000.0),
    };
    let Topic {
        name,
        role,
        partitions,
        replicas,
        ..
    } = topic;
    format!("  {name} ({role}): {partitions} partitions, {replicas} replicas, {retention}")
}

fn finding_line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    format!("{severity}: {finding}")
}

/// Looks for streams that live in two partitions: each would be two streams with half the readings.
fn streams(config: &Config, pipeline: &Pipeline) -> anyhow::Result<usize> {
    let mut decoder = Decoder::new(pipeline.worker.input.clone());
    let mut errors = 0;
    for topic in &pipeline.worker.topics {
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
                decoder.decode(&message, &mut |decoded| {
                    if let Decoded::Observation(seen) = decoded {
                        id(seen.stream);
                    }
                });
            },
        );
        match found {
            Ok(found) => errors += sampled(topic, &found)?,
            Err(error) => line(&format_args!(
                "warning: topic `{topic}` was not sampled: {:#}",
                anyhow::Error::from(error)
            ))?,
        }
    }
    Ok(errors)
}

fn sampled(topic: &str, found: &Sample) -> anyhow::Result<usize> {
    line(&format_args!(
        "  {topic}: {} streams in the newest {} records",
        found.streams, found.records
    ))?;
    if found.records > 0 && found.streams == 0 {
        line(&format_args!(
            "warning: topic `{topic}`: no record could be read as this configuration says; check input.id, input.time and \
             input.values"
        ))?;
    }
    for (id, partitions) in found.split.iter().take(NAMED) {
        line(&format_args!(
            "error: stream `{id}` lives in partitions {partitions:?} of `{topic}`, each half would be forecast by itself: let \
             producers key their records by stream"
        ))?;
    }
    if found.split.len() > NAMED {
        line(&format_args!("error: and {} more", found.split.len() - NAMED))?;
    }
    Ok(found.split.len())
}
