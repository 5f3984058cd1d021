//! The daemon against a real Apache Kafka, read by a client that nobody here wrote (kcat).

pub(crate) mod daemon;
pub(crate) mod kcat;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tidecast::kafka::{self, admin};

/// A broker of this test binary; it ends with the process, whichever way that ends.
pub(crate) struct Broker {
    pub(crate) servers: String,
    folder: PathBuf,
}

impl Broker {
    /// The one that all tests share but those that stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("shared"))
    }

    /// A broker of the caller's own.
    pub(crate) fn start(name: &str) -> Self {
        let broker = Self::reserve(name);
        broker.launch();
        broker
    }

    /// Its address, before it runs.
    pub(crate) fn reserve(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tidecast-it-{}-{name}", std::process::id()));
        Self {
            servers: format!("127.0.0.1:{}", free_port()),
            folder,
        }
    }

    /// Starts the node and waits until it answers.
    pub(crate) fn launch(&self) {
        let port = self.servers.rsplit(':').next().unwrap();
        let output = Command::new(script())
            .args(["start", self.folder.to_str().unwrap(), "1", port])
            .env("TIDECAST_BROKER_OWNER", std::process::id().to_string())
            .output()
            .unwrap();
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
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Below the ephemeral range, apart for parallel runs of this binary.
    let base = 20_000 + (std::process::id() % 200) * 60;
    loop {
        let port = u16::try_from(base + NEXT.fetch_add(1, Ordering::Relaxed)).unwrap();
        // The broker's own quorum listens 501 above its port.
        if [port, port + 501]
            .iter()
            .all(|&port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
        {
            return port;
        }
    }
}

/// A name that no other test of this run uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes topics (name, partitions).
pub(crate) fn topics(broker: &Broker, topics: &[(&str, i32)]) {
    let config = kafka::Config {
        brokers: vec![broker.servers.clone()],
        group: "test".to_owned(),
        instance: "test".to_owned(),
        client: std::collections::BTreeMap::new(),
    };
    let wanted: Vec<_> = topics
        .iter()
        .map(|&(name, partitions)| admin::Wanted {
            name,
            partitions,
            settings: &[],
        })
        .collect();
    admin::create(&config, &wanted, std::time::Duration::from_secs(30)).unwrap();
}
