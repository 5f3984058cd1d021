//! The served centre at horizons between scored ones.

use crate::engine::advance::{Context, betas};
use crate::engine::row::Row;
use crate::engine::work::{EXPERTS_MAX, HorizonWork, Work};
use crate::experts::base::{SHARES, forecasts};
use crate::experts::centre::Weights;
use crate::experts::interpolate::Place;
use crate::experts::stack::CENTRES;
use crate::experts::{Expert, linear};

/// The served centre at a published horizon: exact where it is scored; else bases evaluated exactly at `h`, and weights,
/// shares and the network's residual between those of the scored horizons around it.
pub(crate) fn centre_at(context: &Context<'_>, row: &Row<'_>, work: &Work, h: u32, place: Place) -> f32 {
    let (low, high): (&HorizonWork, &HorizonWork) = (&work.horizons[place.low], &work.horizons[place.high]);
    if context.setup.plan.scored[place.low] == h {
        return low.served.served;
    }
    let set = context.setup.experts();
    let ahead = row.past(context.grid, work.local_ms).ahead(h);
    let mut shares = [0.0; SHARES];
    place.between_all(&betas(row, place.low), &betas(row, place.high), &mut shares);
    let mut each = [0.0; EXPERTS_MAX];
    forecasts(set.classical(), &work.now, &ahead, &shares, &mut each);
    let few = set.classical().len();
    let classical = Blend::new(context, place, |k| row.classical_weights(k, few));
    let scored = [low, high].map(|at| &at.forecasts[..]);
    linear::between(set, place, scored, &classical.mix[..few], &mut each);
    if let Some(network) = set.index_of(Expert::Network) {
        let unit = place.between_logs(low.unit, high.unit);
        each[network] = classical.centre(&each[..few]) + unit * place.between(low.residual, high.residual);
    }
    Blend::new(context, place, |k| row.served_weights(k, set.len())).centre(&each[..set.len()])
}

/// Weights of a chain between two scored horizons.
struct Blend {
    mix: [f32; EXPERTS_MAX],
    stack: [f32; EXPERTS_MAX],
    pair: [f32; CENTRES],
    /// Whether there is a stack.
    stacks: bool,
}

impl Blend {
    fn new<'a>(context: &Context<'_>, place: Place, weights: impl Fn(usize) -> Weights<'a>) -> Self {
        let ends = [place.low, place.high].map(weights);
        let [low, high] = [place.low, place.high].map(|k| Shift::at(context, k));
        let mut blend = Self {
            mix: [0.0; EXPERTS_MAX],
            stack: [0.0; EXPERTS_MAX],
            pair: [0.0; CENTRES],
            stacks: !ends[0].stack.is_empty(),
        };
        let between = |out: &mut [f32; EXPERTS_MAX], ends: [&[f32]; 2]| {
            place.between_all(&low.of(ends[0]), &high.of(ends[1]), out);
        };
        between(&mut blend.mix, ends.map(|end| end.mix));
        between(&mut blend.stack, ends.map(|end| end.stack));
        place.between_all(ends[0].pair, ends[1].pair, &mut blend.pair);
        blend
    }

    fn centre(&self, forecasts: &[f32]) -> f32 {
        let weights = Weights {
            mix: &self.mix[..forecasts.len()],
            stack: if self.stacks {
                &self.stack[..forecasts.len()]
            } else {
                &[]
            },
            pair: if self.stacks { &self.pair } else { &[] },
        };
        weights.centre(forecasts).served
    }
}

/// Whole seasons ahead, last value and seasonal say the same, and weights cannot tell them apart: what last value has there
/// is seasonal's at any other horizon. So is what `hour` has in a stream without a short season, where it says last value.
#[derive(Clone, Copy)]
struct Shift {
    /// Place of seasonal at a horizon of whole seasons, else `None`.
    to: Option<usize>,
    /// Place of an idle `hour`.
    idle: Option<usize>,
}

impl Shift {
    /// At scored horizon `k`.
    fn at(context: &Context<'_>, k: usize) -> Self {
        let season = context.grid.season();
        let is_whole = season > 1 && context.setup.plan.scored[k].is_multiple_of(season);
        let set = context.setup.experts();
        let is_idle = !context.grid.calendar.hour.is_some();
        Self {
            to: set.index_of(Expert::Seasonal).filter(|_| is_whole),
            idle: set.index_of(Expert::Hour).filter(|_| is_idle),
        }
    }

    fn of(self, weights: &[f32]) -> [f32; EXPERTS_MAX] {
        let mut out = [0.0; EXPERTS_MAX];
        out[..weights.len()].copy_from_slice(weights);
        if let Some(seasonal) = self.to {
            out[seasonal] += std::mem::take(&mut out[0]);
            if let Some(hour) = self.idle {
                out[seasonal] += std::mem::take(&mut out[hour]);
            }
        }
        out
    }
}
