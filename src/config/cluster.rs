//! Section `kafka`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::domain;
use crate::config::load::Sources;
use crate::config::reader::{Reader, Section};
use crate::config::tree::{Entry, Node, Origin, Table};

/// Properties that exactly-once hangs on, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("isolation.level", "aborted records must not be read"),
    (
        "auto.offset.reset",
        "a lost offset must not be guessed: use `input.start`",
    ),
    (
        "group.id",
        "the group is `kafka.group` and the pipeline's name: use `kafka.group`",
    ),
    (
        "group.instance.id",
        "it is made of group, pipeline, instance and worker: use `service.instance`",
    ),
    (
        "transactional.id",
        "it is made of group, pipeline, instance and worker: use `service.instance`",
    ),
    (
        "group.protocol",
        "static membership with the classic protocol is what recovery is built on",
    ),
    ("enable.idempotence", "transactions need it"),
    ("acks", "transactions need all"),
    ("request.required.acks", "transactions need all"),
    (
        "partition.assignment.strategy",
        "a partition must be given back before another member takes it",
    ),
    ("enable.partition.eof", "readiness reads it"),
    (
        "bootstrap.servers",
        "the addresses have a key of their own: use `kafka.brokers`",
    ),
    (
        "metadata.broker.list",
        "the addresses have a key of their own: use `kafka.brokers`",
    ),
];
/// Librdkafka's own default is 60 s; after a kill, readers wait that long for the transaction that was left.
const TRANSACTION_TIMEOUT_DEFAULT_MS: i64 = 15_000;
/// A transaction is committed at the latest when this part of its time-out is over (unless a single turn takes longer):
/// one more turn and a slow commit fit into the rest. More would commit needlessly often, less would let it be aborted.
const TRANSACTION_AGE_SHARE: u32 = 3;
/// Certificates with their chains have a few kilobytes.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Section `kafka`, secrets resolved.
pub(super) struct Cluster {
    pub(super) brokers: Vec<String>,
    pub(super) group: String,
    pub(super) client: BTreeMap<String, String>,
    pub(super) commit_interval: Duration,
    pub(super) transaction_age_max: Duration,
    pub(super) turn_records_max: usize,
}

pub(super) fn read(mut section: Section<'_>, sources: &Sources, reader: &mut Reader) -> Option<Cluster> {
    let brokers = section.read(reader, "brokers", brokers);
    let group = section.read(reader, "group", |node| {
        let name = domain::text(node)?;
        domain::identifier(&name).map(|()| name)
    });
    let commit_interval_ms = section.read(reader, "commit_interval_ms", |node| {
        domain::whole(
            node,
            &(10..=60_000),
            "a transaction costs the cluster about 30 ms, and readers wait for it",
        )
    });
    let turn_records_max = section.read(reader, "turn_records_max", |node| {
        domain::count(node, &(1..=100_000), "a turn holds its records in memory")
    });
    let client = client(&mut section, sources, reader);
    let transaction_ms = match (commit_interval_ms, &client) {
        (Some(commit_ms), Some(client)) => timeouts(&section, commit_ms, client, reader),
        _ => None,
    };
    section.finish(reader);
    Some(Cluster {
        brokers: brokers?,
        group: group?,
        client: client?,
        commit_interval: Duration::from_millis(u64::try_from(commit_interval_ms?).expect("within its range")),
        transaction_age_max: Duration::from_millis(transaction_ms?.unsigned_abs()) / TRANSACTION_AGE_SHARE,
        turn_records_max: turn_records_max?,
    })
}

fn brokers(node: &Node) -> Result<Vec<String>, String> {
    let way_out = "write [\"host:9092\"]";
    let brokers = domain::texts(node, way_out)?;
    if brokers.is_empty() {
        return Err(format!("is empty, there is no cluster to reach: {way_out}"));
    }
    for broker in &brokers {
        let port = broker
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.is_empty()).then_some(port));
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!(
                "`{broker}` is no address, host and port are needed: {way_out}"
            ));
        }
    }
    Ok(brokers)
}

