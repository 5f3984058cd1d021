//! Puts up what the demo needs: a broker (or topics on a real one), a config, an empty store, and the daemon itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::clock;
use crate::config::{self, Sources};
use crate::daemon::{self, Stop};
use crate::kafka::admin::{self, Wanted};
use crate::kafka::embedded::{self, EmbeddedBroker};

/// Partitions of each topic: enough to see streams spread, few enough for one worker.
const PARTITIONS: i32 = 3;
/// Name of the pipeline.
pub(crate) const PIPELINE: &str = "plant";
/// The embedded broker keeps 5 MiB per partition, some 7000 forecasts: beyond, it drops them unread. A handful of streams
/// may all live in one partition.
const UNDERWAY_FEW: u64 = 4_000;
/// As above, where streams spread evenly. Less would leave the daemon idle between two commits.
const UNDERWAY_MANY: u64 = 9_000;
/// Streams from which on they spread.
const MANY: usize = 100;
/// A real one keeps everything: bounds how far the view is behind.
const UNDERWAY_CLUSTER: u64 = 50_000;
/// How long a real cluster may take to answer.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(15);
/// Readings of years ago are older than any cluster's retention: without these the topics would be emptied while they are
/// read. The size still bounds what a demo leaves behind.
const TOPIC_SETTINGS: [(&str, &str); 2] = [("retention.ms", "-1"), ("retention.bytes", "536870912")];

/// Names of the three topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    pub input: String,
    pub forecasts: String,
    pub dead: String,
}

impl Topics {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            input: format!("{prefix}.sensors"),
            forecasts: format!("{prefix}.forecasts"),
            dead: format!("{prefix}.dead"),
        }
    }

    fn all(&self) -> [&str; 3] {
        [&self.input, &self.forecasts, &self.dead]
    }
}

/// What the config is made from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Empty: the embedded broker.
    pub brokers: Vec<String>,
    /// How many streams will be fed.
    pub streams: usize,
    /// `auto` or a duration, as the config writes it.
    pub interval: String,
    /// In steps.
    pub horizons: Vec<u32>,
    /// `section.key=value`, from the command line.
    pub set: Vec<String>,
}

/// Everything that runs. Fields are dropped in this order: the daemon ends first, then its store and its broker.
pub(crate) struct Stage {
    daemon: Option<JoinHandle<Result<(), daemon::Error>>>,
    daemon_stop: Stop,
    /// Address of the daemon's `/metrics`.
    pub http: SocketAddr,
    /// The cluster as the daemon's config names it.
    pub kafka: crate::kafka::Config,
    pub topics: Topics,
    /// Observations that may be on their way at once.
    pub underway_max: u64,
    /// What to tell at the start.
    pub place: Vec<String>,
    _store: TempDir,
    _broker: Option<EmbeddedBroker>,
}

impl Stage {
    /// Starts broker or topics, and the daemon.
    ///
    /// # Errors
    /// What could not be had, and why.
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        let store = tempfile::Builder::new()
            .prefix("tidecast-demo-")
            .tempdir()
            .context("no temporary folder for the demo's store; is TMPDIR writable?")?;
        let prefix = unique_prefix();
        let topics = Topics::new(&prefix);
        let broker = if plan.brokers.is_empty() {
            let names = topics.all().map(|name| (name, PARTITIONS));
            Some(EmbeddedBroker::start(&names)?)
        } else {
            None
        };
        let brokers = match &broker {
            Some(broker) => vec![broker.bootstrap().to_owned()],
            None => plan.brokers.clone(),
        };
        let text = config_text(
            plan,
            &brokers,
            (&prefix, &topics),
            &store.path().display().to_string(),
        );
        let path = store.path().join("demo.toml");
        fs::write(&path, text).with_context(|| format!("`{}` cannot be written", path.display()))?;
        let sources = Sources {
            files: vec![path],
            environment: BTreeMap::new(), // the demo is the same whatever the shell's environment holds
            set: plan.set.clone(),
            host_name: "demo".to_owned(),
            beneath: "",
        };
        let config = config::load_with(&sources, crate::kafka::refused)?.config;
        let kafka = config.kafka.clone();
        if broker.is_none() {
            make_topics(&kafka, &topics)?;
        }
        let underway_max = match broker {
            None => UNDERWAY_CLUSTER,
            Some(_) if plan.streams < MANY => UNDERWAY_FEW,
            Some(_) => UNDERWAY_MANY,
        };
        let place = place(&plan.brokers, &topics);
        let daemon_stop = Stop::new();
        let (http, daemon) = start_daemon(config, daemon_stop.clone())?;
        Ok(Self {
            daemon: Some(daemon),
            daemon_stop,
            http,
            kafka,
            topics,
            underway_max,
            place,
            _store: store,
            _broker: broker,
        })
    }

    /// Whether the daemon has ended by itself.
    pub(crate) fn ended(&self) -> bool {
        self.daemon.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the daemon to end and waits until it has committed and left.
    ///
    /// # Errors
    /// Why the daemon ended otherwise.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.daemon_stop.request();
        let Some(thread) = self.daemon.take() else {
            return Ok(());
        };
        match thread.join() {
            Ok(result) => result.context("the daemon"),
            Err(_) => anyhow::bail!("the daemon panicked; its message is above"),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.finish(); // an error on the way out of another one: that one is told
    }
}

