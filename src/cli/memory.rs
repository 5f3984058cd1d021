//! What a configuration costs in memory.

use std::fmt::Write as _;

use crate::config::{Config, Pipeline};
use crate::engine::{self, FieldSize};

/// Streams that the estimate is made for unless told otherwise.
pub(super) const STREAMS: usize = 10_000;
/// An id in the index: text, where it stands, its stable hash, when it was seen, and 5 bytes of table at a load of a half to
/// seven eighths.
const ID_BYTES: usize = 24;
const INDEX_BYTES: usize = 16 + 8 + 8 + 5;
/// What a worker's clients hold at most unless `kafka.client` says otherwise, kibibytes: as `kafka/client.rs` sets them.
const CLIENT_KIBIBYTES: [(&str, usize); 2] = [
    ("queued.max.messages.kbytes", 16_384),
    ("queue.buffering.max.kbytes", 65_536),
];
/// Arenas that a trainer holds beside the served weights: trained weights, gradient, two moments, running mean, two
/// parents to fall back to.
const TRAINER_ARENAS: usize = 7;
/// Weights as stored, as served, and of the version before while a switch goes on.
const SERVED_ARENAS: usize = 3;

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) what: String,
}

/// What one stream of a pipeline takes, by field, index included.
pub(super) fn per_stream(pipeline: &Pipeline) -> Vec<Part> {
    let part = |field: FieldSize| Part {
        name: field.name.to_owned(),
        bytes: field.bytes,
        what: field.what.to_owned(),
    };
    let mut parts: Vec<Part> = engine::row_table(&pipeline.worker.engine)
        .into_iter()
        .map(part)
        .collect();
    parts.push(Part {
        name: "id and index".to_owned(),
        bytes: ID_BYTES + INDEX_BYTES,
        what: format!("an id of {ID_BYTES} bytes, and how it is found"),
    });
    parts
}

/// What a pipeline takes with so many streams in this process.
pub(super) fn of_pipeline(config: &Config, pipeline: &Pipeline, streams: usize) -> Vec<Part> {
    let rows: usize = per_stream(pipeline).iter().map(|part| part.bytes).sum();
    let weights = engine::shape(&pipeline.worker.engine).param_count() * size_of::<f32>();
    let workers = pipeline.worker.workers;
    let given = |property: &str| {
        config
            .kafka
            .client
            .get(property)
            .and_then(|text| text.parse().ok())
    };
    let buffered: usize = CLIENT_KIBIBYTES
        .iter()
        .map(|(property, default)| given(property).unwrap_or(*default) * 1024)
        .sum();
    let trains = pipeline.training.cpu_share > 0.0;
    let part = |name: &str, bytes: usize, what: String| Part {
        name: name.to_owned(),
        bytes,
        what,
    };
    let mut parts = vec![
        part(
            "streams",
            rows.saturating_mul(streams),
            format!("{streams} × {rows} bytes"),
        ),
        part(
            "client buffers",
            workers.saturating_mul(buffered),
            format!("{workers} × what is fetched ahead and queued, at most"),
        ),
        part(
            "weights",
            weights * SERVED_ARENAS,
            "as served and as stored".to_owned(),
        ),
    ];
    if trains {
        parts.push(part(
            "trainer",
            weights * TRAINER_ARENAS,
            "weights, gradient, moments, mean, ancestors".to_owned(),
        ));
        parts.push(part(
            "tape",
            pipeline.training.tape_bytes,
            "training.tape, at most".to_owned(),
        ));
    }
    parts
}

/// The parts as one.
pub(super) fn sum(name: &str, parts: &[Part]) -> Part {
    let bytes = parts
        .iter()
        .fold(0_usize, |sum, part| sum.saturating_add(part.bytes));
    Part {
        name: name.to_owned(),
        bytes,
        what: human(bytes),
    }
}

/// Columns: name, bytes, what; and their sum.
pub(super) fn table(parts: &[Part], total: &str) -> String {
    let mut text = String::new();
    let width = parts
        .iter()
        .map(|part| part.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(total.chars().count());
    let mut line = |name: &str, bytes: usize, what: &str| {
        let row = format!("  {name:width$}  {:>14}  {what}", grouped(bytes));
        writeln!(text, "{}", row.trim_end()).expect("writing to a string cannot fail");
    };
    for part in parts {
        line(&part.name, part.bytes, &part.what);
    }
    let sum = sum(total, parts);
    line(total, sum.bytes, &sum.what);
    text
}

/// `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `11.1 KB`.
pub(super) fn human(bytes: usize) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "KB")];
    let found = units.iter().find(|(unit, _)| bytes as f64 >= *unit);
    found.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit),
    )
}
