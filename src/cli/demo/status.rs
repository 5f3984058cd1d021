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
    /// What training says of itself; none before it has begun.
    pub training: Option<String>,
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
            _ if self.speed <= 0.0 => "starting".to_owned(),
            _ if self.speed < 1.5 => "real time".to_owned(),
            _ if hours >= 48.0 => format!("{:.0} days pass per second", hours / 24.0),
            _ if hours >= 1.0 => format!("{hours:.0} h pass per second"),
            _ => format!("{:.0} min pass per second", (self.speed / 60.0).max(1.0)),
        };
        match (self.live, self.held_back) {
            (false, _) if self.speed < 1.5 => "reading history first".to_owned(),
            (false, _) => format!("history, {pace}"),
            (true, true) if self.speed > 0.0 => format!("{pace}, as fast as this machine can"),
            (true, _) => pace,
        }
    }

    /// What training says, or that it says nothing.
    fn trained(&self) -> &str {
        match &self.training {
            Some(training) => training,
            None if self.done => "nothing trained",
            None => "training starts soon",
        }
    }

    /// Three lines: throughput, streams and model, outcomes.
    pub(crate) fn lines(&self, board: &Board) -> [String; 3] {
        let leaders: Vec<_> = board
            .leaders()
            .iter()
            .take(3)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let mut outcomes = Vec::new();
        if !leaders.is_empty() {
            outcomes.push(format!("led by: {}", leaders.join(", ")));
        }
        if !board.letters.is_empty() {
            outcomes.push(format!("no forecast: {}", text::letters(board)));
        }
        if board.anomalies() > 0 {
            outcomes.push(format!("odd: {}", text::count(board.anomalies())));
        }
        if self.written_off > 0 {
            outcomes.push(format!("{} without any outcome", text::count(self.written_off)));
        }
        let mut model = vec![format!("{} of {} in service", board.ready(), board.streams.len())];
        model.extend(version(board));
        model.push(self.trained().to_owned());
        [
            format!(
                "{} s · {} readings in ({:.0}/s) · {} forecasts out ({:.0}/s)",
                self.elapsed.as_secs(),
                text::count(self.fed),
                self.fed_rate,
                text::count(board.forecasts),
                self.forecast_rate,
            ),
            model.join(" · "),
            outcomes.join(" · "),
        ]
    }
}

/// The store of a demo is empty: its first version is the untrained one.
fn version(board: &Board) -> Option<String> {
    match board.model_version {
        0 => None,
        1 => Some("network not trained yet".to_owned()),
        version => Some(format!("model version {version}")),
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
            training: Some("learning: 12,000 rows".to_owned()),
            ..Status::default()
        }
    }

    #[test]
    fn status_says_throughput_model_and_outcomes() {
        let lines = status().lines(&board());
        assert_eq!(
            lines[0],
            "12 s · 12,345 readings in (864/s) · 61 forecasts out (860/s)"
        );
        assert_eq!(
            lines[1],
            "2 of 3 in service · model version 7 · learning: 12,000 rows"
        );
        assert_eq!(
            lines[2],
            "led by: day 1, network 1 · no forecast: 1 missing · odd: 1"
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
        assert_eq!(pace(21_600.0, true, false), "6 h pass per second");
        assert_eq!(
            pace(400_000.0, true, true),
            "5 days pass per second, as fast as this machine can"
        );
        assert_eq!(pace(600.0, false, false), "history, 10 min pass per second");
    }
    #[test]
    fn status_of_the_first_seconds_names_nothing_that_is_not_there() {
        let status = Status::default();
        assert_eq!(status.pace(), "reading history first");
        let lines = status.lines(&Board::new(&["a".to_owned()], 1, 48));
        assert_eq!(lines[1], "0 of 1 in service · training starts soon");
        assert_eq!(lines[2], "");
        let ended = Status { done: true, ..status };
        assert!(ended.lines(&Board::new(&[], 1, 48))[1].ends_with("nothing trained"));
    }

    #[test]
    fn status_of_an_untrained_network_reads_well() {
        let mut board = board();
        board.model_version = 1;
        let lines = status().lines(&board);
        assert!(lines[1].contains(" · network not trained yet · "), "{}", lines[1]);
    }

    #[test]
    fn status_lines_fit_eighty_columns() {
        let mut board = board();
        (board.model_version, board.forecasts) = (12, 123_456);
        let status = Status {
            fed: 123_456,
            fed_rate: 12_345.0,
            forecast_rate: 12_345.0,
            training: Some("trained on 9,230,557 rows, 10 refused".to_owned()),
            elapsed: Duration::from_secs(300),
            ..status()
        };
        for line in status.lines(&board) {
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}
