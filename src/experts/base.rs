//! The classical experts' forecasts, evaluated exactly at a horizon (RECIPE §3).

use crate::experts::{Expert, ExpertSet};
use crate::series::calendar::Calendar;
use crate::series::profile::ProfileView;
use crate::series::ring::Ring;
use crate::series::season_ring::SeasonRing;

/// Experts with a learnt share: level, day, week, hour, in this order in every array (4).
pub const SHARES: usize = 4;

/// Everything a stream knows of its past at an origin, the origin's value included.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Seasons.
    pub calendar: &'a Calendar,
    /// Local time of the origin.
    pub local_ms: i64,
    /// Steps before the origin since the stream's start.
    pub steps: u64,
    /// Value at the origin, carried forward where missing.
    pub last: f32,
    /// Cursor of the ring, the origin's value its newest.
    pub ring: &'a Ring,
    /// (R).
    pub ring_values: &'a [f32],
    /// Slot means of a long main season; read only where the calendar says that the ring is too short.
    pub season: &'a SeasonRing,
    /// (K + 2).
    pub season_means: &'a [f32],
    /// Profile of the main season.
    pub day: ProfileView<'a>,
    /// Profile of the long season.
    pub week: ProfileView<'a>,
    /// Profile of the short season.
    pub hour: ProfileView<'a>,
}

/// Bases at one time, all value-like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bases {
    /// The value one season (or as many as needed) earlier; the origin's value where that is not held.
    pub seasonal: f32,
    /// Profile of the main season; the origin's value where it says nothing.
    pub day: f32,
    /// Profile of the long season; else of the main one.
    pub week: f32,
    /// Profile of the short season; else the origin's value.
    pub hour: f32,
}

/// The origin's bases, and what is needed beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// The origin's value.
    pub last: f32,
    /// `seasonal` is the value exactly one season before the origin.
    pub bases: Bases,
    /// Whether a main season has passed: before, level, day and week are last value.
    pub is_warm: bool,
    /// The same for the short season and `Hour`.
    pub is_hour_warm: bool,
}

impl Past<'_> {
    /// Bases at the origin.
    #[must_use]
    pub fn now(&self) -> Now {
        let day = self.calendar.day;
        let mut bases = self.profiles(self.local_ms);
        bases.seasonal = self.ago(day.steps as usize);
        Now {
            last: self.last,
            bases,
            is_warm: day.is_some() && self.steps >= u64::from(day.steps),
            is_hour_warm: self.calendar.hour.is_some() && self.steps >= u64::from(self.calendar.hour.steps),
        }
    }

    /// Bases at the target `h` steps later.
    #[must_use]
    pub fn ahead(&self, h: u32) -> Bases {
        let mut bases = self.profiles(self.calendar.later(self.local_ms, h));
        bases.seasonal = match self.calendar.seasonal_lag(h) {
            Some(lag) => self.ago(lag),
            None => self.last,
        };
        bases
    }

    /// The value so many steps before the origin, from the ring or the season's slots, else the origin's.
    #[must_use]
    pub fn ago(&self, lag: usize) -> f32 {
        if lag as u64 > self.steps {
            return self.last;
        }
        if let Some(x) = self.ring.at(self.ring_values, lag) {
            return x;
        }
        if !self.calendar.is_long(self.ring_values.len()) {
            return self.last;
        }
        let back = self.calendar.interval_ms.saturating_mul(lag as i64);
        self.season
            .at(
                self.season_means,
                self.calendar.day,
                self.local_ms.saturating_sub(back),
            )
            .unwrap_or(self.last)
    }

    fn profiles(&self, local_ms: i64) -> Bases {
        let day = self
            .day
            .at(self.calendar.day.index(local_ms))
            .unwrap_or(self.last);
        Bases {
            seasonal: self.last,
            day,
            week: self.week.at(self.calendar.week.index(local_ms)).unwrap_or(day),
            hour: self
                .hour
                .at(self.calendar.hour.index(local_ms))
                .unwrap_or(self.last),
        }
    }
}

impl Now {
    /// Regressors of the shares (4): the origin's deviation from each base; NaN where its share is not learnt yet.
    #[must_use]
    pub fn deviations(&self) -> [f32; SHARES] {
        let main = |base: f32| if self.is_warm { self.last - base } else { f32::NAN };
        [
            main(self.bases.seasonal),
            main(self.bases.day),
            main(self.bases.week),
            if self.is_hour_warm {
                self.last - self.bases.hour
            } else {
                f32::NAN
            },
        ]
    }
}

impl Bases {
    /// What the shares add to (4).
    #[must_use]
    pub const fn shared(&self) -> [f32; SHARES] {
        [self.seasonal, self.day, self.week, self.hour]
    }
}

/// Forecasts of the classical experts of `set`, in its order, into `out` (E without the network); the linear ones say last
/// value until [`crate::experts::linear::forecasts`] fills their places. `betas` (4) are the
/// shares at this horizon.
///
/// # Panics
/// Where `out` is shorter than the set's classical experts.
pub fn forecasts(set: ExpertSet, now: &Now, ahead: &Bases, betas: &[f32; SHARES], out: &mut [f32]) {
    let deviations = now.deviations();
    let bases = ahead.shared();
    let shared = |i: usize| {
        if deviations[i].is_nan() {
            now.last
        } else {
            betas[i].mul_add(deviations[i], bases[i])
        }
    };
    for (slot, expert) in set.classical().iter().enumerate() {
        out[slot] = match expert {
            Expert::Seasonal => ahead.seasonal,
            Expert::WeekProfile => ahead.week,
            Expert::Level => shared(0),
            Expert::Day => shared(1),
            Expert::Week => shared(2),
            Expert::Hour => shared(3),
            Expert::Last
            | Expert::Linear
            | Expert::LinearDay
            | Expert::LinearWeek
            | Expert::LinearHour
            | Expert::Network => now.last,
        };
    }
}

/// Mean distance of the experts that tell of disagreement from a centre; 0 where there is none. `forecasts` are those of
/// `set` (E), of which `asked` are heard.
#[must_use]
pub fn disagreement(set: ExpertSet, asked: ExpertSet, forecasts: &[f32], centre: f32) -> f32 {
    let mut sum = 0.0;
    let mut count = 0u8;
    for (expert, &f) in set.iter().zip(forecasts) {
        if expert.disagrees() && asked.contains(expert) {
            sum += (f - centre).abs();
            count += 1;
        }
    }
    if count == 0 { 0.0 } else { sum / f32::from(count) }
}
