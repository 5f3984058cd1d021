//! The keys of a pipeline that shape its forecasts.

use crate::config::domain;
use crate::config::keys::listed;
use crate::config::reader::{Reader, Section};
use crate::config::services::Training;
use crate::config::tree::Node;
use crate::config::units;
use crate::engine;
use crate::engine::config::{Interval, ModelConfig, Profile, Seasons};
use crate::nn::Cell;

const DAY_MS: i64 = 86_400_000;
/// Steps ahead at most: beyond, nothing that a row holds says more than the profile.
const HORIZON_MAX: i64 = 512;
/// Experts, and groups of them.
const EXPERTS: [&str; 14] = [
    "last",
    "seasonal",
    "level",
    "week_profile",
    "day",
    "week",
    "hour",
    "linear",
    "linear_day",
    "linear_week",
    "linear_hour",
    "network",
    "seasonal*",
    "linear*",
];

/// The engine's configuration; `publish_warming` is `None` where `output` is broken.
pub(super) fn engine(
    section: &mut Section<'_>,
    publish_warming: Option<bool>,
    training: Option<&Training>,
    reader: &mut Reader,
) -> Option<engine::Config> {
    let utc_offset_ms = section.read(reader, "time_zone", time_zone);
    let interval = section.read(reader, "interval", interval);
    let aggregate = section.read(reader, "aggregate", |node| {
        domain::choice(node, &[("none", ())], &["last", "mean", "sum", "min", "max"])
    });
    let seasons = section.read(reader, "seasons", seasons);
    let gap_max = section.read(reader, "gap_max", |node| {
        domain::steps(
            node,
            &(1..=320),
            "each missing step of a gap is run, all in one turn",
        )
    });
    let horizons = section.read(reader, "horizons", horizons);
    let quantiles = section.read(reader, "quantiles", quantiles);
    let profile = section.read(reader, "profile", |node| {
        domain::choice(
            node,
            &[Profile::Accurate, Profile::Compact].map(|profile| (profile.as_str(), profile)),
            &[],
        )
    });
    let experts = section.read(reader, "experts", experts);
    if let (Some(profile), Some(names)) = (profile, &experts)
        && let Some(name) = profile.unserved(names)
    {
        let way_out = "leave it out, or set profile = \"accurate\"";
        let message = format!("`{name}` has no place in a compact row: {way_out}");
        section.fault(reader, "experts", message);
    }
    let streams_max = section.read(reader, "streams_max", |node| {
        domain::count(
            node,
            &(1..=16_000_000),
            "a partition's streams are held in memory",
        )
    });
    let stream_ttl_ms = section.read(reader, "stream_ttl", |node| {
        domain::duration_ms(
            node,
            &(60_000..=3660 * DAY_MS),
            "a stream that is only slow must not be forgotten",
        )
    });
    let model = model(section.section(reader, "model"), reader);
    aggregate?;
    Some(engine::Config {
        interval: interval?,
        seasons: seasons?,
        utc_offset_ms: utc_offset_ms?,
        gap_max: gap_max?,
        horizons: horizons?,
        quantiles: quantiles?,
        model: model?,
        profile: profile?,
        experts: experts?,
        streams_max: streams_max?,
        stream_ttl_ms: stream_ttl_ms?,
        publish_warming: publish_warming?,
        tape_share: training?.tape_share,
    })
}

fn model(mut section: Section<'_>, reader: &mut Reader) -> Option<ModelConfig> {
    let cell = section.read(reader, "cell", |node| {
        domain::choice(
            node,
            &[("gru", Cell::Gru), ("lstm", Cell::Lstm), ("elman", Cell::Elman)],
            &[],
        )
    });
    let hidden = section.read(reader, "hidden", |node| {
        domain::count(node, &(1..=512), "work grows with its square")
    });
    let layers = section.read(reader, "layers", |node| {
        domain::count(node, &(1..=3), "deeper ones are not served")
    });
    section.finish(reader);
    Some(ModelConfig {
        cell: cell?,
        hidden: hidden?,
        layers: layers?,
    })
}

fn time_zone(node: &Node) -> Result<i64, String> {
    let text = domain::text(node)?;
    units::utc_offset_ms(&text).ok_or_else(|| {
        let why = if text.contains('/') || text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            "names of zones are not served, since a clock change would shift the daily cycle"
        } else {
            "offsets reach from -14:00 to +14:00"
        };
        format!("`{text}` is no offset, {why}: write \"+01:00\" or \"UTC\"")
    })
}

