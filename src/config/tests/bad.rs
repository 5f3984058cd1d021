//! Bad configurations: each is answered with key, reason and way out.

use super::{GOOD, Given, good};

/// What lies over the good file (`--set` where it is one line without a table, else a file), and the line that answers it:
/// key, reason, way out.
const BAD: &[(&str, &str, &str, &str)] = &[
    // Names of keys and sections.
    (
        "service.htpp=1.2.3.4:5",
        "service.htpp",
        "is no key",
        "did you mean `http`?",
    ),
    (
        "kafka.comit_interval_ms=5",
        "kafka.comit_interval_ms",
        "is no key",
        "did you mean `commit_interval_ms`?",
    ),
    (
        "kafka.commit_interval=5",
        "kafka.commit_interval",
        "is no key",
        "did you mean `commit_interval_ms`?",
    ),
    ("kafak.group=a", "kafak", "is no key", "did you mean `kafka`?"),
    (
        "pipelines.plant.workers=1",
        "pipelines",
        "is no key",
        "did you mean `pipeline`?",
    ),
    (
        "pipeline.plant.topics=a",
        "pipeline.plant.topics",
        "at home elsewhere",
        "write `pipeline.NAME.input.topics`",
    ),
    (
        "pipeline.plant.hidden=64",
        "pipeline.plant.hidden",
        "at home elsewhere",
        "write `pipeline.NAME.model.hidden`",
    ),
    (
        "service.colour=red",
        "service.colour",
        "is no key",
        "take one of `instance`, `http`",
    ),
    // Keys and choices of the contract that come later.
    (
        "pipeline.plant.input.format=influx",
        "pipeline.plant.input.format",
        "not served yet",
        "set `json`",
    ),
    (
        "pipeline.plant.input.format=avro",
        "pipeline.plant.input.format",
        "not served yet",
        "set `json`",
    ),
    (
        "pipeline.plant.input.covariates=[\"w\"]",
        "pipeline.plant.input.covariates",
        "not served yet",
        "remove the key",
    ),
    (
        "pipeline.plant.aggregate=mean",
        "pipeline.plant.aggregate",
        "not served yet",
        "set `none`",
    ),
    (
        "pipeline.plant.profile=compact",
        "pipeline.plant.profile",
        "not served yet",
        "set `accurate`",
    ),
    (
        "pipeline.plant.stream_ttl=30d",
        "pipeline.plant.stream_ttl",
        "not served yet",
        "raise `streams_max`: remove",
    ),
    (
        "pipeline.plant.experts=last,linear",
        "pipeline.plant.experts",
        "`linear` is not served yet",
        "set \"all\"",
    ),
    (
        "store.url=s3://bucket/prefix",
        "store.url",
        "not served yet",
        "write \"file:///var/lib/tidecast\"",
    ),
    (
        "store.snapshot_interval_s=60",
        "store.snapshot_interval_s",
        "not served yet",
        "remove the key",
    ),
    (
        "store.snapshot_mb_per_s=10",
        "store.snapshot_mb_per_s",
        "not served yet",
        "remove the key",
    ),
    ("store.keep=3", "store.keep", "not served yet", "remove the key"),
    // Types.
    (
        "[service]\nlog = 3",
        "service.log",
        "a string is needed",
        "put it in quotes",
    ),
    (
        "[kafka]\ncommit_interval_ms = \"500\"",
        "kafka.commit_interval_ms",
        "whole number is needed",
        "set 10 to 60000",
    ),
    (
        "[kafka]\nbrokers = 9092",
        "kafka.brokers",
        "a list is needed",
        "write [\"host:9092\"]",
    ),
    (
        "kafka=1",
        "--set kafka=1",
        "section or key is missing",
        "write `--set section.key=value`",
    ),
    (
        "[pipeline.plant]\ninput = \"sensors\"",
        "pipeline.plant.input",
        "a table is needed",
        "write `input = { … }`",
    ),
    (
        "[pipeline]\nother = 1",
        "pipeline.other",
        "a table is needed",
        "write [pipeline.other]",
    ),
    (
        "pipeline.plant.dead_letter.drops=1",
        "pipeline.plant.dead_letter.drops",
        "true or false",
        "without quotes",
    ),
    (
        "training.cpu_share=half",
        "training.cpu_share",
        "a number is needed",
        "write it without quotes",
    ),
    (
        "[training]\ntape = true",
        "training.tape",
        "a size is needed",
        "write bytes, \"64KB\"",
    ),
    // Ranges.
    (
        "pipeline.plant.workers=0",
        "pipeline.plant.workers",
        "outside 1 to 256",
        "set 1 to 256",
    ),
    (
        "training.cpu_share=1.5",
        "training.cpu_share",
        "outside 0 to 1",
        "set 0 to 1",
    ),
    (
        "training.publish_interval_s=0",
        "training.publish_interval_s",
        "each version is a file",
        "set 1 to 86400",
    ),
    (
        "pipeline.plant.model.hidden=1024",
        "pipeline.plant.model.hidden",
        "outside 1 to 512",
        "set 1 to 512",
    ),
    (
        "pipeline.plant.model.layers=4",
        "pipeline.plant.model.layers",
        "outside 1 to 3",
        "set 1 to 3",
    ),
    (
        "pipeline.plant.train.learning_rate=0",
        "pipeline.plant.train.learning_rate",
        "do not learn",
        "set 0.0000001 to",
    ),
    (
        "pipeline.plant.input.stream_max_bytes=0",
        "pipeline.plant.input.stream_max_bytes",
        "held in memory",
        "set 1 to",
    ),
    (
        "service.shutdown_grace=100ms",
        "service.shutdown_grace",
        "outside 1s to 10m",
        "set 1s to 10m",
    ),
    // Forms.
    (
        "pipeline.plant.interval=1 minute",
        "pipeline.plant.interval",
        "duration with its unit",
        "\"5m\"",
    ),
    (
        "pipeline.plant.input.warmup=7",
        "pipeline.plant.input.warmup",
        "duration with its unit",
        "\"7d\"",
    ),
    (
        "training.tape=256MO",
        "training.tape",
        "a size is needed",
        "\"256MB\"",
    ),
    (
        "pipeline.plant.time_zone=Europe/Berlin",
        "pipeline.plant.time_zone",
        "zones are not served",
        "write \"+01:00\"",
    ),
    (
        "pipeline.plant.time_zone=+25:00",
        "pipeline.plant.time_zone",
        "from -14:00 to +14:00",
        "write \"+01:00\"",
    ),
    (
        "service.http=localhost:9464",
        "service.http",
        "an IP and a port are needed",
        "write \"127.0.0.1:9464\"",
    ),
    (
        "service.log_format=xml",
        "service.log_format",
        "is no choice",
        "set one of `auto`, `journald`",
    ),
    (
        "service.log=",
        "service.log",
        "nothing would be logged",
        "set \"info\"",
    ),
    (
        "service.log=info,=debug=x",
        "service.log",
        "no filter",
        "\"info,tidecast::worker=debug\"",
    ),
    (
        "service.instance=Plant 7",
        "service.instance",
        "cannot be a name",
        "use 1 to 64 of a-z",
    ),
    (
        "kafka.group=tide_cast",
        "kafka.group",
        "cannot be a name",
        "use 1 to 64 of a-z",
    ),
    (
        "kafka.brokers=localhost",
        "kafka.brokers",
        "host and port are needed",
        "write [\"host:9092\"]",
    ),
    (
        "[kafka]\nbrokers = []",
        "kafka.brokers",
        "there is no cluster to reach",
        "write [\"host:9092\"]",
    ),
    (
        "store.url=file://models",
        "store.url",
        "no absolute path",
        "write \"file:///var/lib/tidecast\"",
    ),
    (
        "store.url=/var/lib/tidecast",
        "store.url",
        "only file:// is served",
        "write \"file:///var/lib/tidecast\"",
    ),
    (
        "pipeline.plant.model.cell=transformer",
        "pipeline.plant.model.cell",
        "is no choice",
        "set one of `gru`",
    ),
    (
        "pipeline.plant.seasons=[168, 24]",
        "pipeline.plant.seasons",
        "shortest season comes first",
        "[24, 168]",
    ),
    (
        "pipeline.plant.seasons=[1]",
        "pipeline.plant.seasons",
        "at least 2 steps",
        "write \"auto\"",
    ),
    (
        "pipeline.plant.horizons=0",
        "pipeline.plant.horizons",
        "outside 1 to 512",
        "set 1 to 512",
    ),
    (
        "pipeline.plant.horizons=[3, 1]",
        "pipeline.plant.horizons",
        "is not ascending",
        "sort the list",
    ),
    (
        "pipeline.plant.horizons=[]",
        "pipeline.plant.horizons",
        "nothing would be forecast",
        "write 12 for 1 to 12",
    ),
    (
        "pipeline.plant.quantiles=[0.1, 0.9]",
        "pipeline.plant.quantiles",
        "lacks 0.5",
        "write [0.1, 0.5, 0.9]",
    ),
    (
        "pipeline.plant.quantiles=[0.5, 0.1]",
        "pipeline.plant.quantiles",
        "is not ascending",
        "write [0.1, 0.5, 0.9]",
    ),
    (
        "pipeline.plant.quantiles=[0, 0.5]",
        "pipeline.plant.quantiles",
        "outside 0.001 to 0.999",
        "write [0.1, 0.5",
    ),
    (
        "pipeline.plant.experts=oracle",
        "pipeline.plant.experts",
        "is no expert",
        "names of `last`",
    ),
    (
        "pipeline.plant.input.values=[]",
        "pipeline.plant.input.values",
        "1 to 256 are needed",
        "write [\"temperature\"]",
    ),
    (
        "pipeline.plant.input.values=a,a",
        "pipeline.plant.input.values",
        "occurs twice",
        "name it once",
    ),
    (
        "pipeline.plant.input.id=a..b",
        "pipeline.plant.input.id",
        "part of the path is empty",
        "\"outer.field\"",
    ),
    (
        "pipeline.plant.input.topics=^sensors.*",
        "pipeline.plant.input.topics",
        "cannot be a topic",
        "use 1 to 249 of",
    ),
    (
        "[pipeline.Plant_2]\n",
        "pipeline.Plant_2",
        "cannot be a name",
        "use 1 to 64 of a-z",
    ),
    // Rules between keys.
    (
        "pipeline.plant.output.topic=sensors",
        "pipeline.plant.output.topic",
        "read what it writes",
        "name another topic",
    ),
    (
        "pipeline.plant.dead_letter.topic=sensors",
        "pipeline.plant.dead_letter.topic",
        "read what it",
        "another topic",
    ),
    (
        "pipeline.plant.dead_letter.topic=forecasts",
        "pipeline.plant.dead_letter.topic",
        "foreign bytes",
        "another topic",
    ),
    (
        "kafka.commit_interval_ms=8000",
        "kafka.commit_interval_ms",
        "more than half of transaction",
        "set at most 7500",
    ),
    (
        "[kafka]\nclient = { \"session.timeout.ms\" = \"20000\", \"max.poll.interval.ms\" = \"10000\" }",
        "kafka.client.session.timeout.ms",
        "more than max.poll.interval.ms",
        "set it below",
    ),
    // Properties of the client.
    (
        "kafka.client.enable.auto.commit=true",
        "kafka.client.enable.auto.commit",
        "is refused",
        "remove the property",
    ),
    (
        "kafka.client.group.id=a",
        "kafka.client.group.id",
        "is refused",
        "use `kafka.group`",
    ),
    (
        "kafka.client.transactional.id=a",
        "kafka.client.transactional.id",
        "is refused",
        "use `service.instance`",
    ),
    (
        "kafka.client.acks=1",
        "kafka.client.acks",
        "transactions need all",
        "remove the property",
    ),
    (
        "kafka.client.isolation.level=x",
        "kafka.client.isolation.level",
        "aborted records",
        "remove the property",
    ),
    (
        "kafka.client.transaction.timeout.ms=1m",
        "kafka.client.transaction.timeout.ms",
        "milliseconds",
        "write \"15000\"",
    ),
    (
        "[kafka]\nclient = { \"socket.timeout.ms\" = 5 }",
        "kafka.client.socket.timeout.ms",
        "are strings",
        "write a string",
    ),
    (
        "[kafka]\nclient = { \"Security Protocol\" = \"SSL\" }",
        "kafka.client.Security Protocol",
        "no property",
        "look it up",
    ),
    (
        "kafka.client.sasl.password={ file = \"gone\" }",
        "kafka.client.sasl.password",
        "cannot be read",
        "LoadCredential=",
    ),
    (
        "kafka.client.sasl.password={ env = \"GONE\" }",
        "kafka.client.sasl.password",
        "has no `GONE`",
        "set it, or use",
    ),
    (
        "kafka.client.sasl.password={ vault = \"x\" }",
        "kafka.client.sasl.password",
        "is no secret",
        "write { file = \"…\" }",
    ),
];

