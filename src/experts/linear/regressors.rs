//! What the linear experts regress on: x_t, the same for every horizon and base.

use crate::experts::base::{Now, Past};
use crate::experts::linear::{Regressors, Vector};
use crate::series::calendar::harmonic;

/// Steps back whose distance from the newest value is a regressor.
const LAGS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 24];
/// Seasonal differences of the newest steps.
const SEASONAL: usize = 3;
/// The constant, of the size of the others.
const CONSTANT: f32 = 0.3;
/// The first regressors, which speak of no season: distances to the lags and the levels, the constant.
pub const PLAIN: usize = LAGS.len() + 3 + 1;
/// Largest |x|: beyond, a reading is no part of the stream's past, and f16 keeps it.
const LIMIT: f32 = 1_000.0;

/// Writes from the front.
struct Put<'a> {
    out: &'a mut Vector,
    len: usize,
    /// 1/σ.
    per_sigma: f32,
}

impl Put<'_> {
    /// A difference in σ.
    fn difference(&mut self, x: f32) {
        self.free((x * self.per_sigma).clamp(-LIMIT, LIMIT));
    }

    fn free(&mut self, x: f32) {
        self.out[self.len] = x;
        self.len += 1;
    }
}

/// Regressors of a step, in σ: differences to eight lags, three EW levels, a constant (12: all there is without a season);
/// then the distances from the profiles of day and week, sine and cosine of the day's first two harmonics, these times the
/// distance from the day's profile and times the newest change (26: a season longer than the ring); then the newest three
/// seasonal differences and that over two seasons (30). What is not known yet is 0.
///
/// `levels` are those of half-lives 6, max(12, m), 7 max(24, m), value-like; `sigma` is σ, normalised.
#[must_use]
pub fn regressors(past: &Past<'_>, now: &Now, levels: &[f32; 3], sigma: f32) -> Regressors {
    let mut x = [0.0; size_of::<Vector>() / size_of::<f32>()];
    let y = now.last;
    let ago = |lag: usize| past.ring.at(past.ring_values, lag);
    let mut put = Put {
        out: &mut x,
        len: 0,
        per_sigma: sigma.recip(),
    };
    for lag in LAGS {
        put.difference(ago(lag).map_or(0.0, |before| before - y));
    }
    for level in levels {
        put.difference(level - y);
    }
    put.free(CONSTANT);
    let season = past.calendar.day;
    if season.is_some() {
        let change = ago(1).map_or(0.0, |before| y - before);
        put.difference(y - now.bases.day);
        put.difference(y - now.bases.week);
        let phase = season.phase(past.local_ms);
        let waves = [1, 2].map(|multiple| harmonic(phase, multiple));
        for (sin, cos) in waves {
            put.free(0.5 * sin);
            put.free(0.5 * cos);
        }
        for (sin, cos) in waves {
            for moving in [y - now.bases.day, change] {
                put.difference(sin * moving);
                put.difference(cos * moving);
            }
        }
        if !past.calendar.is_long(past.ring_values.len()) {
            let m = season.steps as usize;
            let over = |near: usize, far: usize| ago(near).zip(ago(far)).map_or(0.0, |(a, b)| a - b);
            for back in 0..SEASONAL {
                put.difference(over(back, back + m));
            }
            put.difference(over(0, 2 * m));
        }
    }
    let len = put.len;
    Regressors { x, len }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experts::base::Bases;
    use crate::series::calendar::{Calendar, HOUR_MS};
    use crate::series::profile::{DAY_RATE, Profile, ProfileRules, ProfileView};
    use crate::series::ring::{CAPACITY, Ring};
    use crate::series::season_ring::SeasonRing;
    use bytemuck::Zeroable;

    fn of(calendar: &Calendar, values: &[f32]) -> Regressors {
        let (mut ring, mut held) = (Ring::zeroed(), vec![0.0; CAPACITY]);
        values.iter().for_each(|&x| ring.push(&mut held, x));
        let rules = ProfileRules::new(calendar.day, 48, DAY_RATE);
        let (state, none) = (Profile::zeroed(), vec![0.0; 48]);
        let profile = ProfileView {
            state: &state,
            means: &none,
            visits: &none,
            rules: &rules,
        };
        let last = values[values.len() - 1];
        let past = Past {
            calendar,
            local_ms: 6 * HOUR_MS,
            steps: values.len() as u64 - 1,
            last,
            ring: &ring,
            ring_values: &held,
            season: &SeasonRing::zeroed(),
            season_means: &[],
            day: profile,
            week: profile,
            hour: profile,
        };
        let now = Now {
            last,
            bases: Bases {
                day: last - 3.0,
                week: last - 5.0,
                ..Bases::default()
            },
            ..Now::default()
        };
        regressors(&past, &now, &[last + 1.0, last + 2.0, last - 1.0], 2.0)
    }

    #[test]
    fn regressors_are_differences_in_sigma() {
        let values: Vec<f32> = (0..100u8).map(|t| 0.1 * f32::from(t) * f32::from(t)).collect();
        let Regressors { x, len } = of(&Calendar::auto(HOUR_MS, 0), &values);
        assert_eq!(len, 30);
        let y = values[99];
        assert_eq!(x[0], (values[98] - y) / 2.0);
        assert_eq!(x[7], (values[75] - y) / 2.0);
        assert_eq!(x[8..12], [0.5, 1.0, -0.5, 0.3]);
        assert_eq!(x[12..14], [1.5, 2.5]);
        // Six o'clock is a quarter of the day.
        for (got, expected) in x[14..18].iter().zip([0.5, 0.0, 0.0, -0.5]) {
            assert!((got - expected).abs() < 1e-6);
        }
        let change = (y - values[98]) / 2.0;
        for (got, expected) in x[18..26]
            .iter()
            .zip([1.5, 0.0, change, 0.0, 0.0, -1.5, 0.0, -change])
        {
            assert!((got - expected).abs() < 1e-3, "{got} {expected}");
        }
        assert_eq!(x[26], (y - values[75]) / 2.0);
        assert_eq!(x[28], (values[97] - values[73]) / 2.0);
        assert_eq!(x[29], (y - values[51]) / 2.0);
        assert_eq!(x[30..], [0.0, 0.0]);
    }

    #[test]
    fn what_is_not_known_is_nothing_and_what_is_absurd_is_cut() {
        let hourly = Calendar::auto(HOUR_MS, 0);
        let short = of(&hourly, &[1.0, 4.0]);
        assert_eq!(short.x[..3], [-1.5, 0.0, 0.0]);
        assert_eq!(short.x[26..30], [0.0; 4]);
        assert_eq!(of(&Calendar::without(HOUR_MS, 0), &[1.0, 4.0]).len, 12);
        assert_eq!(of(&Calendar::auto(60_000, 0), &[1.0, 4.0]).len, 26);
        let spike = of(&hourly, &[-1e6, 1e6]);
        assert!(spike.x.iter().all(|x| x.abs() <= LIMIT));
    }
}
