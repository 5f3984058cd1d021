//! Layers, and what the whole resolves to.

use std::time::Duration;

use super::{GOOD, Given, good};
use crate::codec::config::TimeUnit;
use crate::config::LogFormat;
use crate::engine::config::{Interval, Seasons};
use crate::nn::Cell;
use crate::worker::config::Start;

#[test]
fn layers_begin_with_the_defaults() {
    let config = good().load().unwrap().config;
    assert_eq!(config.http.to_string(), "127.0.0.1:9464");
    assert_eq!(
        (config.log.as_str(), config.log_format),
        ("info", LogFormat::Auto)
    );
    assert_eq!(
        config.kafka.instance, "plant-7-example",
        "the host's name, as a name"
    );
    assert_eq!(
        (config.kafka.group.as_str(), config.kafka.brokers.as_slice()),
        ("tidecast", &["127.0.0.1:9092".to_owned()][..])
    );
    assert_eq!(config.store.url, "file:///var/lib/tidecast");
    let [plant] = config.pipelines.as_slice() else {
        panic!("one pipeline")
    };
    let worker = &plant.worker;
    assert_eq!(
        (worker.pipeline.as_str(), worker.workers, worker.start),
        ("plant", 1, Start::Latest)
    );
    assert_eq!(
        (worker.warmup, worker.rebuild),
        (Duration::ZERO, Duration::from_secs(7 * 86_400))
    );
    assert_eq!(worker.commit_interval, Duration::from_millis(500));
    // A third of the broker's time-out of a transaction.
    assert_eq!(worker.transaction_age_max, Duration::from_secs(5));
    assert_eq!(
        (
            worker.input.id.as_deref(),
            worker.input.time.as_deref(),
            worker.input.time_unit
        ),
        (None, None, TimeUnit::Auto)
    );
    assert_eq!(
        (worker.input.stream_max_bytes, worker.input.value_max_bytes),
        (256, 1 << 20)
    );
    assert_eq!(worker.input.future_max_ms, 30 * 60_000);
    let engine = &worker.engine;
    assert_eq!(
        (engine.interval, &engine.seasons, engine.gap_max),
        (Interval::Auto, &Seasons::Auto, 32)
    );
    assert_eq!(engine.horizons, (1..=12).collect::<Vec<_>>());
    assert_eq!(engine.quantiles, [0.1, 0.5, 0.9]);
    assert_eq!(
        (engine.model.cell, engine.model.hidden, engine.model.layers),
        (Cell::Gru, 48, 1)
    );
    assert!(engine.experts.is_empty() && !engine.publish_warming);
    assert_eq!(
        (plant.training.cpu_share, plant.training.rows_per_observation),
        (0.5, 14.0)
    );
    assert_eq!(
        (
            plant.training.chunk,
            plant.training.batch,
            plant.training.tape_bytes
        ),
        (32, 64, 256_000_000)
    );
}

#[test]
fn layers_begin_with_a_snapshot_a_minute_and_bounds_of_lag() {
    let config = good().load().unwrap().config;
    assert_eq!(config.store.keep, 3);
    let worker = &config.pipelines[0].worker;
    assert_eq!(
        (worker.snapshot_interval, worker.snapshot_bytes_per_s),
        (Duration::from_secs(60), 10_000_000)
    );
    assert_eq!((worker.lag_pause_training, worker.lag_thin), (10_000, 100_000));
}

#[test]
fn layers_lie_over_each_other() {
    let upper = "[service]\nlog = \"b\"\ninstance = \"file\"\n[pipeline.plant]\nmodel = { hidden = 8 }\n";
    let given = good()
        .file("upper.toml", upper)
        .env("TIDECAST__SERVICE__LOG", "c")
        .env("TIDECAST__SERVICE__HTTP", "0.0.0.0:1")
        .set("service.log=d")
        .set("pipeline.plant.model.layers=2");
    let config = given.load().unwrap().config;
    assert_eq!(
        (
            config.log.as_str(),
            config.kafka.instance.as_str(),
            config.http.port()
        ),
        ("d", "file", 1)
    );
    let model = config.pipelines[0].worker.engine.model;
    assert_eq!(
        (model.cell, model.hidden, model.layers),
        (Cell::Gru, 8, 2),
        "a table is merged key by key"
    );
}

#[test]
fn layers_of_text_are_read_as_the_key_wants() {
    let given = good()
        .env("TIDECAST__KAFKA__BROKERS", "a:1, b:2")
        .env("TIDECAST__SERVICE__INSTANCE", "7")
        .env("TIDECAST__PIPELINE__PLANT__HORIZONS", "[1, 24]")
        .env("TIDECAST__PIPELINE__PLANT__INPUT__VALUES", "temperature")
        .env("TIDECAST__PIPELINE__PLANT__DEAD_LETTER__DROPS", "true")
        .env("TIDECAST__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL")
        .env("UNRELATED", "x")
        .set("pipeline.plant.seasons=[\"1d\"]")
        .set("pipeline.plant.interval=\"1m\"")
        .set("kafka.client.ssl.ca.location=/etc/ca.pem");
    let config = given.load().unwrap().config;
    assert_eq!(
        (config.kafka.brokers, config.kafka.instance.as_str()),
        (vec!["a:1".to_owned(), "b:2".to_owned()], "7")
    );
    let worker = &config.pipelines[0].worker;
    assert_eq!(worker.engine.horizons, [1, 24]);
    assert_eq!(
        (&worker.engine.seasons, worker.engine.interval),
        (&Seasons::Durations(vec![86_400_000]), Interval::Given(60_000))
    );
    assert_eq!(
        (worker.input.values.as_slice(), worker.dead_letter_drops),
        (&["temperature".to_owned()][..], true)
    );
    assert_eq!(config.kafka.client["security.protocol"], "SSL");
    assert_eq!(config.kafka.client["ssl.ca.location"], "/etc/ca.pem");
}

#[test]
fn layers_hold_defaults_of_all_pipelines() {
    let given = good().file("b.toml", &GOOD.replace("plant", "other")).file(
        "c.toml",
        "[pipeline.\"*\"]\nworkers = 3\n[pipeline.plant]\nworkers = 2\n",
    );
    let config = given.load().unwrap().config;
    let workers: Vec<_> = config
        .pipelines
        .iter()
        .map(|one| (one.worker.pipeline.as_str(), one.worker.workers))
        .collect();
    assert_eq!(workers, [("other", 3), ("plant", 2)], "by name, ascending");
}

#[test]
fn layers_are_shown_with_their_origin() {
    let given = good().set("service.log=debug").env("TIDECAST__KAFKA__GROUP", "g");
    let resolved = given.load().unwrap();
    let text = resolved.to_string();
    let line = |start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {text}"))
    };
    assert!(line("log = \"debug\"").ends_with("# --set"));
    assert!(line("group = \"g\"").ends_with("# environment TIDECAST__KAFKA__GROUP"));
    assert!(line("instance = \"plant-7-example\"").ends_with("# host name"));
    assert!(line("url = ").ends_with("# default"));
    assert!(line("topics = [\"sensors\"]").contains("good.toml:3"));
    assert!(!text.contains("\"*\""), "{text}");
    let again = Given::default().file("shown.toml", &text).load().unwrap();
    assert_eq!(again.config, resolved.config, "what is shown is a configuration");
}
