//! The daemon against a real Apache Kafka, read by a client that nobody here wrote (kcat).

pub(crate) mod daemon;
pub(crate) mod kcat;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tidecast::kafka::{self, admin};

/// A cluster of this test binary; it ends with the process, whichever way that ends.
pub(crate) struct Broker {
    pub(crate) servers: String,
    folder: PathBuf,
    /// Of the first node; the others follow.
    port: u16,
    nodes: u16,
    /// Where the proxied listener is, and where it sends clients to.
    proxied: Option<(u16, u16)>,
}

impl Broker {
    /// The one that all tests share but those that stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("shared"))
    }

    /// A broker of the caller's own.
    pub(crate) fn start(name: &str) -> Self {
        let broker = Self::reserve(name, 1);
        broker.launch();
        broker
    }

    /// A broker that sends the clients of its second listener through a proxy: its ports, and the proxy's.
    pub(crate) fn start_proxied(name: &str) -> (Self, u16, u16) {
        let (listener, proxy) = (free_port(), free_port());
        let broker = Self {
            proxied: Some((listener, proxy)),
            ..Self::reserve(name, 1)
        };
        broker.launch();
        (broker, listener, proxy)
    }

    /// Addresses, before anything runs there.
    pub(crate) fn reserve(name: &str, nodes: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("tidecast-it-{}-{name}", std::process::id()));
        let port = free_ports(nodes);
        let servers: Vec<_> = (port..port + nodes)
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        Self {
            servers: servers.join(","),
            folder,
            port,
            nodes,
            proxied: None,
        }
    }

    /// Starts the nodes and waits until they answer.
    pub(crate) fn launch(&self) {
        let (nodes, port) = (self.nodes.to_string(), self.port.to_string());
        self.call(&["start", self.folder.to_str().unwrap(), &nodes, &port]);
    }

    /// KILL, STOP or CONT to a node, counted from 1.
    pub(crate) fn signal(&self, node: u16, signal: &str) {
        self.call(&["signal", self.folder.to_str().unwrap(), &node.to_string(), signal]);
    }

    /// Starts a killed node again on its data, and waits until it answers.
    pub(crate) fn revive(&self, nodes: &[u16]) {
        for node in nodes {
            self.call(&["revive", self.folder.to_str().unwrap(), &node.to_string()]);
        }
        for node in nodes {
            self.call(&["await", &(self.port + node - 1).to_string()]);
        }
    }

    /// Copies the nodes' logs, for whoever asks what was in them.
    pub(crate) fn keep(&self, folder: &Path) {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(&self.folder)
            .arg(folder)
            .status();
        assert!(
            copied.unwrap().success(),
            "{} was not copied",
            self.folder.display()
        );
    }

    fn call(&self, arguments: &[&str]) {
        let mut command = Command::new(script());
        command
            .args(arguments)
            .env("TIDECAST_BROKER_OWNER", std::process::id().to_string());
        if let Some((listener, proxy)) = self.proxied {
            command.env("TIDECAST_BROKER_PROXIED", format!("{listener}:{proxy}"));
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "no broker: {}\n(`make test` installs Java, Maven and kcat)",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker")
}

/// A port that nothing listens on; each is handed out once in this process.
pub(crate) fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Below the ephemeral range, apart for parallel runs of this binary: a node that is revived must find its ports free,
    // and its own quorum listens 501 above.
    let base = 20_000 + (std::process::id() % 12) * 1000;
    loop {
        let next = NEXT.fetch_add(u32::from(count), Ordering::Relaxed);
        let first = u16::try_from(base + next).unwrap();
        assert!(next < 498, "more ports than a run of this binary has");
        let mut ports = (first..first + count).flat_map(|port| [port, port + 501]);
        if ports.all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}

/// Says aloud that a test does not run, since something that it needs is not there; where `TIDECAST_NO_SKIPS` is set, as CI
/// does, it fails.
pub(crate) fn skipped(why: &str) {
    use std::io::Write as _;
    assert!(
        std::env::var_os("TIDECAST_NO_SKIPS").is_none(),
        "TIDECAST_NO_SKIPS is set, and {why}"
    );
    // Past what the test harness captures of tests that do not fail.
    let told = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
    told.unwrap();
}

/// A name that no other test of this run uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How the test itself talks to a cluster.
pub(crate) fn client(broker: &Broker) -> kafka::Config {
    kafka::Config {
        brokers: vec![broker.servers.clone()],
        group: "test".to_owned(),
        instance: "test".to_owned(),
        client: std::collections::BTreeMap::new(),
    }
}

/// Makes topics (name, partitions).
pub(crate) fn topics(broker: &Broker, topics: &[(&str, i32)]) {
    try_topics(broker, topics).unwrap();
}

/// The same, where one may still be there.
pub(crate) fn try_topics(broker: &Broker, topics: &[(&str, i32)]) -> Result<(), admin::Error> {
    let wanted: Vec<_> = topics
        .iter()
        .map(|&(name, partitions)| admin::Wanted {
            name,
            partitions,
            // Records of tests are stamped when it suits them, and none is to be deleted for its age.
            settings: &[("retention.ms", "-1")],
        })
        .collect();
    admin::create(&client(broker), &wanted, std::time::Duration::from_secs(30))
}

/// The group and the topics of one pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) group: String,
    pub(crate) input: String,
    pub(crate) forecasts: String,
    pub(crate) letters: String,
}

impl Names {
    /// All beginning with `group`.
    pub(crate) fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            input: format!("{group}.in"),
            forecasts: format!("{group}.out"),
            letters: format!("{group}.dead"),
        }
    }

    /// Topics that no other test of this run uses, made.
    pub(crate) fn made(broker: &Broker, prefix: &str, partitions: i32) -> Self {
        let names = Self::new(&unique(prefix));
        names.make(broker, partitions);
        names
    }

    /// Makes the topics.
    pub(crate) fn make(&self, broker: &Broker, partitions: i32) {
        let all = [&self.input, &self.forecasts, &self.letters];
        topics(broker, &all.map(|name| (name.as_str(), partitions)));
    }
}

/// The sections of a config that are no pipeline's; `kafka` are further keys of that section.
pub(crate) fn sections(servers: &str, group: &str, instance: &str, kafka: &str) -> String {
    format!(
        r#"
[service]
instance = "{instance}"
http = "{{http}}"
log_format = "text"
[kafka]
brokers = ["{servers}"]
group = "{group}"
{kafka}
[store]
url = "file://{{dir}}/store"
"#
    )
}
