//! `bench pipeline`: what a record costs through a real Kafka, and what it would cost without a model.

mod bare;
mod whole;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::demo::clock;
use crate::config::{self, Config, Pipeline, Sources};
use crate::daemon::clock::{Clock, process_cpu};
use crate::kafka::admin::{self, Wanted};
use crate::kafka::feed::{Feeder, Outgoing};
use crate::kafka::{self, KafkaSink, KafkaSource, Leaving};
use crate::nn::blas;

/// How long a cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time between two records of a stream.
const INTERVAL_MS: i64 = 60_000;
/// 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

/// Command line of `bench pipeline`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// A real cluster: host:port, several with commas
    #[arg(long, value_name = "HOST:PORT", required = true, value_delimiter = ',')]
    brokers: Vec<String>,
    /// Streams
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    streams: u32,
    /// Records of a run
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u32).range(1000..))]
    records: u32,
    /// Runs of each kind, turn about
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// One key of the configuration: pipeline.bench.profile=compact, kafka.client.sasl.username=… (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

/// The line of one run.
#[derive(Debug, Serialize)]
struct Line {
    bench: &'static str,
    run: &'static str,
    streams: u32,
    records: u32,
    records_per_second: f64,
    cpu_us_per_record: f64,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Quotient {
    bench: &'static str,
    profile: &'static str,
    streams: u32,
    records: u32,
    rounds: u16,
    cpu_us_per_record_bare: f64,
    cpu_us_per_record_whole: f64,
    bare_over_whole: f64,
}

/// Names and sizes that all runs share.
struct Bench<'a> {
    args: &'a Args,
    config: Config,
    name: String,
}

/// Counts outcomes that are committed, and looks at the clocks.
struct Meter {
    clock: Clock,
    cpu: Duration,
    /// When the first were committed, and how many they were.
    first: Option<(Duration, u64)>,
    committed: u64,
    wanted: u64,
    last: Duration,
}

impl Meter {
    fn start(wanted: u64) -> Self {
        let clock = Clock::start();
        Self {
            clock,
            cpu: process_cpu(),
            first: None,
            committed: 0,
            wanted,
            last: Duration::ZERO,
        }
    }

    fn commit(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.committed += count;
        self.last = self.clock.elapsed();
        self.first.get_or_insert((self.last, count));
    }

    const fn is_done(&self) -> bool {
        self.committed >= self.wanted
    }

    /// Of a run that is over: its clients are closed, so that what their threads did is counted.
    fn line(&self, run: &'static str, args: &Args) -> Line {
        let cpu = process_cpu() - self.cpu;
        let (began, count) = self.first.unwrap_or_default();
        let took = (self.last - began).as_secs_f64().max(1e-3);
        Line {
            bench: "pipeline",
            run,
            streams: args.streams,
            records: args.records,
            records_per_second: ((self.committed - count) as f64 / took).round(),
            cpu_us_per_record: cpu.as_secs_f64() * 1e6 / self.committed as f64,
        }
    }
}

