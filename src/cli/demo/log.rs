//! Warnings of the daemon: a line on stderr, or the last one in the live view.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines kept for the end.
const LINES_MAX: usize = 20;

/// The last warnings. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<VecDeque<String>>>);

impl Notes {
    /// The newest one.
    pub(crate) fn last(&self) -> Option<String> {
        self.lines().back().cloned()
    }

    /// All that are kept, oldest first.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines().iter().cloned().collect()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines();
        for line in String::from_utf8_lossy(bytes)
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            lines.push_back(line.trim().to_owned());
            if lines.len() > LINES_MAX {
                lines.pop_front();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Notes {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts logging for this process: kept for the view where it is live, on stderr otherwise. A second start in one process
/// changes nothing.
pub(crate) fn start(live: bool) -> Notes {
    let notes = Notes::default();
    // The embedded broker's clients log every reconnect at its end: only what needs a person is shown.
    let filter = EnvFilter::try_from_env("TIDECAST_DEMO_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,librdkafka=error"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = if live {
        lines.without_time().with_writer(notes.clone()).try_init()
    } else {
        lines.with_writer(io::stderr).try_init()
    };
    notes
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn notes_keep_the_last_lines_only() {
        let mut notes = Notes::default();
        for line in 0..30 {
            notes.write_all(format!(" line {line}\n").as_bytes()).unwrap(); // as the subscriber does: a line at once
        }
        assert_eq!(notes.last().as_deref(), Some("line 29"));
        assert_eq!(notes.all().len(), LINES_MAX);
    }
}
