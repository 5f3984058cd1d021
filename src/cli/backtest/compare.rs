//! `--compare`: two configurations on the same file, and which is better, with a paired standard error.
//!
//! The unit of comparison is a stream's block of time: within it both made forecasts at the same rows, so that what is hard
//! for both cancels out. Differences of neighbouring rows are not independent, those of blocks nearly are.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::course::{Run, rules};
use super::extent::Extent;
use super::figures::by_horizon;
use super::json as single;
use super::judge::{BLOCKS, Cell};
use crate::cli::exit::BadData;
use crate::cli::output::line;
use crate::config::Pipeline;

/// Standard errors that a difference must have before it is called one: 1 in 20 would have by chance.
const SURE: f64 = 2.0;

/// How B compares with A: below 0 B is better.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Mean over the blocks of B − A, as a share of A's mean.
    pub(super) share: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// Blocks (stream × time) behind it.
    pub(super) blocks: usize,
}

impl Difference {
    /// Of pairs (A, B), one a block.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Self {
        let n = pairs.len() as f64;
        let level = pairs.iter().map(|(a, _)| a).sum::<f64>() / n;
        if pairs.len() < 2 || level <= 0.0 {
            return Self {
                blocks: pairs.len(),
                error: f64::INFINITY,
                ..Self::default()
            };
        }
        let mean = pairs.iter().map(|(a, b)| b - a).sum::<f64>() / n;
        let squares: f64 = pairs.iter().map(|(a, b)| (b - a - mean).powi(2)).sum();
        Self {
            share: mean / level,
            error: (squares / (n - 1.0) / n).sqrt() / level,
            blocks: pairs.len(),
        }
    }

    /// `A`, `B`, or neither.
    pub(super) fn better(&self) -> Option<char> {
        if self.share.abs() <= SURE * self.error {
            return None;
        }
        Some(if self.share < 0.0 { 'B' } else { 'A' })
    }
}

/// Whether two pipelines can be compared.
///
/// # Errors
/// They share no horizon, or their losses are of other levels.
pub(super) fn check(a: &Pipeline, b: &Pipeline) -> Result<(), BadData> {
    let (a, b) = (rules(&a.worker.engine), rules(&b.worker.engine));
    if !a.horizons.iter().any(|horizon| b.horizons.contains(horizon)) {
        return Err(BadData(format!(
            "the configurations share no horizon, {:?} and {:?}: give both one of the same",
            a.horizons, b.horizons
        )));
    }
    if a.loss_levels() != b.loss_levels() {
        return Err(BadData(format!(
            "the configurations' losses are of other levels, {:?} and {:?}: give both the quantiles 0.1, 0.5 and 0.9",
            a.loss_levels(),
            b.loss_levels()
        )));
    }
    Ok(())
}

/// By shared horizon: (steps, difference of the loss, difference of the error).
pub(super) fn by_shared_horizon(a: &Run, b: &Run) -> Vec<(u32, Difference, Difference)> {
    shared(a, b)
        .into_iter()
        .map(|(horizon, at_a, at_b)| {
            let pairs = |of: fn(&Cell) -> f64| -> Vec<_> {
                blocks(a, b)
                    .filter_map(|place| pair((a, at_a), (b, at_b), place, of))
                    .collect()
            };
            let loss = Difference::of(&pairs(|cell| cell.loss));
            (horizon, loss, Difference::of(&pairs(|cell| cell.error)))
        })
        .collect()
}

/// Over all shared horizons, each with the same weight: loss, error.
pub(super) fn overall(a: &Run, b: &Run) -> (Difference, Difference) {
    let shared = shared(a, b);
    let of = |of: fn(&Cell) -> f64| {
        let levels: Vec<f64> = shared
            .iter()
            .map(|&(_, at_a, at_b)| {
                let all: Vec<_> = blocks(a, b)
                    .filter_map(|place| pair((a, at_a), (b, at_b), place, of))
                    .collect();
                all.iter().map(|(a, _)| a).sum::<f64>() / all.len().max(1) as f64
            })
            .collect();
        let pairs: Vec<(f64, f64)> = blocks(a, b)
            .filter_map(|place| {
                let all: Vec<(f64, f64)> = shared
                    .iter()
                    .zip(&levels)
                    .filter(|(_, level)| **level > 0.0)
                    .filter_map(|(&(_, at_a, at_b), level)| {
                        let (a, b) = pair((a, at_a), (b, at_b), place, of)?;
                        Some((a / level, b / level))
                    })
                    .collect();
                let mean =
                    |part: fn(&(f64, f64)) -> f64| all.iter().map(part).sum::<f64>() / all.len() as f64;
                (!all.is_empty()).then(|| (mean(|pair| pair.0), mean(|pair| pair.1)))
            })
            .collect();
        Difference::of(&pairs)
    };
    (of(|cell| cell.loss), of(|cell| cell.error))
}