/// Feeds a topic of its own, then reads it to its end turn about, bare and whole.
///
/// # Errors
/// The cluster cannot be reached, or does not take what it is given.
pub(super) fn run(args: &Args, print: &dyn Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    blas::single_thread();
    let bench = Bench::new(args)?;
    let kafka = &bench.config.kafka;
    let topics = bench.topics();
    let wanted = topics.each_ref().map(|name| Wanted {
        name,
        partitions: 1,
        settings: &[("retention.ms", "-1")],
    });
    admin::create(kafka, &wanted, PATIENCE)?;
    let ran = bench.feed().and_then(|()| bench.rounds(print));
    let names = topics.each_ref().map(String::as_str);
    let left = admin::delete(kafka, &names, PATIENCE);
    ran.and(left.map_err(Into::into))
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args) -> anyhow::Result<Self> {
        let seed = clock::wall_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 20);
        let name = format!("tidecast-bench-{:06x}", seed & 0xff_ffff);
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let brokers: Vec<_> = args.brokers.iter().map(|broker| quoted(broker)).collect();
        let given = [
            format!("kafka.brokers=[{}]", brokers.join(",")),
            format!("kafka.group={name}"),
            format!("pipeline.bench.input.topics=[\"{name}.in\"]"),
            format!("pipeline.bench.output.topic={name}.out"),
            format!("pipeline.bench.dead_letter.topic={name}.dead"),
        ];
        let sources = Sources {
            files: Vec::new(),
            environment: BTreeMap::new(), // a bench is the same whatever the shell's environment holds
            set: given.into_iter().chain(args.set.iter().cloned()).collect(),
            host_name: "bench".to_owned(),
            beneath: CONFIG,
        };
        let config = config::load_with(&sources, kafka::refused)?.config;
        Ok(Self { args, config, name })
    }

    fn topics(&self) -> [String; 3] {
        ["in", "out", "dead"].map(|suffix| format!("{}.{suffix}", self.name))
    }

    fn pipeline(&self) -> &Pipeline {
        &self.config.pipelines[0]
    }

    /// Records of a daily cycle with a noise that is the same in each run.
    fn feed(&self) -> anyhow::Result<()> {
        let feeder = Feeder::open(&self.config.kafka)?;
        let topic = &self.topics()[0];
        for n in 0..self.args.records {
            let (stream, round) = (n % self.args.streams, n / self.args.streams);
            let time_ms = START_MS + i64::from(round) * INTERVAL_MS;
            let day = f64::from(round) / 1440.0 + f64::from(stream);
            let noise = f64::from(n.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
            let value = 20.0 + 5.0 * (day * std::f64::consts::TAU).sin() + noise;
            let id = format!("s{stream}");
            let text = format!(r#"{{"id":"{id}","t":{},"v":{value:.3}}}"#, time_ms / 1000);
            let record = Outgoing {
                topic,
                key: &id,
                value: text.as_bytes(),
                timestamp_ms: time_ms,
            };
            feeder.send(&record, PATIENCE)?;
        }
        feeder.flush(topic, PATIENCE).context("the bench's records")
    }

    fn rounds(&self, print: &dyn Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut costs = [Vec::new(), Vec::new()];
        for round in 0..self.args.rounds {
            for (costs, (run, body)) in costs
                .iter_mut()
                .zip([("bare", bare::run as Body), ("whole", whole::run as Body)])
            {
                let mut kafka = self.config.kafka.clone();
                kafka.group = format!("{}-{run}-{round}", self.name);
                let worker = &self.pipeline().worker;
                kafka::resolve_start(&kafka, worker)?;
                let mut meter = Meter::start(self.args.records.into());
                let leaving = Leaving::new(|| false, PATIENCE);
                let clients = kafka::open(&kafka, worker, 0, leaving)?;
                body(self.pipeline(), clients, &mut meter)
                    .with_context(|| format!("the {run} run, at {} records", meter.committed))?;
                let line = meter.line(run, self.args);
                costs.push(line.cpu_us_per_record);
                print(&json(&line))?;
            }
        }
        let [bare, whole] = costs.map(super::time::median);
        print(&json(&Quotient {
            bench: "pipeline",
            profile: self.pipeline().worker.engine.profile.as_str(),
            streams: self.args.streams,
            records: self.args.records,
            rounds: self.args.rounds,
            cpu_us_per_record_bare: bare,
            cpu_us_per_record_whole: whole,
            bare_over_whole: bare / whole,
        }))
    }
}

type Body = fn(&Pipeline, (KafkaSource, KafkaSink), &mut Meter) -> anyhow::Result<()>;

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("numbers and names are JSON")
}

/// What the bench decides; everything else is the daemon's own default.
const CONFIG: &str = r#"
[service]
instance = "bench"
[store]
url = "file:///nonexistent"
[training]
cpu_share = 0
[pipeline.bench]
input = { id = "id", time = "t", values = ["v"], start = "earliest" }
output = { start_when = "always" }
interval = "1m"
horizons = 12
"#;
