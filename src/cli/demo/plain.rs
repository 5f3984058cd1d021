//! The view where stdout is no terminal: a block of lines now and then, and a table at the end.

use std::fmt::Write as _;

use super::board::{Board, Stream};
use super::plant::faults::TOLD;
use super::status::Status;
use super::{clock, text};

/// Streams of a block at most: a log is read from top to bottom.
const STREAMS_SHOWN: usize = 12;

/// How to read the two scores.
pub(crate) const LEGEND: &str = "in band: readings that fell inside the band (80 % is right) · skill: how much less error than \"nothing changes\" · odd: flagged as an anomaly";
/// The same for a small terminal.
pub(crate) const LEGEND_SHORT: &str =
    "in band: 80 % is right · skill: how much less error than \"nothing changes\"";

/// What the names in "led by" are.
pub(crate) const LED: &str = "led by: the method that counts most: last = nothing changes, level = as a day ago, day/week = as usual then, network = the recurrent network";
/// The same for a small terminal.
pub(crate) const LED_SHORT: &str =
    "led by: last = no change, level = as a day ago, day/week = as usual, network";
/// Characters of a state.
const STATE: usize = 22;

/// What this is, once, at the start.
pub(crate) fn opening(status: &Status) -> String {
    let mut out = format!("tidecast demo: {}\n", status.what);
    let told = status.hint.iter().flat_map(|hint| [hint.as_str(), TOLD]);
    for line in told.chain(status.place.iter().map(String::as_str)) {
        let _ = writeln!(out, "  {line}"); // a string takes everything
    }
    let _ = writeln!(out, "  {LEGEND}\n  {LED}");
    out
}

/// One block.
pub(crate) fn block(board: &Board, status: &Status) -> String {
    let time = if board.time_ms == i64::MIN {
        "no forecast yet".to_owned()
    } else {
        clock::minute(board.time_ms)
    };
    let mut out = format!("\n{time} ({})\n", status.pace());
    for line in status.lines(board).iter().filter(|line| !line.is_empty()) {
        let _ = writeln!(out, "  {line}");
    }
    out.push_str(&streams(board));
    out
}

fn streams(board: &Board) -> String {
    let Some(record) = board.streams.iter().find_map(|stream| stream.record.as_ref()) else {
        return String::new();
    };
    let width = board
        .streams
        .iter()
        .map(|stream| stream.name.chars().count())
        .max()
        .unwrap_or(0)
        .clamp(6, 32);
    let near = text::ahead(record.ahead[0].steps, record.interval_ms);
    let far = text::ahead(record.ahead[record.ahead.len() - 1].steps, record.interval_ms);
    let mut out = format!(
        "  {:width$} {:>9} {near:>9} {:>23}  {:17} {:>7} {:>6}  state\n",
        "sensor",
        "now",
        format!("{far}, 80 % band"),
        "led by",
        "in band",
        "skill"
    );
    for stream in board.streams.iter().take(STREAMS_SHOWN) {
        out.push_str(&line(board, stream, width));
    }
    if board.streams.len() > STREAMS_SHOWN {
        let _ = writeln!(out, "  and {} more", board.streams.len() - STREAMS_SHOWN);
    }
    out
}

fn line(board: &Board, stream: &Stream, width: usize) -> String {
    let state = text::state(board, stream, STATE);
    let Some(record) = &stream.record else {
        return format!("  {:width$} {state}\n", stream.name);
    };
    let (near, far) = (&record.ahead[0], &record.ahead[record.ahead.len() - 1]);
    let band = format!(
        "{} in {} … {}",
        text::number(far.mid),
        text::number(far.low),
        text::number(far.high)
    );
    let leader = text::leader(&record.leader);
    format!(
        "  {:width$} {:>9} {:>9} {band:>23}  {leader:17} {:>7} {:>6}  {state}\n",
        stream.name,
        text::number(record.observed),
        text::number(near.mid),
        text::percent(stream.score.coverage()),
        text::signed_percent(stream.score.skill()),
    )
}

