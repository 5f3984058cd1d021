//! Tables `pipeline.NAME`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::codec;
use crate::codec::config::TimeUnit;
use crate::config::cluster::Cluster;
use crate::config::domain;
use crate::config::forecast;
use crate::config::process::Pipeline;
use crate::config::reader::{Files, Reader, Section};
use crate::config::services::{Store, Training};
use crate::training;
use crate::worker;
use crate::worker::config::Start;

const DAY_MS: i64 = 86_400_000;
const ANY_DURATION: RangeInclusive<i64> = 0..=36_600 * DAY_MS;

/// What pipelines take from the other sections; `None` where that is broken.
pub(super) struct Common<'c> {
    pub(super) cluster: Option<&'c Cluster>,
    pub(super) store: Option<&'c Store>,
    pub(super) training: Option<&'c Training>,
}

/// Every pipeline, by name; an error is noted for each that cannot be read.
pub(super) fn all(
    names: &[String],
    sections: &mut Section<'_>,
    common: &Common<'_>,
    reader: &mut Reader,
) -> Option<Vec<Pipeline>> {
    if names.is_empty() {
        let why = match reader.files {
            Files::Unreadable => return None, // it may be there: the file is mended first
            Files::NoneGiven => "no --config FILE was given: give one, and in it",
            Files::Read => "nothing would be forecast: add",
        };
        let message = format!(
            "there is none, {why} a table [pipeline.NAME] with input.topics, input.values, output.topic and dead_letter.topic"
        );
        reader.problem("pipeline", message, None);
        return None;
    }
    let pipelines: Vec<Option<Pipeline>> = names
        .iter()
        .filter_map(|name| {
            // The table below every pipeline is here only where it is no table, which the next line says.
            if name != "*"
                && let Err(message) = domain::identifier(name)
            {
                reader.problem(format!("pipeline.{name}"), message, None);
            }
            let section = sections.named(reader, name)?;
            Some(one(name, section, common, reader))
        })
        .collect();
    pipelines.into_iter().collect()
}

fn one(name: &str, mut section: Section<'_>, common: &Common<'_>, reader: &mut Reader) -> Option<Pipeline> {
    let workers = section.read(reader, "workers", |node| {
        domain::count(node, &(1..=256), "each is a thread and a member of the group")
    });
    let input = input(section.section(reader, "input"), reader);
    let output = output(section.section(reader, "output"), reader);
    let (dead_letter_topic, dead_letter_drops) = dead_letter(section.section(reader, "dead_letter"), reader);
    let train = train(section.section(reader, "train"), common, reader);
    let publish_warming = output.as_ref().map(|output| output.publish_warming);
    let engine = forecast::engine(&mut section, publish_warming, common.training, reader);
    section.finish(reader);
    let (input, output, cluster, store) = (input?, output?, common.cluster?, common.store?);
    Some(Pipeline {
        worker: worker::Config {
            pipeline: name.to_owned(),
            workers: workers?,
            topics: input.topics,
            start: input.start,
            warmup: input.warmup,
            rebuild: store.rebuild,
            output_topic: output.topic,
            dead_letter_topic: dead_letter_topic?,
            dead_letter_drops: dead_letter_drops?,
            commit_interval: cluster.commit_interval,
            transaction_age_max: cluster.transaction_age_max,
            turn_records_max: cluster.turn_records_max,
            lag_pause_training: common.training?.lag_pause,
            lag_thin: output.lag_thin,
            snapshot_interval: store.snapshot_interval,
            snapshot_bytes_per_s: store.snapshot_bytes_per_s,
            input: input.decoder,
            engine: engine?,
        },
        training: train?,
    })
}

struct Input {
    topics: Vec<String>,
    start: Start,
    warmup: Duration,
    decoder: codec::Config,
}

