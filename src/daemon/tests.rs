//! The shell as a whole, without a cluster.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::board::{PipelineBoard, Stage};
use super::clock::Clock;
use super::gauges::TrainerTotals;
use super::http::{self, Sources};
use super::{Board, Error, Stop, bind, run};
use crate::config;
use crate::telemetry::Metrics;
use crate::worker::ports::Activity;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Requests the stop on every way out: a failed assertion must not leave the scope waiting for a server.
struct StopAtEnd(Stop);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Status line and body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn http_answers_life_readiness_and_metrics() {
    let pipeline = Arc::new(PipelineBoard::new("plant", &["sensors".to_owned()], 1));
    let board = Board {
        pipelines: vec![Arc::clone(&pipeline)],
        stopping: AtomicBool::new(false),
    };
    let sources = Arc::new(Sources {
        board: Arc::new(board),
        metrics: Arc::new(Metrics::new()),
        totals: TrainerTotals::default(),
        clock: Clock::start(),
    });
    let listener = bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let at_end = StopAtEnd(stop.clone());
        let server = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                http::serve(listener, sources, stop.clone()).await
            })
        });
        let (status, body) = get(address, "/readyz");
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert!(
            body.contains(r#"{"pipeline":"plant","reason":"starting"}"#),
            "{body}"
        );
        let (status, body) = get(address, "/livez");
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "alive\n"));
        let (status, body) = get(address, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(
            body.contains("tidecast_ready{} 0.0\n") && body.ends_with("# EOF\n"),
            "{body}"
        );
        pipeline.set_stage(Stage::Running);
        pipeline.workers[0].sign(Activity::Turn, Duration::ZERO);
        assert_eq!(get(address, "/nowhere").0, "HTTP/1.1 404 Not Found");
        drop(at_end);
        server.join().unwrap().unwrap();
    });
}

#[test]
fn bind_names_the_address_that_is_taken() {
    let taken = bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("`service.http` `{address}` cannot be used")),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn exit_code_76_is_for_an_instance_in_use_only() {
    let in_use = Error::InstanceInUse {
        instance: "a".to_owned(),
    };
    assert_eq!(in_use.exit_code(), 76);
    assert!(
        in_use
            .to_string()
            .starts_with("`service.instance` `a` is in use by another process")
    );
    let grace = Error::Grace {
        grace: Duration::from_secs(20),
        hung: "worker plant/0 in a commit".to_owned(),
    };
    assert_eq!(grace.exit_code(), 1);
}

fn config(store: &std::path::Path) -> config::Config {
    let set = [
        "service.instance=test".to_owned(),
        format!("store.url=file://{}", store.display()),
        "kafka.brokers=[\"127.0.0.1:1\"]".to_owned(), // nobody listens on port 1
        "pipeline.plant.input.topics=[\"sensors\"]".to_owned(),
        "pipeline.plant.input.values=[\"v\"]".to_owned(),
        "pipeline.plant.output.topic=forecasts".to_owned(),
        "pipeline.plant.dead_letter.topic=dead".to_owned(),
    ];
    let sources = config::Sources {
        set: set.to_vec(),
        ..config::Sources::default()
    };
    config::load(&sources).unwrap().config
}

#[test]
fn daemon_without_kafka_waits_says_so_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let listener = bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let at_end = StopAtEnd(stop.clone());
        let daemon = scope.spawn(|| run(config, listener, stop.clone()));
        let waits = (0..100_000).any(|_| {
            let (status, body) = get(address, "/readyz");
            assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
            body.contains("waiting for Kafka at 127.0.0.1:1")
        });
        assert!(waits, "{}", get(address, "/readyz").1);
        assert_eq!(get(address, "/livez").1, "alive\n");
        assert!(!get(address, "/metrics").1.contains("tidecast_model_version{"));
        drop(at_end);
        daemon.join().unwrap().unwrap();
    });
    assert!(
        !folder.path().join("tidecast").exists(),
        "no version is made before it is known which ones the committed offsets name"
    );
}