fn interval(node: &Node) -> Result<Interval, String> {
    if domain::text(node).is_ok_and(|text| text == "auto") {
        return Ok(Interval::Auto);
    }
    domain::duration_ms(node, &(1..=366 * DAY_MS), "it is the step of the grid")
        .map(Interval::Given)
        .map_err(|message| format!("{message}, or \"auto\""))
}

fn seasons(node: &Node) -> Result<Seasons, String> {
    let way_out = "write \"auto\", durations [\"1d\", \"7d\"] or steps [24, 168]";
    if matches!(node, Node::Text(text) if text == "auto")
        || matches!(node, Node::Value(toml::Value::String(text)) if text == "auto")
    {
        return Ok(Seasons::Auto);
    }
    let items = domain::list(node, way_out)?;
    if items.len() > 2 {
        return Err(format!("has {} seasons, a row holds 2: {way_out}", items.len()));
    }
    let steps: Result<Vec<u32>, String> = items
        .iter()
        .map(|item| domain::steps(item, &(2..=1_000_000), "a season has at least 2 steps"))
        .collect();
    let seasons = match steps {
        Ok(steps) => Seasons::Steps(steps),
        Err(_)
            if items
                .iter()
                .all(|item| domain::text(item).is_ok_and(|text| !is_number(&text))) =>
        {
            let durations: Result<Vec<i64>, String> = items
                .iter()
                .map(|item| domain::duration_ms(item, &(2..=366 * DAY_MS), "it is a cycle of the streams"))
                .collect();
            Seasons::Durations(durations?)
        }
        Err(message) => return Err(format!("{message}, or {way_out}")),
    };
    let ascending = match &seasons {
        Seasons::Auto => true,
        Seasons::Steps(steps) => steps.windows(2).all(|pair| pair[0] < pair[1]),
        Seasons::Durations(durations) => durations.windows(2).all(|pair| pair[0] < pair[1]),
    };
    if ascending {
        Ok(seasons)
    } else {
        Err(format!(
            "is not ascending, the shortest season comes first: {way_out}"
        ))
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

fn horizons(node: &Node) -> Result<Vec<u32>, String> {
    let range = 1..=HORIZON_MAX;
    let why = "they are steps ahead";
    let single = matches!(node, Node::Value(toml::Value::Integer(_)))
        || matches!(node, Node::Text(text) if text.trim().parse::<i64>().is_ok());
    if single {
        return domain::steps(node, &range, why).map(|last| (1..=last).collect());
    }
    let way_out = "write 12 for 1 to 12, or a list [1, 12, 24]";
    let items = domain::list(node, way_out)?;
    if items.is_empty() {
        return Err(format!("is empty, nothing would be forecast: {way_out}"));
    }
    let horizons = items
        .iter()
        .map(|item| domain::steps(item, &range, why))
        .collect::<Result<Vec<u32>, String>>()?;
    if !horizons.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err("is not ascending, each horizon comes once: sort the list".to_owned());
    }
    Ok(horizons)
}

fn quantiles(node: &Node) -> Result<Vec<f64>, String> {
    let way_out = "write [0.1, 0.5, 0.9]";
    let items = domain::list(node, way_out)?;
    if items.is_empty() || items.len() > 15 {
        return Err(format!(
            "has {} levels, 1 to 15 are served: {way_out}",
            items.len()
        ));
    }
    let levels = items
        .iter()
        .map(domain::number)
        .collect::<Result<Vec<f64>, String>>()?;
    if let Some(level) = levels.iter().find(|level| !(0.001..=0.999).contains(*level)) {
        return Err(format!(
            "`{level}` is outside 0.001 to 0.999, no stream shows more of its tails: {way_out}"
        ));
    }
    if !levels.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(format!("is not ascending, each level comes once: {way_out}"));
    }
    if !levels.iter().any(|level| (level - 0.5).abs() < 1e-12) {
        return Err(format!(
            "lacks 0.5, the middle that the others are built around: {way_out}"
        ));
    }
    Ok(levels)
}

/// Empty: all. Last value takes part whether it is named or not.
fn experts(node: &Node) -> Result<Vec<String>, String> {
    let way_out = format!("set \"all\", or names of {}", listed(&EXPERTS));
    if domain::text(node).is_ok_and(|text| text == "all") {
        return Ok(Vec::new());
    }
    let names = domain::texts(node, &way_out)?;
    if names.is_empty() {
        return Err(format!("is empty, somebody must forecast: {way_out}"));
    }
    for (index, name) in names.iter().enumerate() {
        if !EXPERTS.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is no expert, there is none of this name: {way_out}"
            ));
        }
        if names[..index].contains(name) {
            return Err(format!(
                "`{name}` occurs twice, an expert has one weight: name it once"
            ));
        }
    }
    Ok(names)
}
