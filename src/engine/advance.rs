//! A row's step before the network: what is due matures, the past takes the value, the inputs are made.

use crate::engine::PartitionStats;
use crate::engine::features::{Phase, Recurrent, Skip};
use crate::engine::mature::mature;
use crate::engine::row::Row;
use crate::engine::seasons;
use crate::engine::setup::{Grid, Setup};
use crate::engine::wave::{Job, RowBuffers};
use crate::engine::work::HORIZONS_MAX;
use crate::engine::work::Work;
use crate::experts::base::{SHARES, disagreement, forecasts};
use crate::experts::linear::{self, covariance};
use crate::experts::scale::Circumstances;
use crate::experts::{origins, pending};
use crate::series::calendar::Calendar;

/// What a row's step needs beside the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) grid: &'a Grid,
    /// Stable hash of the stream.
    pub(crate) key: u64,
}

/// Runs a job's next step up to the network's inputs.
pub(crate) fn prepare(
    context: &Context<'_>,
    job: &Job,
    row: &mut Row<'_>,
    stats: &mut PartitionStats,
    buffers: &mut RowBuffers<'_>,
) {
    let Context { setup, grid, .. } = *context;
    let (time_ms, value) = job.next();
    let local_ms = grid.calendar.local_ms(time_ms);
    if job.skipped > 0 {
        pass_over(setup, grid, job, row, local_ms);
    }
    let missing = value.is_nan();
    if !missing {
        row.scaler.observe(value);
        if let Some(by) = row.scaler.rebase() {
            setup.layout.rebase(row, by);
        }
    }
    let x = if missing {
        row.motion.last
    } else {
        row.scaler.normalise(value)
    };
    let step = row.progress.steps;
    row.progress.steps = step.saturating_add(1);
    let sigma = row.scaler.sigma_normalised();
    let work = &mut *buffers.work;
    work.begin(local_ms, step, value, sigma, setup.plan.scored.len());
    mature(context, row, work, x, stats);
    if !missing {
        seasons::observe(grid, row, local_ms, x);
    }
    remember(grid, row, local_ms, x);
    recurrent(row, grid, work, missing).write(row.errors, buffers.inputs);
    regress(context, row, work);
    classical(context, row, work);
    let skips = buffers.skips.chunks_exact_mut(crate::engine::features::SKIPS);
    for (k, skips) in skips.enumerate() {
        skip(context, row, work, k).write(skips);
    }
}

/// Passes over a long gap: ring and steps advance by its whole length, filled from the profile; nothing in flight is
/// judged across it.
fn pass_over(setup: &Setup, grid: &Grid, job: &Job, row: &mut Row<'_>, local_ms: i64) {
    let calendar = &grid.calendar;
    let values = &mut *row.ring_values;
    let (day, means, visits, last) = (&*row.day, &*row.day_means, &*row.day_visits, row.motion.last);
    row.ring.advance(values, job.skipped, |step| {
        let back = job.skipped.saturating_sub(step).min(i64::MAX as u64) as i64;
        let at = local_ms.saturating_sub(calendar.interval_ms.saturating_mul(back));
        day.at(means, visits, &grid.profiles.day, calendar.day.index(at))
            .unwrap_or(last)
    });
    row.progress.steps = row.progress.steps.saturating_add(job.skipped);
    for k in 0..setup.plan.scored.len() {
        pending::clear(&mut row.pending[setup.layout.pending(k)]);
    }
    pending::clear(row.origins);
}

/// The past takes the value of a step (a missing one carried forward).
fn remember(grid: &Grid, row: &mut Row<'_>, local_ms: i64, x: f32) {
    let (calendar, profiles) = (&grid.kept, &grid.kept_profiles);
    row.ring.push(row.ring_values, x);
    row.day.update(
        row.day_means,
        row.day_visits,
        &profiles.day,
        calendar.day.index(local_ms),
        x,
    );
    row.week.update(
        row.week_means,
        row.week_visits,
        &profiles.week,
        calendar.week.index(local_ms),
        x,
    );
    if !row.hour_means.is_empty() {
        row.hour.update(
            row.hour_means,
            row.hour_visits,
            &profiles.hour,
            calendar.hour.index(local_ms),
            x,
        );
    }
    if grid.long {
        row.season.update(row.season_means, calendar.day, local_ms, x);
    }
    row.motion
        .update(x, &grid.level_rates, row.scaler.sigma_normalised());
    row.level.note(x);
}

fn recurrent(row: &Row<'_>, grid: &Grid, work: &mut Work, missing: bool) -> Recurrent {
    let past = row.past(grid, work.local_ms);
    work.now = past.now();
    let x = work.now.last;
    let bases = work.now.bases;
    let [fast, daily, weekly] = row.motion.levels;
    Recurrent {
        change: row.motion.change,
        differences: [
            x - bases.seasonal,
            x - bases.day,
            x - bases.week,
            x - fast,
            x - daily,
            x - weekly,
        ],
        unit: row.motion.unit(work.sigma),
        volatility: row.motion.volatility(work.sigma),
        missing,
        phases: phases(grid, work.local_ms),
    }
}

/// The step's regressors: the forecasts in flight keep them, and the covariance takes them.
fn regress(Context { setup, grid, key }: &Context<'_>, row: &mut Row<'_>, work: &mut Work) {
    if row.covariance.is_empty() {
        return;
    }
    let past = row.past(grid, work.local_ms);
    let linear::Regressors { x, len } = linear::regressors(&past, &work.now, &row.motion.levels, work.sigma);
    work.regressors = x;
    if !row.scaler.is_settled() {
        return;
    }
    let u = covariance::absorb(row.covariance, len, &x, work.step);
    let mut opened = 0;
    for (k, rules) in grid.horizons[..setup.plan.scored.len()].iter().enumerate() {
        let place = setup.layout.origins(k);
        // Horizons that share a place keep their origins once.
        if k > 0 && place.start < opened {
            continue;
        }
        opened = place.end;
        let origins = &mut row.origins[place];
        origins::open(origins, &rules.sampling(*key), work.step, (&x, &u), work.sigma);
    }
}

