//! The command line's own promises.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::{Command, Line, exit, memory, models};
use crate::config::{self, Config, Sources};
use crate::engine::{self, Model, ModelVersion, Origin};
use crate::nn::Params;
use crate::store::{ModelStore, Store};

const CONFIG: &str = r#"
[pipeline.plant]
input = { topics = ["sensors"], values = ["v"] }
output = { topic = "forecasts" }
dead_letter = { topic = "dead" }
model = { hidden = 4 }
"#;

/// Writes the configuration with a store beside it.
fn config_in(folder: &Path) -> (String, Config) {
    let path = folder.join("plant.toml");
    let store = folder.join("store");
    let text = format!("[store]\nurl = \"file://{}\"\n{CONFIG}", store.display());
    std::fs::write(&path, text).unwrap();
    let sources = Sources {
        files: vec![path.clone()],
        host_name: "h".to_owned(),
        ..Sources::default()
    };
    (path.display().to_string(), config::load(&sources).unwrap().config)
}

/// Runs `tidecast models …`; the exit code.
fn models_code(words: &[&str]) -> u8 {
    let line = Line::try_parse_from(["tidecast", "models"].iter().chain(words)).unwrap();
    let Command::Models(args) = line.command else {
        panic!("a models command")
    };
    models::run(&args).map_or_else(|error| exit::number(&error), |()| 0)
}

#[test]
fn cli_is_consistent() {
    Line::command().debug_assert();
}

#[test]
fn cli_every_command_has_a_help_with_an_example() {
    let mut command = Line::command();
    let help = command.render_long_help().to_string();
    assert!(help.contains("Examples:"), "{help}");
    for sub in command
        .get_subcommands_mut()
        .filter(|sub| sub.get_name() != "help")
    {
        let help = sub.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{help}");
    }
}

#[test]
fn cli_errors_become_the_exit_codes_of_the_contract() {
    let bad = config::load(&Sources::default()).unwrap_err();
    assert_eq!(exit::number(&bad.into()), 78);
    assert_eq!(exit::number(&exit::Unfit { errors: 1 }.into()), 69);
    assert_eq!(exit::number(&exit::BadData("no".to_owned()).into()), 65);
    let twin = crate::daemon::Error::InstanceInUse {
        instance: "a".to_owned(),
    };
    assert_eq!(exit::number(&anyhow::Error::from(twin).context("the daemon")), 76);
    assert_eq!(exit::number(&anyhow::anyhow!("anything else")), 1);
}

