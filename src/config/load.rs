//! From layers to the configuration of a process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ::config::ValueKind;

use crate::config::DEFAULTS;
use crate::config::error::{Errors, Problem};
use crate::config::process::Config;
use crate::config::reader::{Files, Reader, Section};
use crate::config::resolved::Resolved;
use crate::config::tree::{self, Layer, Origin, Table};
use crate::config::{cluster, pipeline, services, topics};
use crate::kafka;

/// Prefix of the environment's keys.
const ENVIRONMENT: &str = "TIDECAST__";
/// Bytes of a config file at most: it is written by people.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Properties of `kafka.client` that the client library refuses: name and reason, never the value.
pub type ClientRule = fn(&BTreeMap<String, String>) -> Vec<(String, String)>;

/// Where a configuration comes from, without the embedded defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`, lowest first.
    pub files: Vec<PathBuf>,
    /// The whole environment: `TIDECAST__…`, `CREDENTIALS_DIRECTORY`, and what secrets name.
    pub environment: BTreeMap<String, String>,
    /// `--set`, lowest first: `section.key=value`.
    pub set: Vec<String>,
    /// Name of the host, the default of `service.instance`.
    pub host_name: String,
    /// TOML that lies below every file, over the embedded defaults: keys that a command does not need its user to give.
    pub beneath: &'static str,
}

/// Lays the layers over each other and validates what results. Reads the files that `sources` and secrets name; nothing
/// else.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Resolved, Errors> {
    validated(sources, Reader::default())
}

/// As [`load()`], and the client library is asked about `kafka.client`, which this module does not know.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load_with(sources: &Sources, client_rule: ClientRule) -> Result<Resolved, Errors> {
    let client_rule = Some(client_rule);
    validated(
        sources,
        Reader {
            client_rule,
            ..Reader::default()
        },
    )
}

fn validated(sources: &Sources, mut reader: Reader) -> Result<Resolved, Errors> {
    let tree = whole(sources, &mut reader);
    let config = read(&tree, sources, &mut reader);
    match config {
        Some(config) if reader.problems.is_empty() => Ok(Resolved::new(config, tree)),
        _ => {
            if reader.problems.is_empty() {
                let message =
                    "is incomplete, and no key was blamed: this is a bug, report it with your files";
                reader.problem("configuration", message, None);
            }
            Err(Errors(reader.problems))
        }
    }
}

/// All layers as one, every pipeline with its defaults. What cannot be read is noted and left out.
fn whole(sources: &Sources, reader: &mut Reader) -> Table {
    let defaults =
        tree::parse(DEFAULTS, &|_| Origin::Default).expect("the embedded file is TOML, a test reads it");
    let beneath =
        tree::parse(sources.beneath, &|_| Origin::Default).expect("a constant of ours, a test reads it");
    let mut layers = vec![host_name(&sources.host_name), defaults, beneath];
    if sources.files.is_empty() {
        reader.files = Files::NoneGiven;
    }
    for path in &sources.files {
        match file(path) {
            Ok(layer) => layers.push(layer),
            Err(problem) => {
                reader.files = Files::Unreadable;
                reader.problems.push(problem);
            }
        }
    }
    for (name, value) in &sources.environment {
        if let Some(rest) = name.strip_prefix(ENVIRONMENT) {
            layers.push(variable(name, rest, value));
        }
    }
    for setting in &sources.set {
        match tree::split_setting(setting) {
            Ok((path, text)) => layers.push(tree::at(&path, text, &Origin::CommandLine)),
            Err(problem) => reader.problems.push(problem),
        }
    }
    let mut layer = tree::merged(layers);
    spread_defaults(&mut layer);
    tree::tree(layer)
}

