//! A row's step after the network: the served forecast, what is kept of it, what is published, the tape.

use crate::engine::advance::{Context, target_slot};
use crate::engine::batch::Verdict;
use crate::engine::between::centre_at;
use crate::engine::output::{Issue, OutputSlot, Outputs};
use crate::engine::priors;
use crate::engine::row::Row;
use crate::engine::setup::{Grid, QUANTILES_MAX};
use crate::engine::tape::TapeRow;
use crate::engine::wave::{Job, RowResults};
use crate::engine::work::{EXPERTS_MAX, Work};
use crate::engine::{ModelVersion, PartitionStats, Status, TapeBuffer};
use crate::experts::base::disagreement;
use crate::experts::scale::{Circumstances, width_feature};
use crate::experts::{Expert, ExpertSet, mixture, pending, quantiles};
use crate::series::calendar::Calendar;

/// Normalised numbers beyond this are no forecast: f32 would overflow on the way back to original units.
const VALUE_MAX: f32 = 1e30;

/// Where forecasts go.
#[derive(Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) tape: &'a mut TapeBuffer,
    pub(crate) stats: &'a mut PartitionStats,
    pub(crate) version: ModelVersion,
    /// Whether the network is untrained.
    pub(crate) silent: bool,
}

/// Ends a step: what the network said enters the mix, the forecast is kept and, at the observation's own step, published.
pub(crate) fn complete(
    context: &Context<'_>,
    publish: &mut Publish<'_>,
    job: &Job,
    row: &mut Row<'_>,
    results: &mut RowResults<'_>,
) -> Verdict {
    let setup = context.setup;
    let heads = results.quantiles.chunks_exact(setup.shape.quantiles.len());
    for (k, head) in heads.enumerate() {
        served(context, row, results.work, head, k);
        keep(context, row, results.work, k);
    }
    if is_taped(context.key, setup.config.tape_share) && publish.tape.is_open() {
        tape(context, publish, row, results);
        if priors::is_due(context.key, results.work.step) {
            let layout = &setup.layout;
            let gather = |out: &mut Vec<f32>| priors::gather(layout, row, out);
            publish.tape.note_learnt(layout.prior_form, gather);
        }
    }
    row.hidden.copy_from_slice(results.state);
    let ready = results.work.step >= context.grid.ready_steps;
    if ready && let Some(network) = setup.experts().index_of(Expert::Network) {
        let weight = if publish.silent {
            0.0
        } else {
            row.served_mix[network]
        };
        publish.stats.note_network(f64::from(weight));
    }
    if job.masked > 0 {
        return Verdict::Open;
    }
    issue(context, publish, job, row, results)
}

/// Publishes the forecast of the observation's own step, unless it is held back.
fn issue(
    context: &Context<'_>,
    publish: &mut Publish<'_>,
    job: &Job,
    row: &Row<'_>,
    results: &RowResults<'_>,
) -> Verdict {
    let setup = context.setup;
    let ready = results.work.step >= context.grid.ready_steps;
    let missing = results.work.value.is_nan();
    if missing && !publish.outputs.watched {
        return Verdict::Missing;
    }
    let known = context.grid.calendar.interval_ms > 0;
    if !(setup.config.publish_warming || (ready && known)) {
        return if missing { Verdict::Missing } else { Verdict::Muted };
    }
    let status = if publish.outputs.is_thin() {
        Status::Degraded
    } else {
        status(context.grid, results.work.step, job.stale)
    };
    let (number, mut slot) = publish.outputs.push(Issue {
        slot: job.slot,
        origin_ms: job.time_ms,
        interval_ms: job.interval_ms,
        observed: results.work.value,
        status,
        anomaly: results.work.anomaly,
        scale: row.scaler.sigma(),
        model_version: publish.version,
    });
    let chosen = if status == Status::Degraded {
        &setup.few
    } else {
        &setup.all
    };
    write(context, row, results.work, chosen, &mut slot);
    let mixes = Mixes {
        classical: row.classical_mix,
        served: row.served_mix,
        silent: publish.silent,
    };
    show_weights(setup.experts(), &context.grid.calendar, &mixes, slot.experts);
    if publish.outputs.watched {
        note_each(context, publish.outputs, row, results.work);
    }
    if missing {
        publish.outputs.note_unpublished(job.entry);
        return Verdict::Missing;
    }
    Verdict::Forecast(number)
}

/// What each expert and the classical mix say at each scored horizon, in original units.
fn note_each(context: &Context<'_>, outputs: &mut Outputs, row: &Row<'_>, work: &Work) {
    let experts = context.setup.experts().len();
    for at in &work.horizons[..context.setup.plan.scored.len()] {
        let said = at.forecasts[..experts].iter().chain([&at.classical.served]);
        outputs.note_each(said.map(|&x| row.scaler.restore(finite(x, work.now.last))));
    }
}