fn client(
    section: &mut Section<'_>,
    sources: &Sources,
    reader: &mut Reader,
) -> Option<BTreeMap<String, String>> {
    let path = |property: &str| format!("kafka.client.{property}");
    let entry = section.entry(reader, "client")?;
    let Node::Table(table) = &entry.node else {
        let message = "is one value, a table of properties is needed: write `client = { \"security.protocol\" = \"SSL\" }`";
        reader.problem("kafka.client", message, Some(&entry.origin));
        return None;
    };
    let mut client = BTreeMap::new();
    for (property, entry) in table {
        let value = property_allowed(property).and_then(|()| value_of(entry, sources));
        match value {
            Ok(value) => {
                client.insert(property.clone(), value);
            }
            Err(message) => reader.problem(path(property), message, Some(&entry.origin)),
        }
    }
    for (property, reason) in reader.client_rule.map(|rule| rule(&client)).unwrap_or_default() {
        let message = format!(
            "is refused, librdkafka says: {reason}: correct it or remove it, CONFIGURATION.md of librdkafka lists all"
        );
        let (key, place) = match table.get(&property) {
            Some(entry) => (path(&property), &entry.origin),
            None => ("kafka.client".to_owned(), &entry.origin), // all together
        };
        reader.problem(key, message, Some(place));
    }
    (client.len() == table.len()).then_some(client)
}

fn property_allowed(property: &str) -> Result<(), String> {
    let refused = REFUSED
        .iter()
        .find(|(name, _)| *name == property)
        .map(|(_, why)| *why);
    let refused = refused.or_else(|| {
        let offsets = property.starts_with("enable.auto.");
        offsets.then_some("offsets are committed in the transaction that publishes their forecasts")
    });
    if let Some(why) = refused {
        return Err(format!(
            "is refused, tidecast sets it itself, {why}: remove the property"
        ));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if property.is_empty() || !property.bytes().all(plain) {
        return Err(
            "is no property of librdkafka, they are lower-case with dots: look it up in its CONFIGURATION.md"
                .to_owned(),
        );
    }
    Ok(())
}

/// The text of a property. Messages never show a value: it may be a secret in the wrong place.
fn value_of(entry: &Entry, sources: &Sources) -> Result<String, String> {
    let way_out = "write a string, { file = \"…\" } or { env = \"…\" }";
    let wrong = |what: &str| format!("is {what}, properties are strings: {way_out}");
    match &entry.node {
        Node::Value(toml::Value::String(text)) => Ok(text.clone()),
        Node::Value(toml::Value::Integer(number)) => Err(wrong(&format!("the number `{number}`"))),
        Node::Value(_) => Err(wrong("no string")),
        Node::Text(raw) => match domain::value_of(raw) {
            toml::Value::Table(table) => secret(&plain_table(table), &entry.origin, sources),
            toml::Value::String(text) => Ok(text),
            _ => Ok(raw.clone()),
        },
        Node::Table(table) => {
            let texts: Option<BTreeMap<String, String>> = table
                .iter()
                .map(|(key, entry)| Some((key.clone(), domain::text(&entry.node).ok()?)))
                .collect();
            secret(&texts.unwrap_or_default(), &entry.origin, sources)
        }
    }
}

fn plain_table(table: toml::Table) -> BTreeMap<String, String> {
    table
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
        .collect()
}

fn secret(table: &BTreeMap<String, String>, origin: &Origin, sources: &Sources) -> Result<String, String> {
    let one = (table.len() == 1).then(|| table.iter().next()).flatten();
    match one.map(|(kind, name)| (kind.as_str(), name.as_str())) {
        Some(("env", name)) => sources.environment.get(name).filter(|value| !value.is_empty()).cloned().ok_or_else(|| {
            format!("the environment has no `{name}`, the secret is looked for there: set it, or use {{ file = \"…\" }}")
        }),
        Some(("file", name)) => secret_of_file(&resolve(name, origin, sources)),
        _ => Err("is no secret, a table has one key here: write { file = \"…\" } or { env = \"…\" }".to_owned()),
    }
}

fn resolve(name: &str, origin: &Origin, sources: &Sources) -> PathBuf {
    let credentials = sources
        .environment
        .get("CREDENTIALS_DIRECTORY")
        .filter(|folder| !folder.is_empty());
    let folder = match (credentials, origin) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Origin::File { path, .. }) => Path::new(path)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        (None, _) => PathBuf::new(),
    };
    let path = folder.join(name);
    std::path::absolute(&path).unwrap_or(path) // the full path is what a message can be acted on by
}

