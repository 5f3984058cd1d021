//! A configuration before it means anything: layers, laid over each other, and where each value came from.
//!
//! The crate `config` merges (written `::config`): each layer is a [`Source`] of its builder, and [`Value::origin`] carries
//! the place of each value. These parts it cannot carry, so they are ours:
//!
//! - Reading files: its `File` knows the file but not the line of a value, gives neither line nor key for a number that does
//!   not fit, takes bytes that are no UTF-8 and looks for other endings of the name. [`parse`] reads the same spans itself.
//! - Reading the environment and `--set`: its `Environment` does not tell which variable a value is from, and a path of its
//!   own, as for `set_override`, takes no name in quotes, no `*` and no property with dots. [`at`] makes these layers.
//! - All errors at once: its `build` stops at the first one. Layers are made before, nothing is left there that can fail.
//! - Keys of a source's top level are read as paths, `"a.b" = 1` would set `b`: all lies below the one key [`ROOT`].
//! - A table loses its origin when it is merged: an entry [`PLACE`] of the table keeps it.
//! - Its maps have no order, messages need one; and a file's value and a text that is still to be read must be told apart:
//!   [`tree`] turns what was merged into tables of our own.
//! - It has no dates. No key takes one: they become text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use ::config::{Config, ConfigError, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::Problem;

/// What a layer's keys lie below while they are merged: any one name of letters.
const ROOT: &str = "root";
/// Entry of a table that has no value, only the table's origin: a name that nobody gives to a key.
const PLACE: &str = "\0place";
/// How origins begin; only one of files begins with this one, whatever the file is called.
const FILE: &str = "file ";
const ENVIRONMENT: &str = "environment ";
const COMMAND_LINE: &str = "--set";
const HOST: &str = "host name";

/// Keys of a table.
pub(super) type Table = BTreeMap<String, Entry>;

/// A value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) origin: Origin,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Table(Table),
    /// Of a file.
    Value(toml::Value),
    /// Of the environment or the command line: read as what the key wants.
    Text(String),
}

/// Which layer a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File { path: String, line: usize },
    Environment(String),
    CommandLine,
    Host,
}

impl Origin {
    /// As text that begins with its kind, for [`Value::origin`].
    fn note(&self) -> String {
        match self {
            Self::File { .. } => format!("{FILE}{self}"),
            _ => self.to_string(),
        }
    }

    /// Reads what [`Self::note`] wrote.
    fn of(value: &Value) -> Self {
        let note = value.origin().unwrap_or_default();
        let place = note.strip_prefix(FILE).and_then(|place| place.rsplit_once(':'));
        if let Some((path, Ok(line))) = place.map(|(path, line)| (path, line.parse())) {
            let path = path.to_owned();
            return Self::File { path, line };
        }
        match (note, note.strip_prefix(ENVIRONMENT)) {
            (_, Some(name)) => Self::Environment(name.to_owned()),
            (COMMAND_LINE, _) => Self::CommandLine,
            (HOST, _) => Self::Host,
            _ => Self::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "{ENVIRONMENT}{name}"),
            Self::CommandLine => f.write_str(COMMAND_LINE),
            Self::Host => f.write_str(HOST),
        }
    }
}

/// A layer, or layers that were merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub(super) Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from([(ROOT.to_owned(), Value::from(self.0.clone()))]))
    }
}

/// Lays layers over each other, lowest first: tables key by key, anything else is replaced.
pub(super) fn merged(layers: impl IntoIterator<Item = Layer>) -> Layer {
    let builder = layers
        .into_iter()
        .fold(Config::builder(), |builder, layer| builder.add_source(layer));
    let config = builder.build().expect("a layer in memory can be collected");
    Layer(config.get_table(ROOT).unwrap_or_default())
}

/// A layer out of TOML.
pub(super) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Layer, (usize, String)> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        (line, error.message().to_owned())
    })?;
    let note = |key: &Spanned<_>| origin(line_of(text, key.span().start)).note();
    Ok(Layer(table_of(document.get_ref(), &note)))
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text.as_bytes()[..position.min(text.len())]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
}

type Key<'t> = Spanned<std::borrow::Cow<'t, str>>;

fn table_of<'t>(table: &DeTable<'t>, note: &dyn Fn(&Key<'t>) -> String) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| {
            let value = value_of(value.get_ref(), &note(key), note);
            (key.get_ref().to_string(), value)
        })
        .collect()
}

