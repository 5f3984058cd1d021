//! What is due at a step: forecasts whose target was just observed teach weights, shares, scales and quantiles.

use crate::engine::advance::Context;
use crate::engine::features::squash;
use crate::engine::row::{Drifts, Row};
use crate::engine::setup::HorizonRules;
use crate::engine::work::{EXPERTS_MAX, Work};
use crate::engine::{Anomaly, PartitionStats};
use crate::experts::base::{Bases, SHARES};
use crate::experts::drift::Drift;
use crate::experts::pending::Issued;
use crate::experts::scale::{FEATURES, Scale};
use crate::experts::{anomaly, linear, origins, pending, quantiles};

/// (q90 − q10) / 2.56 of a Laplace with scale 1: brings a forecast that had no scale yet to the units of z.
const LAPLACE_SPREAD: f32 = 3.218_876 / 2.56;
/// Half a day where there is no season, in steps.
const HALF_DAY: u32 = 12;

/// A forecast whose target was just observed.
#[derive(Clone, Copy, Debug)]
struct Matured {
    /// Index of the scored horizon.
    k: usize,
    issued: Issued,
    /// What last value said.
    naive: f32,
    /// The truth.
    y: f32,
}

/// Matures what is due at this step; a missing value matures nothing, but its places are free again.
pub(crate) fn mature(
    context: &Context<'_>,
    row: &mut Row<'_>,
    work: &mut Work,
    y: f32,
    stats: &mut PartitionStats,
) {
    let setup = context.setup;
    let experts = setup.experts().len();
    let missing = work.value.is_nan();
    let mut surprises = 0.0;
    let mut first = None;
    for k in 0..setup.plan.scored.len() {
        let sampling = context.grid.horizons[k].sampling(context.key);
        let slots = &mut row.pending[setup.layout.pending(k)];
        let Some((issued, forecasts)) = pending::due(slots, &sampling, work.step, experts) else {
            continue;
        };
        if missing {
            continue;
        }
        let issued = *issued;
        if setup.anomaly_horizons.contains(&k) {
            surprises += anomaly::surprise(&issued, y);
        }
        // Last value is the first expert of every set.
        let matured = Matured {
            k,
            issued,
            naive: forecasts[0],
            y,
        };
        let mut kept = [0.0; EXPERTS_MAX];
        let kept = &mut kept[..experts];
        kept.copy_from_slice(forecasts);
        learn_centres(context, row, &matured, kept);
        learn_linear(context, row, work, &matured);
        let p = score(context, row, work, &matured, stats);
        if k == 0 {
            first = Some(p);
        }
        learn_spread(context, row, work, &matured);
    }
    if let Some(p) = first {
        let half_day = if context.grid.season() > 1 {
            context.grid.season() / 2
        } else {
            HALF_DAY
        };
        let verdict = row.anomaly.judge(surprises, half_day);
        stats.anomalies += u64::from(verdict.flag);
        work.anomaly = Some(Anomaly {
            score: f64::from(verdict.score),
            p: f64::from(p),
            peak: verdict.peak,
            flag: verdict.flag,
        });
    }
}

/// Both centres learn; `forecasts` (E).
fn learn_centres(
    context: &Context<'_>,
    row: &mut Row<'_>,
    &Matured { k, issued, y, .. }: &Matured,
    forecasts: &[f32],
) {
    let set = context.setup.experts();
    let few = set.classical().len();
    let how = (&context.grid.horizons[k].centre, row.scaler.is_settled());
    let [mut classical, mut served] = row.centres(k, (few, set.len()));
    classical.learn(&forecasts[..few], &issued.classical_centre(), y, how);
    served.learn(forecasts, &issued.served_centre(), y, how);
}

/// The linear experts learn.
fn learn_linear(
    context: &Context<'_>,
    row: &mut Row<'_>,
    work: &Work,
    &Matured { k, issued, naive, y }: &Matured,
) {
    if row.origins.is_empty() {
        return;
    }
    let Context { setup, grid, key } = *context;
    let rules = &grid.horizons[k];
    let origin = work.step - u64::from(rules.horizon);
    let origins = &mut row.origins[setup.layout.origins(k)];
    let Some((lesson, sigma)) = origins::find(origins, &rules.sampling(key), origin) else {
        return;
    };
    let [seasonal, day, week, hour] = issued.bases;
    let ahead = Bases {
        seasonal,
        day,
        week,
        hour,
    };
    let weights = row.linear[setup.layout.linear(k)].chunks_exact_mut(linear::WEIGHTS_LEN);
    for (expert, weights) in setup.experts().linear().zip(weights) {
        if !linear::is_idle(expert, &grid.calendar) {
            let base = linear::base_of(expert, naive, &ahead);
            linear::learn(weights, &lesson, (y - base) / sigma);
        }
    }
}