/// Totals, and skill and coverage by horizon.
pub(crate) fn closing(board: &Board, status: &Status) -> String {
    let mut out = format!(
        "\nIn {} s: {} observations, {} forecasts; without a forecast: {}.\n",
        status.elapsed.as_secs(),
        text::count(status.fed),
        text::count(board.forecasts),
        text::letters(board),
    );
    let training = status.training.as_deref().unwrap_or("nothing was trained");
    let _ = match board.model_version {
        0 | 1 => writeln!(out, "No trained version served; {training}."),
        version => writeln!(out, "Model version {version} at the end; {training}."),
    };
    if status.underway > 0 {
        let _ = writeln!(
            out,
            "{} observations were still on their way.",
            text::count(status.underway)
        );
    }
    if status.written_off > 0 {
        let _ = writeln!(
            out,
            "{} observations had no outcome in time.",
            text::count(status.written_off)
        );
    }
    if board.unreadable.0 > 0 {
        let _ = writeln!(
            out,
            "{} records were not as agreed: {}.",
            board.unreadable.0, board.unreadable.1
        );
    }
    let summary = board.summary();
    if summary.is_empty() {
        out.push_str(&unscored(board, status));
        return out;
    }
    out.push_str("\nForecasts against the readings that came later, over all streams while in service:\n");
    let _ = writeln!(
        out,
        "  {:14} {:>11} {:>15}   skill against \"nothing changes\"",
        "horizon", "forecasts", "in 80 % band"
    );
    let _ = writeln!(
        out,
        "  {:14} {:>11} {:>15}   {:>7} {:>7} {:>7}",
        "", "scored", "(80 % is right)", "median", "worst", "best"
    );
    let interval_ms = board
        .streams
        .iter()
        .find_map(|stream| stream.record.as_ref())
        .map_or(0, |record| record.interval_ms);
    for line in summary {
        let [worst, median, best] = line.skill.map_or([None; 3], |skill| skill.map(Some));
        let _ = writeln!(
            out,
            "  {:14} {:>11} {:>15}   {:>7} {:>7} {:>7}",
            text::ahead(line.steps, interval_ms),
            text::count(line.scored),
            format!("{:.1} %", line.coverage * 100.0),
            text::signed_percent(median),
            text::signed_percent(worst),
            text::signed_percent(best),
        );
    }
    out
}

/// Why no forecast was judged, and the way out.
fn unscored(board: &Board, status: &Status) -> String {
    if !status.done {
        return "No forecast has been scored: no stream was in service for long enough. Give it more --seconds.\n"
            .to_owned();
    }
    let needed = board
        .readings_needed()
        .map_or("about 100".to_owned(), text::count);
    format!(
        "No forecast has been scored: the file is too short: {needed} readings per stream are needed before the first forecast is judged.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::super::status::tests::status;
    use super::*;

    #[test]
    fn plain_block_has_a_line_per_stream() {
        let shown = block(&board(), &status());
        for part in [
            "6 h pass per second",
            "pump-1/flow",
            "network 62 %",
            "ANOMALY",
            "waiting",
            "in 12 h, 80 % band",
            "864/s",
        ] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
    }

    #[test]
    fn plain_closing_shows_skill_and_coverage_by_horizon() {
        let shown = closing(&board(), &status());
        let line = |start: &str| {
            shown
                .lines()
                .find(|line| line.trim_start().starts_with(start))
                .unwrap_or_else(|| panic!("no `{start}` in\n{shown}"))
        };
        assert!(line("in 1 h").contains("59"), "{shown}");
        assert!(line("in 12 h").contains('%'), "{shown}");
        assert!(shown.contains("1 missing"), "{shown}");
    }

    #[test]
    fn plain_closing_without_a_scored_forecast_says_so() {
        let empty = Board::new(&["a".to_owned()], 1000, 48_000);
        assert!(closing(&empty, &status()).contains("No forecast has been scored"));
    }

    #[test]
    fn plain_closing_of_a_short_file_says_how_long_it_must_be() {
        let mut board = Board::new(&["s".to_owned()], 1000, 48_000);
        let record = super::super::score::tests::record(0, 1.0, 1, [0.0, 1.0, 2.0]);
        board.take(super::super::board::Event::Forecast(Box::new(
            super::super::record::Record {
                ready: false,
                ready_in: Some(48),
                model_version: 1,
                ..record
            },
        )));
        let status = Status {
            done: true,
            training: None,
            ..status()
        };
        let shown = closing(&board, &status);
        assert!(shown.contains("too short: 50 readings per stream"), "{shown}");
        assert!(!shown.contains("--seconds") && !shown.contains("soon"), "{shown}");
    }
}
