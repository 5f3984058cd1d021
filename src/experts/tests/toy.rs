//! One stream stepped as the engine steps it, with a stand-in for the network.

use bytemuck::Zeroable;

use super::parts::{Chain, Scored, Slots};
use crate::experts::anomaly::{self, Anomaly, Verdict};
use crate::experts::base::{self, Bases, Now, Past, SHARES};
use crate::experts::centre::CentreRates;
use crate::experts::linear::{self, Vector, covariance};
use crate::experts::pending::{self, Flights, Issued};
use crate::experts::scale::{Circumstances, Level, OneStep, width_feature};
use crate::experts::share::Share;
use crate::experts::{ExpertSet, mixture, origins, quantiles, stack};
use crate::series::Rebase;
use crate::series::calendar::Calendar;
use crate::series::profile::{DAY_RATE, DAY_SLOTS, ProfileRules, WEEK_RATE, WEEK_SLOTS};
use crate::series::ring::{self, Ring};
use crate::series::season_ring::{KEPT, SeasonRing};

pub(crate) const LEVELS: [f32; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];

/// While there is no scale, a random walk's around the centre, symmetric.
fn width(scale: f32, side: f32, one_step: &OneStep, horizon: u32) -> (f32, f32) {
    if scale > 0.0 {
        (scale, side)
    } else {
        (one_step.cold_spread(horizon as f32), 1.0)
    }
}

/// A forecast at a scored horizon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Out {
    pub(crate) day: f32,
    pub(crate) week: f32,
    pub(crate) experts: Vec<f32>,
    /// m1 of the classical chain, and its centre.
    pub(crate) m1: f32,
    pub(crate) classical: f32,
    pub(crate) s: f32,
    pub(crate) served: f32,
    pub(crate) s2: f32,
    pub(crate) quantiles: [f32; 5],
}

pub(crate) struct Toy {
    pub(crate) set: ExpertSet,
    pub(crate) calendar: Calendar,
    pub(crate) day: Slots,
    pub(crate) week: Slots,
    hour: Slots,
    season: SeasonRing,
    season_means: Vec<f32>,
    ring: Ring,
    values: Vec<f32>,
    last: f32,
    /// EW levels of the linear experts.
    levels: [f32; 3],
    /// σ, normalised, and whether it is settled.
    pub(crate) sigma: (f32, bool),
    pub(crate) covariance: Vec<f32>,
    pub(crate) step: u64,
    pub(crate) level: Level,
    /// Classical and served.
    pub(crate) one_step: [OneStep; 2],
    pub(crate) scored: Vec<Scored>,
    pub(crate) anomaly: Anomaly,
}

impl Toy {
    pub(crate) fn new(set: ExpertSet, calendar: Calendar, horizons: &[u32]) -> Self {
        let experts = set.len();
        let slots = calendar.spread_slots();
        let scored = horizons.iter().map(|&b| {
            let mut a = vec![0.0; LEVELS.len()];
            quantiles::start(&LEVELS, &mut a);
            Scored {
                sampling: Flights::ACCURATE.sampling(b, calendar.day.steps, 0),
                pending: vec![0.0; Flights::ACCURATE.len(b, experts)],
                shares: [Share::START; SHARES],
                linear: vec![0.0; set.linear().count() * linear::WEIGHTS_LEN],
                origins: vec![0.0; origins::places(&[1, b]).1],
                classical: Chain::new(set.classical().len(), slots),
                served: Chain::new(experts, slots),
                visits: vec![0.0; slots],
                a,
            }
        });
        let mut covariance = vec![0.0; covariance::LEN];
        covariance::start(&mut covariance);
        Self {
            set,
            calendar,
            day: Slots::new(ProfileRules::new(calendar.day, DAY_SLOTS, DAY_RATE)),
            week: Slots::new(ProfileRules::new(calendar.week, WEEK_SLOTS, WEEK_RATE)),
            hour: Slots::new(ProfileRules::new(calendar.hour, 60, DAY_RATE)),
            season: SeasonRing::zeroed(),
            season_means: vec![0.0; KEPT],
            ring: Ring::zeroed(),
            values: vec![0.0; ring::CAPACITY],
            last: 0.0,
            levels: [0.0; 3],
            sigma: (1.0, false),
            covariance,
            step: 0,
            level: Level::zeroed(),
            one_step: [OneStep::zeroed(); 2],
            scored: scored.collect(),
            anomaly: Anomaly::zeroed(),
        }
    }

    /// With a ring of so many steps.
    pub(crate) fn with_ring(self, steps: usize) -> Self {
        Self {
            values: vec![0.0; steps],
            ..self
        }
    }

