//! Which seasons a stream has, found online in O(1) memory and O(1) work per step.
//!
//! **Calendar seasons** (hour, day, week as the interval allows) take part from the start: a day is likelier than none, and
//! a stream's first days count. Each is judged by what its own profile P says of a reading before it has seen it:
//! r = EW(e c) / √(EW(e²) EW(c²)), e = the reading minus the level of about a season, c = P here minus the mean of P here and
//! at three other phases of the season. A season that is there has r of .1 (five-minute data with a faint day) to .8, none
//! about 0, a random walk −.5: its profile is old news. It is left out below −.25 and taken back above .1; between, the
//! mixture's weights say it better than a verdict. Its profile goes on meanwhile.
//!
//! **Other cycles** (a machine's 37 steps) are looked for in the ring: d(l) = mean (x_t − x_{t−l})² over the steps held, one
//! lag per step in ascending order, and v(l) = d(l) · l / Σ_{i ≤ l} d(i), the cumulative mean normalised difference of a
//! pitch detector (de Cheveigné & Kawahara 2002, YIN, eq. 8): 1 for noise, 2 for a random walk, near 0 at a period. The
//! shortest local minimum that no later one clearly undercuts is the sweep's; one that wins `SWEEPS` sweeps in a row takes
//! the place of the main season where that is clearly worse or left out, or of the short one where the main season does not
//! fit the ring (a day of minutes stays: the ring says nothing about it). Multiples and divisors of the one in use are no other
//! cycle. The ring at several periods' distance then says which neighbour it is to the step. A cycle so found gives way again
//! when its own r falls below .1.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;
use crate::series::calendar::Season;
use crate::series::profile::ProfileView;
use crate::series::ring::Ring;

/// A calendar season is left out below this r: from −.1 on, streams with a day that is late in showing would lose it
/// (ETTh1 has −.4 in its first week, −.05 from the second fortnight on); at −.4 half of the exchange rates would keep a week.
const LOSE: f32 = -0.25;
/// And taken back above this one; a cycle that was found in the ring is given up below it.
const WIN: f32 = 0.1;
/// Seasons until a verdict, and behind r: half as many let one odd fortnight decide.
const SEASONS: u32 = 16;
/// Steps behind r at least, for short seasons.
const STEPS_MIN: f32 = 512.0;
/// Deviations and shapes count up to so many times their usual size, once so many were seen.
const CLIP: f32 = 8.0;
const WARM: f32 = 50.0;
/// Steps between two looks at the hour, the week, and a main season too long for the ring: coprime with every season of
/// the calendar, so that each phase is met.
const STRIDE: u32 = 11;

/// A sweep's minimum counts below this: of 240 random walks, autoregressions and pseudo-cycles none was taken for a cycle
/// at .5, one in thirty at .7.
const FOUND: f32 = 0.5;
/// And below this share of what the season in use has.
const CLEARLY: f32 = 0.6;
/// Sweeps in a row that must agree, over at least [`AGREE_PERIODS`] periods and [`AGREE_STEPS`] steps: by then the ring holds
/// other steps.
const SWEEPS: u32 = 4;
const AGREE_PERIODS: u32 = 8;
const AGREE_STEPS: u32 = 320;
/// A later minimum undercuts an earlier one where v − .05 < earlier / 1.25 no longer holds: the multiples of a period are as
/// deep as itself, give or take noise.
const UNDERCUT: (f32, f32) = (0.05, 1.25);
/// Below this r a season too long for the ring may be replaced by a cycle.
const FAINT: f32 = 0.2;
/// Farthest lag that tells a period from its neighbours: at 5 periods' distance one step off is five.
const EXACT_LAG: u32 = 200;

/// What a stream's seasons are, beside what its interval says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Choice {
    /// Steps of a main season that was found in the ring; 0 = the calendar's.
    pub main: u32,
    /// The same of a short one.
    pub short: u32,
    /// Seasons left out: 1 the short, 2 the main, 4 the long one.
    left_out: u32,
}

/// One of the three seasons of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// An hour.
    Short,
    /// A day.
    Main,
    /// A week.
    Long,
}

