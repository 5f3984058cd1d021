//! `--forecasts` and `--anomalies`: CSV, gzip by name.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::codec::encode::rounding;
use crate::codec::number;
use crate::engine::Forecast;

/// Bytes that are collected before they go to the file.
const BUFFER_BYTES: usize = 1 << 16;

enum Sink {
    Plain(BufWriter<File>),
    Zipped(GzEncoder<BufWriter<File>>),
}

/// A file that lines are appended to.
struct Lines {
    path: PathBuf,
    sink: Sink,
    buffer: Vec<u8>,
}

impl Lines {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::create(path)
            .with_context(|| format!("`{shown}` cannot be written: name a file in a folder that is there"))?;
        let file = BufWriter::new(file);
        let sink = if path.extension().is_some_and(|end| end == "gz") {
            Sink::Zipped(GzEncoder::new(file, Compression::default()))
        } else {
            Sink::Plain(file)
        };
        Ok(Self {
            path: path.to_owned(),
            sink,
            buffer: Vec::with_capacity(2 * BUFFER_BYTES),
        })
    }

    fn spill(&mut self, bytes_min: usize) -> anyhow::Result<()> {
        if self.buffer.len() < bytes_min {
            return Ok(());
        }
        let done = match &mut self.sink {
            Sink::Plain(file) => file.write_all(&self.buffer),
            Sink::Zipped(file) => file.write_all(&self.buffer),
        };
        self.buffer.clear();
        done.with_context(|| format!("`{}` cannot be written", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.spill(0)?;
        let path = self.path;
        let done: io::Result<()> = match self.sink {
            Sink::Plain(mut file) => file.flush(),
            Sink::Zipped(file) => file.finish().and_then(|mut file| file.flush()),
        };
        done.with_context(|| format!("`{}` cannot be written", path.display()))
    }
}

/// `stream,issued_at,target,horizon,q…,mean`.
pub(super) struct Forecasts {
    lines: Lines,
    /// Ids as CSV cells.
    names: Vec<Vec<u8>>,
}

impl Forecasts {
    /// Begins the file with its header.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn create(path: &Path, names: &[String], levels: &[f64]) -> anyhow::Result<Self> {
        let mut lines = Lines::create(path)?;
        let out = &mut lines.buffer;
        out.extend_from_slice(b"stream,issued_at,target,horizon");
        for &level in levels {
            out.extend_from_slice(b",q");
            number::write(level, out);
        }
        out.extend_from_slice(b",mean\n");
        Ok(Self {
            lines,
            names: names.iter().map(|name| cell(name)).collect(),
        })
    }

    /// One line per horizon, numbers rounded as in the daemon's records.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write(&mut self, stream: usize, row: u64, forecast: &Forecast<'_>) -> anyhow::Result<()> {
        let rounding = rounding(forecast);
        let out = &mut self.lines.buffer;
        let write = |out: &mut Vec<u8>, number: f64| {
            out.push(b',');
            number::write(rounding.map_or(number, |rounding| rounding.round(number)), out);
        };
        let h = forecast.horizons.len();
        for (i, &horizon) in forecast.horizons.iter().enumerate() {
            out.extend_from_slice(&self.names[stream]);
            write!(out, ",{row},{},{horizon}", row + u64::from(horizon)).expect("a vector takes every byte");
            for q in 0..forecast.levels.len() {
                write(out, forecast.quantiles[q * h + i]);
            }
            write(out, forecast.mean[i]);
            out.push(b'\n');
        }
        self.lines.spill(BUFFER_BYTES)
    }

    /// # Errors
    /// What is left cannot be written.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.lines.finish()
    }
}

/// `file,index,score`; the file is the stream.
pub(super) struct Anomalies {
    lines: Lines,
    names: Vec<Vec<u8>>,
}

impl Anomalies {
    /// Begins the file with its header.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn create(path: &Path, names: &[String]) -> anyhow::Result<Self> {
        let mut lines = Lines::create(path)?;
        lines.buffer.extend_from_slice(b"file,index,score\n");
        Ok(Self {
            lines,
            names: names.iter().map(|name| cell(name)).collect(),
        })
    }

    /// A row's score.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, stream: usize, row: u64, score: f64) -> anyhow::Result<()> {
        let out = &mut self.lines.buffer;
        out.extend_from_slice(&self.names[stream]);
        write!(out, ",{row},").expect("a vector takes every byte");
        number::write((score * 1e7).round() / 1e7, out);
        out.push(b'\n');
        self.lines.spill(BUFFER_BYTES)
    }

    /// # Errors
    /// What is left cannot be written.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.lines.finish()
    }
}

/// A text as a cell, in quotes where it needs them.
fn cell(text: &str) -> Vec<u8> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into_bytes()
    } else {
        text.as_bytes().to_vec()
    }
}