    fn local_ms(&self, step: u64) -> i64 {
        step as i64 * self.calendar.interval_ms
    }

    /// One step; `network(step)` gives q10, q50, q90 in units of s around the classical centre.
    pub(crate) fn step(
        &mut self,
        y: Option<f32>,
        network: impl Fn(u64) -> [f32; 3],
    ) -> (Vec<Out>, Option<Verdict>) {
        let verdict = self.mature(y);
        self.last = y.unwrap_or(self.last);
        let local_ms = self.local_ms(self.step);
        self.level.note(self.last);
        let m = self.calendar.day.steps;
        let half_lives = [6, m.max(12), 7 * m.max(24)];
        for (level, half_life) in self.levels.iter_mut().zip(half_lives) {
            let rate = 1.0 - 0.5f64.powf(1.0 / f64::from(half_life));
            let most = if self.step == 0 {
                f32::INFINITY
            } else {
                1_000.0 * self.sigma.0
            };
            *level +=
                (self.last - *level).clamp(-most, most) * (rate as f32).max(1.0 / (self.step + 1) as f32);
        }
        self.ring.push(&mut self.values, self.last);
        for slots in [&mut self.day, &mut self.week, &mut self.hour] {
            slots.take(local_ms, self.last);
        }
        if self.calendar.is_long(self.values.len()) {
            let means = &mut self.season_means;
            self.season.update(means, self.calendar.day, local_ms, self.last);
        }
        let x = self.regress();
        let out = (0..self.scored.len())
            .map(|k| self.issue(k, &x, network(self.step)))
            .collect();
        self.step += 1;
        (out, verdict)
    }

    /// x_t, which the origins in flight keep and the covariance takes.
    fn regress(&mut self) -> Vector {
        let (sigma, settled) = self.sigma;
        let past = self.past();
        let linear::Regressors { x, len } = linear::regressors(&past, &past.now(), &self.levels, sigma);
        if settled {
            let u = covariance::absorb(&mut self.covariance, len, &x, self.step);
            for scored in &mut self.scored {
                let kept = &mut scored.origins;
                origins::open(kept, &scored.sampling, self.step, (&x, &u), sigma);
            }
        }
        x
    }

    fn mature(&mut self, y: Option<f32>) -> Option<Verdict> {
        let experts = self.set.len();
        let slot = self.calendar.spread_slot(self.local_ms(self.step));
        let mut surprise = None;
        for scored in &mut self.scored {
            let due = pending::due(&mut scored.pending, &scored.sampling, self.step, experts);
            let (Some((issued, forecasts)), Some(y)) = (due, y) else {
                continue;
            };
            let (issued, forecasts) = (*issued, forecasts.to_vec());
            let (horizon, stride) = (scored.sampling.horizon, scored.sampling.stride);
            if horizon == 1 {
                self.one_step[0].note((y - issued.classical).abs());
                self.one_step[1].note((y - issued.served).abs());
            }
            if horizon <= 24 {
                *surprise.get_or_insert(0.0) += anomaly::surprise(&issued, y);
            }
            for (i, share) in scored.shares.iter_mut().enumerate() {
                share.learn(
                    issued.deviations[i],
                    y - issued.bases[i],
                    Share::forgetting(stride),
                );
            }
            scored.learn_linear(self.set, &self.calendar, self.step, (y, &issued, forecasts[0]));
            let rates = CentreRates::new(horizon, stride);
            let how = (&rates, self.sigma.1);
            let few = &forecasts[..self.set.classical().len()];
            let mut state = scored.classical.state();
            state.learn(few, &issued.classical_centre(), y, how);
            let mut state = scored.served.state();
            state.learn(&forecasts, &issued.served_centre(), y, how);
            let u = y - issued.served;
            if issued.served_scale > 0.0 {
                let z = quantiles::standardised(u, issued.served_scale, issued.side);
                let matured = scored.served.scale.matured() + 1.0;
                let gain = quantiles::gain(quantiles::rate(horizon, stride), matured);
                let steady = scored.served.drift.regime().steady;
                quantiles::learn(&LEVELS, &mut scored.a, z, gain * steady);
            }
            scored.visits[slot] += 1.0;
            let at = (&scored.sampling, slot, scored.visits[slot]);
            let before = (issued.classical_scale, &issued.classical_features);
            scored.classical.learn(at, y - issued.classical, before);
            let before = (issued.served_scale, &issued.served_features);
            scored.served.learn(at, u, before);
        }
        surprise.map(|x| self.anomaly.judge(x, 12))
    }