impl Which {
    const ALL: [Self; 3] = [Self::Short, Self::Main, Self::Long];

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Choice {
    /// Whether a season takes part.
    #[must_use]
    pub const fn has(self, which: Which) -> bool {
        self.left_out & which.bit() == 0
    }

    const fn found(self, which: Which) -> u32 {
        match which {
            Which::Short => self.short,
            Which::Main => self.main,
            Which::Long => 0,
        }
    }

    fn put(&mut self, which: Which, steps: u32) {
        match which {
            Which::Short => self.short = steps,
            Which::Main => self.main = steps,
            Which::Long => {}
        }
        self.left_out &= !which.bit();
    }
}

/// Sums behind r. Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Evidence {
    /// EW(e c), square-like.
    product: f32,
    /// EW(e²), square-like.
    deviation: f32,
    /// EW(c²), square-like.
    shape: f32,
    /// Looks so far, saturating; free.
    count: f32,
}

/// A number within [`CLIP`] times its usual size: one spike would otherwise be all of the evidence.
fn cut(x: f32, square: f32) -> f32 {
    let most = CLIP * square.sqrt();
    x.clamp(-most, most)
}

impl Evidence {
    fn note(&mut self, deviation: f32, shape: f32, window: f32) {
        self.count = (self.count + 1.0).min(1e6);
        let (deviation, shape) = if self.count > WARM {
            (cut(deviation, self.deviation), cut(shape, self.shape))
        } else {
            (deviation, shape)
        };
        let rate = (1.0 / self.count).max(1.0 / window);
        self.product += (deviation * shape - self.product) * rate;
        self.deviation += (deviation * deviation - self.deviation) * rate;
        self.shape += (shape * shape - self.shape) * rate;
    }

    /// r; 0 where nothing moves.
    fn correlation(&self) -> f32 {
        let norm = self.deviation.sqrt() * self.shape.sqrt();
        if norm > 0.0 { self.product / norm } else { 0.0 }
    }

    fn rebase(&mut self, by: Rebase) {
        for square in [&mut self.product, &mut self.deviation, &mut self.shape] {
            *square = by.square(*square);
        }
    }
}

/// A pass over the ring's lags, and what passes before it agreed on. Zeroed = at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Sweep {
    /// Lag to look at next, minus 1.
    lag: u32,
    /// Shortest minimum that no later one undercuts; 0 = none yet.
    best: u32,
    /// Σ d so far, square-like.
    sum: f32,
    /// v of the last lag and of the one before; free, as all below.
    newest: [f32; 2],
    /// v of `best`.
    depth: f32,
    /// v of the season in use; 0 = not looked at.
    own: f32,
    /// What the sweeps before this one agree on; 0 = nothing.
    candidate: u32,
    /// How many they are.
    agree: u32,
    /// Steps since the first of them.
    since: u32,
    /// Least v of the candidate.
    candidate_depth: f32,
}

/// What a sweep said of the lags.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// 0 = no minimum.
    lag: u32,
    depth: f32,
    /// v of the season in use; `None` where it does not fit the values held.
    own: Option<f32>,
}

/// What is other seasons than before. Where no season is another or new, one was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    another: u32,
    new: u32,
}

impl Changed {
    /// Whether a season is of other steps than before: nothing that was known of it holds, and its profile begins anew.
    #[must_use]
    pub const fn is_another(&self, which: Which) -> bool {
        self.another & which.bit() != 0
    }

    /// Whether a season takes part that did not before: another one, or one that was taken back.
    #[must_use]
    pub const fn is_new(&self, which: Which) -> bool {
        self.new & which.bit() != 0
    }
}

/// What is known of the seasons of a stream. Zeroed = nothing seen: the calendar's seasons.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Seasons {
    choice: Choice,
    /// What is to be from the next observation on.
    next: Choice,
    /// Of the short, the main and the long season.
    evidence: [Evidence; 3],
    sweep: Sweep,
    /// Steps seen, wrapping: when the rarer looks are due.
    steps: u32,
}