fn phases(grid: &Grid, local_ms: i64) -> [Phase; 2] {
    [
        Phase::of(grid.calendar.day, local_ms),
        Phase::of(grid.calendar.week, local_ms),
    ]
}

/// The experts' forecasts, their centre and its scale s at every scored horizon.
fn classical(context: &Context<'_>, row: &mut Row<'_>, work: &mut Work) {
    let Context { setup, grid, .. } = *context;
    let set = setup.experts().classical();
    let x = work.regressors;
    let origin = linear::Origin {
        calendar: &grid.calendar,
        x: &x,
        sigma: work.sigma,
        last: work.now.last,
    };
    for k in 0..setup.plan.scored.len() {
        let rules = &grid.horizons[k];
        let ahead = row.past(grid, work.local_ms).ahead(rules.horizon);
        let betas = betas(row, k);
        let at = &mut work.horizons[k];
        at.ahead = ahead;
        forecasts(set, &work.now, &ahead, &betas, &mut at.forecasts);
        let weights = &row.linear[setup.layout.linear(k)];
        linear::forecasts(set, weights, &origin, &ahead, &mut at.forecasts);
        at.classical = row
            .classical_weights(k, set.len())
            .centre(&at.forecasts[..set.len()]);
        let slot = target_slot(grid, work.local_ms, k);
        let of = Circumstances {
            forecast: at.classical.served,
            disagreement: disagreement(set, grid.disagreeing, &at.forecasts, at.classical.served),
            slot_spread: row.classical_spread[slot],
            slot_visits: row.spread_visits[slot],
            one_step: row.classical_step,
            level: row.level,
            width: 0.0,
            steps: work.step,
        };
        let scale = &mut row.classical_scale[k];
        let rates = rules.scale.under(&row.drifts[k].classical.regime(), &rules.drift);
        at.features = scale.features(&rates, &of);
        at.scale = scale.scale(&at.features);
        at.long = scale.long();
        let stand_in = row.motion.unit(work.sigma) / 3.0;
        let unit = if at.scale > 0.0 { at.scale } else { stand_in };
        at.unit = unit.max(1e-3 * work.sigma / 3.0).max(1e-9);
    }
}

/// The shares at scored horizon `k`.
pub(crate) fn betas(row: &Row<'_>, k: usize) -> [f32; SHARES] {
    std::array::from_fn(|i| row.shares[k * SHARES + i].beta())
}

/// Place of the slot that the target of scored horizon `k` falls in, in the arrays of spreads.
pub(crate) fn target_slot(grid: &Grid, local_ms: i64, k: usize) -> usize {
    let target_ms = grid.calendar.later(local_ms, grid.horizons[k].horizon);
    grid.spread_place(k, target_ms)
}

fn skip(context: &Context<'_>, row: &Row<'_>, work: &Work, k: usize) -> Skip {
    let Context { setup, grid, .. } = *context;
    let at = &work.horizons[k];
    let h = grid.horizons[k].horizon;
    let week_ago = Calendar {
        day: grid.calendar.week,
        ..grid.calendar
    }
    .seasonal_lag(h);
    Skip {
        anchors: [
            at.ahead.seasonal,
            week_ago
                .and_then(|lag| row.ring.at(row.ring_values, lag))
                .unwrap_or(at.ahead.seasonal),
            at.ahead.day,
            at.ahead.week,
        ],
        experts: setup
            .skip_places
            .map(|place| place.map_or(f32::NAN, |i| at.forecasts[i])),
        centres: at.classical.parts,
        centre: at.classical.served,
        scale: at.unit,
        slow: if at.long > 0.0 { at.long } else { at.unit },
        phi: std::array::from_fn(|i| at.features[i + 1]),
        now: work.now.last,
        phases: phases(grid, grid.calendar.later(work.local_ms, h)),
    }
}

/// Recurrent inputs of a step `lag` steps before the newest, for a hidden state that is made anew. An approximation:
/// lags come from the ring, levels, profiles and scale are those of now, matured errors are 0.
pub(crate) fn replay(row: &Row<'_>, grid: &Grid, time_ms: i64, lag: usize, inputs: &mut [f32]) {
    let back = grid.calendar.interval_ms.saturating_mul(lag as i64);
    let local_ms = grid.calendar.local_ms(time_ms).saturating_sub(back);
    let held = |lag: usize| row.ring.at(row.ring_values, lag);
    let x = held(lag).unwrap_or(row.motion.last);
    let before = held(lag + 1).unwrap_or(x);
    let past = row.past(grid, local_ms);
    let seasonal = held(lag + grid.season() as usize).unwrap_or(x);
    let day = past.day.at(grid.calendar.day.index(local_ms)).unwrap_or(x);
    let week = past.week.at(grid.calendar.week.index(local_ms)).unwrap_or(day);
    let sigma = row.scaler.sigma_normalised();
    let [fast, daily, weekly] = row.motion.levels;
    let errors = [0.0; HORIZONS_MAX];
    let made = Recurrent {
        change: x - before,
        differences: [x - seasonal, x - day, x - week, x - fast, x - daily, x - weekly],
        unit: row.motion.unit(sigma),
        volatility: row.motion.volatility(sigma),
        missing: false,
        phases: phases(grid, local_ms),
    };
    made.write(&errors[..row.errors.len()], inputs);
}
