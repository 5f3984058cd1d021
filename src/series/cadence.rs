//! The regular grid a stream is put on.
//!
//! tick = round((time − first) / interval). A reading whose tick is filled takes the next one if it lies within half an
//! interval of it (a reading midway between two), else it is a duplicate; one before the newest tick is late. The
//! arithmetic is in i128, so that no time, however hostile, overflows.

use bytemuck::{Pod, Zeroable};

/// Differences kept to find the interval, and that must agree to correct it.
const DIFFERENCES: usize = 8;
/// Differences from which on an interval is believed. Below: one outage among the first arrivals would decide.
const DIFFERENCES_MIN: u32 = 4;
/// Differences as near as this to their median are of one step.
const NEAR_PERCENT: i128 = 25;
/// Intervals that people configure, milliseconds, ascending.
const ROUND_MS: [i64; 34] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    250,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    20_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_200_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    14_400_000,
    21_600_000,
    28_800_000,
    43_200_000,
    86_400_000,
    604_800_000,
    2_592_000_000,
];

/// What shapes a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CadenceRules {
    /// Milliseconds, at least 1; `None` is found from the arrivals.
    pub interval_ms: Option<i64>,
    /// Masked steps run through a gap; a longer one is [`Placement::LongGap`].
    pub gap_max: u32,
}

/// Where a reading falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The interval is not known yet: the next step, seasons unknown.
    Pending,
    /// A step of the grid.
    Tick {
        /// Steps without a reading before it, to be run masked; at most `gap_max`.
        gap: u32,
    },
    /// A step after more than `gap_max` empty ones: the grid advances by them in one masked step.
    LongGap {
        /// Empty steps before the reading.
        steps: u64,
    },
    /// Its step is filled.
    Duplicate,
    /// Before the newest step.
    Late,
    /// The interval was found, or turned out to be another: this reading is tick 0 of a new grid where `found` is
    /// false, and goes on counting from the first reading where it is true.
    Restarted {
        /// Whether this is the first interval of the stream (nothing learnt so far had a season).
        found: bool,
    },
}

/// A stream's grid. All fields are free of units. Zeroed = nothing seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Cadence {
    /// Time of tick 0.
    first_ms: i64,
    /// 0 until known.
    interval_ms: i64,
    /// Newest filled tick.
    newest: i64,
    /// Newest time seen, filled or duplicate.
    seen_ms: i64,
    /// The newest positive differences between readings, in a ring.
    differences_ms: [i64; DIFFERENCES],
    /// Positive differences so far; saturates at a multiple of the ring's length.
    differences: u32,
    /// 1 once a reading was placed.
    started: u32,
}

impl Cadence {
    /// Interval in milliseconds, 0 until it is known.
    #[must_use]
    pub const fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// Newest filled tick. While the interval is unknown: readings placed − 1.
    #[must_use]
    pub const fn newest(&self) -> i64 {
        self.newest
    }

    /// Time of a tick; while the interval is unknown, of the newest reading.
    #[must_use]
    pub const fn time_ms(&self, tick: i64) -> i64 {
        if self.interval_ms == 0 {
            return self.seen_ms;
        }
        self.first_ms
            .saturating_add(tick.saturating_mul(self.interval_ms))
    }

    /// Places a reading and advances the grid where it takes a step (all but `Duplicate` and `Late`).
    pub fn place(&mut self, time_ms: i64, rules: &CadenceRules) -> Placement {
        if self.started == 0 {
            return self.start(time_ms, rules);
        }
        let difference = time_ms.saturating_sub(self.seen_ms);
        if difference > 0 {
            self.note(difference);
            self.seen_ms = time_ms;
        }
        if rules.interval_ms.is_none()
            && let Some(interval_ms) = self.other_interval()
        {
            return self.change(time_ms, interval_ms);
        }
        if self.interval_ms == 0 {
            return match difference {
                0 => Placement::Duplicate,
                ..0 => Placement::Late,
                1.. => {
                    self.newest += 1;
                    Placement::Pending
                }
            };
        }
        self.on_grid(time_ms, rules.gap_max)
    }

    fn start(&mut self, time_ms: i64, rules: &CadenceRules) -> Placement {
        self.started = 1;
        self.first_ms = time_ms;
        self.seen_ms = time_ms;
        self.newest = 0;
        self.interval_ms = rules.interval_ms.unwrap_or(0).max(0);
        if self.interval_ms == 0 {
            Placement::Pending
        } else {
            Placement::Tick { gap: 0 }
        }
    }

    fn note(&mut self, difference_ms: i64) {
        self.differences_ms[self.differences as usize % DIFFERENCES] = difference_ms;
        self.differences += 1;
        if self.differences == 1 << 30 {
            self.differences = DIFFERENCES as u32;
        }
    }

