//! What the view says besides the streams: pace, totals, model, training.

use std::time::Duration;

use super::board::Board;
use super::text;

/// As of one look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// What is fed, in a few words.
    pub what: String,
    /// What to watch for.
    pub hint: Option<String>,
    /// Where it runs and what that means, for the first lines.
    pub place: Vec<String>,
    /// Since the start.
    pub elapsed: Duration,
    /// Observations fed.
    pub fed: u64,
    /// Fed and without an outcome so far.
    pub underway: u64,
    /// Given up waiting for.
    pub written_off: u64,
    /// Observations per second.
    pub fed_rate: f64,
    /// Forecasts per second.
    pub forecast_rate: f64,
    /// Event seconds per second, over the last few.
    pub speed: f64,
    /// Whether the history is fed.
    pub live: bool,
    /// Whether the daemon is the slower part.
    pub held_back: bool,
    /// Whether the source has ended.
    pub done: bool,
    /// What training says of itself.
    pub training: String,
    /// Last warning.
    pub note: Option<String>,
}

impl Status {
    /// How fast time passes.
    pub(crate) fn pace(&self) -> String {
        if self.done {
            return "the data has ended".to_owned();
        }
        let hours = self.speed / 3600.0;
        let pace = match hours {
            _ if self.speed < 1.5 => "real time".to_owned(),
            _ if hours >= 48.0 => format!("{:.0} days pass per second", hours / 24.0),
            _ if hours >= 1.0 => format!("{hours:.0} hours pass per second"),
            _ => format!("{:.0} minutes pass per second", self.speed / 60.0),
        };
        match (self.live, self.held_back) {
            (false, _) => format!("reading history first: {pace}"),
            (true, true) => format!("{pace}, as fast as this machine takes it"),
            (true, false) => pace,
        }
    }

    /// Three lines: throughput, streams and model, outcomes.
    pub(crate) fn lines(&self, board: &Board) -> [String; 3] {
        let leaders: Vec<_> = board
            .leaders()
            .iter()
            .take(4)
            .map(|(name, count)| format!("{name} on {count}"))
            .collect();
        let letters = text::letters(board);
        let written_off = if self.written_off > 0 {
            format!(" · {} without any outcome", text::count(self.written_off))
        } else {
            String::new()
        };
        [
            format!(
                "{} s · {} observations in ({:.0}/s) · {} forecasts out ({:.0}/s)",
                self.elapsed.as_secs(),
                text::count(self.fed),
                self.fed_rate,
                text::count(board.forecasts),
                self.forecast_rate,
            ),
            format!(
                "{} of {} in service · model version {} · {}",
                board.ready(),
                board.streams.len(),
                board.model_version,
                self.training,
            ),
            format!(
                "led by: {} · no forecast: {letters}{written_off}",
                leaders.join(", ")
            ),
        ]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::board::tests::board;
    use super::*;

    pub(crate) fn status() -> Status {
        Status {
            what: "a simulated plant".to_owned(),
            place: vec!["in this process".to_owned()],
            elapsed: Duration::from_secs(12),
            fed: 12_345,
            fed_rate: 864.2,
            forecast_rate: 860.0,
            speed: 21_600.0,
            live: true,
            training: "learning: 12,000 rows".to_owned(),
            ..Status::default()
        }
    }

    #[test]
    fn status_says_throughput_model_and_outcomes() {
        let lines = status().lines(&board());
        assert_eq!(
            lines[0],
            "12 s · 12,345 observations in (864/s) · 61 forecasts out (860/s)"
        );
        assert_eq!(
            lines[1],
            "2 of 3 in service · model version 7 · learning: 12,000 rows"
        );
        assert_eq!(
            lines[2],
            "led by: day on 1, network on 1 · no forecast: 1 missing"
        );
    }

    #[test]
    fn status_pace_reads_as_a_sentence() {
        let pace = |speed, live, held_back| {
            Status {
                speed,
                live,
                held_back,
                ..Status::default()
            }
            .pace()
        };
        assert_eq!(pace(1.0, true, false), "real time");
        assert_eq!(pace(21_600.0, true, false), "6 hours pass per second");
        assert_eq!(
            pace(400_000.0, true, true),
            "5 days pass per second, as fast as this machine takes it"
        );
        assert_eq!(
            pace(600.0, false, false),
            "reading history first: 10 minutes pass per second"
        );
    }
}
