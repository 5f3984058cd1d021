//! Horizons and quantiles that are added or dropped: the others go on.

use super::snapshot::{bench, decoded, encoded, run};
use super::{Bench, config, lively};
use crate::engine::row::{Layout, Row};
use crate::engine::{Config, Engine};
use crate::experts::quantiles;

fn with(horizons: &[u32], quantiles: &[f64]) -> Config {
    let mut config = config();
    config.horizons = horizons.to_vec();
    config.quantiles = quantiles.to_vec();
    config
}

/// What is kept for the scored horizon `horizon` beside its quantiles.
fn of_horizon(layout: &Layout, row: &Row<'_>, horizon: u32) -> Vec<Vec<u8>> {
    let scored = &layout.dims.scored;
    let k = scored.iter().position(|&scored| scored == horizon).unwrap();
    fn part<T: bytemuck::Pod>(field: &[T], k: usize, of: usize) -> Vec<u8> {
        let each = field.len() / of;
        bytemuck::cast_slice(&field[k * each..(k + 1) * each]).to_vec()
    }
    let of = scored.len();
    vec![
        part(row.errors, k, of),
        part(row.shares, k, of),
        part(row.classical_mix, k, of),
        part(row.served_mix, k, of),
        part(row.classical_scale, k, of),
        part(row.served_scale, k, of),
        part(row.classical_spread, k, of),
        part(row.served_spread, k, of),
        part(row.spread_visits, k, of),
        bytemuck::cast_slice(&row.pending[layout.pending(k)]).to_vec(),
    ]
}

/// The tracked quantile at a scored horizon and a level.
fn tracked(layout: &Layout, row: &Row<'_>, horizon: u32, level: f64) -> f32 {
    let dims = &layout.dims;
    let k = dims.scored.iter().position(|&scored| scored == horizon).unwrap();
    let q = dims
        .levels
        .iter()
        .position(|&other| other == level as f32)
        .unwrap();
    row.tracked[k * dims.levels.len() + q]
}

/// Everything that is kept for the stream alone.
fn of_stream(row: &Row<'_>) -> Vec<Vec<u8>> {
    vec![
        bytemuck::bytes_of(row.cadence).to_vec(),
        row.progress.steps.to_le_bytes().to_vec(),
        bytemuck::bytes_of(row.scaler).to_vec(),
        bytemuck::bytes_of(row.ring).to_vec(),
        bytemuck::bytes_of(row.motion).to_vec(),
        bytemuck::bytes_of(row.standing).to_vec(),
        bytemuck::cast_slice(row.hidden).to_vec(),
        bytemuck::cast_slice(row.ring_values).to_vec(),
        bytemuck::cast_slice(row.day_means).to_vec(),
        bytemuck::cast_slice(row.week_means).to_vec(),
    ]
}

/// A partition saved under `old`, and the same restored under `new`.
fn changed(old: &Config, new: &Config) -> (Bench, Bench) {
    let mut before = bench(old);
    run(&mut before, 3, 0..90);
    let bytes = encoded(&mut before.state);
    let engine = Engine::new(new.clone());
    let (header, content) = decoded(&engine, &bytes).unwrap();
    let state = engine.restore(&header.topic, header.partition, lively(new, 3), content);
    (before, Bench::of(engine, state))
}

/// Looks at each stream's row before and after.
fn compare(old: &Config, new: &Config, look: impl Fn((&Layout, &Row<'_>), (&Layout, &Row<'_>))) {
    let (before, after) = changed(old, new);
    let layouts = (Layout::new(old), Layout::new(new));
    for id in before.state.ids() {
        let mut old = before.state.slab.copy(before.state.index.get(id).unwrap());
        let mut new = after.state.slab.copy(after.state.index.get(id).unwrap());
        let (old, new) = (layouts.0.row(old.words()), layouts.1.row(new.words()));
        assert_eq!(of_stream(&old), of_stream(&new), "{id}");
        look((&layouts.0, &old), (&layouts.1, &new));
    }
}

const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

#[test]
fn a_horizon_more_keeps_the_others_and_begins_as_in_a_new_stream() {
    compare(
        &with(&[1, 24], &LEVELS),
        &with(&[1, 12, 24], &LEVELS),
        |(old_layout, old), (new_layout, new)| {
            for horizon in [1, 24] {
                assert_eq!(
                    of_horizon(old_layout, old, horizon),
                    of_horizon(new_layout, new, horizon)
                );
                for level in LEVELS {
                    let (old, new) = (
                        tracked(old_layout, old, horizon, level),
                        tracked(new_layout, new, horizon, level),
                    );
                    assert_eq!(old.to_bits(), new.to_bits());
                }
            }
            let mut zeroed = vec![0.0; new_layout.words()];
            let mut fresh = new_layout.row(&mut zeroed);
            new_layout.start(&mut fresh);
            assert_eq!(
                of_horizon(new_layout, new, 12),
                of_horizon(new_layout, &fresh, 12)
            );
            assert_eq!(
                tracked(new_layout, new, 12, 0.9).to_bits(),
                tracked(new_layout, &fresh, 12, 0.9).to_bits()
            );
        },
    );
}

#[test]
fn a_horizon_less_keeps_the_others() {
    compare(
        &with(&[1, 12, 24], &LEVELS),
        &with(&[1, 24], &LEVELS),
        |(old_layout, old), (new_layout, new)| {
            for horizon in [1, 24] {
                assert_eq!(
                    of_horizon(old_layout, old, horizon),
                    of_horizon(new_layout, new, horizon)
                );
            }
        },
    );
}

#[test]
fn a_quantile_more_keeps_the_others_and_lies_between_them() {
    let more = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975];
    compare(
        &with(&[1, 24], &LEVELS),
        &with(&[1, 24], &more),
        |(old_layout, old), (new_layout, new)| {
            for horizon in [1, 24] {
                assert_eq!(
                    of_horizon(old_layout, old, horizon),
                    of_horizon(new_layout, new, horizon)
                );
                for level in LEVELS {
                    let (old, new) = (
                        tracked(old_layout, old, horizon, level),
                        tracked(new_layout, new, horizon, level),
                    );
                    assert_eq!(old.to_bits(), new.to_bits(), "{horizon} {level}");
                }
                let all = more.map(|level| tracked(new_layout, new, horizon, level));
                assert!(all.is_sorted(), "{all:?}");
                let mut laplace = [0.0; 7];
                quantiles::start(&new_layout.dims.levels, &mut laplace);
                assert!(
                    all[0] <= laplace[0] && all[6] >= laplace[6],
                    "as in a new stream, or beyond its neighbour"
                );
            }
        },
    );
}

#[test]
fn a_stream_goes_on_under_other_horizons_and_quantiles() {
    let (mut before, mut after) = changed(
        &with(&[1, 24], &LEVELS),
        &with(&[1, 2, 3, 24], &[0.05, 0.5, 0.95]),
    );
    run(&mut before, 3, 90..120);
    run(&mut after, 3, 90..120);
    assert_eq!(
        after.state.stats().states_remade,
        3,
        "the network has other inputs"
    );
    let (old, new) = (
        before.state.stream("s1").unwrap(),
        after.state.stream("s1").unwrap(),
    );
    assert_eq!(
        (old.last, old.status, old.interval_ms),
        (new.last, new.status, new.interval_ms)
    );
    let seen = after.one("s1", 120 * super::HOUR_MS, Some(0.3));
    super::hostile::check(seen.forecast().unwrap(), 3, 4, "after the change");
}
