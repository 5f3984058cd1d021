//! What follows from the configuration, once: rules, layout, and what a grid of an interval looks like.

use crate::engine::config::{Interval, Seasons};
use crate::engine::row::Layout;
use crate::engine::row::WEEK_SLOTS;
use crate::engine::stats::band;
use crate::engine::work::HORIZONS_MAX;
use crate::engine::{Config, HorizonPlan, Profile, shape};
use crate::experts::centre::CentreRates;
use crate::experts::drift::DriftRates;
use crate::experts::interpolate::Place;
use crate::experts::pending::{Flights, Sampling};
use crate::experts::scale::ScaleRates;
use crate::experts::share::Share;
use crate::experts::{Expert, ExpertSet, anomaly, quantiles};
use crate::nn::Shape;
use crate::series::cadence::CadenceRules;
use crate::series::calendar::{Calendar, Season};
use crate::series::profile::{DAY_RATE, ProfileRules, WEEK_RATE};

/// Steps of a stream without a season until it is in service.
const READY_STEPS: u64 = 30;
/// Most steps of a stream with a season until it is in service.
const READY_STEPS_MAX: u64 = 100;

/// Most configured quantile levels; the configuration refuses more.
pub const QUANTILES_MAX: usize = 32;

/// Immutable consequences of a configuration, shared by the engine and its partitions.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) plan: HorizonPlan,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    /// [`crate::engine::snapshot::fingerprint`].
    pub(crate) fingerprint: u64,
    pub(crate) cadence: CadenceRules,
    /// (H) where each published horizon lies among the scored ones.
    pub(crate) places: Vec<Place>,
    /// Places of the published horizons: all of them.
    pub(crate) all: Vec<usize>,
    /// Those that are published under load: the first and the last one.
    pub(crate) few: Vec<usize>,
    /// Scored horizons whose errors tell of an anomaly.
    pub(crate) anomaly_horizons: Vec<usize>,
    /// Places of the band whose coverage is counted.
    pub(crate) band: Option<(usize, usize)>,
}

impl Setup {
    pub(crate) fn new(config: Config) -> Self {
        assert!(
            config.quantiles.len() <= QUANTILES_MAX,
            "at most {QUANTILES_MAX} quantiles"
        );
        let plan = HorizonPlan::of(&config);
        let shape = shape(&config);
        let layout = Layout::new(&config);
        let interval_ms = match config.interval {
            Interval::Auto => None,
            Interval::Given(interval_ms) => Some(interval_ms),
        };
        let cadence = CadenceRules {
            interval_ms,
            gap_max: config.gap_max,
        };
        let places = plan
            .published
            .iter()
            .map(|&h| Place::new(&plan.scored, h))
            .collect();
        let all: Vec<usize> = (0..plan.published.len()).collect();
        let few = if let [first, .., last] = all[..] {
            vec![first, last]
        } else {
            all.clone()
        };
        let (chosen, count) = anomaly::horizons(&plan.scored);
        let band = band(&config.quantiles);
        // A compact row keeps the spread of the first alone.
        let judged = if config.profile == Profile::Compact {
            1
        } else {
            count
        };
        let anomaly_horizons = chosen[..judged].to_vec();
        let fingerprint = crate::engine::snapshot::fingerprint(&config);
        Self {
            fingerprint,
            config,
            plan,
            shape,
            layout,
            cadence,
            places,
            all,
            few,
            anomaly_horizons,
            band,
        }
    }

    /// The experts that take part.
    pub(crate) fn experts(&self) -> ExpertSet {
        self.layout.dims.experts
    }

    /// The grid of an interval; 0 = not known, no season.
    pub(crate) fn grid(&self, interval_ms: i64) -> Grid {
        let offset_ms = self.config.utc_offset_ms;
        let calendar = match &self.config.seasons {
            Seasons::Auto => Calendar::auto(interval_ms, offset_ms),
            Seasons::Durations(durations_ms) => {
                Calendar::with_durations(interval_ms, offset_ms, durations_ms)
            }
            Seasons::Steps(steps) => Calendar::with_steps(interval_ms, offset_ms, steps),
        };
        let hour = if self.experts().needs_hour() {
            calendar.hour
        } else {
            Season::NONE
        };
        // An hour's expert without an hour says what another says: no sign of disagreement.
        let disagreeing = self
            .experts()
            .classical()
            .iter()
            .filter(|&expert| hour.is_some() || !matches!(expert, Expert::Hour | Expert::LinearHour));
        Grid::new(
            Calendar { hour, ..calendar },
            (self.config.profile, &self.plan.scored),
            ExpertSet::of(disagreeing),
        )
    }
}

