//! Numbers, shares and sparklines as short text.

use super::board::{Board, Mark, Stream};
use super::clock;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// About four digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e7 || (size < 1e-3 && size > 0.0) => format!("{value:.2e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// `81 %`; a dash before the first.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// `+23 %`; a dash before the first.
pub(crate) fn signed_percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| format!("{:+.0} %", (share * 100.0).max(-999.0)),
    )
}

/// `12,345`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The past cells, then the forecast's median, on one scale; a gap is a blank.
pub(crate) fn sparkline(past: &[Option<f64>], ahead: &[f64]) -> (String, String) {
    let all = || past.iter().flatten().chain(ahead).copied();
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let block = |value: f64| {
        if high <= low {
            return BLOCKS[3];
        }
        let index = ((value - low) / (high - low) * 7.0).round();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0..=7"
        )]
        BLOCKS[index.clamp(0.0, 7.0) as usize]
    };
    let past = past.iter().map(|value| value.map_or(' ', block)).collect();
    (past, ahead.iter().map(|value| block(*value)).collect())
}

/// The forecast's median at the end of each of the next cells, linear between horizons, as far as it reaches.
pub(crate) fn path(stream: &Stream, cell_ms: i64) -> Vec<f64> {
    let Some(record) = stream.record.as_ref().filter(|record| record.interval_ms > 0) else {
        return Vec::new();
    };
    let points: Vec<(f64, f64)> = std::iter::once((0.0, record.observed))
        .chain(
            record
                .ahead
                .iter()
                .map(|ahead| ((i64::from(ahead.steps) * record.interval_ms) as f64, ahead.mid)),
        )
        .collect();
    let end = points.last().map_or(0.0, |point| point.0);
    let cells = (end / cell_ms as f64).ceil().min(24.0);
    let mut out = Vec::new();
    let mut cell = 1.0;
    while cell <= cells {
        let at = (cell * cell_ms as f64).min(end);
        let after = points
            .partition_point(|point| point.0 < at)
            .clamp(1, points.len() - 1);
        let (from, to) = (points[after - 1], points[after]);
        out.push(from.1 + (to.1 - from.1) * (at - from.0) / (to.0 - from.0));
        cell += 1.0;
    }
    out
}

/// What a newcomer should read beside a stream.
pub(crate) fn mark(mark: Mark) -> String {
    match mark {
        Mark::Waiting => "waiting".to_owned(),
        Mark::Warming(None | Some(0)) => "warming up".to_owned(),
        Mark::Warming(Some(steps)) => format!("ready in {steps}"),
        Mark::Fine => "ok".to_owned(),
        Mark::Anomaly => "ANOMALY".to_owned(),
        Mark::Silent(ms) => format!("silent {}", clock::span(ms)),
        Mark::Stale => "after a gap".to_owned(),
    }
}

/// Before the plant's own word about a sensor.
pub(crate) const TRUTH: char = '←';

/// State of a stream, and behind an arrow what the plant knows, in at most `width` characters where that can be.
pub(crate) fn state(board: &Board, stream: &Stream, width: usize) -> String {
    let said = board.mark(stream);
    let plain = mark(said);
    let mut heads = Vec::new();
    match said {
        Mark::Fine => {
            if let Some(ms) = board.odd_ms(stream) {
                let ago = format!("odd {} ago", about(ms));
                heads.push(format!("ok · {ago} ({}×)", count(stream.anomalies)));
                heads.push(format!("ok · {ago}"));
                heads.push(ago);
            } else if stream.anomalies > 0 {
                heads.push(format!("ok ({}× odd)", count(stream.anomalies)));
            }
            heads.push(plain);
        }
        Mark::Silent(ms) => heads.extend([format!("silent {}", about(ms)), about(ms)]),
        _ => heads.push(plain),
    }
    let Some(fault) = board.fault(stream) else {
        return fitting(heads, width);
    };
    let fault = fault.name();
    let shortest = heads.last().map(|head| format!("{head}{TRUTH}{fault}"));
    let mut all: Vec<_> = heads
        .iter()
        .map(|head| format!("{head} {TRUTH} {fault}"))
        .collect();
    all.extend(shortest);
    fitting(all, width)
}

/// The first that fits, else the last.
pub(crate) fn fitting(texts: Vec<String>, width: usize) -> String {
    let mut last = String::new();
    for text in texts {
        if text.chars().count() <= width {
            return text;
        }
        last = text;
    }
    last
}