/// A reading and what is known of the past before it.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Local time of the reading.
    pub local_ms: i64,
    /// The reading, value-like.
    pub x: f32,
    /// Levels of about a third of a day, a day, a week, value-like.
    pub levels: [f32; 3],
    /// Profiles of the short, main and long season in use, those left out too.
    pub profiles: [ProfileView<'a>; 3],
    /// Steps of the calendar's short and main season; 0 = none.
    pub calendar: [u32; 2],
    /// Whether a short season has a place in the row.
    pub has_short: bool,
    /// The newest values.
    pub ring: &'a Ring,
    /// (R), value-like.
    pub values: &'a [f32],
}

impl Seasons {
    /// What is in use.
    #[must_use]
    pub const fn choice(&self) -> Choice {
        self.choice
    }

    /// Takes over what was decided, where that is another choice than the one in use: profiles, slots and forecasts in flight
    /// follow it. Call it between steps.
    pub fn change(&mut self) -> Option<Changed> {
        if self.next == self.choice {
            return None;
        }
        let mut changed = Changed { another: 0, new: 0 };
        for which in Which::ALL {
            let is_another = self.next.found(which) != self.choice.found(which);
            if is_another {
                changed.another |= which.bit();
                self.evidence[which as usize] = Evidence::zeroed();
            }
            if self.next.has(which) && (is_another || !self.choice.has(which)) {
                changed.new |= which.bit();
            }
        }
        self.sweep = Sweep::zeroed();
        self.choice = self.next;
        Some(changed)
    }

    /// Takes a reading (a missing one is not shown), before profiles and ring do.
    pub fn observe(&mut self, look: &Look<'_>) {
        let rare = self.steps.is_multiple_of(STRIDE);
        self.steps = self.steps.wrapping_add(1);
        let main = look.profiles[Which::Main as usize].rules.season;
        let fits_main = fits(main.steps, look.values.len());
        for which in Which::ALL {
            let every = which == Which::Main && fits_main;
            if every || rare {
                self.judge(look, which, if every { 1 } else { STRIDE });
            }
        }
        let which = if fits_main { Which::Main } else { Which::Short };
        if which == Which::Main || look.has_short {
            self.search(look, which);
        }
    }

    /// Goes on looking for a cycle in the place of a season.
    fn search(&mut self, look: &Look<'_>, which: Which) {
        let season = look.profiles[which as usize].rules.season;
        let Some(found) = self.sweep.step(look.ring, look.values, season.steps) else {
            return;
        };
        let weaker = match found.own {
            _ if !season.is_some() || !self.choice.has(which) => true,
            Some(own) => found.depth < CLEARLY * own,
            None => {
                !fits(season.steps, look.values.len()) && self.evidence[which as usize].correlation() < FAINT
            }
        };
        let is_other = found.lag >= 2 && found.depth < FOUND && !is_related(found.lag, season.steps);
        let found = (weaker && is_other).then_some((found.lag, found.depth));
        if let Some(candidate) = self.sweep.note(found) {
            let exact = exact(look.ring, look.values, candidate);
            let is_calendar = exact == look.calendar[which as usize];
            self.next.put(which, if is_calendar { 0 } else { exact });
        }
    }

    /// Takes the reading into the evidence of a season, and decides on it.
    fn judge(&mut self, look: &Look<'_>, which: Which, stride: u32) {
        let profile = &look.profiles[which as usize];
        let season = profile.rules.season;
        let Some(shape) = shape(profile, which, look.local_ms) else {
            return;
        };
        let deviation = look.x - look.levels[which as usize];
        let evidence = &mut self.evidence[which as usize];
        let seasons = (season.steps * SEASONS) as f32;
        evidence.note(deviation, shape, seasons.max(STEPS_MIN) / stride as f32);
        if evidence.count * (stride as f32) < seasons {
            return;
        }
        let r = evidence.correlation();
        if self.choice.found(which) != 0 {
            if r < WIN {
                self.next.put(which, 0);
            }
        } else if self.choice.has(which) && r < LOSE {
            self.next.left_out |= which.bit();
        } else if !self.choice.has(which) && r > WIN {
            self.next.left_out &= !which.bit();
        }
    }

    /// Follows the stream into new units.
    pub fn rebase(&mut self, by: Rebase) {
        for evidence in &mut self.evidence {
            evidence.rebase(by);
        }
        self.sweep.sum = by.square(self.sweep.sum);
    }
}

