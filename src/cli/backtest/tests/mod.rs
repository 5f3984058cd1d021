//! The figures against a case that was computed by hand, and the rules for bad data.

mod runs;

use std::fmt::Write as _;
use std::path::Path;

use super::compare::Difference;
use super::extent::Extent;
use super::figures::{self, Figures};
use super::judge::{Judge, Rules};
use super::table;
use crate::cli::demo::reading::Reading;
use crate::cli::table::{BadTable, Rows};
use crate::engine::{Forecast, ModelVersion, Status};

const LEVELS: [f64; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];
const EXPERTS: [(&str, f64); 2] = [("last", 0.75), ("network", 0.25)];

/// Stream 0, 1, 2, … 9 in seconds, season 2, five rows of warm-up; forecasts at rows 4, 6 and 8 of the next row. By hand:
///
/// | y | quantiles .025 .1 .5 .9 .975 | off | twice the pinball at .1 .5 .9 | in 80 | in 95 |
/// |---|---|---|---|---|---|
/// | 5 | 3 4 5 6 7 | 0 | .2 0 .2 | yes | yes |
/// | 7 | 3 4 6 8 8 | 1 | .6 1 .2 | yes | yes |
/// | 9 | 9.2 9.5 10 12 13 | 1 | .9 1 .6 | no | no |
///
/// The scale is mean |y(t) − y(t−2)| of rows 0 to 4 = 2.
fn by_hand() -> Judge {
    let rules = Rules::new((&[1], &[1]), &LEVELS, vec!["last", "network"]);
    let mut judge = Judge::new(rules, &[10], &[5]);
    judge.season(0, 2);
    let quantiles = |row: u32| match row {
        4 => [3.0, 4.0, 5.0, 6.0, 7.0],
        6 => [3.0, 4.0, 6.0, 8.0, 8.0],
        _ => [9.2, 9.5, 10.0, 12.0, 13.0],
    };
    for row in 0..10_u32 {
        let reading = Reading {
            stream: 0,
            time_ms: i64::from(row) * 1000,
            value: Some(f64::from(row)),
        };
        judge.reading(&reading, true);
        if row < 4 || row % 2 == 1 {
            continue;
        }
        let forecast = Forecast {
            stream: "a",
            origin_ms: reading.time_ms,
            interval_ms: 1000,
            observed: f64::from(row),
            horizons: &[1],
            mean: &[5.0],
            levels: &LEVELS,
            quantiles: &quantiles(row),
            status: Status::Ready,
            experts: &EXPERTS,
            model_version: ModelVersion(1),
            anomaly: None,
            scale: 1.0,
        };
        // Last value, the network 3 too low, the mix half too high.
        let truth = f64::from(row + 1);
        judge.forecast(0, &forecast, &[truth - 1.0, truth - 3.0, truth + 0.5]);
    }
    judge
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}

#[test]
fn figures_are_those_computed_by_hand() {
    let judge = by_hand();
    let all = figures::of_judge(&judge);
    let [figures] = all.as_slice() else {
        panic!("one horizon")
    };
    assert_eq!((figures.horizon, figures.count, figures.streams), (1, 3, 1));
    close(figures.mase, 2.0 / 3.0 / 2.0);
    close(figures.loss, (0.4 + 1.8 + 2.5) / 9.0 / 2.0);
    close(figures.last, 1.0 / 2.0);
    close(figures.seasonal, 2.0 / 2.0); // two steps before the target: 3 for 5, 5 for 7, 7 for 9
    close(figures.coverage[0].unwrap(), 2.0 / 3.0);
    close(figures.coverage[1].unwrap(), 2.0 / 3.0);
    close(figures.width[0].unwrap(), (2.0 + 4.0 + 2.5) / 3.0 / 2.0);
    close(figures.width[1].unwrap(), (4.0 + 5.0 + 3.8) / 3.0 / 2.0);
    assert_eq!(figures.leader(), Some(("last", 0.5)));
    close(figures.experts[1].1, 1.5);
    close(figures.mix.unwrap(), 0.25);
    close(figures.network_gain().unwrap(), 0.25 / (1.0 / 3.0) - 1.0);
    let calibration = figures::calibration(&judge);
    assert_eq!(calibration, [[1.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0]]);
    let weights: f64 = judge.weights_count.iter().sum();
    close(judge.weights.iter().step_by(2).sum::<f64>() / weights, 0.75);
    let [stream] = &figures::by_stream(&judge)[..] else {
        panic!("one stream")
    };
    close(stream.mase, figures.mase);
    close(stream.naive, 0.5);
}

#[test]
fn figures_of_nothing_are_none() {
    let rules = Rules::new((&[1], &[1]), &LEVELS, vec!["last", "network"]);
    let all = figures::of_judge(&Judge::new(rules, &[10], &[20]));
    assert!(all[0].mase.is_nan() && all[0].coverage[0].is_none() && all[0].leader().is_none());
    assert!(table::text(&all).lines().nth(1).unwrap().contains('–'));
}