/// A span in one unit: `45 min`, `5 h`, `2 days`.
fn about(ms: i64) -> String {
    let unit = match ms {
        172_800_000.. => 86_400_000,
        3_600_000.. => 3_600_000,
        60_000.. => 60_000,
        _ => 1,
    };
    clock::span(ms / unit * unit)
}

/// Expert of the largest weight; a dash where no expert is named.
pub(crate) fn leader((name, weight): &(String, f64)) -> String {
    if name.is_empty() {
        return "-".to_owned();
    }
    format!("{name} {:.0} %", weight * 100.0)
}

/// `1 stream`, `2 streams`.
pub(crate) fn plural(n: usize, what: &str) -> String {
    format!("{} {what}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

/// `in 5 min`, or `in 3 steps` where the interval is not known.
pub(crate) fn ahead(steps: u32, interval_ms: i64) -> String {
    match i64::from(steps) * interval_ms {
        0 if steps == 1 => "next step".to_owned(),
        0 => format!("in {steps} steps"),
        ms => format!("in {}", clock::span(ms)),
    }
}

/// What became of the observations that got no forecast.
pub(crate) fn letters(board: &Board) -> String {
    let parts: Vec<_> = board
        .letters
        .iter()
        .map(|(reason, n)| format!("{} {reason}", count(*n)))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::*;

    #[test]
    fn number_keeps_about_four_digits() {
        let shown = [0.0, 0.01234, 1.2345, 123.456, -1234.5, 2e9, 1e-9].map(number);
        assert_eq!(
            shown,
            ["0.00", "0.012", "1.23", "123.5", "-1234", "2.00e9", "1.00e-9"]
        );
    }

    #[test]
    fn shares_and_counts_read_well() {
        assert_eq!([percent(Some(0.814)), percent(None)], ["81 %", "-"]);
        assert_eq!(
            [
                signed_percent(Some(0.234)),
                signed_percent(Some(-0.05)),
                signed_percent(Some(-1e9))
            ],
            ["+23 %", "-5 %", "-999 %"]
        );
        assert_eq!(
            [count(7), count(1234), count(1_234_567)],
            ["7", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn sparkline_shares_one_scale_and_leaves_gaps_blank() {
        let (past, next) = sparkline(&[Some(0.0), None, Some(7.0)], &[3.5]);
        assert_eq!((past.as_str(), next.as_str()), ("▁ █", "▅"));
        let (flat, _) = sparkline(&[Some(2.0), Some(2.0)], &[]);
        assert_eq!(flat, "▄▄");
    }

    #[test]
    fn state_tells_flags_and_faults_within_its_width() {
        use super::super::board::Event;
        use super::super::plant::faults::{DROPS_OUT, Schedule};
        let mut board = board();
        assert_eq!(state(&board, &board.streams[1], 20), "ANOMALY");
        let mut later = board.streams[1].record.clone().unwrap();
        later.anomaly = None;
        for _ in 0..3 {
            later.origin_ms += 3_600_000;
            board.take(Event::Forecast(Box::new(later.clone())));
        }
        let shown = |width| state(&board, &board.streams[1], width);
        assert_eq!(
            [21, 16, 11, 5].map(shown),
            ["ok · odd 3 h ago (1×)", "ok · odd 3 h ago", "odd 3 h ago", "ok"]
        );
        let names: Vec<String> = (0..12).map(|sensor| format!("s{sensor}")).collect();
        let mut plant = Board::new(&names, 300_000, 86_400_000);
        plant.truth = Some(Schedule { from_ms: 0 });
        for (stream, hours) in [("s5", 5), ("s0", 14)] {
            let mut record = later.clone();
            (record.stream, record.origin_ms) = (stream.to_owned(), hours * 3_600_000);
            plant.take(Event::Forecast(Box::new(record)));
        }
        let silent = |width| state(&plant, &plant.streams[DROPS_OUT], width);
        assert_eq!([30, 16].map(silent), ["silent 9 h ← silent", "9 h ← silent"]);
    }

    #[test]
    fn plural_and_leader_read_well() {
        assert_eq!(
            [plural(1, "stream"), plural(2, "stream")],
            ["1 stream", "2 streams"]
        );
        let led = |name: &str| leader(&(name.to_owned(), 0.4));
        assert_eq!([led("day"), led("")], ["day 40 %", "-"]);
    }

    #[test]
    fn path_runs_through_the_horizons() {
        let board = board();
        let path = path(&board.streams[0], 3_600_000);
        assert_eq!(path.len(), 12);
        let mid = board.streams[0].record.as_ref().unwrap().ahead[1].mid;
        assert!((path[11] - mid).abs() < 1e-9);
    }
}
