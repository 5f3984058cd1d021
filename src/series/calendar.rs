//! Seasons of a grid, and the phase of a step in them, in local time.

use std::f32::consts::TAU;

use crate::series::seasons::{Choice, Which};

/// A day.
pub const DAY_MS: i64 = 86_400_000;
/// A week.
pub const WEEK_MS: i64 = 7 * DAY_MS;
/// An hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Steps of the longest main season. Beyond (a day of 100 ms), a phase says nothing that slots of it could hold.
const STEPS_MAX: i64 = 100_000;
/// Slots of the main season's spread (RECIPE §5).
pub const SPREAD_SLOTS: usize = 48;

/// A season of a grid. `NONE` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Season {
    /// Steps, 0 = no season, else at least 2.
    pub steps: u32,
    /// Milliseconds.
    pub length_ms: i64,
}

impl Season {
    /// No season.
    pub const NONE: Self = Self {
        steps: 0,
        length_ms: 0,
    };

    fn of_length(length_ms: i64, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let steps = length_ms.saturating_add(interval_ms / 2) / interval_ms;
        match u32::try_from(steps) {
            Ok(steps @ 2..) => Self { steps, length_ms },
            _ => Self::NONE,
        }
    }

    fn of_steps(steps: u32, interval_ms: i64) -> Self {
        if steps < 2 {
            return Self::NONE;
        }
        Self {
            steps,
            length_ms: interval_ms.max(1).saturating_mul(i64::from(steps)),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.steps > 0
    }

    /// Step within the season at a local time, in 0..steps (0 where there is no season).
    #[must_use]
    pub fn index(self, local_ms: i64) -> u32 {
        if !self.is_some() {
            return 0;
        }
        let within = local_ms.rem_euclid(self.length_ms) as u64;
        let steps = u64::from(self.steps);
        match within.checked_mul(steps) {
            Some(product) => (product / self.length_ms as u64) as u32,
            None => (u128::from(within) * u128::from(steps) / self.length_ms as u128) as u32,
        }
    }

    /// Which season since 1970 a local time lies in.
    #[must_use]
    pub const fn number(self, local_ms: i64) -> i64 {
        if self.is_some() {
            local_ms.div_euclid(self.length_ms)
        } else {
            0
        }
    }

    /// Phase in 0..1 at a local time (0 where there is no season).
    #[must_use]
    pub fn phase(self, local_ms: i64) -> f32 {
        if self.is_some() {
            self.index(local_ms) as f32 / self.steps as f32
        } else {
            0.0
        }
    }
}

/// The seasons of a grid and its local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Milliseconds of a step, at least 1; 0 = not known, and then there is no season.
    pub interval_ms: i64,
    /// Local time minus UTC.
    pub utc_offset_ms: i64,
    /// The main season (m): a day where the interval allows.
    pub day: Season,
    /// The long one: a week.
    pub week: Season,
    /// The short one: an hour, for intervals of 15 minutes and less.
    pub hour: Season,
}

impl Calendar {
    /// A grid without seasons.
    #[must_use]
    pub const fn without(interval_ms: i64, utc_offset_ms: i64) -> Self {
        Self {
            interval_ms,
            utc_offset_ms,
            day: Season::NONE,
            week: Season::NONE,
            hour: Season::NONE,
        }
    }

    /// A day and a week where the interval allows (2 to 100 000 steps a day), an hour at 15 minutes and less; a week as
    /// the main season where a day is a step or less; an hour below one second.
    #[must_use]
    pub fn auto(interval_ms: i64, utc_offset_ms: i64) -> Self {
        let mut calendar = Self::without(interval_ms, utc_offset_ms);
        if interval_ms <= 0 {
            return calendar;
        }
        let fits = |season: Season| season.is_some() && i64::from(season.steps) <= STEPS_MAX;
        let of = |length_ms| Season::of_length(length_ms, interval_ms);
        if fits(of(DAY_MS)) {
            calendar.day = of(DAY_MS);
            calendar.week = of(WEEK_MS);
            if of(HOUR_MS).steps >= 4 {
                calendar.hour = of(HOUR_MS);
            }
        } else if !of(DAY_MS).is_some() {
            calendar.day = of(WEEK_MS);
        } else if fits(of(HOUR_MS)) {
            calendar.day = of(HOUR_MS);
        }
        calendar
    }

    /// Given seasons in milliseconds, shortest first: one is the main one, two are main and long, three are short, main
    /// and long. Those shorter than two steps are left out.
    #[must_use]
    pub fn with_durations(interval_ms: i64, utc_offset_ms: i64, durations_ms: &[i64]) -> Self {
        if interval_ms <= 0 {
            return Self::without(interval_ms, utc_offset_ms);
        }
        let seasons = durations_ms
            .iter()
            .map(|&each| Season::of_length(each, interval_ms));
        Self::arranged(interval_ms, utc_offset_ms, seasons)
    }

    /// Given seasons in steps, as [`Calendar::with_durations`].
    #[must_use]
    pub fn with_steps(interval_ms: i64, utc_offset_ms: i64, steps: &[u32]) -> Self {
        if interval_ms <= 0 {
            return Self::without(interval_ms, utc_offset_ms);
        }
        let seasons = steps.iter().map(|&each| Season::of_steps(each, interval_ms));
        Self::arranged(interval_ms, utc_offset_ms, seasons)
    }

