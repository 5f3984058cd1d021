//! What the baselines and the unit of the errors need of a stream's past: never more than a season of it.

use std::collections::VecDeque;

/// Readings kept while the season is not known yet: a grid is found within ten.
const UNKNOWN_KEPT: usize = 256;
/// Below this share of the mean size differences are rounding.
const TINY: f64 = 1e-8;

/// Sum and count of absolute differences.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn note(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1.0;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// One stream's newest readings, and the scale of its warm-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// Steps; 0 while unknown, 1 = none.
    season: usize,
    /// By step, NaN = missing; the newest last.
    values: VecDeque<f64>,
    /// The newest value that was no gap; NaN before the first.
    last: f64,
    /// |y(t) − y(t−m)| of the warm-up.
    seasonal: Mean,
    /// |y(t) − y(t−1)| of the warm-up.
    change: Mean,
    /// |y| of the warm-up.
    size: Mean,
    /// Count, mean and sum of squared deviations of the warm-up.
    spread: (f64, f64, f64),
    /// Whether the warm-up is over: the scale stays.
    closed: bool,
}

impl Past {
    pub(super) fn new() -> Self {
        Self {
            last: f64::NAN,
            ..Self::default()
        }
    }

    /// A step's reading; NaN = missing.
    pub(super) fn push(&mut self, value: f64) {
        self.values.push_back(value);
        if !self.closed {
            self.note_scale();
        }
        let keep = if self.season == 0 {
            UNKNOWN_KEPT
        } else {
            self.season + 1
        };
        while self.values.len() > keep {
            self.values.pop_front();
        }
        if value.is_finite() {
            self.last = value;
        }
    }

    /// Steps without a row.
    pub(super) fn skip(&mut self, steps: u64) {
        for _ in 0..steps.min(self.season as u64 + 1) {
            self.push(f64::NAN);
        }
    }

    /// The main season in steps, at least 1. What came before counts as far as it is kept.
    pub(super) fn set_season(&mut self, season: u32) {
        if self.season == season as usize {
            return;
        }
        self.season = season as usize;
        if self.closed {
            return;
        }
        self.seasonal = Mean::default();
        for newest in 0..self.values.len() {
            self.note_seasonal(newest);
        }
    }

    /// The warm-up is over.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    fn note_scale(&mut self) {
        let newest = self.values.len() - 1;
        self.note_seasonal(newest);
        let value = self.values[newest];
        if newest > 0 {
            self.change.note((value - self.values[newest - 1]).abs());
        }
        self.size.note(value.abs());
        if value.is_finite() {
            let (count, mean, squares) = &mut self.spread;
            *count += 1.0;
            let off = value - *mean;
            *mean += off / *count;
            *squares += off * (value - *mean);
        }
    }

    fn note_seasonal(&mut self, newest: usize) {
        if self.season > 0 && newest >= self.season {
            let difference = self.values[newest] - self.values[newest - self.season];
            self.seasonal.note(difference.abs());
        }
    }

    /// The unit of the errors: mean |y(t) − y(t−m)| of the warm-up; where there is none, or nothing but rounding, that of
    /// the changes; then the standard deviation. `None` where the warm-up says nothing.
    pub(super) fn scale(&self) -> Option<f64> {
        let floor = TINY * self.size.value().unwrap_or(0.0).max(1e-12);
        let deviation = (self.spread.2 / self.spread.0.max(1.0)).sqrt();
        [self.seasonal.value(), self.change.value()]
            .into_iter()
            .flatten()
            .find(|scale| *scale > floor)
            .or(Some(deviation).filter(|scale| *scale > 0.0))
    }

    /// What last value and the seasonal naive say of so many steps ahead; NaN before the first value.
    pub(super) fn naive(&self, horizon: u32) -> (f64, f64) {
        let season = self.season.max(1);
        let back = season - 1 - (horizon as usize - 1) % season;
        let seasonal = self
            .values
            .len()
            .checked_sub(1 + back)
            .map_or(f64::NAN, |place| self.values[place]);
        (self.last, if seasonal.is_finite() { seasonal } else { self.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 10, 4, 12, 8, 20: differences over two steps 4, 2, 4, 8; over one 10, 6, 8, 4, 12.
    #[test]
    fn past_scale_is_the_mean_seasonal_difference_however_late_the_season_is_known() {
        for known_at in 0..6 {
            let mut past = Past::new();
            for (step, value) in [0.0, 10.0, 4.0, 12.0, 8.0, 20.0].into_iter().enumerate() {
                if step == known_at {
                    past.set_season(2);
                }
                past.push(value);
            }
            assert_eq!(past.scale(), Some(4.5), "known at {known_at}");
        }
    }

    #[test]
    fn past_scale_falls_back_to_changes_then_to_the_deviation() {
        let scale = |season, values: &[f64]| {
            let mut past = Past::new();
            past.set_season(season);
            values.iter().for_each(|&value| past.push(value));
            past.scale()
        };
        assert_eq!(
            scale(2, &[1.0, 3.0, 1.0, 3.0]),
            Some(2.0),
            "two steps apart nothing differs"
        );
        assert_eq!(scale(24, &[1.0, 3.0]), Some(2.0));
        assert_eq!(scale(1, &[5.0, f64::NAN, 9.0]), Some(2.0), "deviation of 5 and 9");
        assert_eq!(scale(1, &[5.0]), None);
        assert_eq!(scale(1, &[]), None);
    }

    #[test]
    fn past_naive_looks_back_whole_seasons_and_takes_the_last_value_for_a_hole() {
        let mut past = Past::new();
        past.set_season(3);
        for value in [1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN] {
            past.push(value);
        }
        assert_eq!(past.naive(1), (5.0, 4.0));
        assert_eq!(past.naive(2), (5.0, 5.0));
        assert_eq!(past.naive(3), (5.0, 5.0), "a season ago is missing");
        assert_eq!(past.naive(4), (5.0, 4.0));
        past.skip(1);
        assert_eq!(past.naive(1), (5.0, 5.0));
        assert_eq!(past.naive(3), (5.0, 5.0));
    }
}