#[test]
fn table_and_json_show_the_figures() {
    let all = figures::of_judge(&by_hand());
    let text = table::text(&all);
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        row,
        [
            "1", "0.333", "0.500", "1.000", "0.261", "66.7", "1.417", "66.7", "2.133", "last", "0.500",
            "-25.0", "%"
        ]
    );
    let experts: Vec<Vec<String>> = table::experts(&all)
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert_eq!(
        experts,
        [
            vec!["MASE", "alone", "at", "1"],
            vec!["last", "0.500"],
            vec!["network", "1.500"],
            vec!["experts'", "mix", "0.250"],
            vec!["served", "0.333"]
        ]
    );
    let idle = Figures {
        experts: vec![("last", 0.5), ("hour", 0.5), ("network", 1.5)],
        ..all[0].clone()
    };
    let alone: Vec<&str> = figures::alone(&[idle]).iter().map(|(name, _)| *name).collect();
    assert_eq!(alone, ["last", "network"]);
    let many: Vec<Figures> = (1..=100)
        .map(|horizon| Figures {
            horizon,
            ..all[0].clone()
        })
        .collect();
    let shown = table::shown(&many);
    assert_eq!((shown.len(), shown[0].horizon, shown[15].horizon), (16, 1, 100));
}

#[test]
fn judge_waits_for_the_truth_and_leaves_out_what_never_comes() {
    let rules = Rules::new((&[2], &[1, 2]), &[0.5], vec!["last"]);
    let mut judge = Judge::new(rules, &[4], &[1]);
    let at = |time_ms, value| Reading {
        stream: 0,
        time_ms,
        value,
    };
    let forecast = |origin_ms| Forecast {
        stream: "a",
        origin_ms,
        interval_ms: 1000,
        observed: 0.0,
        horizons: &[2],
        mean: &[0.0],
        levels: &[0.5],
        quantiles: &[0.0],
        status: Status::Ready,
        experts: &[("last", 1.0)],
        model_version: ModelVersion(1),
        anomaly: None,
        scale: 1.0,
    };
    for (time_ms, value, taken) in [
        (0, Some(1.0), true),
        (1000, Some(1.0), true),
        (1000, Some(9.0), false), // a duplicate is no truth
        (2400, Some(4.0), true),  // less than half an interval off its tick
        (3000, None, true),       // the truth of the second is missing
        (9000, Some(1.0), true),  // that of the others has no row
    ] {
        judge.reading(&at(time_ms, value), taken);
        if taken {
            judge.forecast(0, &forecast((time_ms + 499) / 1000 * 1000), &[0.0; 4]);
        }
    }
    let stream = &judge.streams[0];
    assert_eq!((stream.whole(0).count, stream.whole(0).error), (1.0, 4.0));
    assert_eq!((stream.rows, stream.unmatched), (6, 2));
}

#[test]
fn difference_is_the_paired_one_with_its_standard_error() {
    let sure = Difference::of(&[(2.0, 1.0), (2.0, 1.2), (2.0, 0.8)]);
    close(sure.share, -0.5);
    close(sure.error, (0.04_f64 / 3.0).sqrt() / 2.0);
    assert_eq!((sure.better(), sure.blocks), (Some('B'), 3));
    let unsure = Difference::of(&[(2.0, 1.0), (2.0, 2.0), (2.0, 0.0)]);
    close(unsure.error, (1.0_f64 / 3.0).sqrt() / 2.0);
    assert_eq!(unsure.better(), None);
    assert_eq!(Difference::of(&[(1.0, 2.0), (1.0, 2.0)]).better(), Some('A'));
    assert_eq!(
        Difference::of(&[(1.0, 2.0)]).better(),
        None,
        "one block tells nothing"
    );
}

fn extent(text: &str) -> Result<Extent, BadTable> {
    let path = Path::new("x.csv");
    Extent::read(
        path,
        Rows::new(path, Box::new(std::io::Cursor::new(text.to_owned())))?,
    )
}

#[test]
fn extent_counts_rows_duplicates_and_the_few_that_are_late() {
    let found = extent("stream,time,value\na,0,1\nb,0,2\na,60,\na,60,3\n").unwrap();
    assert_eq!(
        (found.names, found.rows, found.readings),
        (vec!["a".to_owned(), "b".to_owned()], vec![3, 1], 4)
    );
    assert_eq!(
        (found.duplicates, found.late, found.first_ms, found.last_ms),
        (1, 0, 0, 60_000)
    );
    let mut text = "time,a\n".to_owned();
    for minute in 0..100 {
        let _ = writeln!(text, "{},1", if minute == 50 { 48 } else { minute } * 60);
    }
    assert_eq!(extent(&text).unwrap().late, 1);
}

#[test]
fn extent_refuses_a_file_whose_streams_follow_each_other() {
    let bad = extent("stream,time,value\na,0,1\na,60,1\nb,0,1\nb,60,1\n").unwrap_err();
    let problem = &bad.problems[0];
    assert_eq!((problem.line, problem.column.as_deref()), (4, Some("time")));
    assert!(
        problem
            .reason
            .contains("1970-01-01T00:00:00Z is before 1970-01-01T00:01:00Z"),
        "{}",
        problem.reason
    );
    assert!(problem.reason.contains("sort the file by its time"));
    assert!(
        extent("time,a\n0,\n")
            .unwrap_err()
            .to_string()
            .contains("holds no value")
    );
}

#[test]
fn extent_warms_up_over_a_fifth() {
    let of = |rows: &[u64]| Extent {
        rows: rows.to_vec(),
        ..Extent::default()
    };
    assert_eq!(of(&[10, 101, 1]).starts(None), [2, 21, 1]);
    assert_eq!(of(&[10, 101]).starts(Some(7)), [7, 7]);
}