/// What a scored horizon and a season imply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HorizonRules {
    pub(crate) horizon: u32,
    /// n.
    pub(crate) stride: u32,
    /// Of a stream of phase 0.
    sampling: Sampling,
    pub(crate) forgetting: f32,
    pub(crate) centre: CentreRates,
    pub(crate) scale: ScaleRates,
    pub(crate) drift: DriftRates,
    pub(crate) quantile_rate: f32,
}

impl HorizonRules {
    fn new(flights: Flights, horizon: u32, season: u32) -> Self {
        let sampling = flights.sampling(horizon, season, 0);
        let stride = sampling.stride;
        Self {
            horizon,
            stride,
            sampling,
            forgetting: Share::forgetting(stride),
            centre: CentreRates::new(horizon, stride),
            scale: ScaleRates::new(horizon, stride),
            drift: DriftRates::new(horizon, stride),
            quantile_rate: quantiles::rate(horizon, stride),
        }
    }

    /// Which origins of a stream are kept; `key` is its hash.
    pub(crate) const fn sampling(&self, key: u64) -> Sampling {
        Sampling {
            phase: key % self.stride as u64,
            ..self.sampling
        }
    }
}

/// What a stream's interval implies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) interval_ms: i64,
    profile: Profile,
    pub(crate) calendar: Calendar,
    pub(crate) day: ProfileRules,
    pub(crate) week: ProfileRules,
    pub(crate) hour: ProfileRules,
    /// Experts asked for disagreement.
    pub(crate) disagreeing: ExpertSet,
    /// (K).
    pub(crate) horizons: [HorizonRules; HORIZONS_MAX],
    /// Whether the main season is read from slot means.
    pub(crate) long: bool,
    /// Steps until a stream is in service.
    pub(crate) ready_steps: u64,
}

impl Grid {
    fn new(calendar: Calendar, (profile, scored): (Profile, &[u32]), disagreeing: ExpertSet) -> Self {
        let season = u64::from(calendar.day.steps);
        let flights = profile.flights();
        let rules = |k| HorizonRules::new(flights, scored.get(k).copied().unwrap_or(1), calendar.day.steps);
        Self {
            interval_ms: calendar.interval_ms,
            profile,
            calendar,
            day: ProfileRules::new(calendar.day, profile.day_slots(), DAY_RATE),
            week: ProfileRules::new(calendar.week, WEEK_SLOTS, WEEK_RATE),
            hour: ProfileRules::new(calendar.hour, profile.hour_slots(), DAY_RATE),
            disagreeing,
            horizons: std::array::from_fn(rules),
            long: calendar.is_long(profile.ring()),
            ready_steps: if season > 1 {
                (2 * season).min(READY_STEPS_MAX)
            } else {
                READY_STEPS
            },
        }
    }

    /// Place of scored horizon `k`'s spread at a local time, in the row's spreads.
    pub(crate) fn spread_place(&self, k: usize, local_ms: i64) -> usize {
        let slot = self.calendar.spread_slot(local_ms);
        self.profile.spread_place(k, slot, self.calendar.spread_slots())
    }

    /// Steps of the main season; 1 = none.
    pub(crate) fn season(&self) -> u32 {
        self.calendar.day.steps.max(1)
    }
}

/// Grids by interval: finding divisors costs more than a step. Bounded: the oldest place is taken over.
#[derive(Debug, Default)]
pub(crate) struct Grids {
    known: Vec<Grid>,
    next: usize,
}

/// Intervals remembered; streams of more distinct ones recompute their grid at every step.
const GRIDS_MAX: usize = 64;

impl Grids {
    /// The grid of an interval.
    pub(crate) fn get(&mut self, setup: &Setup, interval_ms: i64) -> &Grid {
        if let Some(place) = self.known.iter().position(|grid| grid.interval_ms == interval_ms) {
            return &self.known[place];
        }
        let grid = setup.grid(interval_ms);
        let place = self.next;
        self.next = (self.next + 1) % GRIDS_MAX;
        if place < self.known.len() {
            self.known[place] = grid;
        } else {
            self.known.push(grid);
        }
        &self.known[place]
    }
}