/// (steps, place in A, place in B).
fn shared(a: &Run, b: &Run) -> Vec<(u32, usize, usize)> {
    let theirs = &b.judge.rules.horizons;
    let of_a = a.judge.rules.horizons.iter().enumerate();
    of_a.filter_map(|(at_a, horizon)| {
        let at_b = theirs.iter().position(|other| other == horizon)?;
        Some((*horizon, at_a, at_b))
    })
    .collect()
}

/// (stream, block) of every block of every stream.
fn blocks(a: &Run, b: &Run) -> impl Iterator<Item = (usize, usize)> + use<> {
    let streams = a.judge.streams.len().min(b.judge.streams.len());
    (0..streams).flat_map(|stream| (0..BLOCKS).map(move |block| (stream, block)))
}

/// Mean loss of both in a block, in units of A's scale; `None` where either judged nothing there.
fn pair(
    (a, at_a): (&Run, usize),
    (b, at_b): (&Run, usize),
    (stream, block): (usize, usize),
    of: fn(&Cell) -> f64,
) -> Option<(f64, f64)> {
    let scale = a.judge.streams[stream].scale()?;
    let mean = |run: &Run, horizon: usize| {
        let cell = &run.judge.streams[stream].cells[horizon * BLOCKS + block];
        (cell.count > 0.0).then(|| of(cell) / cell.count / scale)
    };
    Some((mean(a, at_a)?, mean(b, at_b)?))
}

/// Prints which is better.
pub(super) fn show(as_json: bool, (a, b): (&Run, &Run), extent: &Extent) -> anyhow::Result<()> {
    if as_json {
        return Ok(line(&to_json((a, b), extent))?);
    }
    Ok(line(&text(a, b))?)
}

fn to_json((a, b): (&Run, &Run), extent: &Extent) -> Value {
    let one = |difference: &Difference| {
        json!({
            "share": difference.share,
            "error": Some(difference.error).filter(|error| error.is_finite()),
            "blocks": difference.blocks,
            "better": difference.better().map(String::from),
        })
    };
    let horizons: Vec<Value> = by_shared_horizon(a, b)
        .iter()
        .map(|(horizon, loss, error)| json!({"horizon": horizon, "sql": one(loss), "mase": one(error)}))
        .collect();
    let (loss, error) = overall(a, b);
    json!({
        "a": single::run(a, extent, &by_horizon(a)),
        "b": single::run(b, extent, &by_horizon(b)),
        "b_minus_a": {"horizons": horizons, "overall": {"sql": one(&loss), "mase": one(&error)}},
    })
}

fn text(a: &Run, b: &Run) -> String {
    let (of_a, of_b) = (by_horizon(a), by_horizon(b));
    let mut out = format!(
        "{:>7} {:>7} {:>7} {:>16} {:>7} {:>7} {:>7} {:>16} {:>7}\n",
        "horizon", "SQL A", "SQL B", "B − A", "better", "MASE A", "MASE B", "B − A", "better"
    );
    let said = |difference: &Difference| {
        let better = difference.better().map_or_else(|| "–".to_owned(), String::from);
        let error = if difference.error.is_finite() {
            format!("{:.1}", 100.0 * difference.error)
        } else {
            "?".to_owned()
        };
        format!(
            "{:>16} {better:>7}",
            format!("{:+.1} ± {error} %", 100.0 * difference.share)
        )
    };
    for (horizon, loss, error) in by_shared_horizon(a, b) {
        let find = |all: &[super::figures::Figures]| all.iter().find(|each| each.horizon == horizon).cloned();
        let (a, b) = (find(&of_a).unwrap_or_default(), find(&of_b).unwrap_or_default());
        let _ = writeln!(
            out,
            "{horizon:>7} {:>7.3} {:>7.3} {} {:>7.3} {:>7.3} {}",
            a.loss,
            b.loss,
            said(&loss),
            a.mase,
            b.mase,
            said(&error)
        );
    }
    let (loss, error) = overall(a, b);
    let _ = writeln!(
        out,
        "{:>7} {:>7} {:>7} {} {:>7} {:>7} {}",
        "all",
        "",
        "",
        said(&loss),
        "",
        "",
        said(&error)
    );
    out.push('\n');
    out.push_str(&verdict(&loss));
    out
}

/// The last word: by the quantile loss over all horizons.
fn verdict(loss: &Difference) -> String {
    let size = format!("{:.1} ± {:.1} %", 100.0 * loss.share.abs(), 100.0 * loss.error);
    let blocks = loss.blocks;
    match loss.better() {
        Some(better) => {
            let other = if better == 'A' { 'B' } else { 'A' };
            format!(
                "{better} is better than {other}: its scaled quantile loss differs by {size} (paired, {blocks} blocks of stream × time)."
            )
        }
        None if loss.error.is_finite() => format!(
            "Neither is better as far as this file tells: {size} in scaled quantile loss (paired, {blocks} blocks of stream × time)."
        ),
        None => "This file is too short to tell.".to_owned(),
    }
}