fn start_daemon(
    config: config::Config,
    stop: Stop,
) -> anyhow::Result<(SocketAddr, JoinHandle<Result<(), daemon::Error>>)> {
    let listener = daemon::bind(config.http)?;
    let http = listener.local_addr().context("the daemon's HTTP address")?;
    let thread = Builder::new()
        .name("daemon".to_owned())
        .spawn(move || daemon::run(config, listener, stop))
        .context("no thread for the daemon")?;
    Ok((http, thread))
}

fn make_topics(kafka: &crate::kafka::Config, topics: &Topics) -> anyhow::Result<()> {
    let wanted = topics.all().map(|name| Wanted {
        name,
        partitions: PARTITIONS,
        settings: &TOPIC_SETTINGS,
    });
    admin::create(kafka, &wanted, CLUSTER_TIMEOUT).with_context(|| {
        format!(
            "topics for the demo at `{}`: is it reachable, and may this user create topics?",
            kafka.brokers.join(",")
        )
    })
}

fn place(brokers: &[String], topics: &Topics) -> Vec<String> {
    if brokers.is_empty() {
        return vec![
            "everything runs in this process, with an empty store".to_owned(),
            embedded::LIMITS.to_owned(),
        ];
    }
    let brokers = brokers.join(",");
    vec![
        format!(
            "on the cluster {brokers}; its topics stay: {}, {}, {}",
            topics.input, topics.forecasts, topics.dead
        ),
        format!(
            "read along: kcat -b {brokers} -t {} -C -X isolation.level=read_committed",
            topics.forecasts
        ),
    ]
}

/// Differs from run to run: topics of an earlier demo stay where they are.
fn unique_prefix() -> String {
    let seed = clock::wall_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 20);
    format!("tidecast-demo-{:06x}", seed & 0xff_ffff)
}

/// The config, as an operator would write it.
fn config_text(plan: &Plan, brokers: &[String], (prefix, topics): (&str, &Topics), store: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let brokers: Vec<_> = brokers.iter().map(|broker| quoted(broker)).collect();
    let mut out = String::new();
    let Topics {
        input,
        forecasts,
        dead,
    } = topics;
    let interval = &plan.interval;
    let horizons = &plan.horizons;
    let _ = write!(
        out,
        r#"[service]
instance = "demo"
http = "127.0.0.1:0"

[kafka]
brokers = [{brokers}]
group = "{prefix}"
commit_interval_ms = {commit_ms}

[store]
url = {store}

[training]
cpu_share = 0.7
publish_interval_s = 3

[pipeline.{PIPELINE}]
input = {{ topics = ["{input}"], format = "json", id = "sensor", time = "time", values = ["value"], start = "earliest" }}
output = {{ topic = "{forecasts}", start_when = "always" }}
dead_letter = {{ topic = "{dead}", drops = true }}
interval = "{interval}"
horizons = {horizons:?}
quantiles = [0.1, 0.5, 0.9]
"#,
        brokers = brokers.join(", "),
        commit_ms = if plan.brokers.is_empty() { 100 } else { 250 },
        store = quoted(&format!("file://{store}")),
    ); // a string takes everything
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            brokers: Vec::new(),
            streams: 12,
            interval: "5m".to_owned(),
            horizons: vec![1, 12],
            set: Vec::new(),
        }
    }

    #[test]
    fn setup_config_is_accepted_by_the_daemons_own_loader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.toml");
        let topics = Topics::new("tidecast-demo-1");
        let store = folder.path().display().to_string();
        let text = config_text(
            &plan(),
            &["127.0.0.1:9092".to_owned()],
            ("tidecast-demo-1", &topics),
            &store,
        );
        fs::write(&path, text).unwrap();
        let loaded = config::load(&Sources {
            files: vec![path],
            host_name: "h".to_owned(),
            ..Sources::default()
        });
        let config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
        assert_eq!(config.pipelines[0].worker.topics, [topics.input]);
        assert_eq!(config.pipelines[0].worker.engine.horizons, [1, 12]);
    }

    #[test]
    fn setup_prefix_is_a_valid_group_name() {
        let prefix = unique_prefix();
        assert!(
            prefix
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{prefix}"
        );
    }

    #[test]
    fn setup_place_says_where_forecasts_are() {
        let topics = Topics::new("p");
        assert!(place(&[], &topics)[1].contains("exactly-once needs a real broker"));
        assert!(place(&["k:9092".to_owned()], &topics)[1].contains("kcat -b k:9092 -t p.forecasts"));
    }
}