fn file(path: &PathBuf) -> Result<Layer, Problem> {
    let shown = path.display().to_string();
    let problem = |key: String, message: String| Problem {
        key,
        message,
        origin: None,
    };
    let size = fs::metadata(path).map(|data| data.len()).unwrap_or_default();
    if size > FILE_BYTES_MAX {
        let message = format!(
            "has {size} bytes, more than {FILE_BYTES_MAX}: give a configuration with `--config FILE`"
        );
        return Err(problem(shown, message));
    }
    let text = fs::read_to_string(path).map_err(|error| {
        problem(
            shown.clone(),
            format!("cannot be read, {error}: give a readable file with `--config FILE`"),
        )
    })?;
    let origin = |line| Origin::File {
        path: shown.clone(),
        line,
    };
    tree::parse(&text, &origin).map_err(|(line, message)| {
        problem(
            format!("{shown}:{line}"),
            format!("is no TOML, {message}: mend the line"),
        )
    })
}

/// `TIDECAST__SECTION__KEY`; below `kafka.client` `_` stands for the dots of a property.
fn variable(name: &str, rest: &str, value: &str) -> Layer {
    let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    if let [section, client, property] = path.as_mut_slice()
        && section == "kafka"
        && client == "client"
    {
        *property = property.replace('_', ".");
    }
    tree::at(&path, value.to_owned(), &Origin::Environment(name.to_owned()))
}

/// The host's name as a name of ours: lower-cased, other characters replaced. The lowest layer, `service.instance` has no
/// other default.
fn host_name(host: &str) -> Layer {
    let plain = |letter: char| {
        let lower = letter.to_ascii_lowercase();
        if lower.is_ascii_alphanumeric() { lower } else { '-' }
    };
    let name: String = host.chars().map(plain).take(64).collect();
    if name.is_empty() {
        return Layer::default();
    }
    tree::at(&["service", "instance"].map(str::to_owned), name, &Origin::Host)
}

/// Lays every pipeline over `[pipeline."*"]`, which goes; one that is no table stays, to be refused.
fn spread_defaults(layer: &mut Layer) {
    let Some(ValueKind::Table(pipelines)) = layer.0.get_mut("pipeline").map(|value| &mut value.kind) else {
        return;
    };
    let Some(ValueKind::Table(defaults)) = pipelines.get("*").map(|value| value.kind.clone()) else {
        return;
    };
    pipelines.remove("*");
    for pipeline in pipelines.values_mut() {
        if let ValueKind::Table(own) = &mut pipeline.kind {
            let layers = [defaults.clone(), std::mem::take(own)].map(Layer);
            *own = tree::merged(layers).0;
        }
    }
}

fn read(tree: &Table, sources: &Sources, reader: &mut Reader) -> Option<Config> {
    let mut root = Section::new(String::new(), String::new(), Some(tree));
    let service = services::service(root.section(reader, "service"), reader);
    let cluster = cluster::read(root.section(reader, "kafka"), sources, reader);
    let store = services::store(root.section(reader, "store"), reader);
    let training = services::training(root.section(reader, "training"), reader);
    let common = pipeline::Common {
        cluster: cluster.as_ref(),
        store: store.as_ref(),
        training: training.as_ref(),
    };
    let mut section = root.section(reader, "pipeline");
    let pipelines = pipeline::all(&section.names(), &mut section, &common, reader);
    root.finish(reader);
    if let Some(pipelines) = &pipelines {
        topics::check(pipelines, reader);
    }
    let (service, cluster) = (service?, cluster?);
    Some(Config {
        http: service.http,
        log: service.log,
        log_format: service.log_format,
        shutdown_grace: service.shutdown_grace,
        kafka: kafka::Config {
            brokers: cluster.brokers,
            group: cluster.group,
            instance: service.instance,
            client: cluster.client,
        },
        store: store?.config,
        pipelines: pipelines?,
    })
}

/// Every key that is served, with `*` for a pipeline's name: what the reader asks for.
#[cfg(test)]
pub(super) fn served() -> Vec<String> {
    let set = [
        "pipeline.p.input.topics=a",
        "pipeline.p.input.values=v",
        "pipeline.p.output.topic=b",
        "pipeline.p.dead_letter.topic=c",
    ];
    let sources = Sources {
        set: set.map(str::to_owned).to_vec(),
        host_name: "h".to_owned(),
        ..Sources::default()
    };
    let mut reader = Reader::default();
    let tree = whole(&sources, &mut reader);
    let config = read(&tree, &sources, &mut reader);
    assert!(config.is_some(), "{:?}", reader.problems);
    reader.served.into_iter().collect()
}
