use super::*;
use crate::series::calendar::{Calendar, HOUR_MS};
use crate::series::profile::{DAY_RATE, DAY_SLOTS, HOUR_SLOTS, Profile, ProfileRules, WEEK_RATE};
use crate::series::ring::CAPACITY;

/// Numbers that look random and never change: splitmix64, Box and Muller.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}

const TAU: f32 = std::f32::consts::TAU;

/// A profile with room for any season.
struct Kept {
    state: Profile,
    means: Vec<f32>,
    visits: Vec<f32>,
    rules: ProfileRules,
}

impl Kept {
    fn new(season: Season, slots: usize, rate: f32) -> Self {
        Self {
            state: Profile::zeroed(),
            means: vec![0.0; slots],
            visits: vec![0.0; slots],
            rules: ProfileRules::new(season, slots, rate),
        }
    }

    fn view(&self) -> ProfileView<'_> {
        ProfileView {
            state: &self.state,
            means: &self.means,
            visits: &self.visits,
            rules: &self.rules,
        }
    }

    fn update(&mut self, local_ms: i64, x: f32) {
        let index = self.rules.season.index(local_ms);
        self.state
            .update(&mut self.means, &mut self.visits, &self.rules, index, x);
    }
}

/// What a row keeps of a stream's seasons, and how the engine follows them.
struct Stream {
    calendar: Calendar,
    seasons: Seasons,
    profiles: [Kept; 3],
    ring: Ring,
    values: Vec<f32>,
    levels: [f32; 3],
    steps: i64,
}

fn profiles(calendar: &Calendar) -> [Kept; 3] {
    [
        Kept::new(calendar.hour, HOUR_SLOTS, DAY_RATE),
        Kept::new(calendar.day, DAY_SLOTS, DAY_RATE),
        Kept::new(calendar.week, 168, WEEK_RATE),
    ]
}

impl Stream {
    fn new(interval_ms: i64) -> Self {
        let calendar = Calendar::auto(interval_ms, 0);
        Self {
            calendar,
            seasons: Seasons::zeroed(),
            profiles: profiles(&calendar),
            ring: Ring::zeroed(),
            values: vec![0.0; CAPACITY],
            levels: [0.0; 3],
            steps: 0,
        }
    }

    fn tracked(&self) -> Calendar {
        self.calendar.chosen(self.seasons.choice())
    }

    fn step(&mut self, x: f32) {
        if let Some(changed) = self.seasons.change() {
            let fresh = profiles(&self.tracked());
            for (which, fresh) in fresh.into_iter().enumerate() {
                if changed.is_another(Which::ALL[which]) {
                    self.profiles[which] = fresh;
                    for lag in (0..self.ring.len()).rev() {
                        let x = self.ring.at(&self.values, lag).unwrap();
                        let local_ms = (self.steps - 1 - lag as i64) * self.calendar.interval_ms;
                        self.profiles[which].update(local_ms, x);
                    }
                }
            }
        }
        let local_ms = self.steps * self.calendar.interval_ms;
        let [short, main, long] = &self.profiles;
        let look = Look {
            local_ms,
            x,
            levels: self.levels,
            profiles: [short.view(), main.view(), long.view()],
            calendar: [self.calendar.hour.steps, self.calendar.day.steps],
            has_short: true,
            ring: &self.ring,
            values: &self.values,
        };
        self.seasons.observe(&look);
        self.ring.push(&mut self.values, x);
        for profile in &mut self.profiles {
            profile.update(local_ms, x);
        }
        self.steps += 1;
        let day = self.tracked().day.steps;
        for (level, half_life) in
            self.levels
                .iter_mut()
                .zip([6.0, day.max(12) as f32, 7.0 * day.max(24) as f32])
        {
            let rate = 1.0 - 0.5f32.powf(1.0 / half_life);
            *level += (x - *level) * rate.max(1.0 / self.steps as f32);
        }
    }

    /// Steps of the seasons that take part.
    fn served(&self) -> [u32; 3] {
        let served = self.tracked().served(self.seasons.choice());
        [served.hour.steps, served.day.steps, served.week.steps]
    }
}

fn sine(t: usize, period: f32) -> f32 {
    (t as f32 * TAU / period).sin()
}

/// The main season after so many hourly steps, for seeds 1 to 8.
fn main_seasons(steps: usize, make: impl Fn(&mut Numbers, usize, &mut f32) -> f32) -> Vec<u32> {
    let of_seed = |seed| {
        let (mut numbers, mut stream, mut state) = (Numbers(seed), Stream::new(HOUR_MS), 0.0);
        for t in 0..steps {
            stream.step(make(&mut numbers, t, &mut state));
        }
        stream.served()[1]
    };
    (1..=8).map(of_seed).collect()
}

#[test]
fn seasons_find_a_machines_cycle_and_are_right_to_the_step() {
    let clean = main_seasons(2_000, |numbers, t, _| sine(t, 37.0) + 0.3 * numbers.normal());
    assert_eq!(clean, [37; 8]);
    let pulses = main_seasons(4_000, |numbers, t, _| {
        f32::from(u8::from(t % 100 < 15)) + 0.15 * numbers.normal()
    });
    assert_eq!(pulses, [100; 8]);
    let wandering = main_seasons(4_000, |numbers, t, level| {
        *level += 0.05 * numbers.normal();
        *level + ((t % 37) as f32 - 18.0).abs() / 18.0 + 0.1 * numbers.normal()
    });
    let right = wandering.iter().filter(|&&found| found == 37).count();
    assert!(
        right >= 7 && wandering.iter().all(|found| found.abs_diff(37) <= 1),
        "{wandering:?}"
    );
}

