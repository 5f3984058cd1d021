//! The compact profile: small, and otherwise an engine like the other.

use super::batching::{mixed, run};
use super::hostile::{check, hostile_series};
use super::snapshot::{bench, decoded, encoded, restored};
use super::{Bench, HOUR_MS, Numbers, Seen, config, lively};
use crate::engine::config::Interval;
use crate::engine::index::stable_hash;
use crate::engine::row::{Layout, ROW_FORMAT};
use crate::engine::{Config, Engine, Profile, row_table};

fn compact() -> Config {
    Config {
        profile: Profile::Compact,
        ..config()
    }
}

#[test]
fn a_compact_row_with_a_network_of_48_is_below_two_kilobytes() {
    let mut config = compact();
    config.model.hidden = 48;
    let table = row_table(&config);
    let bytes: usize = table.iter().map(|field| field.bytes).sum();
    assert_eq!(bytes, 4 * Layout::new(&config).rest_words());
    // An id of 24 bytes and its place in the index are 61 more.
    assert!(bytes + 61 <= 2_000, "{bytes}: {table:#?}");
    config.horizons = (1..=96).collect();
    assert_eq!(Layout::new(&config).dims.scored.len(), 4);
    let long: usize = row_table(&config).iter().map(|field| field.bytes).sum();
    assert!(long <= bytes, "{long} for a long list, {bytes}");
}

#[test]
fn row_format_changes_with_the_compact_row() {
    let fields = row_table(&compact());
    let text: Vec<String> = fields
        .iter()
        .map(|field| format!("{} {}", field.name, field.bytes))
        .collect();
    assert_eq!(
        (ROW_FORMAT, stable_hash(0, text.join("\n").as_bytes())),
        (2, 11_730_458_541_723_867_284),
        "compact rows of earlier snapshots would be misread: raise `ROW_FORMAT`, then set this number"
    );
}

#[test]
fn compact_rows_give_the_same_bits_whatever_the_batching() {
    let streams: Vec<String> = (0..9).map(|i| format!("s{i}")).collect();
    for interval in [Interval::Given(HOUR_MS), Interval::Auto] {
        let config = Config {
            interval,
            ..compact()
        };
        let all = mixed(&streams, 220);
        let single = run(&config, &all, || 1);
        let whole = run(&config, &all, || usize::MAX);
        assert_eq!(single.1, whole.1, "state");
        assert!(single.0 == whole.0, "forecasts");
    }
}

/// Steps of 5 minutes: a day has 288, more than the ring; and hours, which it holds.
const INTERVALS_MS: [i64; 2] = [HOUR_MS, HOUR_MS / 12];

/// A daily shape with sharp edges, and noise.
fn shaped(config: &Config, interval_ms: i64, steps: i64, level: f64) -> (Bench, Vec<(f64, Seen)>) {
    let config = Config {
        interval: Interval::Given(interval_ms),
        ..config.clone()
    };
    let mut bench = bench(&config);
    let mut numbers = Numbers(3);
    let day = 24 * HOUR_MS / interval_ms;
    let seen = (0..steps)
        .map(|step| {
            let hour = step % day * 24 / day;
            let shape = [0.0, 4.0, 1.0, 7.0][hour as usize / 6];
            let value = level + shape + 0.3 * numbers.normal();
            (value, bench.one("s", step * interval_ms, Some(value)))
        })
        .collect();
    (bench, seen)
}

#[test]
fn a_compact_row_rests_as_it_rested() {
    for interval_ms in INTERVALS_MS {
        let config = Config {
            interval: Interval::Given(interval_ms),
            ..compact()
        };
        let (bench, _) = shaped(&config, interval_ms, 700, 1e4);
        let layout = Layout::new(&config);
        let before = bench.state.slab.row(0).to_vec();
        let (mut rest, mut room) = (before.clone(), vec![0.0; layout.room()]);
        let row = layout.open(&mut rest, &mut room);
        assert_eq!(row.season.is_filled(), interval_ms != HOUR_MS);
        assert!(row.ring.len() == if interval_ms == HOUR_MS { 104 } else { 6 });
        layout.close(&mut rest, &mut room);
        let bits = |words: &[f32]| words.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&before), bits(&rest));
    }
}