    fn on_grid(&mut self, time_ms: i64, gap_max: u32) -> Placement {
        let interval = i128::from(self.interval_ms);
        let offset = i128::from(time_ms) - i128::from(self.first_ms);
        // Midway goes to the earlier tick, and to the next one only where that is filled.
        let mut tick = -(interval - 2 * offset).div_euclid(2 * interval);
        let newest = i128::from(self.newest);
        if tick == newest && 2 * ((newest + 1) * interval - offset) <= interval {
            tick += 1;
        }
        if tick == newest {
            return Placement::Duplicate;
        }
        if tick < newest {
            return Placement::Late;
        }
        let steps = u64::try_from(tick - newest - 1).unwrap_or(u64::MAX);
        self.newest = i64::try_from(tick).unwrap_or(i64::MAX);
        match u32::try_from(steps) {
            Ok(gap) if gap <= gap_max => Placement::Tick { gap },
            _ => Placement::LongGap { steps },
        }
    }

    fn change(&mut self, time_ms: i64, interval_ms: i64) -> Placement {
        let found = self.interval_ms == 0;
        self.interval_ms = interval_ms;
        if found {
            // The first readings were steps one after another; from here on, ticks count from the first of them.
            let offset = i128::from(time_ms) - i128::from(self.first_ms);
            let tick = (2 * offset + i128::from(interval_ms)).div_euclid(2 * i128::from(interval_ms));
            self.newest = i64::try_from(tick).unwrap_or(i64::MAX);
        } else {
            self.first_ms = time_ms;
            self.newest = 0;
        }
        Placement::Restarted { found }
    }

    /// The interval that the newest differences say, where it is not the one in use.
    fn other_interval(&self) -> Option<i64> {
        let count = (self.differences as usize).min(DIFFERENCES);
        if self.interval_ms == 0 {
            if self.differences < DIFFERENCES_MIN {
                return None;
            }
        } else if count < DIFFERENCES {
            return None;
        }
        let mut sorted = self.differences_ms;
        sorted[..count].sort_unstable();
        let interval_ms = usual(&sorted[..count]);
        if self.interval_ms == 0 {
            return Some(interval_ms);
        }
        let agree = sorted.iter().all(|&each| within(each, interval_ms, 10));
        if agree && !within(interval_ms, self.interval_ms, 3) {
            return Some(interval_ms);
        }
        self.finer_interval(&sorted)
    }

    /// A finer interval that half of the newest differences (ascending) are, and the others whole multiples of, where the one
    /// in use does not explain them: the first arrivals of a gappy stream skipped steps. A coarser one is never taken for
    /// that: gaps explain it.
    fn finer_interval(&self, sorted: &[i64; DIFFERENCES]) -> Option<i64> {
        let finer_ms = usual(sorted);
        let is_multiple = |each: i64, of: i64| {
            let steps = each.saturating_add(of / 2) / of.max(1);
            within(each, of.saturating_mul(steps.max(1)), 10)
        };
        let is_odd = |&each: &i64| each > self.interval_ms && !is_multiple(each, self.interval_ms);
        let is_finer = finer_ms > 0 && i128::from(finer_ms) * 3 <= i128::from(self.interval_ms) * 2;
        let is_half = within(sorted[0], finer_ms, 10);
        let are_multiples = sorted.iter().all(|&each| is_multiple(each, finer_ms));
        (is_finer && is_half && are_multiples && sorted.iter().any(is_odd)).then_some(finer_ms)
    }
}

/// Whether `a` is within so many percent of `b` > 0.
fn within(a: i64, b: i64, percent: i128) -> bool {
    (i128::from(a) - i128::from(b)).abs() * 100 <= percent * i128::from(b)
}

/// The mean of the differences (ascending) about their lower median: of readings that follow each other it is off by but the
/// first and the last one's jitter over their count. Gaps lie far beyond it.
fn usual(differences: &[i64]) -> i64 {
    let median = differences[(differences.len() - 1) / 2];
    let near = differences
        .iter()
        .filter(|&&each| within(each, median, NEAR_PERCENT));
    let (sum, count) = near.fold((0, 0), |(sum, count), &each| (sum + i128::from(each), count + 1));
    // At least the median itself; a mean of i64 is one.
    snapped(i64::try_from(sum / count).unwrap_or(median))
}

/// The round interval within 3 % of a difference, else the difference.
fn snapped(difference_ms: i64) -> i64 {
    ROUND_MS
        .into_iter()
        .find(|&round| within(difference_ms, round, 3))
        .unwrap_or(difference_ms)
}

#[cfg(test)]
#[path = "tests/cadence.rs"]
mod tests;