#[test]
fn seasons_keep_a_day_that_is_there() {
    let daily = main_seasons(4_000, |numbers, t, level| {
        *level += 0.05 * numbers.normal();
        sine(t, 24.0) + *level + 0.8 * numbers.normal()
    });
    assert_eq!(daily, [24; 8]);
    let both = main_seasons(4_000, |numbers, t, _| {
        2.0 * sine(t, 24.0) + sine(t, 37.0) + 0.3 * numbers.normal()
    });
    assert_eq!(both, [24; 8], "the stronger one stays");
    let twice = main_seasons(4_000, |numbers, t, _| {
        sine(t, 12.0) + 0.5 * sine(t, 24.0) + 0.2 * numbers.normal()
    });
    assert_eq!(twice, [24; 8], "half a day is in the day's profile");
}

#[test]
fn seasons_leave_a_day_out_where_it_says_worse_than_nothing() {
    let walk = main_seasons(2_000, |numbers, _, level| {
        *level += numbers.normal();
        *level
    });
    let without = walk.iter().filter(|&&steps| steps == 0).count();
    assert!(without >= 7 && !walk.iter().any(|&steps| steps > 24), "{walk:?}");
    // Noise does not say either way: the weights do.
    assert_eq!(main_seasons(4_000, |numbers, _, _| numbers.normal()), [24; 8]);
    assert_eq!(main_seasons(2_000, |_, _, _| 5.0), [24; 8]);
}

#[test]
fn seasons_see_no_cycle_where_there_is_none() {
    let kinds: [fn(&mut Numbers, usize, &mut f32) -> f32; 4] = [
        |numbers, _, _| numbers.normal(),
        |numbers, _, level| {
            *level = 0.9 * *level + numbers.normal();
            *level
        },
        |numbers, _, level| {
            *level = 0.98 * *level + numbers.normal();
            *level
        },
        |numbers, _, _| f32::from(u8::from(numbers.uniform() > 0.9)),
    ];
    for kind in kinds {
        let found = main_seasons(6_000, kind);
        assert!(found.iter().all(|&steps| steps == 24 || steps == 0), "{found:?}");
    }
}

#[test]
fn seasons_follow_a_stream_that_changes_its_cycle_and_back() {
    let mut numbers = Numbers(3);
    let mut stream = Stream::new(HOUR_MS);
    let mut found = Vec::new();
    for t in 0..12_000 {
        let period = if (4_000..8_000).contains(&t) { 37.0 } else { 24.0 };
        stream.step(sine(t, period) + 0.3 * numbers.normal());
        if t % 4_000 == 3_999 {
            found.push(stream.served()[1]);
        }
    }
    assert_eq!(found, [24, 37, 24]);
}

#[test]
fn seasons_take_a_day_back_that_comes_late() {
    let mut numbers = Numbers(4);
    let (mut stream, mut level) = (Stream::new(HOUR_MS), 0.0);
    for t in 0..6_000 {
        level += if t < 2_000 { numbers.normal() } else { 0.0 };
        stream.step(level + if t < 2_000 { 0.0 } else { 20.0 * sine(t, 24.0) });
        if t == 1_999 {
            assert_eq!(stream.served()[1], 0);
        }
    }
    assert_eq!(stream.served()[1], 24);
}

#[test]
fn seasons_put_a_cycle_of_minutes_in_the_place_of_the_hour_and_keep_the_day() {
    let mut numbers = Numbers(5);
    let mut stream = Stream::new(60_000);
    for t in 0..6_000 {
        let cycle = f32::from(u8::from(t % 37 < 9)) * 2.0;
        stream.step(3.0 * sine(t, 1_440.0) + cycle + 0.3 * numbers.normal());
    }
    assert_eq!(stream.served()[..2], [37, 1_440]);
    let mut hourly = Stream::new(60_000);
    for t in 0..6_000 {
        let tick = f32::from(u8::from(t % 60 < 5)) * 2.0;
        hourly.step(3.0 * sine(t, 1_440.0) + tick + 0.3 * numbers.normal());
    }
    assert_eq!(hourly.served()[..2], [60, 1_440]);
}

#[test]
fn seasons_survive_whatever_the_numbers_are() {
    let mut numbers = Numbers(6);
    let mut stream = Stream::new(HOUR_MS);
    for t in 0..3_000 {
        let x = match t % 5 {
            0 => 1e6,
            1 => -1e6,
            2 => 0.0,
            3 => 1e-30,
            _ => numbers.normal(),
        };
        stream.step(x);
        stream.seasons.rebase(Rebase {
            shift: 0.0,
            ratio: if t % 2 == 0 { 2.0 } else { 0.5 },
        });
    }
    for evidence in &stream.seasons.evidence {
        let r = evidence.correlation();
        assert!((-1.001..=1.001).contains(&r), "{r}");
    }
}

#[test]
fn related_lags_are_divisors_and_near_multiples() {
    for (lag, main, expected) in [
        (24, 24, true),
        (12, 24, true),
        (48, 24, true),
        (73, 24, true),
        (37, 24, false),
        (36, 24, false),
        (5, 0, false),
        (7, 7, true),
    ] {
        assert_eq!(is_related(lag, main), expected, "{lag} of {main}");
    }
}