fn given(over: &str) -> Given {
    if over.starts_with('[') {
        good().file("over.toml", over)
    } else {
        good().set(over)
    }
}

#[test]
fn bad_configs_are_answered_with_key_reason_and_way_out() {
    assert!(BAD.len() >= 40);
    for (over, key, reason, way_out) in BAD {
        let given = given(over);
        let errors = given.load().expect_err(over).to_string();
        let line = errors.lines().find(|line| line.starts_with(&format!("{key}: ")));
        let line = line.unwrap_or_else(|| panic!("{over}: no line for `{key}` in\n{errors}"));
        assert!(line.contains(reason), "{over}: no `{reason}` in\n{line}");
        assert!(line.contains(way_out), "{over}: no `{way_out}` in\n{line}");
        if !over.contains("Plant_2") {
            assert_eq!(
                errors.lines().count(),
                1,
                "{over}: one fault, one line:\n{errors}"
            );
        }
    }
}

#[test]
fn bad_values_are_named_with_their_place() {
    let given = good()
        .file("over.toml", "\n[service]\nlog = 3\n")
        .set("pipeline.plant.workers=0")
        .env("TIDECAST__STORE__KEEP", "3");
    let errors = given.load().unwrap_err().to_string();
    let folder = given.folder();
    assert!(errors.contains(&format!("({folder}/over.toml:3)")), "{errors}");
    assert!(errors.contains("(--set)"), "{errors}");
    assert!(errors.contains("(environment TIDECAST__STORE__KEEP)"), "{errors}");
    assert_eq!(errors.lines().count(), 3, "all at once");
}

