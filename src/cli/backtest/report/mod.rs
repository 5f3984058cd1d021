//! `--report`: one page that a browser opens offline. The page is a template with a script that draws; what it draws is one
//! JSON object within it.

mod gallery;

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::course::Run;
use super::extent::Extent;
use super::figures::{self, Figures, OfStream};
use super::judge::BLOCKS;
use super::table;
pub(super) use gallery::Gallery;

const TEMPLATE: &str = include_str!("page.html");
/// Where the data goes.
const PLACE: &str = "__DATA__";
/// Rows of the list of streams.
const LISTED: usize = 12;
/// Streams of each kind that fans are shown of, where there are enough of them.
const SHOWN: usize = 2;

/// What the page is made from.
pub(super) struct Page<'a> {
    pub(super) pipeline: &'a str,
    pub(super) run: &'a Run,
    pub(super) extent: &'a Extent,
    pub(super) gallery: &'a Gallery,
    pub(super) input: &'a Path,
    /// As it results from all layers.
    pub(super) config: &'a str,
}

/// Writes the page.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(path: &Path, page: &Page<'_>) -> anyhow::Result<()> {
    std::fs::write(path, html(page)).with_context(|| format!("`{}` cannot be written", path.display()))
}

/// The page. A `<` in the data could end the element that holds it, so none is left there.
pub(super) fn html(page: &Page<'_>) -> String {
    let data = data(page).to_string().replace('<', "\\u003c");
    TEMPLATE.replacen(PLACE, &data, 1)
}

fn data(page: &Page<'_>) -> Value {
    let Page {
        run, extent, gallery, ..
    } = *page;
    let rules = &run.judge.rules;
    let streams = figures::by_stream(&run.judge);
    let starts = || run.judge.streams.iter().map(|stream| stream.start);
    let (first, last) = (starts().min().unwrap_or(1), starts().max().unwrap_or(1));
    let of_stream = |(start, &rows): (u64, &u64)| (start as f64 / rows.max(1) as f64).min(1.0);
    let shares = starts().zip(&extent.rows).map(of_stream);
    let share = shares.sum::<f64>() / extent.rows.len().max(1) as f64;
    let horizons = figures::by_horizon(run);
    let unmatched = run.judge.streams.iter().map(|stream| stream.unmatched).sum();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pipeline": page.pipeline,
        "input": page.input.file_name().map(|name| name.to_string_lossy()),
        "streams": extent.names.len(),
        "readings": extent.readings,
        "first_ms": extent.first_ms,
        "last_ms": extent.last_ms,
        "start": (first == last).then_some(first),
        "start_share": share,
        "levels": rules.levels,
        "loss_levels": rules.loss_levels(),
        "horizons": horizons.iter().map(horizon).collect::<Vec<_>>(),
        "calibration": figures::calibration(&run.judge),
        "coverage": (0..rules.horizons.len())
            .map(|place| figures::coverage_by_block(&run.judge, place))
            .collect::<Vec<_>>(),
        "blocks": BLOCKS,
        "experts": rules.experts,
        "alone": alone(&horizons),
        "weights": weights(run),
        "fans": chosen(&streams).iter().map(|(kind, each)| fan(page, kind, each)).collect::<Vec<_>>(),
        "worst": streams.iter().rev().take(LISTED).map(|each| stream(page, each)).collect::<Vec<_>>(),
        "flags": flags(gallery, extent),
        "flagged": gallery.flagged,
        "account": table::account(run, unmatched).replace('\n', ". "),
        "config": page.config,
    })
}

fn horizon(figures: &Figures) -> Value {
    let leader = figures.leader();
    json!({
        "horizon": figures.horizon,
        "count": figures.count,
        "mase": figures.mase,
        "last": figures.last,
        "seasonal": figures.seasonal,
        "sql": figures.loss,
        "coverage": figures.coverage,
        "width": figures.width,
        "leader": leader.map(|(name, _)| name),
        "leader_mase": leader.map(|(_, mase)| mase),
        "mix": figures.network_gain().and(figures.mix),
        "network_gain": figures.network_gain(),
    })
}

