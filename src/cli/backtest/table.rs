//! The result for people: a table by horizon.

use std::fmt::Write as _;

use super::course::Run;
use super::figures::{Figures, alone};
use crate::cli::demo::text;

/// Rows of the table at most; of more horizons some between first and last are left out, `--json` has them all.
const ROWS_MAX: usize = 16;

/// `MASE` and its companions by horizon, a line each.
pub(super) fn text(figures: &[Figures]) -> String {
    let bands = ["80 %", "95 %"];
    let mut out = format!(
        "{:>7} {:>7} {:>7} {:>8} {:>7}",
        "horizon", "MASE", "last", "seasonal", "SQL"
    );
    let configured = |band: usize| figures.iter().any(|each| each.coverage[band].is_some());
    for (band, name) in bands
        .into_iter()
        .enumerate()
        .filter(|(band, _)| configured(*band))
    {
        let _ = band;
        let _ = write!(out, " {name:>7} {:>7}", "width");
    }
    let _ = writeln!(out, "  {:<20} {:>8}", "best expert", "network");
    for each in shown(figures) {
        let _ = write!(
            out,
            "{:>7} {:>7} {:>7} {:>8} {:>7}",
            each.horizon,
            number(each.mase),
            number(each.last),
            number(each.seasonal),
            number(each.loss)
        );
        for band in (0..2).filter(|band| configured(*band)) {
            let _ = write!(
                out,
                " {:>7} {:>7}",
                each.coverage[band].map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share)),
                each.width[band].map_or_else(|| "–".to_owned(), number)
            );
        }
        let leader = each.leader().map_or_else(
            || "–".to_owned(),
            |(name, mase)| format!("{name} {}", number(mase)),
        );
        let network = each
            .network_gain()
            .map_or_else(|| "–".to_owned(), |gain| format!("{:+.1} %", 100.0 * gain));
        let _ = writeln!(out, "  {leader:<20} {network:>8}");
    }
    out
}

/// MASE of each expert alone, of their mix and of what is served, by horizon that experts are scored at; empty where none is
/// published.
pub(super) fn experts(figures: &[Figures]) -> String {
    let scored = || figures.iter().filter(|each| !each.experts.is_empty());
    let mut out = String::new();
    let mut row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        let _ = write!(out, "{name:<14}");
        for cell in cells {
            let _ = write!(out, " {cell:>8}");
        }
        out.push('\n');
    };
    if scored().next().is_none() {
        return out;
    }
    row(
        "MASE alone at",
        &mut scored().map(|each| each.horizon.to_string()),
    );
    for (name, errors) in alone(figures) {
        row(name, &mut errors.into_iter().map(number));
    }
    row(
        "experts' mix",
        &mut scored().map(|each| each.mix.map_or_else(|| "–".to_owned(), number)),
    );
    row("served", &mut scored().map(|each| number(each.mase)));
    out
}

/// All, or first, last and some between.
pub(super) fn shown(figures: &[Figures]) -> Vec<&Figures> {
    if figures.len() <= ROWS_MAX {
        return figures.iter().collect();
    }
    let place = |row: usize| row * (figures.len() - 1) / (ROWS_MAX - 1);
    (0..ROWS_MAX).map(|row| &figures[place(row)]).collect()
}

/// What the columns are, in words.
pub(super) fn legend(run: &Run) -> String {
    let levels: Vec<String> = run.judge.rules.loss_levels().iter().map(f64::to_string).collect();
    format!(
        "MASE: mean error of the median, in units of the mean seasonal change of the stream's warm-up; last, seasonal: the same of\n\
         last value and of the seasonal naive. SQL: twice the pinball loss in the same units, mean over the levels {}; a point\n\
         forecast has its MASE. 80 %, 95 %: truths inside the band; width: of the band, in the same units. best expert: the one\n\
         with the least error, alone. network: how much larger the error of the experts' mix is than that of what is served.",
        levels.join(", ")
    )
}

/// What happened to the readings, and how the weights fared.
pub(super) fn account(run: &Run, unmatched: u64) -> String {
    let counts = run.outcomes();
    let mut parts = vec![format!("{} forecasts", text::count(counts.forecast))];
    for (count, what) in [
        (counts.missing, "missing"),
        (counts.muted, "muted"),
        (counts.duplicate, "duplicate"),
        (counts.late, "late"),
        (counts.over_capacity, "over_capacity"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", text::count(count)));
        }
    }
    let mut out = parts.join(", ");
    let stats = &run.stats;
    for (count, what) in [
        (stats.gaps, "gaps"),
        (stats.long_gaps, "long gaps"),
        (stats.restarts, "grids begun anew because the interval changed"),
        (stats.season_changes, "changes of a stream's seasons"),
        (unmatched, "forecasts whose target has no row"),
    ] {
        if count > 0 {
            let _ = write!(out, "; {} {what}", text::count(count));
        }
    }
    match &run.training {
        Some(training) => {
            let _ = write!(
                out,
                "\n{} versions of the weights from {} mini-batches; {} refused by the gate, {} rolled back",
                training.versions,
                text::count(training.batches),
                training.refused,
                training.rollbacks
            );
        }
        None => out.push_str(
            "\nnot trained: training.cpu_share or train.rows_per_observation is 0, or there is no network",
        ),
    }
    out
}

/// Three digits behind the point while it is small.
fn number(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "–".to_owned(),
        size if size < 100.0 => format!("{value:.3}"),
        size if size < 1e5 => format!("{value:.1}"),
        _ => format!("{value:.1e}"),
    }
}
