//! Real data instead of the plant: a CSV file in memory ([`Rows`] says what it looks like). Rows are fed in the order of
//! their times.

use std::collections::HashMap;
#[cfg(test)]
use std::io::Read;
use std::path::Path;

use super::reading::{Reading, Readings};
use crate::cli::table::{BadTable, Rows};

/// Bounds memory: 24 bytes each. A larger file is refused with a sentence.
const READINGS_MAX: usize = 20_000_000;

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
        Ok(Self::collect(path, Rows::open(path)?)?)
    }

    /// Reads and checks a table; `path` names it.
    ///
    /// # Errors
    /// What is wrong, by line and column.
    #[cfg(test)]
    pub(crate) fn read(path: &Path, input: impl Read + 'static) -> Result<Self, BadTable> {
        Self::collect(path, Rows::new(path, Box::new(input))?)
    }

    fn collect(path: &Path, mut rows: Rows) -> Result<Self, BadTable> {
        let mut bad = BadTable::new(path);
        let (mut readings, mut row) = (Vec::new(), Vec::new());
        while rows.next(&mut row, &mut bad) {
            readings.append(&mut row);
            if readings.len() > READINGS_MAX {
                let reason = format!("more than {READINGS_MAX} readings; feed a part of the file");
                bad.note(rows.line(), None, reason);
                break;
            }
        }
        if !bad.found() && readings.iter().all(|reading| reading.value.is_none()) {
            bad.note(2, None, "the table holds no value");
        }
        if bad.found() {
            return Err(bad);
        }
        readings.sort_by_key(|reading| reading.time_ms); // stable: rows of one time stay in the file's order
        Ok(Self {
            names: rows.names().to_vec(),
            readings,
            next: 0,
        })
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

#[cfg(test)]
mod tests;
