//! A configuration before it means anything: merged tables, and where each value came from.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::Problem;

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::CommandLine => f.write_str("--set"),
            Self::Host => f.write_str("host name"),
        }
    }
}

/// A layer out of TOML.
pub(super) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Table, (usize, String)> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        (line, error.message().to_owned())
    })?;
    Ok(table_of(document.get_ref(), text, origin))
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text.as_bytes()[..position.min(text.len())]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
}

fn table_of(table: &DeTable<'_>, text: &str, origin: &dyn Fn(usize) -> Origin) -> Table {
    let entry = |key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>| {
        let node = match value.get_ref() {
            DeValue::Table(inner) => Node::Table(table_of(inner, text, origin)),
            other => Node::Value(value_of(other)),
        };
        Entry {
            node,
            origin: origin(line_of(text, key.span().start)),
        }
    };
    table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), entry(key, value)))
        .collect()
}

/// A number that does not fit is kept as text, so that its key can say what it takes.
fn value_of(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Float),
        DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
        DeValue::Datetime(time) => toml::Value::Datetime(*time),
        DeValue::Array(items) => {
            toml::Value::Array(items.iter().map(|item| value_of(item.get_ref())).collect())
        }
        DeValue::Table(table) => toml::Value::Table(
            table
                .iter()
                .map(|(key, item)| (key.get_ref().to_string(), value_of(item.get_ref())))
                .collect(),
        ),
    }
}

/// Lays `upper` over `lower`: tables key by key, anything else is replaced.
pub(super) fn merge(lower: &mut Table, upper: Table) {
    for (key, entry) in upper {
        match (lower.get_mut(&key), entry.node) {
            (
                Some(Entry {
                    node: Node::Table(below),
                    ..
                }),
                Node::Table(above),
            ) => merge(below, above),
            (_, node) => {
                lower.insert(
                    key,
                    Entry {
                        node,
                        origin: entry.origin,
                    },
                );
            }
        }
    }
}

/// A layer of one text value at `path`. Below `kafka.client` the rest of the path is one property name.
pub(super) fn at(path: &[String], text: String, origin: &Origin) -> Table {
    let names: Vec<String> = match path {
        [section, client, rest @ ..] if section == "kafka" && client == "client" && !rest.is_empty() => {
            vec![section.clone(), client.clone(), rest.join(".")]
        }
        other => other.to_vec(),
    };
    let mut node = Node::Text(text);
    for name in names.into_iter().rev() {
        node = Node::Table(Table::from([(
            name,
            Entry {
                node,
                origin: origin.clone(),
            },
        )]));
    }
    match node {
        Node::Table(table) => table,
        Node::Value(_) | Node::Text(_) => Table::new(),
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
