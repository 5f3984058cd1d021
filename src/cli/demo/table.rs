//! Real data instead of the plant: a CSV file, wide or long, gzip by name.
//!
//! | shape | header |
//! |---|---|
//! | wide | `[index,]time,<stream>…`, one column per stream; a lone column `value` is named after the file |
//! | long | `stream,time,value` in any order of columns |
//!
//! The time column is called `time`, `timestamp`, `date` or `datetime`. A blank value is a reading without a value. Rows
//! are fed in the order of their times.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use super::clock;
use super::reading::{Reading, Readings};

/// Bounds memory: 24 bytes each. A larger file is refused with a sentence.
const READINGS_MAX: usize = 20_000_000;
/// Bounds the list of streams that one file can make.
const STREAMS_MAX: usize = 100_000;
/// Problems that are told one by one; further ones are counted.
const PROBLEMS_SHOWN: usize = 10;

const TIME_NAMES: [&str; 4] = ["time", "timestamp", "date", "datetime"];

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1, the header's.
    pub line: u64,
    /// Name of the column, where it is about one.
    pub column: Option<String>,
    /// What, and the way out.
    pub reason: String,
}

/// A file that cannot be fed. Displays as one line per problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadTable {
    /// As named on the command line.
    pub file: String,
    /// The first ones.
    pub problems: Vec<Problem>,
    /// Problems beyond those told.
    pub more: usize,
}

impl BadTable {
    fn note(&mut self, line: u64, column: Option<&str>, reason: impl Into<String>) {
        if self.problems.len() == PROBLEMS_SHOWN {
            self.more += 1;
            return;
        }
        self.problems.push(Problem {
            line,
            column: column.map(str::to_owned),
            reason: reason.into(),
        });
    }

    fn found(&self) -> bool {
        !self.problems.is_empty()
    }
}

impl fmt::Display for BadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be fed:", self.file)?;
        for Problem { line, column, reason } in &self.problems {
            match column {
                Some(column) => write!(f, "\n  line {line}, column `{column}`: {reason}")?,
                None => write!(f, "\n  line {line}: {reason}")?,
            }
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadTable {}

/// Where things are in a row.
enum Layout {
    Wide {
        time: usize,
        first_value: usize,
    },
    Long {
        stream: usize,
        time: usize,
        value: usize,
    },
}

/// A file in memory, in time order.
#[derive(Debug)]
pub(crate) struct Table {
    names: Vec<String>,
    readings: Vec<Reading>,
    next: usize,
}

impl Table {
    /// Reads and checks a whole file before anything is fed.
    ///
    /// # Errors
    /// The file cannot be opened; or a [`BadTable`].
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("`{shown}` cannot be opened"))?;
        let zipped = path.extension().is_some_and(|end| end == "gz");
        let input: Box<dyn Read> = if zipped {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(Self::read(path, input)?)
    }

    /// Reads and checks a table; `path` names it.
    ///
    /// # Errors
    /// What is wrong, by line and column.
    pub(crate) fn read(path: &Path, input: impl Read) -> Result<Self, BadTable> {
        let mut bad = BadTable {
            file: path.display().to_string(),
            problems: Vec::new(),
            more: 0,
        };
        let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
        let header = match rows.headers() {
            Ok(header) => header.clone(),
            Err(error) => {
                bad.note(1, None, error.to_string());
                return Err(bad);
            }
        };
        let Some(layout) = layout(&header, &mut bad) else {
            return Err(bad);
        };
        let mut builder = Builder::new(&layout, &header, path);
        let mut row = StringRecord::new();
        loop {
            match rows.read_record(&mut row) {
                Ok(false) => break,
                Ok(true) => builder.row(&layout, &header, &row, &mut bad),
                Err(error) => bad_row(&error, &mut bad),
            }
            if builder.readings.len() > READINGS_MAX || builder.names.len() > STREAMS_MAX {
                let line = row.position().map_or(0, csv::Position::line);
                bad.note(
                    line,
                    None,
                    format!(
                        "more than {READINGS_MAX} readings or {STREAMS_MAX} streams; feed a part of the file"
                    ),
                );
                return Err(bad);
            }
        }
        builder.finish(bad)
    }

    /// Time of the first and of the last reading.
    pub(crate) fn range_ms(&self) -> (i64, i64) {
        let time = |reading: Option<&Reading>| reading.map_or(0, |reading| reading.time_ms);
        (time(self.readings.first()), time(self.readings.last()))
    }

    /// The most common time between two readings of a stream.
    pub(crate) fn interval_ms(&self) -> i64 {
        let mut last: HashMap<usize, i64> = HashMap::new();
        let mut counts: HashMap<i64, usize> = HashMap::new();
        for reading in self.readings.iter().take(100_000) {
            if let Some(before) = last
                .insert(reading.stream, reading.time_ms)
                .filter(|before| *before < reading.time_ms)
            {
                *counts.entry(reading.time_ms - before).or_default() += 1;
            }
        }
        let most = counts
            .into_iter()
            .max_by_key(|&(interval, count)| (count, -interval));
        most.map_or(60_000, |(interval, _)| interval)
    }

    /// Readings that the file holds.
    pub(crate) fn len(&self) -> usize {
        self.readings.len()
    }
}

impl Readings for Table {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next(&mut self, out: &mut Vec<Reading>) -> bool {
        out.clear();
        let Some(first) = self.readings.get(self.next) else {
            return false;
        };
        let same = self.readings[self.next..]
            .iter()
            .take_while(|reading| reading.time_ms == first.time_ms);
        out.extend(same);
        self.next += out.len();
        true
    }
}

