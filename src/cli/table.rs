//! CSV files of readings, wide or long, gzip by name, read row by row. The demo and the backtest read through this one door.
//!
//! | shape | header |
//! |---|---|
//! | wide | `[index,]time,<stream>…`, one column per stream; a lone column `value` is named after the file |
//! | long | `stream,time,value` in any order of columns |
//!
//! The time column is called `time`, `timestamp`, `date` or `datetime`. A blank value is a reading without a value.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use crate::cli::demo::clock;
use crate::cli::demo::reading::Reading;
use crate::cli::exit::BadData;

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

/// A file that cannot be used. Displays as one line per problem.
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
    /// Of a file in which nothing is wrong yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            file: path.display().to_string(),
            problems: Vec::new(),
            more: 0,
        }
    }

    /// Notes a problem; beyond the first ten it is only counted.
    pub(crate) fn note(&mut self, line: u64, column: Option<&str>, reason: impl Into<String>) {
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

    /// Whether anything is wrong.
    pub(crate) fn found(&self) -> bool {
        !self.problems.is_empty()
    }
}

impl fmt::Display for BadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be used:", self.file)?;
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

/// Reads a table row by row.
pub(crate) struct Rows {
    rows: csv::Reader<Box<dyn Read>>,
    header: StringRecord,
    layout: Layout,
    record: StringRecord,
    names: Vec<String>,
    index: HashMap<String, usize>,
}

impl Rows {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A [`BadData`] where the file cannot be opened; or a [`BadTable`].
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)
            .map_err(|error| BadData(format!("`{}` cannot be opened: {error}", path.display())))?;
        let zipped = path.extension().is_some_and(|end| end == "gz");
        let input: Box<dyn Read> = if zipped {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(Self::new(path, input)?)
    }

    /// Reads the header; `path` names the table.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub(crate) fn new(path: &Path, input: Box<dyn Read>) -> Result<Self, BadTable> {
        let mut bad = BadTable::new(path);
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
        let names = match layout {
            Layout::Wide { first_value, .. } => wide_names(header.iter().skip(first_value).collect(), path),
            Layout::Long { .. } => Vec::new(),
        };
        Ok(Self {
            rows,
            header,
            layout,
            record: StringRecord::new(),
            names,
            index: HashMap::new(),
        })
    }

    /// Replaces `out` by the readings of the next row; false at the end, or where no further row is of use. A row that is
    /// wrong has no reading, or fewer.
    pub(crate) fn next(&mut self, out: &mut Vec<Reading>, bad: &mut BadTable) -> bool {
        out.clear();
        match self.rows.read_record(&mut self.record) {
            Ok(false) => return false,
            Ok(true) => self.cells(out, bad),
            Err(error) => {
                bad_row(&error, self.rows.position().line(), bad);
                return !matches!(error.kind(), csv::ErrorKind::Io(_)); // a damaged archive stays damaged
            }
        }
        if self.names.len() > STREAMS_MAX {
            let reason = format!("more than {STREAMS_MAX} streams; use a part of the file");
            bad.note(self.line(), None, reason);
            return false;
        }
        true
    }

    /// Ids of the streams seen so far.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Line of the newest row, from 1, the header's.
    pub(crate) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// Name of the time column.
    pub(crate) fn time_column(&self) -> &str {
        let (Layout::Wide { time, .. } | Layout::Long { time, .. }) = self.layout;
        &self.header[time]
    }

    fn cells(&mut self, out: &mut Vec<Reading>, bad: &mut BadTable) {
        let line = self.line();
        let (Layout::Wide { time, .. } | Layout::Long { time, .. }) = self.layout;
        let Some(time_ms) = clock::parse(&self.record[time]) else {
            let reason = format!(
                "`{}` is no time; write 2026-11-24 10:00:00, 24.11.2026 10:00:00, RFC 3339, or seconds since 1970",
                &self.record[time]
            );
            bad.note(line, self.header.get(time), reason);
            return;
        };
        let (columns, named) = match self.layout {
            Layout::Wide { first_value, .. } => (first_value..self.record.len(), None),
            Layout::Long { stream, value, .. } => {
                if self.record[stream].is_empty() {
                    let reason = "it is empty; every row names its stream";
                    bad.note(line, self.header.get(stream), reason);
                    return;
                }
                (value..value + 1, Some(self.intern(stream)))
            }
        };
        for column in columns.clone() {
            match value(&self.record[column]) {
                Ok(value) => out.push(Reading {
                    stream: named.unwrap_or(column - columns.start),
                    time_ms,
                    value,
                }),
                Err(reason) => bad.note(line, self.header.get(column), reason),
            }
        }
    }

    fn intern(&mut self, column: usize) -> usize {
        let name = &self.record[column];
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

fn value(text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .map(Some)
        .ok_or_else(|| {
            format!("`{text}` is no finite number; leave the cell blank where nothing was measured")
        })
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
        bad.note(1, None, without_time(header));
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

/// Why a header without a time is none.
fn without_time(header: &StringRecord) -> String {
    if header.is_empty() {
        return "the file is empty; its first line names the columns, such as `time,pump-1`".to_owned();
    }
    if header.iter().any(|name| name.contains(';')) {
        return "is `;` the separator? tidecast reads commas".to_owned();
    }
    let shown = |name: &str| {
        name.chars()
            .take(40)
            .collect::<String>()
            .escape_debug()
            .to_string()
    };
    let found: Vec<_> = header.iter().take(8).map(shown).collect();
    format!(
        "no column is called {}; found: {}",
        TIME_NAMES.join(", "),
        found.join(", ")
    )
}

/// `at`: the line that is read, where the error names none.
fn bad_row(error: &csv::Error, at: u64, bad: &mut BadTable) {
    let line = error.position().map_or(at, csv::Position::line);
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