fn input(mut section: Section<'_>, reader: &mut Reader) -> Option<Input> {
    let topics = section.read(reader, "topics", |node| {
        names(node, "write [\"sensors\"]", domain::topic)
    });
    let format = section.read(reader, "format", |node| {
        domain::choice(node, &[("json", ())], &["influx", "avro"])
    });
    let id = section.optional(reader, "id", |node| field(&domain::text(node)?));
    let time = section.optional(reader, "time", |node| field(&domain::text(node)?));
    let time_unit = section.read(reader, "time_unit", |node| {
        let units = [
            ("auto", TimeUnit::Auto),
            ("s", TimeUnit::Seconds),
            ("ms", TimeUnit::Milliseconds),
            ("us", TimeUnit::Microseconds),
            ("ns", TimeUnit::Nanoseconds),
        ];
        domain::choice(node, &units, &[])
    });
    let values = section.read(reader, "values", |node| {
        names(node, "write [\"temperature\"]", |name| field(name).map(|_| ()))
    });
    let start = section.read(reader, "start", |node| {
        domain::choice(
            node,
            &[("latest", Start::Latest), ("earliest", Start::Earliest)],
            &[],
        )
    });
    let warmup = section.read(reader, "warmup", |node| {
        domain::duration(node, &ANY_DURATION, "it is history")
    });
    let future_max_ms = section.read(reader, "future_max", |node| {
        domain::duration_ms(node, &ANY_DURATION, "it is how far clocks may be off")
    });
    let stream_max_bytes = section.read(reader, "stream_max_bytes", |node| {
        domain::size(
            node,
            &(1..=4096),
            "every id is held in memory and is the key of its forecasts",
        )
    });
    let value_max_bytes = section.read(reader, "value_max_bytes", |node| {
        domain::size(node, &(64..=64 << 20), "a message is decoded as a whole")
    });
    section.finish(reader);
    format?;
    Some(Input {
        topics: topics?,
        start: start?,
        warmup: warmup?,
        decoder: codec::Config {
            id: id?,
            time: time?,
            time_unit: time_unit?,
            values: values?,
            future_max_ms: future_max_ms?,
            stream_max_bytes: stream_max_bytes?,
            value_max_bytes: value_max_bytes?,
        },
    })
}

/// A list of at least one and at most 256 names, each once.
fn names(
    node: &crate::config::tree::Node,
    way_out: &str,
    valid: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    let names = domain::texts(node, way_out)?;
    if names.is_empty() || names.len() > 256 {
        return Err(format!(
            "has {} entries, 1 to 256 are needed: {way_out}",
            names.len()
        ));
    }
    for (index, name) in names.iter().enumerate() {
        valid(name)?;
        if names[..index].contains(name) {
            return Err(format!(
                "`{name}` occurs twice, each would be counted twice: name it once"
            ));
        }
    }
    Ok(names)
}

/// A field's name or dotted path.
fn field(name: &str) -> Result<String, String> {
    if name.split('.').any(str::is_empty) || name.len() > 256 {
        return Err(format!(
            "`{name}` is no field, a part of the path is empty or it is too long: write \"field\" or \"outer.field\""
        ));
    }
    if name.split('.').count() > 16 {
        return Err(format!(
            "`{name}` has more than 16 parts, JSON is not read deeper: name a field further out"
        ));
    }
    Ok(name.to_owned())
}

struct Output {
    topic: String,
    /// Whether a stream publishes while it warms up.
    publish_warming: bool,
    lag_thin: i64,
}

fn output(mut section: Section<'_>, reader: &mut Reader) -> Option<Output> {
    let topic = section.read(reader, "topic", topic);
    let start_when = section.read(reader, "start_when", |node| {
        domain::choice(node, &[("ready", false), ("always", true)], &[])
    });
    let lag_thin = section.read(reader, "lag_thin", |node| {
        domain::whole(node, &(1..=i64::MAX), "a lag of 0 is never reached")
    });
    section.finish(reader);
    Some(Output {
        topic: topic?,
        publish_warming: start_when?,
        lag_thin: lag_thin?,
    })
}

fn dead_letter(mut section: Section<'_>, reader: &mut Reader) -> (Option<String>, Option<bool>) {
    let topic = section.read(reader, "topic", topic);
    let drops = section.read(reader, "drops", domain::flag);
    section.finish(reader);
    (topic, drops)
}

fn topic(node: &crate::config::tree::Node) -> Result<String, String> {
    let name = domain::text(node)?;
    domain::topic(&name).map(|()| name)
}

fn train(mut section: Section<'_>, common: &Common<'_>, reader: &mut Reader) -> Option<training::Config> {
    let rows_per_observation = section.read(reader, "rows_per_observation", |node| {
        domain::share(node, &(0.0..=1000.0), "it is work per observation")
    });
    let learning_rate = section.read(reader, "learning_rate", |node| {
        domain::share(node, &(1e-7..=0.1), "beyond, weights do not learn or do not hold")
    });
    let chunk = section.read(reader, "chunk", |node| {
        domain::count(node, &(2..=512), "it is how many steps an error is carried back")
    });
    let batch = section.read(reader, "batch", |node| {
        domain::count(node, &(1..=1024), "a mini-batch is held in memory as a whole")
    });
    section.finish(reader);
    let shared = common.training?;
    Some(training::Config {
        rows_per_observation: rows_per_observation?,
        learning_rate: learning_rate?,
        chunk: chunk?,
        batch: batch?,
        cpu_share: shared.cpu_share,
        publish_interval: shared.publish_interval,
        tape_bytes: shared.tape_bytes,
    })
}