/// Coverage and skill, before the tracked quantiles learn; then they do. Gives the two-sided tail probability.
fn score(
    context: &Context<'_>,
    row: &mut Row<'_>,
    work: &Work,
    &Matured { k, issued, naive, y }: &Matured,
    stats: &mut PartitionStats,
) -> f32 {
    let setup = context.setup;
    let levels = &setup.layout.dims.levels;
    let tracked = &mut row.tracked[k * levels.len()..(k + 1) * levels.len()];
    let u = y - issued.served;
    let scale = if issued.served_scale > 0.0 {
        issued.served_scale
    } else {
        issued.spread / LAPLACE_SPREAD
    };
    let z = if scale > 0.0 {
        quantiles::standardised(u, scale, issued.side)
    } else {
        0.0
    };
    let in_service = work.step >= context.grid.ready_steps;
    let p = if k == 0 {
        quantiles::tail_probability(levels, tracked, z)
    } else {
        1.0
    };
    if k == 0 {
        row.standing.note(u.abs(), (y - naive).abs());
        if let Some((low, high)) = setup.band {
            let inside = tracked[low] <= z && z <= tracked[high];
            row.standing.coverage.note(inside);
            if in_service {
                stats.note_coverage(inside);
            }
        }
    }
    if in_service {
        let relative = |miss: f32| f64::from(miss.abs() / work.sigma);
        if k == 0 {
            stats.skill_near.note(relative(u), relative(y - naive));
        }
        if k + 1 == setup.plan.scored.len() {
            stats.skill_far.note(relative(u), relative(y - naive));
        }
    }
    if issued.served_scale > 0.0 {
        let matured = row.served_scale[k].matured() + 1.0;
        let gain = quantiles::gain(context.grid.horizons[k].quantile_rate, matured);
        let steady = row.drifts[k].served.regime().steady;
        quantiles::learn(levels, tracked, z, gain * steady);
    }
    p
}

/// Shares, scales and slot spreads learn.
fn learn_spread(
    context: &Context<'_>,
    row: &mut Row<'_>,
    work: &Work,
    &Matured { k, issued, y, .. }: &Matured,
) {
    let rules = &context.grid.horizons[k];
    for i in 0..SHARES {
        row.shares[k * SHARES + i].learn(issued.deviations[i], y - issued.bases[i], rules.forgetting);
    }
    let slot = context.grid.spread_place(k, work.local_ms);
    row.spread_visits[slot] = (row.spread_visits[slot] + 1.0).min(1e6);
    let visits = row.spread_visits[slot];
    let classical = y - issued.classical;
    let Drifts {
        classical: of_classical,
        served: of_served,
    } = &mut row.drifts[k];
    learn_chain(
        (rules, classical),
        (issued.classical_scale, &issued.classical_features),
        (&mut row.classical_scale[k], of_classical),
        (&mut row.classical_spread[slot], visits),
    );
    let served = y - issued.served;
    learn_chain(
        (rules, served),
        (issued.served_scale, &issued.served_features),
        (&mut row.served_scale[k], of_served),
        (&mut row.served_spread[slot], visits),
    );
    row.errors[k] = if issued.classical_scale > 0.0 {
        squash(classical / issued.classical_scale)
    } else {
        0.0
    };
    if k == 0 {
        row.classical_step.note(classical.abs());
        row.served_step.note(served.abs());
    }
}

/// Scale and slot spread of one chain learn an error under the regime of before it; then it is noted.
fn learn_chain(
    (rules, u): (&HorizonRules, f32),
    issued: (f32, &[f32; FEATURES]),
    (scale, drift): (&mut Scale, &mut Drift),
    (slot, visits): (&mut f32, f32),
) {
    let rates = rules.scale.under(&drift.regime(), &rules.drift);
    scale.learn(&rates, u, issued, slot, visits);
    if issued.0 > 0.0 {
        drift.note(&rules.drift, u.abs() / issued.0);
    }
}
