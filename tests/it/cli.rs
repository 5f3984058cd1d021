//! The command line as an operator and a newcomer meet it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tidecast::kafka::{self, admin};

use crate::broker::{Broker, kcat, topics, unique};

fn tidecast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidecast"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cli_every_command_has_help_with_an_example() {
    for command in ["run", "check", "demo", "models"] {
        let output = tidecast(&[command, "--help"]);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        assert!(
            text(&output.stdout).contains(&format!("tidecast {command}")),
            "{command} shows no example"
        );
    }
}

#[test]
fn cli_bad_config_names_every_key_and_exits_78() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    let bad =
        "[service]\nhttp = \"nowhere\"\n[pipeline.plant]\nhorizons = 0\ninput = { topics = [] }\nspeed = 3\n";
    std::fs::write(&file, bad).unwrap();
    for command in ["run", "check"] {
        let output = tidecast(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let errors = text(&output.stderr);
        for key in [
            "service.http",
            "pipeline.plant.horizons",
            "pipeline.plant.input.topics",
            "pipeline.plant.speed",
        ] {
            assert!(errors.contains(key), "{command} does not name {key}:\n{errors}");
        }
    }
    let output = tidecast(&["check", "--config", "/nowhere/tidecast.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("/nowhere/tidecast.toml"));
}

#[test]
fn cli_check_prints_the_memory_of_the_streams_asked_for() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/plant.toml");
    let output = tidecast(&["check", "--config", example, "--streams", "1000000"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for word in ["hidden", "ring", "bytes", "1000000"] {
        assert!(table.contains(word), "no `{word}` in:\n{table}");
    }
}

#[test]
fn cli_refused_property_exits_78_and_shows_no_value() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/plant.toml");
    for command in ["run", "check"] {
        let property = "kafka.client.sasl.passwrd=hunter2secret";
        let output = tidecast(&[command, "--config", example, "--set", property]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {said}");
        assert!(said.contains("kafka.client.sasl.passwrd: is refused"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// A configuration of topics that begin with `name`.
fn configuration(broker: &Broker, name: &str, folder: &Path) -> PathBuf {
    let file = folder.join("connect.toml");
    let config = format!(
        "[kafka]\nbrokers = [\"{}\"]\ngroup = \"{name}\"\n[store]\nurl = \"file://{}\"\n[pipeline.plant]\n\
         input = {{ topics = [\"{name}.in\"], format = \"json\", id = \"id\", time = \"t\", values = [\"v\"] }}\n\
         output = {{ topic = \"{name}.out\" }}\ndead_letter = {{ topic = \"{name}.dead\" }}\n",
        broker.servers,
        folder.join("store").display()
    );
    std::fs::write(&file, config).unwrap();
    file
}

/// What `--connect` finds on a real cluster: nothing at first, everything once the topics are there.
#[test]
fn cli_check_connect_names_what_is_missing() {
    let broker = Broker::shared();
    let name = unique("connect");
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(broker, &name, dir.path());
    let check = || tidecast(&["check", "--connect", "--config", file.to_str().unwrap()]);
    let missing = check();
    assert_eq!(
        missing.status.code(),
        Some(69),
        "{}{}",
        text(&missing.stdout),
        text(&missing.stderr)
    );
    let said = text(&missing.stdout) + &text(&missing.stderr);
    assert!(
        said.contains(&format!("{name}.in")) && said.contains(&format!("{name}.out")),
        "{said}"
    );
    topics(broker, &[(&format!("{name}.in"), 3)]);
    let said = text(&check().stdout);
    assert_eq!(
        said.matches("--partitions 3\n").count(),
        2,
        "what is made gets the input's partitions:\n{said}"
    );
    topics(
        broker,
        &[(&format!("{name}.out"), 3), (&format!("{name}.dead"), 3)],
    );
    let found = check();
    assert!(
        found.status.success(),
        "{}{}",
        text(&found.stdout),
        text(&found.stderr)
    );
    let torn = r#"{"id":"torn-pump","t":"2026-01-05T10:00:00Z","v":1}"#;
    for partition in [0, 1] {
        kcat::write(
            &broker.servers,
            &format!("{name}.in"),
            partition,
            &[(None, Some(torn))],
        );
    }
    let torn = check();
    let said = text(&torn.stdout) + &text(&torn.stderr);
    assert!(said.contains("torn-pump"), "{said}");
    let unread = tidecast(&[
        "check",
        "--connect",
        "--config",
        file.to_str().unwrap(),
        "--set",
        "pipeline.plant.input.id=pump",
    ]);
    let said = text(&unread.stdout);
    assert!(unread.status.success(), "{said}{}", text(&unread.stderr));
    for word in [
        "2 of 2 observations refused: no_stream",
        "fields seen: id, t, v",
        "with 1 warning",
    ] {
        assert!(said.contains(word), "no `{word}` in:\n{said}");
    }
}

#[test]
fn cli_check_connect_warns_of_an_input_that_forgets_too_soon() {
    let broker = Broker::shared();
    let name = unique("short");
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(broker, &name, dir.path());
    let cluster = kafka::Config {
        brokers: vec![broker.servers.clone()],
        group: "test".to_owned(),
        instance: "test".to_owned(),
        client: std::collections::BTreeMap::new(),
    };
    let (input, output, dead) = (
        format!("{name}.in"),
        format!("{name}.out"),
        format!("{name}.dead"),
    );
    let wanted = |name, settings| admin::Wanted {
        name,
        partitions: 1,
        settings,
    };
    let short: &[_] = &[("retention.ms", "3600000")];
    let all = [wanted(&input, short), wanted(&output, &[]), wanted(&dead, &[])];
    admin::create(&cluster, &all, Duration::from_secs(20)).unwrap();
    let output = tidecast(&["check", "--connect", "--config", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for word in [
        "1 partition, 1 replica, kept 1 h",
        "keeps 1 h, but store.rebuild reads 7 d back",
        "with 1 warning",
    ] {
        assert!(said.contains(word), "no `{word}` in:\n{said}");
    }
}

#[test]
fn cli_demo_shows_forecasts_on_its_own_and_ends() {
    let output = tidecast(&["demo", "--seconds", "12"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    for word in ["pump", "tank", "compressor", "in band", "skill"] {
        assert!(shown.contains(word), "no `{word}` in:\n{shown}");
    }
}

#[test]
fn cli_demo_names_what_is_wrong_with_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.csv");
    std::fs::write(&file, "time,a\n2026-01-01 00:00:00,1\n2026-01-01 01:00:00,warm\n").unwrap();
    let output = tidecast(&["demo", "--csv", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("line 3") && said.contains("warm"), "{said}");
}
