//! How much is trained, and with what step size.
//!
//! Every row taken onto the tape is owed `rows_per_observation` visits. Before there is a minimum of material nothing
//! is trained. The first batches are owed [`START_FACTOR`] times as much: without them the network enters the mix weeks
//! later. The prototype's 600 batches over a warm-up would be six times as much, and fit the few rows of a start too well.

use crate::engine::Model;
use crate::training::Config;

/// Mini-batches of the start: more visits, step size falling to the configured one.
pub(crate) const START_BATCHES: u64 = 600;
const START_FACTOR: f64 = 3.0;
/// Step size at the very start over the configured one, as in the recipe.
const START_RATE: f64 = 1.5;
/// Mini-batches over which Adam's moments fill: the step size rises from a tenth.
const RAMP_BATCHES: u64 = 100;

/// Visits owed and made.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Mini-batches that a row pays for.
    per_row: f64,
    learning_rate: f64,
    /// Mini-batches owed.
    owed: f64,
    /// Mini-batches earned so far, those of an earlier process included.
    earned: f64,
    /// Mini-batches trained, those of an earlier process included.
    trained: u64,
    /// Mini-batches since Adam's moments were zero.
    since_zero: u64,
}

impl Schedule {
    /// `trained`: mini-batches that the weights are known to have behind them.
    pub(crate) fn new(config: &Config, trained: u64) -> Self {
        Self {
            per_row: config.rows_per_observation / (config.chunk * config.batch) as f64,
            learning_rate: config.learning_rate,
            owed: 0.0,
            earned: trained as f64,
            trained,
            since_zero: 0,
        }
    }

    /// What is owed and was earned, then what was trained, in all and since Adam's moments were zero.
    pub(crate) const fn counts(&self) -> ([f64; 2], [u64; 2]) {
        ([self.owed, self.earned], [self.trained, self.since_zero])
    }

    /// Goes on from there.
    pub(crate) const fn resume(&mut self, [owed, earned]: [f64; 2], [trained, since_zero]: [u64; 2]) {
        (self.owed, self.earned) = (owed, earned);
        (self.trained, self.since_zero) = (trained, since_zero);
    }

    /// Rows were taken onto a tape that holds `tape_rows` now. What is owed never exceeds what all rows on the tape
    /// would be owed: with a CPU cap the rest is never made up for.
    pub(crate) fn earn(&mut self, rows: u64, tape_rows: usize) {
        let factor = if self.earned < START_BATCHES as f64 {
            START_FACTOR
        } else {
            1.0
        };
        let earned = rows as f64 * self.per_row * factor;
        self.earned += earned;
        self.owed = (self.owed + earned).min(1.0 + tape_rows as f64 * self.per_row * factor);
    }

    pub(crate) fn owed(&self) -> f64 {
        self.owed
    }

    pub(crate) fn is_due(&self) -> bool {
        self.owed >= 1.0
    }

    /// A mini-batch was drawn, whatever became of it.
    pub(crate) fn pay(&mut self) {
        self.owed -= 1.0;
    }

    /// A mini-batch changed the weights.
    pub(crate) fn trained(&mut self) {
        self.trained += 1;
        self.since_zero += 1;
    }

    /// Owes nothing from now on, so that tests can score without training.
    #[cfg(test)]
    pub(crate) fn stop(&mut self) {
        (self.owed, self.per_row) = (0.0, 0.0);
    }

    /// Adam's moments were zeroed.
    pub(crate) fn zeroed(&mut self) {
        self.since_zero = 0;
    }

    /// Step size of the next mini-batch.
    pub(crate) fn learning_rate(&self) -> f64 {
        let share = |n: u64, of: u64| (n as f64 / of as f64).min(1.0);
        let fall = START_RATE + (1.0 - START_RATE) * share(self.trained, START_BATCHES);
        let ramp = 0.1 + 0.9 * share(self.since_zero, RAMP_BATCHES);
        self.learning_rate * fall * ramp
    }
}

/// Mini-batches that a version proves to have behind it: its start goes on after a restart.
pub(crate) fn batches_behind(model: &Model, per_update: u64) -> u64 {
    match model.made.as_str() {
        "first" => 0,
        "online" | "rollback" => per_update.saturating_mul(model.version.0.saturating_sub(1)),
        _ => START_BATCHES, // trained elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tests::config;

    #[test]
    fn a_row_is_owed_its_visits_and_more_at_the_start() {
        let config = config();
        let batch_rows = (config.chunk * config.batch) as u64;
        let mut schedule = Schedule::new(&config, START_BATCHES);
        schedule.earn(batch_rows, 1 << 20);
        assert_eq!(schedule.owed(), config.rows_per_observation);
        let mut first = Schedule::new(&config, 0);
        first.earn(batch_rows, 1 << 20);
        assert_eq!(first.owed(), START_FACTOR * config.rows_per_observation);
    }

    #[test]
    fn what_is_owed_is_bounded_by_the_tape() {
        let config = config();
        let mut schedule = Schedule::new(&config, START_BATCHES);
        let tape_rows = 2 * config.chunk * config.batch;
        for _ in 0..100 {
            schedule.earn(1_000_000, tape_rows);
        }
        assert_eq!(schedule.owed(), 1.0 + 2.0 * config.rows_per_observation);
    }

    #[test]
    fn the_step_size_rises_then_falls_to_the_configured_one() {
        let mut schedule = Schedule::new(&config(), 0);
        let rate = config().learning_rate;
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(schedule.learning_rate(), 0.1 * 1.5 * rate));
        (0..RAMP_BATCHES).for_each(|_| schedule.trained());
        assert!(close(schedule.learning_rate(), (1.5 - 0.5 / 6.0) * rate));
        (0..START_BATCHES).for_each(|_| schedule.trained());
        assert!(close(schedule.learning_rate(), rate));
        schedule.zeroed();
        assert!(
            close(schedule.learning_rate(), 0.1 * rate),
            "after a reset the moments fill anew"
        );
    }
}
