//! The result for programs.

use serde_json::{Value, json};

use super::course::Run;
use super::extent::Extent;
use super::figures::{Figures, by_stream, calibration};

/// One run as an object; fields are never renamed, more may come.
pub(super) fn run(run: &Run, extent: &Extent, figures: &[Figures]) -> Value {
    let counts = run.outcomes();
    let rules = &run.judge.rules;
    let streams: Vec<Value> = by_stream(&run.judge)
        .iter()
        .map(|each| {
            json!({
                "stream": extent.names[each.stream],
                "rows": extent.rows[each.stream],
                "start_index": run.judge.streams[each.stream].start,
                "season": run.seasons[each.stream],
                "mase": each.mase,
                "sql": each.loss,
                "naive_mase": each.naive,
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "readings": extent.readings,
        "quantiles": rules.levels,
        "loss_levels": rules.loss_levels(),
        "horizons": figures.iter().map(horizon).collect::<Vec<_>>(),
        "calibration": calibration(&run.judge),
        "streams": streams,
        "outcomes": {
            "forecast": counts.forecast,
            "missing": counts.missing,
            "muted": counts.muted,
            "duplicate": counts.duplicate,
            "late": counts.late,
            "over_capacity": counts.over_capacity,
        },
        "training": run.training.as_ref().map(|training| json!({
            "versions": training.versions,
            "batches": training.batches,
            "refused": training.refused,
            "rollbacks": training.rollbacks,
        })),
    })
}

fn horizon(figures: &Figures) -> Value {
    let experts: serde_json::Map<String, Value> = figures
        .experts
        .iter()
        .map(|&(name, mase)| (name.to_owned(), json!(mase)))
        .collect();
    json!({
        "horizon": figures.horizon,
        "count": figures.count,
        "streams": figures.streams,
        "mase": figures.mase,
        "sql": figures.loss,
        "last_mase": figures.last,
        "seasonal_mase": figures.seasonal,
        "coverage_80": figures.coverage[0],
        "coverage_95": figures.coverage[1],
        "width_80": figures.width[0],
        "width_95": figures.width[1],
        "experts_mase": experts,
        "mix_mase": figures.mix,
        "leader": figures.leader().map(|(name, _)| name),
        "network_gain": figures.network_gain(),
    })
}