/// Each expert alone, at the horizons that experts are scored at.
fn alone(horizons: &[Figures]) -> Value {
    let scored = || horizons.iter().filter(|each| !each.experts.is_empty());
    let row = |(name, mase): &(&str, Vec<f64>)| json!({"name": name, "mase": mase});
    json!({
        "horizons": scored().map(|each| each.horizon).collect::<Vec<_>>(),
        "experts": figures::alone(horizons).iter().map(row).collect::<Vec<_>>(),
        "mix": scored().map(|each| each.mix).collect::<Vec<_>>(),
        "served": scored().map(|each| each.mase).collect::<Vec<_>>(),
    })
}

/// (BLOCKS) mean weights, null where nothing was forecast.
fn weights(run: &Run) -> Vec<Option<Vec<f64>>> {
    let experts = run.judge.rules.experts.len();
    let sums = run.judge.weights.chunks(experts);
    sums.zip(&run.judge.weights_count)
        .map(|(sums, &count)| (count > 0.0).then(|| sums.iter().map(|sum| sum / count).collect()))
        .collect()
}

/// Good, typical and bad streams, each once; of few streams fewer. `streams` are the best first.
fn chosen(streams: &[OfStream]) -> Vec<(&'static str, &OfStream)> {
    let n = streams.len();
    let each = if n >= 4 * SHOWN { SHOWN } else { 1 };
    let kinds = [
        ("good", 0),
        ("typical", (n / 2).saturating_sub(each / 2)),
        ("bad", n.saturating_sub(each)),
    ];
    let mut out: Vec<(&'static str, &OfStream)> = Vec::new();
    for (kind, from) in kinds {
        for one in streams.iter().skip(from).take(each) {
            if out.iter().all(|(_, other)| other.stream != one.stream) {
                out.push((kind, one));
            }
        }
    }
    out
}

fn fan(page: &Page<'_>, kind: &str, of: &OfStream) -> Value {
    let ending = &page.gallery.endings[of.stream];
    let fans: Vec<Value> = ending
        .fans
        .iter()
        .map(|fan| {
            let rows: Vec<&[f64]> = fan.quantiles.chunks(fan.horizons.len()).collect();
            json!({"row": fan.row, "horizons": fan.horizons, "quantiles": rows})
        })
        .collect();
    let mut value = stream(page, of);
    value["kind"] = json!(kind);
    value["from"] = json!(ending.from);
    value["values"] = json!(ending.values);
    value["times_ms"] = json!(ending.times_ms);
    value["fans"] = json!(fans);
    value["rolled"] = json!(rolled(page, of.stream));
    value
}

/// (places) for each horizon that is kept row by row: rows of the target, and quantiles of it.
fn rolled(page: &Page<'_>, stream: usize) -> Vec<Value> {
    let gallery = page.gallery;
    let rules = &page.run.judge.rules;
    let ending = &gallery.endings[stream];
    let levels = rules.levels.len();
    let one = |(number, &place): (usize, &usize)| {
        let horizon = rules.horizons[place];
        let targets = ending
            .rolled
            .iter()
            .map(|(row, quantiles)| (row + u64::from(horizon), quantiles));
        let shown: Vec<_> = targets
            .filter(|(target, _)| *target >= ending.from)
            .map(|(target, quantiles)| json!([target, &quantiles[number * levels..(number + 1) * levels]]))
            .collect();
        json!({"horizon": horizon, "targets": shown})
    };
    gallery.places.iter().enumerate().map(one).collect()
}

fn stream(page: &Page<'_>, of: &OfStream) -> Value {
    json!({
        "name": page.extent.names[of.stream],
        "rows": page.extent.rows[of.stream],
        "season": page.run.seasons[of.stream],
        "mase": of.mase,
        "naive": of.naive,
        "sql": of.loss,
        "coverage": page.run.judge.rules.bands[0].map(|_| of.coverage),
    })
}

fn flags(gallery: &Gallery, extent: &Extent) -> Vec<Value> {
    let flags = gallery.highest_flags();
    flags
        .iter()
        .map(|flag| {
            json!({
                "name": extent.names[flag.stream],
                "row": flag.row,
                "time_ms": flag.time_ms,
                "value": flag.value,
                "score": flag.score,
                "p": flag.p,
            })
        })
        .collect()
}