/// How far a stream is at a step.
pub(crate) fn status(grid: &Grid, step: u64, stale: bool) -> Status {
    let ready_steps = grid.ready_steps;
    if grid.calendar.interval_ms == 0 {
        return Status::Warming { ready_in: 0 };
    }
    if step < ready_steps {
        return Status::Warming {
            ready_in: (ready_steps - step) as u32,
        };
    }
    if stale { Status::Stale } else { Status::Ready }
}

/// The served centre f, its scale s₂ and its side at scored horizon `k`; `head` are the network's quantiles in units of
/// the classical scale around the classical centre.
fn served(context: &Context<'_>, row: &mut Row<'_>, work: &mut Work, head: &[f32], k: usize) {
    let Context { setup, grid, .. } = *context;
    let set = setup.experts();
    let at = &mut work.horizons[k];
    let mut width = 0.0;
    at.side = 1.0;
    if let Some(network) = set.index_of(Expert::Network) {
        let (q10, q50, q90) = (head[1], head[2], head[3]);
        at.residual = if q50.is_finite() { q50 } else { 0.0 };
        at.forecasts[network] = at.classical.served + at.unit * at.residual;
        if (q90 - q10).is_finite() {
            width = width_feature(q90 - q10);
            at.side = quantiles::side(q10, q50, q90);
        }
    }
    at.served = row
        .served_weights(k, set.len())
        .centre(&at.forecasts[..set.len()]);
    let slot = target_slot(grid, work.local_ms, k);
    let of = Circumstances {
        forecast: at.served.served,
        disagreement: disagreement(set, grid.disagreeing, &at.forecasts, at.served.served),
        slot_spread: row.served_spread[slot],
        slot_visits: row.spread_visits[slot],
        one_step: row.served_step,
        level: row.level,
        width,
        steps: work.step,
    };
    let scale = &mut row.served_scale[k];
    let rules = &grid.horizons[k];
    let rates = rules.scale.under(&row.drifts[k].served.regime(), &rules.drift);
    at.served_features = scale.features(&rates, &of);
    at.served_scale = scale.scale(&at.served_features);
}

/// Keeps the forecast of scored horizon `k` until its target is observed.
fn keep(context: &Context<'_>, row: &mut Row<'_>, work: &Work, k: usize) {
    let Context { setup, grid, key } = *context;
    let experts = setup.experts().len();
    let levels = &setup.layout.dims.levels;
    let at = &work.horizons[k];
    let cold = cold_spread(row, work, grid.horizons[k].horizon as f32);
    let scale = if at.served_scale > 0.0 {
        at.served_scale
    } else {
        cold
    };
    let tracked = &row.tracked[k * levels.len()..(k + 1) * levels.len()];
    let spread = setup.width.spread(scale, at.side, tracked);
    let slots = &mut row.pending[setup.layout.pending(k)];
    let Some((issued, kept)) = pending::open(slots, &grid.horizons[k].sampling(key), work.step, experts)
    else {
        return;
    };
    issued.classical = at.classical.served;
    issued.classical_parts = at.classical.parts;
    issued.served = at.served.served;
    issued.served_parts = at.served.parts;
    issued.classical_scale = at.scale;
    issued.served_scale = at.served_scale;
    issued.side = at.side;
    issued.spread = spread;
    issued.classical_features = at.features;
    issued.served_features = at.served_features;
    issued.deviations = work.now.deviations();
    issued.bases = at.ahead.shared();
    kept.copy_from_slice(&at.forecasts[..experts]);
}

/// Spread of a forecast that has no scale yet: that of a random walk of the one-step errors; before there are any, of
/// the changes; before those, a tenth of the value.
fn cold_spread(row: &Row<'_>, work: &Work, h: f32) -> f32 {
    let errors = row.served_step.cold_spread(h);
    if work.step >= 5 || errors > 1e-6 {
        return errors;
    }
    let changes = row.motion.mean_change() * h.sqrt();
    if changes > 0.0 {
        return changes;
    }
    let value = row.scaler.restore(work.now.last).abs();
    let tenth = if value > 0.0 { 0.1 * value } else { 1.0 };
    ((tenth / row.scaler.restore_scale(1.0)) as f32).min(1e15)
}

/// Quantiles and mean of the published horizons at the places `chosen` (H), in original units.
fn write(context: &Context<'_>, row: &Row<'_>, work: &Work, chosen: &[usize], slot: &mut OutputSlot<'_>) {
    let setup = context.setup;
    let horizons = chosen.len();
    let levels = &setup.layout.dims.levels;
    let mut tracked = [0.0; QUANTILES_MAX];
    let mut normalised = [0.0; QUANTILES_MAX];
    for (i, &at) in chosen.iter().enumerate() {
        let (h, place) = (setup.plan.published[at], setup.places[at]);
        let (low, high) = (&work.horizons[place.low], &work.horizons[place.high]);
        let centre = finite(centre_at(context, row, work, h, place), work.now.last);
        let warm = place.between_logs(low.served_scale, high.served_scale);
        let scale = if warm > 0.0 {
            warm
        } else {
            cold_spread(row, work, h as f32)
        };
        let side = place.between(low.side, high.side);
        let of = |k: usize| &row.tracked[k * levels.len()..(k + 1) * levels.len()];
        let tracked = &mut tracked[..levels.len()];
        place.between_all(of(place.low), of(place.high), tracked);
        let normalised = &mut normalised[..levels.len()];
        quantiles::serve(centre, scale, side, tracked, normalised);
        slot.mean[i] = row.scaler.restore(finite(
            quantiles::mean(centre, scale, side, levels, tracked),
            centre,
        ));
        for (q, &x) in normalised.iter().enumerate() {
            slot.quantiles[q * horizons + i] = row.scaler.restore(finite(x, centre));
        }
    }
}