    fn past(&self) -> Past<'_> {
        Past {
            calendar: &self.calendar,
            local_ms: self.local_ms(self.step),
            steps: self.step,
            last: self.last,
            ring: &self.ring,
            ring_values: &self.values,
            season: &self.season,
            season_means: &self.season_means,
            day: self.day.view(),
            week: self.week.view(),
            hour: self.hour.view(),
        }
    }

    /// Forecasts of the classical experts (E, the network's place 0).
    fn forecasts(&self, k: usize, x: &Vector, now: &Now, ahead: &Bases) -> Vec<f32> {
        let scored = &self.scored[k];
        let mut experts = vec![0.0; self.set.len()];
        let betas = scored.shares.each_ref().map(Share::beta);
        base::forecasts(self.set, now, ahead, &betas, &mut experts);
        let origin = linear::Origin {
            calendar: &self.calendar,
            x,
            sigma: self.sigma.0,
            last: self.last,
        };
        linear::forecasts(self.set, &scored.linear, &origin, ahead, &mut experts);
        experts
    }

    fn issue(&mut self, k: usize, x: &Vector, [o10, o50, o90]: [f32; 3]) -> Out {
        let horizon = self.scored[k].sampling.horizon;
        let (now, ahead) = (self.past().now(), self.past().ahead(horizon));
        let target = self
            .calendar
            .spread_slot(self.local_ms(self.step + u64::from(horizon)));
        let set = self.set;
        let mut experts = self.forecasts(k, x, &now, &ahead);
        let scored = &mut self.scored[k];
        let classical = set.classical().len();
        let kept_classical = scored.classical.weights().centre(&experts[..classical]);
        let centre = kept_classical.served;
        let mut circumstances = Circumstances {
            forecast: centre,
            disagreement: base::disagreement(set, set, &experts, centre),
            slot_spread: scored.classical.spreads[target],
            slot_visits: scored.visits[target],
            one_step: &self.one_step[0],
            level: &self.level,
            width: 0.0,
            steps: self.step,
        };
        let classical_features = scored.classical.features(&scored.sampling, &circumstances);
        let s = scored.classical.scale.scale(&classical_features);
        experts[classical] = centre + s * o50;
        let kept_served = scored.served.weights().centre(&experts);
        let served = kept_served.served;
        circumstances.forecast = served;
        circumstances.disagreement = base::disagreement(set, set, &experts, served);
        circumstances.slot_spread = scored.served.spreads[target];
        circumstances.one_step = &self.one_step[1];
        circumstances.width = width_feature(o90 - o10);
        let served_features = scored.served.features(&scored.sampling, &circumstances);
        let s2 = scored.served.scale.scale(&served_features);
        let side = quantiles::side(o10, o50, o90);
        let mut out = Out {
            day: ahead.day,
            week: ahead.week,
            experts,
            m1: kept_classical.parts[0],
            classical: centre,
            s,
            served,
            s2,
            quantiles: [0.0; 5],
        };
        let (width, width_side) = width(s2, side, &self.one_step[1], horizon);
        quantiles::serve(served, width, width_side, &scored.a, &mut out.quantiles);
        let kept = Issued {
            classical: centre,
            classical_parts: kept_classical.parts,
            served,
            served_parts: kept_served.parts,
            classical_scale: s,
            served_scale: s2,
            side,
            spread: quantiles::Width::new(&LEVELS).spread(width, width_side, &scored.a),
            classical_features,
            served_features,
            deviations: now.deviations(),
            bases: ahead.shared(),
            ..Issued::zeroed()
        };
        scored.keep(self.step, &kept, &out.experts);
        out
    }

    /// Every piece of state in the new units.
    pub(crate) fn rebase(&mut self, by: Rebase) {
        for slots in [&mut self.day, &mut self.week, &mut self.hour] {
            slots.state.rebase(&mut slots.means, by);
        }
        self.ring.rebase(&mut self.values, by);
        self.last = by.value(self.last);
        self.levels = self.levels.map(|level| by.value(level));
        self.sigma.0 = by.scale(self.sigma.0);
        self.level.rebase(by);
        for one_step in &mut self.one_step {
            one_step.rebase(by);
        }
        let experts = self.set.len();
        for scored in &mut self.scored {
            pending::rebase(&mut scored.pending, experts, by);
            for share in &mut scored.shares {
                share.rebase(by);
            }
            origins::rebase(&mut scored.origins, by);
            for chain in [&mut scored.classical, &mut scored.served] {
                mixture::rebase(&mut chain.mixture, by);
                mixture::rebase(&mut chain.pair, by);
                stack::rebase(&mut chain.stack, by);
                chain.scale.rebase(by);
            }
        }
    }
}