#[test]
fn cli_properties_that_the_client_refuses_are_a_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = config_in(folder.path());
    for words in [
        [
            "check",
            "--config",
            &path,
            "--set",
            "kafka.client.sasl.passwrd=hunter2secret",
        ],
        [
            "run",
            "--config",
            &path,
            "--set",
            "kafka.client.linger.ms=hunter2secret",
        ],
    ] {
        let line = Line::try_parse_from(["tidecast"].iter().chain(&words)).unwrap();
        let done = match line.command {
            Command::Check(args) => super::check::run(&args),
            Command::Run(args) => super::run::run(&args.sources()),
            _ => panic!("check or run"),
        };
        let error = done.unwrap_err();
        assert_eq!(exit::number(&error), 78, "{words:?}");
        let shown = format!("{error:#}");
        assert!(
            shown.contains("kafka.client.") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn models_go_out_and_come_back_as_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = config_in(folder.path());
    let store = std::sync::Arc::new(Store::open(&config.store).unwrap());
    let shelf = ModelStore::new(store, "tidecast", "plant");
    let first = Model::first(&config.pipelines[0].worker.engine, 7);
    shelf.put(&first).unwrap();
    let file = folder.path().join("out.safetensors").display().to_string();
    assert_eq!(models_code(&["list", "--config", &path]), 0);
    assert_eq!(models_code(&["show", "--config", &path, "1"]), 0);
    assert_eq!(models_code(&["export", "--config", &path, &file]), 0);
    assert_eq!(
        models_code(&["export", "--config", &path, &file]),
        65,
        "a file that is there is kept"
    );
    assert_eq!(models_code(&["import", "--config", &path, &file]), 0);
    let imported = shelf.newest().unwrap().unwrap();
    assert_eq!(
        (imported.version, imported.parent, imported.made.as_str()),
        (ModelVersion(2), None, "import")
    );
    assert_eq!(imported.params.as_slice(), first.params.as_slice());
    assert_ne!(
        imported.lineage, first.lineage,
        "states are not carried over to foreign weights"
    );
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = config_in(folder.path());
    let file = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.display().to_string()
    };
    let mut other = config.pipelines[0].worker.engine.clone();
    other.model.hidden = 5;
    let foreign = Model::first(&other, 7).to_bytes();
    assert_eq!(
        models_code(&["import", "--config", &path, &file("foreign", &foreign)]),
        65
    );
    let mut params = Params::init(&engine::shape(&config.pipelines[0].worker.engine), 7);
    params.as_mut_slice()[0] = f32::NAN;
    let origin = Origin {
        version: ModelVersion(1),
        parent: None,
        lineage: 1,
        made: "first".to_owned(),
    };
    let broken = Model::from_params(origin, params).to_bytes();
    assert_eq!(
        models_code(&["import", "--config", &path, &file("broken", &broken)]),
        65
    );
    assert_eq!(
        models_code(&["import", "--config", &path, &file("junk", b"junk")]),
        65
    );
    assert_eq!(models_code(&["import", "--config", &path, "/nowhere"]), 65);
    assert_eq!(
        models_code(&["show", "--config", &path]),
        65,
        "nothing was stored"
    );
    assert_eq!(
        models_code(&["list", "--config", &path, "--pipeline", "other"]),
        65
    );
    assert_eq!(
        models_code(&["list", "--config", &path, "--set", "store.keep=1"]),
        78
    );
}

#[test]
fn check_says_in_a_line_what_results() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut config) = config_in(folder.path());
    let row: usize = memory::per_stream(&config.pipelines[0])
        .iter()
        .map(|part| part.bytes)
        .sum();
    let said = super::check::verdict(&config, 100_000);
    let begins = format!(
        "The configuration is good: 1 pipeline, {} per stream, ",
        memory::human(row)
    );
    assert!(
        said.starts_with(&begins) && said.ends_with(" for 100000 streams."),
        "{said}"
    );
    config.pipelines.push(config.pipelines[0].clone());
    let said = super::check::verdict(&config, 1);
    assert!(
        said.contains("2 pipelines, at most ") && said.ends_with(" for 1 stream each."),
        "{said}"
    );
}

#[test]
fn check_says_how_often_snapshots_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut config) = config_in(folder.path());
    let said = super::check::snapshots(&config.pipelines[0], 1000, 10_000);
    assert!(
        said.contains("10.0 MB before packing, each partition's every 60 s (store.snapshot_interval_s)"),
        "{said}"
    );
    config.pipelines[0].worker.workers = 2;
    let said = super::check::snapshots(&config.pipelines[0], 1_000_000, 10_000);
    assert!(
        said.contains("every 500 s (stretched by store.snapshot_mb_per_s), at most 20 MB/s"),
        "{said}"
    );
}

#[test]
fn cli_counts_one_as_one() {
    assert!(exit::Unfit { errors: 1 }.to_string().ends_with("1 error, above"));
    assert!(exit::Unfit { errors: 2 }.to_string().ends_with("2 errors, above"));
}

#[test]
fn memory_sums_what_it_lists() {
    let folder = tempfile::tempdir().unwrap();
    let (_, config) = config_in(folder.path());
    let pipeline = &config.pipelines[0];
    let row: usize = memory::per_stream(pipeline).iter().map(|part| part.bytes).sum();
    let at = |streams: usize| memory::sum("", &memory::of_pipeline(&config, pipeline, streams)).bytes;
    assert_eq!(at(1001) - at(1), 1000 * row);
    assert!(at(0) >= pipeline.training.tape_bytes);
    assert_eq!(at(usize::MAX), usize::MAX, "no overflow");
    let table = memory::table(&memory::of_pipeline(&config, pipeline, 1000), "total");
    assert_eq!(table.lines().count(), 6, "{table}");
}