/// A number that does not fit is kept as text, so that its key can say what it takes.
fn value_of<'t>(value: &DeValue<'t>, place: &String, note: &dyn Fn(&Key<'t>) -> String) -> Value {
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::I64),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::Float),
        DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
        DeValue::Datetime(time) => ValueKind::String(time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| value_of(item.get_ref(), place, note));
            ValueKind::Array(items.collect())
        }
        DeValue::Table(table) => return placed(table_of(table, note), place),
    };
    Value::new(Some(place), kind)
}

/// A table that keeps its origin.
fn placed(mut table: Map<String, Value>, place: &String) -> Value {
    table
        .entry(PLACE.to_owned())
        .or_insert_with(|| Value::new(Some(place), ValueKind::Nil));
    Value::new(Some(place), table)
}

/// A layer of one text value at `path`. Below `kafka.client` the rest of the path is one property name.
pub(super) fn at(path: &[String], text: String, origin: &Origin) -> Layer {
    let names: Vec<String> = match path {
        [section, client, rest @ ..] if section == "kafka" && client == "client" && !rest.is_empty() => {
            vec![section.clone(), client.clone(), rest.join(".")]
        }
        other => other.to_vec(),
    };
    let place = origin.note();
    let mut names = names.into_iter();
    let Some(first) = names.next() else {
        return Layer::default();
    };
    let value = names.rev().fold(Value::new(Some(&place), text), |value, name| {
        placed(Map::from([(name, value)]), &place)
    });
    Layer(Map::from([(first, value)]))
}

/// What was merged, in the order of its keys.
pub(super) fn tree(layer: Layer) -> Table {
    let entries = layer.0.into_iter().filter(|(_, value)| !is_place(value));
    entries.map(|(key, value)| (key, entry(value))).collect()
}

fn is_place(value: &Value) -> bool {
    value.kind == ValueKind::Nil
}

fn entry(value: Value) -> Entry {
    let place = match &value.kind {
        ValueKind::Table(table) => table.get(PLACE).filter(|place| is_place(place)),
        _ => None,
    };
    let origin = Origin::of(place.unwrap_or(&value));
    let node = match value.kind {
        ValueKind::Table(table) => Node::Table(tree(Layer(table))),
        ValueKind::String(text) if matches!(origin, Origin::Environment(_) | Origin::CommandLine) => {
            Node::Text(text)
        }
        kind => Node::Value(toml_of(kind)),
    };
    Entry { node, origin }
}

fn toml_of(kind: ValueKind) -> toml::Value {
    match kind {
        ValueKind::Boolean(flag) => toml::Value::Boolean(flag),
        ValueKind::I64(number) => toml::Value::Integer(number),
        ValueKind::Float(number) => toml::Value::Float(number),
        ValueKind::Array(items) => {
            toml::Value::Array(items.into_iter().map(|item| toml_of(item.kind)).collect())
        }
        ValueKind::Table(table) => {
            let items = table.into_iter().filter(|(_, item)| !is_place(item));
            toml::Value::Table(items.map(|(key, item)| (key, toml_of(item.kind))).collect())
        }
        // The other kinds are not made by `value_of`.
        other => toml::Value::String(other.to_string()),
    }
}

/// Splits `section.key=value`; a name in quotes may hold dots.
pub(super) fn split_setting(setting: &str) -> Result<(Vec<String>, String), Problem> {
    let wrong = |why: &str| Problem {
        key: format!("--set {setting}"),
        message: format!("{why}, write `--set section.key=value`"),
        origin: None,
    };
    let mut path = vec![String::new()];
    let mut quoted = false;
    for (index, letter) in setting.char_indices() {
        let name = path.last_mut().expect("never emptied");
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => path.push(String::new()),
            '=' if !quoted => {
                let names: Vec<String> = path.iter().map(|name| name.trim().to_owned()).collect();
                if names.len() < 2 || names.iter().any(String::is_empty) {
                    return Err(wrong("a section or key is missing before `=`"));
                }
                return Ok((names, setting[index + 1..].trim().to_owned()));
            }
            letter => name.push(letter),
        }
    }
    Err(wrong("there is no `=`"))
}

/// One line of TOML for a key or a value.
pub(super) fn key_text(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare {
        return key.to_owned();
    }
    let mut text = String::new();
    write!(text, "{}", toml::Value::String(key.to_owned())).expect("writing to a string cannot fail");
    text
}