/// Recognises the shape by the header's names.
fn layout(header: &StringRecord, bad: &mut BadTable) -> Option<Layout> {
    let find = |names: &[&str]| {
        header
            .iter()
            .position(|name| names.contains(&name.to_ascii_lowercase().as_str()))
    };
    for (index, name) in header.iter().enumerate() {
        if name.is_empty() && index > 0 {
            bad.note(
                1,
                None,
                format!("column {} has no name; name it after its stream", index + 1),
            );
        } else if header.iter().take(index).any(|other| other == name) {
            bad.note(
                1,
                Some(name),
                "two columns have this name; a stream needs a name of its own",
            );
        }
    }
    let Some(time) = find(&TIME_NAMES) else {
        if header.iter().any(|name| name.contains(';')) {
            bad.note(1, None, "is `;` the separator? tidecast reads commas");
            return None;
        }
        let found: Vec<_> = header.iter().take(8).collect();
        let reason = format!(
            "no column is called {}; found: {}",
            TIME_NAMES.join(", "),
            found.join(", ")
        );
        bad.note(1, None, reason);
        return None;
    };
    if let (Some(stream), Some(value), 3..) = (find(&["stream"]), find(&["value"]), header.len()) {
        return (!bad.found()).then_some(Layout::Long { stream, time, value });
    }
    if time > 1 {
        bad.note(
            1,
            header.get(time),
            "in a wide table the time is the first column, or the second after an index",
        );
    }
    if time + 1 >= header.len() {
        bad.note(
            1,
            header.get(time),
            "no stream follows the time; a wide table has one column per stream after it",
        );
    }
    (!bad.found()).then_some(Layout::Wide {
        time,
        first_value: time + 1,
    })
}

fn bad_row(error: &csv::Error, bad: &mut BadTable) {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            bad.note(
                line,
                None,
                format!("{len} cells where the header has {expected_len}"),
            );
        }
        csv::ErrorKind::Utf8 { .. } => bad.note(line, None, "it is not UTF-8; convert the file"),
        _ => bad.note(line, None, error.to_string()),
    }
}

/// Where a cell belongs, and where it stands.
struct Slot<'a> {
    stream: usize,
    time_ms: i64,
    line: u64,
    column: &'a str,
}

/// Collects rows.
struct Builder {
    names: Vec<String>,
    index: HashMap<String, usize>,
    readings: Vec<Reading>,
}

impl Builder {
    fn new(layout: &Layout, header: &StringRecord, path: &Path) -> Self {
        let names = match layout {
            Layout::Wide { first_value, .. } => wide_names(header.iter().skip(*first_value).collect(), path),
            Layout::Long { .. } => Vec::new(),
        };
        Self {
            names,
            index: HashMap::new(),
            readings: Vec::new(),
        }
    }

    fn row(&mut self, layout: &Layout, header: &StringRecord, row: &StringRecord, bad: &mut BadTable) {
        let line = row.position().map_or(0, csv::Position::line);
        let (Layout::Wide { time, .. } | Layout::Long { time, .. }) = *layout;
        let Some(time_ms) = clock::parse(&row[time]) else {
            let reason = format!(
                "`{}` is no time; write 2026-11-24 10:00:00, 24.11.2026 10:00:00, RFC 3339, or seconds since 1970",
                &row[time]
            );
            bad.note(line, header.get(time), reason);
            return;
        };
        match *layout {
            Layout::Wide { first_value, .. } => {
                for column in first_value..row.len() {
                    let slot = Slot {
                        stream: column - first_value,
                        time_ms,
                        line,
                        column: &header[column],
                    };
                    self.cell(&slot, &row[column], bad);
                }
            }
            Layout::Long { stream, value, .. } => {
                if row[stream].is_empty() {
                    bad.note(
                        line,
                        header.get(stream),
                        "it is empty; every row names its stream",
                    );
                    return;
                }
                let slot = Slot {
                    stream: self.intern(&row[stream]),
                    time_ms,
                    line,
                    column: &header[value],
                };
                self.cell(&slot, &row[value], bad);
            }
        }
    }

    fn intern(&mut self, name: &str) -> usize {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    fn cell(&mut self, slot: &Slot<'_>, text: &str, bad: &mut BadTable) {
        let value = if text.is_empty() {
            Ok(None)
        } else {
            text.parse::<f64>().map(Some)
        };
        match value {
            Ok(value) if value.is_none_or(f64::is_finite) => {
                self.readings.push(Reading {
                    stream: slot.stream,
                    time_ms: slot.time_ms,
                    value,
                });
            }
            _ => {
                let reason =
                    format!("`{text}` is no finite number; leave the cell blank where nothing was measured");
                bad.note(slot.line, Some(slot.column), reason);
            }
        }
    }

    fn finish(mut self, mut bad: BadTable) -> Result<Table, BadTable> {
        if !bad.found() && self.readings.iter().all(|reading| reading.value.is_none()) {
            bad.note(2, None, "the table holds no value");
        }
        if bad.found() {
            return Err(bad);
        }
        self.readings.sort_by_key(|reading| reading.time_ms); // stable: rows of one time stay in the file's order
        Ok(Table {
            names: self.names,
            readings: self.readings,
            next: 0,
        })
    }
}

/// A lone `value` says nothing: such a file is named after its stream.
fn wide_names(columns: Vec<&str>, path: &Path) -> Vec<String> {
    if let ["value"] = columns[..] {
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let stem = file.split('.').next().unwrap_or_default();
        return vec![if stem.is_empty() {
            "value".to_owned()
        } else {
            stem.to_owned()
        }];
    }
    columns.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
