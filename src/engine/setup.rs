//! What follows from the configuration, once: rules, layout, and what a grid of an interval looks like.

use crate::engine::config::{Interval, Seasons};
use crate::engine::features::SKIP_EXPERTS;
use crate::engine::motion;
use crate::engine::row::Layout;
use crate::engine::row::WEEK_SLOTS;
use crate::engine::stats::band;
use crate::engine::work::HORIZONS_MAX;
use crate::engine::{Config, HorizonPlan, Profile, shape};
use crate::experts::centre::CentreRates;
use crate::experts::drift::DriftRates;
use crate::experts::interpolate::Place;
use crate::experts::pending::{Flights, Sampling};
use crate::experts::quantiles::Width;
use crate::experts::scale::ScaleRates;
use crate::experts::share::Share;
use crate::experts::{Expert, ExpertSet, anomaly, quantiles};
use crate::nn::Shape;
use crate::series::cadence::CadenceRules;
use crate::series::calendar::{Calendar, Season};
use crate::series::profile::{DAY_RATE, ProfileRules, WEEK_RATE};
use crate::series::seasons::Choice;

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
    /// Places of the skip inputs' experts in arrays (E).
    pub(crate) skip_places: [Option<usize>; SKIP_EXPERTS.len()],
    /// The levels that say how wide a forecast is.
    pub(crate) width: Width,
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
        let set = layout.dims.experts;
        let width = Width::new(&layout.dims.levels);
        Self {
            skip_places: SKIP_EXPERTS.map(|expert| set.index_of(expert)),
            width,
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

    /// The grid of an interval (0 = not known, no season) under a stream's choice of seasons.
    pub(crate) fn grid(&self, interval_ms: i64, choice: Choice) -> Grid {
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
        let own = Calendar { hour, ..calendar };
        let kept = own.chosen(choice);
        // An hour's expert without an hour says what another says: no sign of disagreement.
        let has_hour = kept.served(choice).hour.is_some();
        let disagreeing = self
            .experts()
            .classical()
            .iter()
            .filter(|&expert| has_hour || !matches!(expert, Expert::Hour | Expert::LinearHour));
        Grid::new(
            (own, choice),
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

/// What a stream's interval and its choice of seasons imply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    profile: Profile,
    /// Seasons that forecasts are made of.
    pub(crate) calendar: Calendar,
    /// Profiles of them.
    pub(crate) profiles: Profiles,
    /// The same, with the seasons that are left out: what is known of them goes on, and levels, slots and strides follow
    /// them all the same.
    pub(crate) kept: Calendar,
    /// Profiles of them.
    pub(crate) kept_profiles: Profiles,
    /// Steps of the short and of the main season that the interval, or the configuration, says.
    pub(crate) own: [u32; 2],
    /// Rates of the levels.
    pub(crate) level_rates: [f32; 3],
    /// Experts asked for disagreement.
    pub(crate) disagreeing: ExpertSet,
    /// (K).
    pub(crate) horizons: [HorizonRules; HORIZONS_MAX],
    /// Whether the main season is read from slot means.
    pub(crate) long: bool,
    /// Steps until a stream is in service.
    pub(crate) ready_steps: u64,
}

/// How the profiles of a stream are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profiles {
    pub(crate) hour: ProfileRules,
    pub(crate) day: ProfileRules,
    pub(crate) week: ProfileRules,
}

impl Profiles {
    fn new(calendar: &Calendar, profile: Profile) -> Self {
        Self {
            hour: ProfileRules::new(calendar.hour, profile.hour_slots(), DAY_RATE),
            day: ProfileRules::new(calendar.day, profile.day_slots(), DAY_RATE),
            week: ProfileRules::new(calendar.week, WEEK_SLOTS, WEEK_RATE),
        }
    }

    /// Of these, those of another calendar, which has fewer seasons.
    const fn served(mut self, calendar: &Calendar) -> Self {
        self.hour.season = calendar.hour;
        self.day.season = calendar.day;
        self.week.season = calendar.week;
        self
    }
}

impl Grid {
    fn new(
        (own, choice): (Calendar, Choice),
        (profile, scored): (Profile, &[u32]),
        disagreeing: ExpertSet,
    ) -> Self {
        let kept = own.chosen(choice);
        let calendar = kept.served(choice);
        let kept_profiles = Profiles::new(&kept, profile);
        let season = u64::from(kept.day.steps);
        let flights = profile.flights();
        let rules = |k| HorizonRules::new(flights, scored.get(k).copied().unwrap_or(1), kept.day.steps);
        Self {
            profile,
            calendar,
            profiles: kept_profiles.served(&calendar),
            kept,
            kept_profiles,
            own: [own.hour.steps, own.day.steps],
            level_rates: motion::rates(kept.day.steps.max(1)),
            disagreeing,
            horizons: std::array::from_fn(rules),
            long: kept.is_long(profile.ring()),
            ready_steps: if season > 1 {
                (2 * season).min(READY_STEPS_MAX)
            } else {
                READY_STEPS
            },
        }
    }

    /// Place of scored horizon `k`'s spread at a local time, in the row's spreads.
    pub(crate) fn spread_place(&self, k: usize, local_ms: i64) -> usize {
        let slot = self.kept.spread_slot(local_ms);
        self.profile.spread_place(k, slot, self.kept.spread_slots())
    }

    /// Steps of the main season, whether it is left out or not; 1 = none.
    pub(crate) fn season(&self) -> u32 {
        self.kept.day.steps.max(1)
    }
}

/// Grids by interval and choice: finding divisors costs more than a step. Bounded: the oldest place is taken over.
#[derive(Debug)]
pub(crate) struct Grids {
    /// Of each grid.
    keys: Vec<(i64, Choice)>,
    known: Vec<Grid>,
    next: usize,
}

/// Grids remembered; streams of more distinct ones recompute theirs at every step.
const GRIDS_MAX: usize = 256;

impl Default for Grids {
    fn default() -> Self {
        Self {
            keys: Vec::with_capacity(GRIDS_MAX),
            known: Vec::with_capacity(GRIDS_MAX),
            next: 0,
        }
    }
}

impl Grids {
    /// The grid of an interval under a choice.
    pub(crate) fn get(&mut self, setup: &Setup, interval_ms: i64, choice: Choice) -> &Grid {
        let key = (interval_ms, choice);
        if let Some(place) = self.keys.iter().position(|known| *known == key) {
            return &self.known[place];
        }
        let grid = setup.grid(interval_ms, choice);
        let place = self.next;
        self.next = (self.next + 1) % GRIDS_MAX;
        if place < self.known.len() {
            self.known[place] = grid;
            self.keys[place] = key;
        } else {
            self.known.push(grid);
            self.keys.push(key);
        }
        &self.known[place]
    }
}
