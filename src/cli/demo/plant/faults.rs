//! Three sensors of the first line that misbehave, on a plan that repeats every six days.
//!
//! | sensor | what happens, in hours of the plan |
//! |---|---|
//! | compressor/temperature | drifts upwards by 3.5 degrees a day for 96 hours, then is re-calibrated |
//! | tank-2/level | silent from 6 to 30, nulls for one hour before it comes back |
//! | pump-2/vibration | stuck from 12 to 36, then nonsense until 60, then replaced |
//!
//! A fault lasts a day: at six hours a second that is as long as the time between two blocks of the plain view.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::{DAY_MS, HOUR_MS, uniform};

pub(crate) const DROPS_OUT: usize = 5;
pub(crate) const DRIFTS: usize = 8;
pub(crate) const FAILS: usize = 3;
const PLAN_MS: i64 = 6 * DAY_MS;

/// Sensors that fail, and how, for whoever watches.
const SICK: [(usize, &str); 3] = [
    (DROPS_OUT, "tank-2/level falls silent"),
    (DRIFTS, "compressor/temperature drifts"),
    (FAILS, "pump-2/vibration sticks, then talks nonsense"),
];

/// What is wrong with a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Silent,
    Drifting,
    Stuck,
    Nonsense,
}

impl Fault {
    /// The fault of a sensor of the first line, so many milliseconds after faults began (negative: before).
    fn of(sensor: usize, since_ms: i64) -> Option<Self> {
        if since_ms < 0 {
            return None;
        }
        match (sensor, since_ms % PLAN_MS / HOUR_MS) {
            (DRIFTS, 0..=95) => Some(Self::Drifting),
            (DROPS_OUT, 6..=30) => Some(Self::Silent),
            (FAILS, 12..=35) => Some(Self::Stuck),
            (FAILS, 36..=59) => Some(Self::Nonsense),
            _ => None,
        }
    }

    /// In a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Drifting => "drifting",
            Self::Stuck => "stuck",
            Self::Nonsense => "nonsense",
        }
    }
}

/// What the plant knows of its faults and the daemon does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Time from which on sensors fail.
    pub from_ms: i64,
}

impl Schedule {
    /// What is wrong with a stream of the plant at a time.
    pub(crate) fn fault(self, stream: usize, time_ms: i64) -> Option<Fault> {
        Fault::of(stream, time_ms.saturating_sub(self.from_ms))
    }
}

/// What the arrow in the column "state" is.
pub(crate) const TOLD: &str = "← names a fault while it lasts: the plant says so, the daemon is not told";

/// What to watch for among the first `streams` sensors; `None` where all of them are sound.
pub(crate) fn hint(streams: usize) -> Option<String> {
    let sick: Vec<_> = SICK
        .iter()
        .filter(|(sensor, _)| *sensor < streams)
        .map(|&(_, what)| what)
        .collect();
    (!sick.is_empty()).then(|| format!("to watch: {}", sick.join(", ")))
}

/// What comes out of the sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Read {
    /// Nothing at all.
    Silent,
    /// It says that it has no value.
    Null,
    /// A value, right or wrong.
    Value(f64),
}

/// Their state.
pub(crate) struct Faults {
    random: Pcg64,
    stuck_at: Option<f64>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Pcg64::seed_from_u64(seed ^ 0xfa17),
            stuck_at: None,
        }
    }

    /// The reading of `sensor` whose true value is `value`, `since_ms` after faults began (negative: before).
    pub(crate) fn read(&mut self, sensor: usize, since_ms: i64, value: f64) -> Read {
        let fault = Fault::of(sensor, since_ms);
        if fault != Some(Fault::Stuck) && sensor == FAILS {
            self.stuck_at = None;
        }
        match fault {
            None => Read::Value(value),
            Some(Fault::Silent) if since_ms % PLAN_MS / HOUR_MS == 30 => Read::Null,
            Some(Fault::Silent) => Read::Silent,
            Some(Fault::Drifting) => Read::Value(value + 3.5 * (since_ms % PLAN_MS) as f64 / DAY_MS as f64),
            Some(Fault::Stuck) => Read::Value(*self.stuck_at.get_or_insert(value)),
            Some(Fault::Nonsense) => Read::Value(40.0 * uniform(&mut self.random) - 10.0),
        }
    }
}