/// Mean |y − median| of the published horizon `place`, from the second half on.
fn error(seen: &[(f64, Seen)], place: usize, h: usize) -> f64 {
    let from = seen.len() / 2;
    let miss = |t: usize| {
        let kept = seen[t].1.forecast().unwrap();
        let horizons = kept.horizons.len();
        (kept.quantiles[2 * horizons + place] - seen[t + h].0).abs()
    };
    let all: Vec<f64> = (from..seen.len() - h).map(miss).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

/// Beside an accurate row of the same experts: what rounding and fewer forecasts in flight cost, and at 5 minutes that a
/// day has half as many slots, which rounds the edges of this one.
#[test]
fn a_compact_row_forecasts_about_as_well_as_an_accurate_one_of_its_experts() {
    let names = [
        "seasonal",
        "level",
        "week_profile",
        "day",
        "week",
        "hour",
        "network",
    ];
    let accurate = Config {
        experts: names.map(str::to_owned).to_vec(),
        ..config()
    };
    for interval_ms in INTERVALS_MS {
        let steps = 24 * HOUR_MS / interval_ms * if interval_ms == HOUR_MS { 60 } else { 9 };
        let most = if interval_ms == HOUR_MS { 1.06 } else { 1.12 };
        for level in [0.0, 1e4] {
            let large = shaped(&accurate, interval_ms, steps, level).1;
            let small = shaped(&compact(), interval_ms, steps, level).1;
            for (place, h) in [(0, 1), (2, 24)] {
                let (large, small) = (error(&large, place, h), error(&small, place, h));
                assert!(
                    small < most * large && large < 1.06 * small,
                    "{interval_ms} ms, level {level}, {h} steps: {small} compact, {large} accurate"
                );
            }
        }
    }
}

#[test]
fn compact_rows_stay_finite_and_monotone_on_hostile_values() {
    let mut config = compact();
    config.horizons = (1..=24).collect();
    for (name, values) in hostile_series() {
        let mut bench = Bench::with_model(config.clone(), lively(&config, 3));
        for (hour, &value) in values.iter().enumerate() {
            let value = if hour % 41 == 40 { None } else { Some(value) };
            let time_ms = (hour as i64 + if hour > 300 { 1_000_000 } else { 0 }) * HOUR_MS;
            if let Some(kept) = bench.one("s", time_ms, value).forecast() {
                check(kept, 5, 24, &format!("{name} at {hour}"));
            }
        }
    }
}

#[test]
fn snapshots_of_compact_rows_restore_bitwise_and_go_on_bitwise() {
    let config = compact();
    let mut bench = bench(&config);
    super::snapshot::run(&mut bench, 70, 0..60);
    let before = bench.state.fingerprint();
    let bytes = encoded(&mut bench.state);
    let mut other = restored(&config, &bytes);
    assert_eq!(other.state.fingerprint(), before);
    for step in 60..70 {
        let seen = |bench: &mut Bench| bench.one(&format!("s{}", step % 7), step * HOUR_MS, Some(0.5));
        assert_eq!(seen(&mut other), seen(&mut bench));
    }
    assert_eq!(other.state.fingerprint(), bench.state.fingerprint());
    let accurate = Engine::new(super::config());
    assert!(decoded(&accurate, &bytes).is_err(), "rows of another profile");
}

#[test]
fn a_compact_row_keeps_its_past_where_horizons_change() {
    let (old, new) = (
        Config {
            horizons: vec![1, 24],
            ..compact()
        },
        compact(),
    );
    let mut before = bench(&old);
    super::snapshot::run(&mut before, 3, 0..200);
    let bytes = encoded(&mut before.state);
    let engine = Engine::new(new.clone());
    let (header, content) = decoded(&engine, &bytes).unwrap();
    let after = engine.restore(&header.topic, header.partition, lively(&new, 3), content);
    let open = |config: &Config, state: &crate::engine::PartitionState| {
        let layout = Layout::new(config);
        let (mut rest, mut room) = (state.slab.row(1).to_vec(), vec![0.0; layout.room()]);
        let row = layout.open(&mut rest, &mut room);
        let spread = row.served_spread.to_vec();
        (
            row.progress.steps,
            row.ring_values.to_vec(),
            row.week_means.to_vec(),
            row.served_scale[layout.dims.scored.len() - 1].matured() > 0.0,
            spread,
        )
    };
    let (old, new) = (open(&old, &before.state), open(&new, &after));
    assert_eq!((old.0, &old.1, &old.2, &old.4), (new.0, &new.1, &new.2, &new.4));
    assert!(old.3 && !new.3, "96 begins, 24 does not");
}