/// Without the line feed that editors put at its end.
fn secret_of_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = fs::metadata(path).map(|data| data.len()).unwrap_or_default();
    if size > SECRET_BYTES_MAX {
        return Err(format!(
            "the file `{shown}` has {size} bytes, more than any secret: name the right file"
        ));
    }
    let text = fs::read_to_string(path).map_err(|error| {
        format!("the file `{shown}` cannot be read, {error}: make it, let the service's user read it, or use LoadCredential=")
    })?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(format!(
            "the file `{shown}` is empty, a secret was expected: write it there"
        ));
    }
    Ok(secret.to_owned())
}

/// The broker's time-out of a transaction, milliseconds; `None` where it is none.
fn timeouts(
    section: &Section<'_>,
    commit_ms: i64,
    client: &BTreeMap<String, String>,
    reader: &mut Reader,
) -> Option<i64> {
    let milliseconds = |property: &str| client.get(property).map(|text| text.trim().parse::<i64>());
    for property in [
        "transaction.timeout.ms",
        "session.timeout.ms",
        "max.poll.interval.ms",
    ] {
        let key = format!("kafka.client.{property}");
        let told = reader.problems.iter().any(|problem| problem.key == key);
        if !told && milliseconds(property).is_some_and(|read| !read.is_ok_and(|ms| ms > 0)) {
            let message = "is no time-out, milliseconds are needed: write \"15000\"";
            reader.problem(key, message, None);
        }
    }
    let transaction_ms = match milliseconds("transaction.timeout.ms") {
        None => TRANSACTION_TIMEOUT_DEFAULT_MS,
        Some(Ok(ms)) if ms > 0 => ms,
        Some(_) => return None,
    };
    if commit_ms * 2 > transaction_ms {
        let message = format!(
            "`{commit_ms}` is more than half of transaction.timeout.ms ({transaction_ms}), the broker would abort \
             transactions that are still being filled: set at most {}",
            transaction_ms / 2
        );
        section.fault(reader, "commit_interval_ms", message);
    }
    if let (Some(Ok(session_ms)), Some(Ok(poll_ms))) = (
        milliseconds("session.timeout.ms"),
        milliseconds("max.poll.interval.ms"),
    ) && session_ms > poll_ms
        && !reader
            .problems
            .iter()
            .any(|problem| problem.key == "kafka.client")
    {
        let message = format!(
            "`{session_ms}` is more than max.poll.interval.ms ({poll_ms}), the client refuses that: set it below"
        );
        reader.problem("kafka.client.session.timeout.ms", message, None);
    }
    Some(transaction_ms)
}

/// Whether a property's text may be a secret: it is not shown then.
pub(super) fn is_secret(property: &str) -> bool {
    const PARTS: [&str; 6] = ["password", "secret", "token", "pem", "key", "oauthbearer"];
    PARTS.iter().any(|part| property.contains(part)) && !property.ends_with(".location")
}

/// How a property is shown: where it comes from, or its text where that is no secret.
pub(super) fn shown(property: &str, node: &Node) -> String {
    match node {
        Node::Table(table) => source_of(table),
        Node::Text(raw) if matches!(domain::value_of(raw), toml::Value::Table(_)) => raw.clone(),
        Node::Value(_) | Node::Text(_) if is_secret(property) => "\"(hidden)\"".to_owned(),
        Node::Value(value) => value.to_string(),
        Node::Text(raw) => {
            toml::Value::String(domain::text(node).unwrap_or_else(|_| raw.clone())).to_string()
        }
    }
}

fn source_of(table: &Table) -> String {
    let parts: Vec<String> = table
        .iter()
        .map(|(kind, entry)| {
            format!(
                "{kind} = {}",
                domain::text(&entry.node)
                    .map(toml::Value::String)
                    .map_or_else(|_| "?".to_owned(), |value| value.to_string())
            )
        })
        .collect();
    format!("{{ {} }}", parts.join(", "))
}