/// Both mixes of a row, horizon 1 first, and whether the network in the second says but the first.
pub(crate) struct Mixes<'a> {
    pub(crate) classical: &'a [f32],
    pub(crate) served: &'a [f32],
    pub(crate) silent: bool,
}

/// Weights at horizon 1 by name (E). An expert whose season the stream does not have says last value, or what `linear`
/// says, and its weight is shown as theirs; an untrained network says the experts' mix, and its weight is shown as theirs.
pub(crate) fn show_weights(
    set: ExpertSet,
    calendar: &Calendar,
    mixes: &Mixes<'_>,
    out: &mut [(&'static str, f64)],
) {
    let weights = mixture::weights(&mixes.served[..mixture::len(set.len())]);
    let own = mixture::weights(&mixes.classical[..mixture::len(set.classical().len())]);
    let lent = match set.index_of(Expert::Network) {
        Some(network) if mixes.silent => f64::from(weights[network]),
        _ => 0.0,
    };
    let mut own = own.iter();
    let linear = set.index_of(Expert::Linear).unwrap_or(0);
    let (mut to_last, mut to_linear) = (0.0, 0.0);
    for ((out, expert), &weight) in out.iter_mut().zip(set.iter()).zip(weights) {
        let weight = if expert == Expert::Network {
            f64::from(weight) - lent
        } else {
            f64::from(weight)
                + lent * f64::from(*own.next().expect("the experts' own mix has all but the network"))
        };
        let speaks_for_itself = match expert {
            Expert::Last | Expert::Linear | Expert::Network => true,
            Expert::Hour | Expert::LinearHour => calendar.hour.is_some(),
            _ => calendar.day.is_some(),
        };
        *out = (expert.name(), if speaks_for_itself { weight } else { 0.0 });
        if !speaks_for_itself {
            *(if expert.is_linear() {
                &mut to_linear
            } else {
                &mut to_last
            }) += weight;
        }
    }
    out[0].1 += to_last;
    out[linear].1 += to_linear;
}

fn finite(x: f32, otherwise: f32) -> f32 {
    if x.is_nan() {
        otherwise
    } else {
        x.clamp(-VALUE_MAX, VALUE_MAX)
    }
}

/// Whether a stream is on the tape: by its hash, so that it is the same ones for ever.
fn is_taped(key: u64, share: f64) -> bool {
    ((key >> 11) as f64) < share * (1u64 << 53) as f64
}

/// Puts the row onto the tape exactly as it was served; the hidden state of the row is still that before the step.
fn tape(context: &Context<'_>, publish: &mut Publish<'_>, row: &Row<'_>, results: &RowResults<'_>) {
    let Context { setup, grid, key } = *context;
    let work = &*results.work;
    let horizons = setup.plan.scored.len();
    let all = &work.horizons[..horizons];
    let centre: [f64; EXPERTS_MAX] = std::array::from_fn(|k| {
        all.get(k)
            .map_or(0.0, |at| row.scaler.restore(at.classical.served))
    });
    let units: [f64; EXPERTS_MAX] =
        std::array::from_fn(|k| all.get(k).map_or(0.0, |at| row.scaler.restore_scale(at.unit)));
    let weight: [f32; EXPERTS_MAX] = std::array::from_fn(|k| {
        all.get(k).map_or(0.0, |at| {
            if at.long > 0.0 {
                (at.unit / at.long).clamp(0.25, 3.0)
            } else {
                1.0
            }
        })
    });
    // Units outside f32 (values around 1e40 or 1e-40) cannot be learnt from; the row still carries the state on.
    let fits = units[..horizons].iter().all(|&unit| unit > 1e-36 && unit < 1e36);
    publish.tape.push(&TapeRow {
        stream: key,
        step: work.step as i64,
        model_version: publish.version.0,
        observed: work.value,
        inputs: results.inputs,
        skips: results.skips,
        state: row.hidden,
        centre: &centre[..horizons],
        unit: &units.map(|unit| unit.clamp(1e-36, 1e36) as f32)[..horizons],
        weight: &weight[..horizons],
        in_service: fits && grid.calendar.interval_ms > 0 && work.step >= grid.ready_steps,
    });
}
