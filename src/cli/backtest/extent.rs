//! The first pass over the file: is it usable, and how long is it? Nothing is forecast before that is known.
//!
//! What is refused (exit 65, with line and column) and what is met with a rule is written in [`super::RULES`].

use std::path::Path;

use crate::cli::demo::clock;
use crate::cli::demo::reading::Reading;
use crate::cli::table::{BadTable, Rows};

/// A file with more than one row in so many out of order is not in order of time.
const LATE_SHARE: u64 = 100;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extent {
    /// Ids of the streams, in the order of their first rows.
    pub(super) names: Vec<String>,
    /// Rows of each stream, blank ones included.
    pub(super) rows: Vec<u64>,
    /// Readings, blank ones included.
    pub(super) readings: u64,
    /// Time of the first reading, milliseconds since 1970.
    pub(super) first_ms: i64,
    /// Newest time.
    pub(super) last_ms: i64,
    /// Readings whose stream has one of their time already.
    pub(super) duplicates: u64,
    /// Readings that are older than one above them.
    pub(super) late: u64,
}

impl Extent {
    /// Reads the whole file.
    ///
    /// # Errors
    /// The file cannot be opened; or a [`BadTable`].
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::read(path, Rows::open(path)?)?)
    }

    /// Reads the rows of the table that `path` names.
    ///
    /// # Errors
    /// What is wrong, by line and column.
    pub(super) fn read(path: &Path, mut rows: Rows) -> Result<Self, BadTable> {
        let mut bad = BadTable::new(path);
        let mut scan = Scan::default();
        let mut row = Vec::new();
        while rows.next(&mut row, &mut bad) {
            scan.note(&row, rows.line());
        }
        scan.extent.names = rows.names().to_vec();
        scan.extent.rows.resize(scan.extent.names.len(), 0);
        scan.judge(rows.time_column(), &mut bad);
        if bad.found() { Err(bad) } else { Ok(scan.extent) }
    }

    /// (streams) W, the rows that warm a stream up: what is asked for, else a fifth of its rows.
    pub(super) fn starts(&self, given: Option<u64>) -> Vec<u64> {
        let of_stream = |rows: &u64| given.unwrap_or_else(|| rows.div_ceil(5).max(1));
        self.rows.iter().map(of_stream).collect()
    }
}

/// What the pass has seen.
#[derive(Default)]
struct Scan {
    extent: Extent,
    /// (streams) newest time of each.
    newest: Vec<i64>,
    values: u64,
    /// Line, its time, and the newest time above it, of the first row out of order.
    first_late: Option<(u64, i64, i64)>,
}

impl Scan {
    fn note(&mut self, row: &[Reading], line: u64) {
        let extent = &mut self.extent;
        for reading in row {
            if extent.readings == 0 {
                (extent.first_ms, extent.last_ms) = (reading.time_ms, reading.time_ms);
            }
            if reading.stream >= extent.rows.len() {
                extent.rows.resize(reading.stream + 1, 0);
                self.newest.resize(reading.stream + 1, i64::MIN);
            }
            let newest = &mut self.newest[reading.stream];
            if reading.time_ms < extent.last_ms {
                extent.late += 1;
                self.first_late
                    .get_or_insert((line, reading.time_ms, extent.last_ms));
            } else if reading.time_ms == *newest {
                extent.duplicates += 1;
            }
            *newest = reading.time_ms.max(*newest);
            extent.last_ms = extent.last_ms.max(reading.time_ms);
            extent.rows[reading.stream] += 1;
            extent.readings += 1;
            self.values += u64::from(reading.value.is_some());
        }
    }

    fn judge(&self, time_column: &str, bad: &mut BadTable) {
        if let Some((line, time_ms, newest_ms)) = self.first_late
            && self.extent.late * LATE_SHARE > self.extent.readings
        {
            let reason = format!(
                "{} is before {} of a row above, and so are {} of {} readings: a forecast must not have seen later rows; sort the file by its time",
                clock::rfc3339(time_ms),
                clock::rfc3339(newest_ms),
                self.extent.late,
                self.extent.readings
            );
            bad.note(line, Some(time_column), reason);
        }
        if self.values == 0 && !bad.found() {
            bad.note(2, None, "the table holds no value");
        }
    }
}
