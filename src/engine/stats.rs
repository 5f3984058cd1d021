//! What a partition tells its metrics. No part of state: sums in the order of stepping.

use crate::engine::HorizonPlan;

/// Rate of the exponentially weighted figures: about the newest 2000 events of the partition.
const RATE_MIN: f64 = 1.0 / 2000.0;

/// Outcomes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Published.
    pub forecast: u64,
    /// Step already filled.
    pub duplicate: u64,
    /// Before the newest step.
    pub late: u64,
    /// Nulls.
    pub missing: u64,
    /// No room for another stream.
    pub over_capacity: u64,
    /// Held back while warming.
    pub muted: u64,
}

/// Errors at one horizon over all streams, each in units of its stream's scale so that they can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Skill {
    /// Steps ahead.
    pub horizon: u32,
    /// Matured forecasts.
    pub count: u64,
    /// Sum of |y − published median| / σ.
    pub error: f64,
    /// Sum of |y − last value| / σ.
    pub naive_error: f64,
}

impl Skill {
    /// 1 − error / last value's error; 0 where nothing matured.
    #[must_use]
    pub fn skill(&self) -> f64 {
        if self.naive_error > 0.0 {
            1.0 - self.error / self.naive_error
        } else {
            0.0
        }
    }
}

/// Statistics of a partition since it was made or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionStats {
    /// Outcomes of observations.
    pub outcomes: OutcomeCounts,
    /// Gaps bridged by masked steps.
    pub gaps: u64,
    /// Gaps longer than `gap_max`.
    pub long_gaps: u64,
    /// Grids restarted because the interval changed.
    pub restarts: u64,
    /// Seasons that were found, left out or taken back, as changes of streams.
    pub season_changes: u64,
    /// Observations flagged as anomalous.
    pub anomalies: u64,
    /// Idle streams forgotten to make room for new ones.
    pub forgotten: u64,
    /// Hidden states made anew after a switch of lineage.
    pub states_remade: u64,
    /// The two levels of the band that `coverage` counts: .1 and .9 where both are configured, else the widest
    /// symmetric configured pair; (0, 0) where there is none.
    pub coverage_levels: (f64, f64),
    /// Share of matured one-step forecasts of ready streams whose band held the observation: exponentially weighted,
    /// rate 1/2000.
    pub coverage: f64,
    /// Matured forecasts behind `coverage`.
    pub coverage_count: u64,
    /// At horizon 1.
    pub skill_near: Skill,
    /// At the last scored horizon.
    pub skill_far: Skill,
    /// Weight of the network at horizon 1, exponentially weighted mean over steps of ready streams, rate 1/2000.
    pub network_weight: f64,
    /// Steps behind `network_weight`.
    pub network_count: u64,
}

impl PartitionStats {
    pub(crate) fn new(plan: &HorizonPlan, levels: &[f64]) -> Self {
        let last = *plan.scored.last().expect("horizon 1 is always scored");
        let at = |horizon| Skill {
            horizon,
            ..Skill::default()
        };
        let coverage_levels = band(levels).map_or((0.0, 0.0), |(low, high)| (levels[low], levels[high]));
        Self {
            coverage_levels,
            skill_near: at(1),
            skill_far: at(last),
            ..Self::default()
        }
    }

    pub(crate) fn note_coverage(&mut self, inside: bool) {
        self.coverage_count += 1;
        let hit = if inside { 1.0 } else { 0.0 };
        self.coverage += (hit - self.coverage) * RATE_MIN.max(1.0 / self.coverage_count as f64);
    }

    pub(crate) fn note_network(&mut self, weight: f64) {
        self.network_count += 1;
        self.network_weight += (weight - self.network_weight) * RATE_MIN.max(1.0 / self.network_count as f64);
    }
}

impl Skill {
    pub(crate) fn note(&mut self, error: f64, naive_error: f64) {
        self.count += 1;
        self.error += error;
        self.naive_error += naive_error;
    }
}

/// Places of the band that coverage is counted for: .1 and .9 where both are there, else the widest symmetric pair.
pub(crate) fn band(levels: &[f64]) -> Option<(usize, usize)> {
    let find = |level: f64| levels.iter().position(|each| (each - level).abs() < 1e-9);
    let pair = |low: usize| Some((low, find(1.0 - levels[low])?)).filter(|(low, high)| low < high);
    find(0.1)
        .and_then(pair)
        .or_else(|| (0..levels.len()).find_map(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn band_prefers_80_percent_and_falls_back_to_the_widest_pair() {
        assert_eq!(band(&[0.025, 0.1, 0.5, 0.9, 0.975]), Some((1, 3)));
        assert_eq!(band(&[0.05, 0.25, 0.5, 0.75, 0.95]), Some((0, 4)));
        assert_eq!(band(&[0.1, 0.5, 0.8]), None);
        assert_eq!(band(&[0.5]), None);
    }
}
