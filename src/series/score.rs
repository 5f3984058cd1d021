//! Sums that say how good forecasts were.

use bytemuck::{Pod, Zeroable};

/// Pinball loss of a quantile at `level` for the truth `y`.
#[must_use]
pub fn pinball(level: f64, quantile: f64, y: f64) -> f64 {
    let away = y - quantile;
    if away >= 0.0 {
        level * away
    } else {
        (level - 1.0) * away
    }
}

/// Live coverage: exponentially weighted hit rate of one interval or quantile. Zeroed = no event; free of units.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Coverage {
    rate: f32,
    events: f32,
}

impl Coverage {
    /// Slowest rate: coverage of about the newest 500 events.
    const RATE_MIN: f32 = 0.002;

    /// Notes whether the truth lay inside.
    pub fn note(&mut self, inside: bool) {
        self.events = (self.events + 1.0).min(1e6);
        let hit = if inside { 1.0 } else { 0.0 };
        self.rate += (hit - self.rate) * Self::RATE_MIN.max(1.0 / self.events);
    }

    /// Hit rate, `None` before the first event.
    #[must_use]
    pub fn rate(&self) -> Option<f32> {
        (self.events > 0.0).then_some(self.rate)
    }
}

/// Loss sums of one horizon since start, for metrics: the forecast's against last value's, each in units of the
/// stream's scale so that streams add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SkillSums {
    /// Matured forecasts.
    pub events: u64,
    /// Σ |y − median| / σ.
    pub absolute: f64,
    /// Σ |y − last value| / σ.
    pub naive: f64,
    /// Σ mean pinball / σ.
    pub pinball: f64,
}

impl SkillSums {
    /// Adds a matured forecast.
    pub fn note(&mut self, absolute: f64, naive: f64, pinball: f64) {
        self.events += 1;
        self.absolute += absolute;
        self.naive += naive;
        self.pinball += pinball;
    }

    /// Adds another's sums.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.absolute += other.absolute;
        self.naive += other.naive;
        self.pinball += other.pinball;
    }

    /// 1 − loss / loss of last value: 0 is no better than it, 1 is perfect; `None` before any event.
    #[must_use]
    pub fn skill(&self) -> Option<f64> {
        (self.naive > 0.0).then(|| 1.0 - self.absolute / self.naive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinball_punishes_the_wrong_side_by_its_level() {
        assert!((pinball(0.9, 1.0, 3.0) - 1.8).abs() < 1e-12);
        assert!((pinball(0.9, 3.0, 1.0) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn coverage_is_the_plain_mean_first_and_forgets_later() {
        let mut coverage = Coverage::zeroed();
        assert_eq!(coverage.rate(), None);
        for hit in [true, false, true, true] {
            coverage.note(hit);
        }
        assert!((coverage.rate().unwrap() - 0.75).abs() < 1e-6);
        for _ in 0..10_000 {
            coverage.note(false);
        }
        assert!(coverage.rate().unwrap() < 1e-3);
    }

    #[test]
    fn skill_is_relative_to_last_value() {
        let mut sums = SkillSums::default();
        assert_eq!(sums.skill(), None);
        sums.note(1.0, 4.0, 0.5);
        assert_eq!(sums.skill(), Some(0.75));
    }
}
