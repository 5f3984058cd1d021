//! What a partition tells its metrics. No part of state: sums in the order of stepping.

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
    /// Observations flagged as anomalous.
    pub anomalies: u64,
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
