//! Which keys there are, and what to say about one that is not served.

use crate::config::DEFAULTS;

/// Keys of the contract that this release refuses rather than ignores, names of pipelines as `*`, and why.
const NOT_SERVED: &[(&str, &str)] = &[
    (
        "pipeline.*.covariates",
        "streams are forecast from their own past",
    ),
    (
        "pipeline.*.input.covariates",
        "streams are forecast from their own past",
    ),
    ("pipeline.*.input.schema_registry", "the input format is json"),
];

/// Every key that `config/tidecast.toml` documents, with `*` for a pipeline's name. A line `#key = …` is a key that has no
/// default.
pub(super) fn documented() -> Vec<String> {
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|letter: char| letter.is_ascii_lowercase()) => key,
        _ => line,
    };
    let text: String = DEFAULTS.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    let table: toml::Table = toml::from_str(&text).expect("the embedded file is TOML, a test reads it");
    let mut keys = Vec::new();
    walk("", &table, &mut keys);
    keys
}

fn walk(path: &str, table: &toml::Table, keys: &mut Vec<String>) {
    for (key, value) in table {
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => walk(&below, inner, keys),
            _ => keys.push(below),
        }
    }
}

/// What, why, way out for a key that nobody asked for; `known` are the keys of its section.
pub(super) fn refusal(pattern: &str, key: &str, known: &[&str]) -> String {
    if let Some((_, why)) = NOT_SERVED.iter().find(|(not_served, _)| *not_served == pattern) {
        return format!("is not served yet, {why}: remove the key");
    }
    if let Some(near) = nearest(key, known.iter().copied()) {
        return format!("is no key, there is none of this name: did you mean `{near}`?");
    }
    let home = documented()
        .into_iter()
        .find(|served| served.rsplit('.').next() == Some(key));
    match home {
        Some(home) => format!(
            "is no key here, it is at home elsewhere: write `{}`",
            home.replace('*', "NAME")
        ),
        None => format!(
            "is no key, there is none of this name: remove it, or take one of {}",
            listed(known)
        ),
    }
}

/// What to write for a key that must be given.
pub(super) fn example(pattern: &str, key: &str) -> String {
    let text = match key {
        "topics" => "`topics = [\"sensors\"]`, the topics to read",
        "values" => "`values = [\"temperature\"]`, the fields to forecast",
        "topic" if pattern.ends_with("dead_letter") => {
            "`topic = \"forecasts.dead\"`, where unreadable records go"
        }
        "topic" => "`topic = \"forecasts\"`, where forecasts go",
        _ => "a value; config/tidecast.toml describes the key",
    };
    format!("write {text}")
}

/// `a`, `b`, `c`.
pub(super) fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let letters = name.chars().count();
    let far = if letters < 4 { 1 } else { (letters / 3).max(2) };
    names
        .map(|candidate| {
            let begins = candidate.starts_with(name) || name.starts_with(candidate);
            (if begins { 1 } else { distance(name, candidate) }, candidate)
        })
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to put in, take out or change.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, other) in right.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[index + 1];
            row[index + 1] = change.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[right.len()]
}
