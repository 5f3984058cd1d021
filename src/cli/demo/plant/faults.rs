//! Three sensors of the first line that misbehave, on a plan that repeats every six days.
//!
//! | sensor | what happens |
//! |---|---|
//! | tank-2/level | silent for eight hours of day 0 and 3, nulls for one hour before it comes back |
//! | compressor/temperature | drifts upwards by 3.5 degrees a day, re-calibrated after six days |
//! | pump-2/vibration | stuck for eight hours of day 1, then nonsense for eight, then replaced |

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::{DAY_MS, HOUR_MS, uniform};

/// For whoever watches.
pub(crate) const HINT: &str = "watch three sick sensors: tank-2/level drops out, compressor/temperature drifts, \
     pump-2/vibration sticks and then talks nonsense";

pub(crate) const DROPS_OUT: usize = 5;
pub(crate) const DRIFTS: usize = 8;
pub(crate) const FAILS: usize = 3;
const PLAN_MS: i64 = 6 * DAY_MS;

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
        if since_ms < 0 {
            return Read::Value(value);
        }
        let planned = since_ms % PLAN_MS;
        let (day, hour) = (planned / DAY_MS, planned % DAY_MS / HOUR_MS);
        match (sensor, day, hour) {
            (DROPS_OUT, 0 | 3, 6..=13) => Read::Silent,
            (DROPS_OUT, 0 | 3, 14) => Read::Null,
            (DRIFTS, ..) => Read::Value(value + 3.5 * planned as f64 / DAY_MS as f64),
            (FAILS, 1, 4..=11) => Read::Value(*self.stuck_at.get_or_insert(value)),
            (FAILS, 1, 12..=19) => {
                self.stuck_at = None;
                Read::Value(40.0 * uniform(&mut self.random) - 10.0)
            }
            _ => Read::Value(value),
        }
    }
}
