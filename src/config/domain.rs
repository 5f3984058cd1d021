//! Converts values to types; what is wrong is said as `what, why: way out`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::keys::listed;
use crate::config::tree::Node;
use crate::config::units;

/// A value for a sentence.
pub(super) fn shown(node: &Node) -> String {
    match node {
        Node::Table(_) => "a table".to_owned(),
        Node::Value(value) => format!("`{value}`"),
        Node::Text(text) => format!("`{text}`"),
    }
}

fn wrong(node: &Node, wanted: &str, way_out: &str) -> String {
    format!("{} does not fit, {wanted} is needed: {way_out}", shown(node))
}

/// Text of the environment or the command line as a TOML value; plain text where it is none.
pub(super) fn value_of(text: &str) -> toml::Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    parsed
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

pub(super) fn text(node: &Node) -> Result<String, String> {
    match node {
        Node::Value(toml::Value::String(text)) => Ok(text.clone()),
        Node::Text(raw) => match value_of(raw) {
            toml::Value::String(text) => Ok(text),
            _ => Ok(raw.clone()),
        },
        _ => Err(wrong(node, "a string", "put it in quotes")),
    }
}

pub(super) fn flag(node: &Node) -> Result<bool, String> {
    match node {
        Node::Value(toml::Value::Boolean(flag)) => Ok(*flag),
        Node::Text(text) if text == "true" => Ok(true),
        Node::Text(text) if text == "false" => Ok(false),
        _ => Err(wrong(node, "true or false", "write it without quotes")),
    }
}

/// A whole number within `range`; `why` says what the bounds guard.
pub(super) fn whole(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<i64, String> {
    let (from, to) = (range.start(), range.end());
    let number = match node {
        Node::Value(toml::Value::Integer(number)) => Some(*number),
        Node::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| wrong(node, "a whole number", &format!("set {from} to {to}")))?;
    bounded(number, range, why)
}

/// As [`whole`], as a size in memory.
pub(super) fn count(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<usize, String> {
    whole(node, range, why)
        .map(|number| usize::try_from(number).expect("ranges of counts begin at 0 or above"))
}

/// As [`whole`], for steps.
pub(super) fn steps(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<u32, String> {
    whole(node, range, why).map(|number| u32::try_from(number).expect("ranges of steps lie within 32 bits"))
}

fn bounded<T: PartialOrd + Display + Copy>(
    number: T,
    range: &RangeInclusive<T>,
    why: &str,
) -> Result<T, String> {
    let (from, to) = (range.start(), range.end());
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "`{number}` is outside {from} to {to}, {why}: set {from} to {to}"
        ))
    }
}

pub(super) fn number(node: &Node) -> Result<f64, String> {
    let number = match node {
        Node::Value(toml::Value::Integer(number)) => Some(*number as f64),
        Node::Value(toml::Value::Float(number)) => Some(*number),
        Node::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| wrong(node, "a number", "write it without quotes"))
}

pub(super) fn share(node: &Node, range: &RangeInclusive<f64>, why: &str) -> Result<f64, String> {
    bounded(number(node)?, range, why)
}

/// A list; text of the environment or the command line may be TOML, or names with commas between.
pub(super) fn list(node: &Node, way_out: &str) -> Result<Vec<Node>, String> {
    let parsed = match node {
        Node::Value(value) => value.clone(),
        Node::Text(text) => match value_of(text) {
            toml::Value::Array(items) => toml::Value::Array(items),
            _ => {
                return Ok(text
                    .split(',')
                    .map(|item| Node::Text(item.trim().to_owned()))
                    .collect());
            }
        },
        Node::Table(_) => return Err(wrong(node, "a list", way_out)),
    };
    match parsed {
        toml::Value::Array(items) => Ok(items.into_iter().map(Node::Value).collect()),
        _ => Err(wrong(node, "a list", way_out)),
    }
}

pub(super) fn texts(node: &Node, way_out: &str) -> Result<Vec<String>, String> {
    list(node, way_out)?.iter().map(text).collect()
}

/// Milliseconds.
pub(super) fn duration_ms(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<i64, String> {
    let way_out = "write \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"";
    let raw = text(node).map_err(|_| wrong(node, "a duration with its unit", way_out))?;
    let ms = units::duration_ms(&raw).ok_or_else(|| wrong(node, "a duration with its unit", way_out))?;
    if range.contains(&ms) {
        return Ok(ms);
    }
    let (from, to) = (in_units(*range.start()), in_units(*range.end()));
    Err(format!(
        "`{raw}` is outside {from} to {to}, {why}: set {from} to {to}"
    ))
}

/// The largest unit that the milliseconds are a multiple of.
fn in_units(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.iter().find(|(unit_ms, _)| ms != 0 && ms % unit_ms == 0);
    unit.map_or_else(
        || format!("{ms}ms"),
        |(unit_ms, unit)| format!("{}{unit}", ms / unit_ms),
    )
}

pub(super) fn duration(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<Duration, String> {
    duration_ms(node, range, why)
        .map(|ms| Duration::from_millis(u64::try_from(ms).expect("ranges of durations begin at 0 or above")))
}

/// Bytes, as a number or with a unit.
pub(super) fn size(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<usize, String> {
    let way_out = "write bytes, \"64KB\", \"256MB\" or \"1GiB\"";
    let bytes = match node {
        Node::Value(toml::Value::Integer(bytes)) => Some(*bytes),
        _ => text(node).ok().and_then(|raw| units::size_bytes(&raw)),
    };
    let bytes = bytes.ok_or_else(|| wrong(node, "a size", way_out))?;
    bounded(bytes, range, why)
        .map(|bytes| usize::try_from(bytes).expect("ranges of sizes begin at 0 or above"))
}

/// One of `choices`, or one of `later` that is not served yet.
pub(super) fn choice<T: Copy>(node: &Node, choices: &[(&str, T)], later: &[&str]) -> Result<T, String> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let name = text(node).map_err(|_| wrong(node, "a name", &format!("set one of {}", listed(&names))))?;
    if let Some((_, found)) = choices.iter().find(|(choice, _)| *choice == name) {
        return Ok(*found);
    }
    if later.contains(&name.as_str()) {
        return Err(format!(
            "`{name}` is not served yet, this release knows {0}: set {0}",
            listed(&names)
        ));
    }
    Err(format!(
        "`{name}` is no choice, there is none of this name: set one of {}",
        listed(&names)
    ))
}

/// A name that goes into group, member and transactional ids.
pub(super) fn identifier(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(format!(
            "`{name}` cannot be a name, it goes into ids of groups and members: use 1 to 64 of a-z, 0-9 and -"
        ));
    }
    Ok(())
}

/// A name that Kafka takes for a topic.
pub(super) fn topic(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 249 || !name.bytes().all(plain) || matches!(name, "." | "..") {
        return Err(format!(
            "`{name}` cannot be a topic, Kafka refuses such a name: use 1 to 249 of letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(())
}
