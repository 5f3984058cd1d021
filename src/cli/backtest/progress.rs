//! The bar on a terminal's stderr.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::cli::demo::{clock, text};

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);
/// Cells of the bar.
const CELLS: u64 = 30;

/// How far a run is. Silent where stderr is no terminal.
pub(super) struct Progress {
    what: String,
    total: u64,
    begun: Instant,
    drawn: Option<Instant>,
    live: bool,
}

impl Progress {
    /// Of a run over so many readings.
    pub(super) fn new(what: &str, total: u64) -> Self {
        Self {
            what: what.to_owned(),
            total,
            begun: clock::now(),
            drawn: None,
            live: std::io::stderr().is_terminal(),
        }
    }

    /// So many are behind it.
    pub(super) fn at(&mut self, done: u64) {
        if !self.live {
            return;
        }
        let now = clock::now();
        if self.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW) {
            return;
        }
        self.drawn = Some(now);
        let line = bar(&self.what, done, self.total, now.duration_since(self.begun));
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}"); // nobody to tell where stderr is gone
    }

    /// Takes the bar away; how long it took.
    pub(super) fn finish(&mut self) -> Duration {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        clock::now().duration_since(self.begun)
    }
}

/// `plant ━━━━──── 41 %  12,400 readings/s  8 s left`.
fn bar(what: &str, done: u64, total: u64, passed: Duration) -> String {
    let share = done as f64 / total.max(1) as f64;
    let filled = usize::try_from(done * CELLS / total.max(1)).unwrap_or(0);
    let rest = usize::try_from(CELLS).unwrap_or(0).saturating_sub(filled);
    let seconds = passed.as_secs_f64().max(1e-3);
    let rate = done as f64 / seconds;
    let left = if share > 0.0 && seconds * (1.0 - share) / share < 1.0 {
        "under 1 s".to_owned()
    } else if share > 0.0 {
        let left_ms = (seconds * 1000.0 * (1.0 - share) / share).min(1e15).round();
        #[allow(clippy::cast_possible_truncation, reason = "cut at 1e15")]
        clock::span(left_ms as i64)
    } else {
        "…".to_owned()
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate, for people"
    )]
    let rate = text::count(rate.round() as u64);
    format!(
        "{what} {}{} {:3.0} %  {rate} readings/s  {left} left",
        "━".repeat(filled),
        "─".repeat(rest),
        100.0 * share
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_share_rate_and_time_left() {
        let shown = bar("plant", 500, 2000, Duration::from_secs(2));
        assert_eq!(
            shown,
            format!(
                "plant {}{}  25 %  250 readings/s  6 s left",
                "━".repeat(7),
                "─".repeat(23)
            )
        );
        assert!(bar("plant", 1999, 2000, Duration::from_secs(2)).ends_with("under 1 s left"));
        assert!(bar("plant", 0, 0, Duration::ZERO).contains("… left"));
    }
}