/// Whether a season of so many steps is read from a ring of so many.
const fn fits(steps: u32, ring: usize) -> bool {
    2 * steps as usize + 27 <= ring
}

/// c: what the profile says here, minus the mean over four phases; `None` where it does not know them all.
fn shape(profile: &ProfileView<'_>, which: Which, local_ms: i64) -> Option<f32> {
    let season: Season = profile.rules.season;
    if !season.is_some() {
        return None;
    }
    // Of a week, whole days: the hour of the day stays the same.
    let (parts, shifts) = if which == Which::Long && season.steps.is_multiple_of(7) {
        (7, [1, 3, 5])
    } else {
        (4, [1, 2, 3])
    };
    let at = |local_ms: i64| profile.at(season.index(local_ms));
    let here = at(local_ms)?;
    let mut sum = here;
    for shift in shifts {
        sum += at(local_ms.saturating_add(season.length_ms / parts * shift))?;
    }
    Some(here - sum / 4.0)
}

/// Whether a lag is the main season, a divisor, or within a step of a multiple of it: nothing that its profile does not
/// hold already.
const fn is_related(lag: u32, main: u32) -> bool {
    if main < 2 {
        return false;
    }
    let multiple = (lag + main / 2) / main;
    main.is_multiple_of(lag) || (multiple >= 1 && lag.abs_diff(multiple * main) <= 1)
}

/// The neighbour of a lag that holds over the most periods.
fn exact(ring: &Ring, values: &[f32], lag: u32) -> u32 {
    let periods = (EXACT_LAG / (lag + 2)).max(1);
    let mut best = (lag, f32::INFINITY);
    for each in [lag, lag - 1, lag + 1, lag.saturating_sub(2), lag + 2] {
        let far = (each * periods) as usize;
        if each >= 2
            && fits(each, values.len())
            && let Some(distance) = ring.distance(values, far)
            && distance < best.1
        {
            best = (each, distance);
        }
    }
    best.0
}

impl Sweep {
    /// Looks at the next lag; at the end of a pass, what it found.
    fn step(&mut self, ring: &Ring, values: &[f32], season: u32) -> Option<Found> {
        self.since = self.since.saturating_add(1);
        let lag = self.lag + 1;
        if !fits(lag, ring.len()) {
            return self.finish();
        }
        let distance = ring.distance(values, lag as usize)?;
        self.sum += distance;
        let depth = if self.sum > 0.0 {
            distance * lag as f32 / self.sum
        } else {
            1.0
        };
        let [last, before] = self.newest;
        if lag == season {
            self.own = depth;
        }
        let undercuts = self.best == 0 || last < (self.depth - UNDERCUT.0) / UNDERCUT.1;
        if lag >= 3 && last <= before && last <= depth && undercuts {
            self.best = lag - 1;
            self.depth = last;
        }
        self.newest = [depth, last];
        self.lag = lag;
        None
    }

    fn finish(&mut self) -> Option<Found> {
        let found = Found {
            lag: self.best,
            depth: self.depth,
            own: (self.own > 0.0).then_some(self.own),
        };
        let is_whole = self.lag > 0;
        *self = Self {
            candidate: self.candidate,
            agree: self.agree,
            since: self.since,
            candidate_depth: self.candidate_depth,
            ..Self::zeroed()
        };
        is_whole.then_some(found)
    }

    /// Takes what a pass found (lag, v); the candidate, where enough agree on it.
    fn note(&mut self, found: Option<(u32, f32)>) -> Option<u32> {
        let Some((lag, depth)) = found else {
            self.candidate = 0;
            self.agree = 0;
            return None;
        };
        if self.agree == 0 || self.candidate.abs_diff(lag) > 1 {
            self.candidate = lag;
            self.candidate_depth = depth;
            self.agree = 1;
            self.since = 0;
            return None;
        }
        self.agree += 1;
        if depth < self.candidate_depth {
            self.candidate = lag;
            self.candidate_depth = depth;
        }
        let long_enough = self.since >= AGREE_STEPS.max(AGREE_PERIODS * self.candidate);
        (self.agree >= SWEEPS && long_enough).then_some(self.candidate)
    }
}

#[cfg(test)]
#[path = "tests/seasons.rs"]
mod tests;