#[test]
fn bad_without_a_pipeline_says_what_to_add() {
    let errors = Given::default().load().unwrap_err().to_string();
    assert!(errors.starts_with("pipeline: there is none"), "{errors}");
    assert!(errors.contains("add a table [pipeline.NAME]"), "{errors}");
}

#[test]
fn bad_pipeline_without_anything_misses_every_key_that_has_no_default() {
    let errors = Given::default()
        .file("a.toml", "[pipeline.p]\n")
        .load()
        .unwrap_err()
        .to_string();
    for (key, way_out) in [
        ("pipeline.p.input.topics", "write `topics = [\"sensors\"]`"),
        ("pipeline.p.input.values", "write `values = [\"temperature\"]`"),
        ("pipeline.p.output.topic", "write `topic = \"forecasts\"`"),
        (
            "pipeline.p.dead_letter.topic",
            "write `topic = \"forecasts.dead\"`",
        ),
    ] {
        let line = errors
            .lines()
            .find(|line| line.starts_with(&format!("{key}: is missing")))
            .expect(key);
        assert!(line.contains(way_out), "{line}");
    }
    assert_eq!(errors.lines().count(), 4);
}

#[test]
fn bad_files_are_named() {
    let broken = Given::default().file("broken.toml", "[service]\nlog = \"info\"\nlog = \"debug\"\n");
    let errors = broken.load().unwrap_err().to_string();
    assert!(errors.contains("broken.toml:3: is no TOML"), "{errors}");
    let mut gone = good();
    gone.files.push("/nowhere/gone.toml".into());
    let errors = gone.load().unwrap_err().to_string();
    assert!(
        errors.starts_with("/nowhere/gone.toml: cannot be read"),
        "{errors}"
    );
}

#[test]
fn bad_circles_of_pipelines_are_refused_and_chains_are_not() {
    let second = |output: &str| {
        format!(
            "[pipeline.second]\ninput = {{ topics = [\"forecasts\"], values = [\"observed\"] }}\n\
             output = {{ topic = \"{output}\" }}\ndead_letter = {{ topic = \"dead\" }}\n"
        )
    };
    assert!(good().file("b.toml", &second("more")).load().is_ok());
    let errors = good()
        .file("b.toml", &second("sensors"))
        .load()
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("pipeline.plant.output.topic: comes back as input"),
        "{errors}"
    );
    let twin = GOOD.replace("plant", "twin");
    assert!(
        good().file("b.toml", &twin).load().is_ok(),
        "two pipelines may write one topic"
    );
}

#[test]
fn bad_secrets_do_not_show_in_messages() {
    let errors = good()
        .file("b.toml", "[kafka]\nclient = { \"sasl.password\" = [\"hush\"] }")
        .load()
        .unwrap_err();
    assert!(!errors.to_string().contains("hush"), "{errors}");
}