    fn arranged(interval_ms: i64, utc_offset_ms: i64, seasons: impl Iterator<Item = Season>) -> Self {
        let mut kept = [Season::NONE; 3];
        let mut count = 0;
        for season in seasons.filter(|season| season.is_some()).take(3) {
            kept[count] = season;
            count += 1;
        }
        let [hour, day, week] = match count {
            0 | 3 => kept,
            _ => [Season::NONE, kept[0], kept[1]],
        };
        Self {
            interval_ms,
            utc_offset_ms,
            day,
            week,
            hour,
        }
    }

    /// With the seasons that were found in a stream in the place of its own.
    #[must_use]
    pub fn chosen(mut self, choice: Choice) -> Self {
        let found = |steps, own| match Season::of_steps(steps, self.interval_ms) {
            Season::NONE => own,
            found => found,
        };
        (self.hour, self.day) = (found(choice.short, self.hour), found(choice.main, self.day));
        self
    }

    /// Without the seasons that are left out.
    #[must_use]
    pub const fn served(mut self, choice: Choice) -> Self {
        if !choice.has(Which::Short) {
            self.hour = Season::NONE;
        }
        if !choice.has(Which::Main) {
            self.day = Season::NONE;
        }
        if !choice.has(Which::Long) {
            self.week = Season::NONE;
        }
        self
    }

    /// Local time of an event time.
    #[must_use]
    pub const fn local_ms(&self, time_ms: i64) -> i64 {
        time_ms.saturating_add(self.utc_offset_ms)
    }

    /// Local time `steps` later.
    #[must_use]
    pub const fn later(&self, local_ms: i64, steps: u32) -> i64 {
        local_ms.saturating_add(self.interval_ms.saturating_mul(steps as i64))
    }

    /// Slots of the main season's spread: min(m, 48), 1 where there is no season.
    #[must_use]
    pub fn spread_slots(&self) -> usize {
        (self.day.steps as usize).clamp(1, SPREAD_SLOTS)
    }

    /// Slot of the main season's spread at a local time.
    #[must_use]
    pub fn spread_slot(&self, local_ms: i64) -> usize {
        let steps = u64::from(self.day.steps.max(1));
        (u64::from(self.day.index(local_ms)) * self.spread_slots() as u64 / steps) as usize
    }

    /// Whether the main season is too long for a ring of so many steps, so that it is read from slot means.
    #[must_use]
    pub const fn is_long(&self, ring: usize) -> bool {
        2 * self.day.steps as usize + 27 > ring
    }

    /// Steps from an origin back to the value one season (or as many as needed) before origin + `h`: k·m − h ≥ 0.
    /// `None` without a season.
    #[must_use]
    pub const fn seasonal_lag(&self, h: u32) -> Option<usize> {
        if self.day.steps == 0 {
            return None;
        }
        Some((h.next_multiple_of(self.day.steps) - h) as usize)
    }
}

/// (sin, cos) of a harmonic (1, 2, …) of a phase in 0..1.
#[must_use]
pub fn harmonic(phase: f32, multiple: u32) -> (f32, f32) {
    (TAU * phase * multiple as f32).sin_cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_finds_day_week_and_hour_by_the_interval() {
        let hourly = Calendar::auto(HOUR_MS, 0);
        assert_eq!(
            (hourly.day.steps, hourly.week.steps, hourly.hour.steps),
            (24, 168, 0)
        );
        let quarter = Calendar::auto(15 * 60_000, 0);
        assert_eq!(
            (quarter.day.steps, quarter.week.steps, quarter.hour.steps),
            (96, 672, 4)
        );
        let daily = Calendar::auto(DAY_MS, 0);
        assert_eq!((daily.day.steps, daily.week.steps), (7, 0));
        let tenth = Calendar::auto(100, 0);
        assert_eq!((tenth.day.steps, tenth.day.length_ms), (36_000, HOUR_MS));
        assert_eq!(Calendar::auto(30 * DAY_MS, 0).day, Season::NONE);
        assert_eq!(Calendar::auto(0, 0).day, Season::NONE);
    }

    #[test]
    fn calendar_cuts_days_in_local_time() {
        let calendar = Calendar::auto(HOUR_MS, HOUR_MS);
        assert_eq!(calendar.day.index(calendar.local_ms(23 * HOUR_MS)), 0);
        assert_eq!(calendar.day.number(calendar.local_ms(23 * HOUR_MS)), 1);
        assert_eq!(calendar.day.index(calendar.local_ms(-HOUR_MS)), 0);
        assert_eq!(calendar.seasonal_lag(1), Some(23));
        assert_eq!(calendar.seasonal_lag(24), Some(0));
        assert_eq!(calendar.seasonal_lag(30), Some(18));
        assert_eq!(calendar.day.index(i64::MAX) / 24, 0);
    }

    #[test]
    fn calendar_takes_given_seasons_shortest_first() {
        let given = Calendar::with_durations(HOUR_MS, 0, &[DAY_MS, WEEK_MS]);
        assert_eq!(given, Calendar::auto(HOUR_MS, 0));
        let steps = Calendar::with_steps(HOUR_MS, 0, &[24, 168]);
        assert_eq!(steps, given);
        let three = Calendar::with_steps(60_000, 0, &[60, 1440, 10_080]);
        assert_eq!(
            (three.hour.steps, three.day.steps, three.week.steps),
            (60, 1440, 10_080)
        );
    }
}
