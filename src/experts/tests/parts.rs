//! What the toy's stream is made of.

use bytemuck::Zeroable;

use crate::experts::base::{Bases, SHARES};
use crate::experts::centre::{State, Weights};
use crate::experts::drift::{Drift, DriftRates};
use crate::experts::linear;
use crate::experts::pending::{self, Issued, Sampling};
use crate::experts::scale::{Circumstances, FEATURES, Scale, ScaleRates};
use crate::experts::share::Share;
use crate::experts::{ExpertSet, mixture, origins, stack};
use crate::series::calendar::Calendar;
use crate::series::profile::{Profile, ProfileRules, ProfileView};

/// A profile with its slots.
pub(crate) struct Slots {
    pub(crate) state: Profile,
    pub(crate) means: Vec<f32>,
    pub(crate) visits: Vec<f32>,
    pub(crate) rules: ProfileRules,
}

impl Slots {
    pub(crate) fn new(rules: ProfileRules) -> Self {
        let slots = rules.slots as usize;
        Self {
            state: Profile::zeroed(),
            means: vec![0.0; slots],
            visits: vec![0.0; slots],
            rules,
        }
    }

    pub(crate) fn view(&self) -> ProfileView<'_> {
        ProfileView {
            state: &self.state,
            means: &self.means,
            visits: &self.visits,
            rules: &self.rules,
        }
    }

    pub(crate) fn take(&mut self, local_ms: i64, y: f32) {
        let index = self.rules.season.index(local_ms);
        self.state
            .update(&mut self.means, &mut self.visits, &self.rules, index, y);
    }
}

/// What a scored horizon learns of one chain.
pub(crate) struct Chain {
    pub(crate) mixture: Vec<f32>,
    pub(crate) stack: Vec<f32>,
    pub(crate) pair: Vec<f32>,
    pub(crate) scale: Scale,
    pub(crate) drift: Drift,
    pub(crate) spreads: Vec<f32>,
}

impl Chain {
    pub(crate) fn new(experts: usize, slots: usize) -> Self {
        let mut mixture = vec![0.0; mixture::len(experts)];
        mixture::start(&mut mixture);
        let mut stack = vec![0.0; stack::len(experts)];
        stack::start(&mut stack);
        let mut pair = vec![0.0; mixture::len(stack::CENTRES)];
        mixture::start(&mut pair);
        Self {
            mixture,
            stack,
            pair,
            scale: Scale::START,
            drift: Drift::zeroed(),
            spreads: vec![0.0; slots],
        }
    }
}

impl Chain {
    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            mix: mixture::weights(&self.mixture),
            stack: stack::weights(&self.stack),
            pair: mixture::weights(&self.pair),
        }
    }

    pub(crate) const fn state(&mut self) -> State<'_> {
        State {
            mix: self.mixture.as_mut_slice(),
            stack: self.stack.as_mut_slice(),
            pair: self.pair.as_mut_slice(),
        }
    }
}

impl Chain {
    /// φ of a forecast.
    pub(crate) fn features(&mut self, sampling: &Sampling, of: &Circumstances<'_>) -> [f32; FEATURES] {
        let rates = self.rates(sampling);
        self.scale.features(&rates, of)
    }

    /// Rates of the scale under the chain's regime.
    fn rates(&self, sampling: &Sampling) -> ScaleRates {
        let drift = DriftRates::new(sampling.horizon, sampling.stride);
        ScaleRates::new(sampling.horizon, sampling.stride).under(&self.drift.regime(), &drift)
    }

    pub(crate) fn learn(
        &mut self,
        (sampling, slot, visits): (&Sampling, usize, f32),
        u: f32,
        issued: (f32, &[f32; FEATURES]),
    ) {
        let rates = self.rates(sampling);
        self.scale
            .learn(&rates, u, issued, &mut self.spreads[slot], visits);
        if issued.0 > 0.0 {
            let drift = DriftRates::new(sampling.horizon, sampling.stride);
            self.drift.note(&drift, u.abs() / issued.0);
        }
    }
}

/// A scored horizon.
pub(crate) struct Scored {
    pub(crate) sampling: Sampling,
    pub(crate) pending: Vec<f32>,
    pub(crate) shares: [Share; SHARES],
    /// Weights of the linear experts.
    pub(crate) linear: Vec<f32>,
    pub(crate) origins: Vec<f32>,
    pub(crate) classical: Chain,
    pub(crate) served: Chain,
    pub(crate) visits: Vec<f32>,
    pub(crate) a: Vec<f32>,
}

impl Scored {
    pub(crate) fn keep(&mut self, step: u64, kept: &Issued, experts: &[f32]) {
        let slots = &mut self.pending;
        if let Some((issued, forecasts)) = pending::open(slots, &self.sampling, step, experts.len()) {
            issued.fill(kept);
            forecasts.copy_from_slice(experts);
        }
    }
}

impl Scored {
    pub(crate) fn learn_linear(
        &mut self,
        set: ExpertSet,
        calendar: &Calendar,
        step: u64,
        (y, issued, last): (f32, &Issued, f32),
    ) {
        let origin = step - u64::from(self.sampling.horizon);
        let Some((lesson, sigma)) = origins::find(&mut self.origins, &self.sampling, origin) else {
            return;
        };
        let [seasonal, day, week, hour] = issued.bases;
        let ahead = Bases {
            seasonal,
            day,
            week,
            hour,
        };
        let weights = self.linear.chunks_exact_mut(linear::WEIGHTS_LEN);
        for (expert, weights) in set.linear().zip(weights) {
            if !linear::is_idle(expert, calendar) {
                let base = linear::base_of(expert, last, &ahead);
                linear::learn(weights, &lesson, (y - base) / sigma);
            }
        }
    }
}
