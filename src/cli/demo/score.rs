//! Coverage and skill as a reader of the forecast topic works them out: forecasts against later observations.
//!
//! Matured truth only: a forecast waits until the reading of its target step has come by, and is dropped unscored where
//! that step stays empty. What was said while a stream was warming up is not scored.

use std::collections::VecDeque;

use super::record::{Ahead, Record};

/// What a forecast will be held against.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    target_ms: i64,
    ahead: Ahead,
    /// "Nothing changes": the reading at the origin.
    naive: f64,
}

/// Sums over scored forecasts of one horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Forecasts scored.
    pub scored: u64,
    /// Readings that lay within the 80 % band.
    pub inside: u64,
    /// Of the median.
    pub error_sum: f64,
    /// Of "nothing changes".
    pub naive_sum: f64,
}

impl Tally {
    fn add(&mut self, waiting: &Waiting, truth: f64) {
        let Ahead { low, mid, high, .. } = waiting.ahead;
        self.scored += 1;
        self.inside += u64::from((low..=high).contains(&truth));
        self.error_sum += (truth - mid).abs();
        self.naive_sum += (truth - waiting.naive).abs();
    }

    /// 1 − mean absolute error / that of "nothing changes": 0 is no better, 1 is perfect. `None` where nothing changed.
    pub(crate) fn skill(&self) -> Option<f64> {
        (self.naive_sum > 0.0).then(|| 1.0 - self.error_sum / self.naive_sum)
    }
}

/// One stream's score.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// By horizon, ascending: steps and sums. Invariant: same length as `waiting`.
    tallies: Vec<(u32, Tally)>,
    /// By horizon; targets ascend. Bounded by the horizon's steps.
    waiting: Vec<VecDeque<Waiting>>,
}

impl Score {
    /// Takes the truth that a record brings, then keeps what it says for later.
    pub(crate) fn take(&mut self, record: &Record) {
        for ((_, tally), waiting) in self.tallies.iter_mut().zip(&mut self.waiting) {
            while let Some(first) = waiting
                .front()
                .filter(|first| first.target_ms <= record.origin_ms)
            {
                if first.target_ms == record.origin_ms {
                    tally.add(first, record.observed);
                }
                waiting.pop_front();
            }
        }
        if !record.ready || record.interval_ms <= 0 {
            return;
        }
        for ahead in &record.ahead {
            let index = self.horizon(ahead.steps);
            let waiting = &mut self.waiting[index];
            waiting.push_back(Waiting {
                target_ms: record.origin_ms + i64::from(ahead.steps) * record.interval_ms,
                ahead: *ahead,
                naive: record.observed,
            });
            if waiting.len() > ahead.steps as usize + 1 {
                waiting.pop_front(); // only after a change of the interval
            }
        }
    }

    fn horizon(&mut self, steps: u32) -> usize {
        let index = self.tallies.partition_point(|(known, _)| *known < steps);
        if self.tallies.get(index).is_none_or(|(known, _)| *known != steps) {
            self.tallies.insert(index, (steps, Tally::default()));
            self.waiting.insert(index, VecDeque::new());
        }
        index
    }

    /// Steps and sums by horizon, ascending.
    pub(crate) fn tallies(&self) -> &[(u32, Tally)] {
        &self.tallies
    }

    /// Over all horizons.
    pub(crate) fn coverage(&self) -> Option<f64> {
        coverage(self.tallies.iter().map(|(_, tally)| tally))
    }

    /// Mean of the horizons' skills: each counts the same, however large its errors are.
    pub(crate) fn skill(&self) -> Option<f64> {
        let skills: Vec<f64> = self
            .tallies
            .iter()
            .filter_map(|(_, tally)| tally.skill())
            .collect();
        (!skills.is_empty()).then(|| skills.iter().sum::<f64>() / skills.len() as f64)
    }
}

/// Coverage of pooled tallies.
pub(crate) fn coverage<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Option<f64> {
    let (inside, scored) = tallies.fold((0, 0), |sum, tally| (sum.0 + tally.inside, sum.1 + tally.scored));
    (scored > 0).then(|| inside as f64 / scored as f64)
}

/// All streams at one horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// The horizon.
    pub steps: u32,
    /// Forecasts scored.
    pub scored: u64,
    /// Pooled.
    pub coverage: f64,
    /// Over streams: worst, median, best.
    pub skill: Option<[f64; 3]>,
}

/// One line per horizon over the scores of all streams.
pub(crate) fn summary<'a>(scores: impl Iterator<Item = &'a Score>) -> Vec<Line> {
    let mut by_horizon: std::collections::BTreeMap<u32, Vec<&Tally>> = std::collections::BTreeMap::new();
    for (steps, tally) in scores.flat_map(Score::tallies) {
        by_horizon.entry(*steps).or_default().push(tally);
    }
    let line = |(steps, tallies): (u32, Vec<&Tally>)| {
        let mut skills: Vec<f64> = tallies.iter().filter_map(|tally| tally.skill()).collect();
        skills.sort_unstable_by(f64::total_cmp);
        let skill = match skills[..] {
            [] => None,
            _ => Some([skills[0], median(&skills), skills[skills.len() - 1]]),
        };
        let coverage = coverage(tallies.iter().copied())?;
        Some(Line {
            steps,
            scored: tallies.iter().map(|tally| tally.scored).sum(),
            coverage,
            skill,
        })
    };
    by_horizon.into_iter().filter_map(line).collect()
}

/// Of an ascending, non-empty list.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record at step `step` of a grid of one second, with one horizon of `steps`.
    pub(crate) fn record(step: i64, observed: f64, steps: u32, band: [f64; 3]) -> Record {
        let [low, mid, high] = band;
        Record {
            stream: "s".to_owned(),
            origin_ms: step * 1000,
            interval_ms: 1000,
            observed,
            ahead: vec![Ahead {
                steps,
                low,
                mid,
                high,
            }],
            ready: true,
            status: "ready".to_owned(),
            ready_in: None,
            leader: ("network".to_owned(), 0.5),
            model_version: 1,
            anomaly: None,
        }
    }

    #[test]
    fn score_of_a_hand_made_sequence_is_as_worked_out_by_hand() {
        let mut score = Score::default();
        // at 0: "in 2 steps 12, within 11..13"; naive 10
        score.take(&record(0, 10.0, 2, [11.0, 12.0, 13.0]));
        // at 1: "20, within 19..21"; naive 11
        score.take(&record(1, 11.0, 2, [19.0, 20.0, 21.0]));
        assert_eq!(
            score.tallies()[0].1,
            Tally::default(),
            "no target was observed yet"
        );
        // truth of the first: 12.5; error .5, naive 2.5, inside
        score.take(&record(2, 12.5, 2, [0.0, 0.0, 0.0]));
        let first = score.tallies()[0].1;
        assert_eq!((first.scored, first.inside), (1, 1));
        assert!((first.error_sum - 0.5).abs() < 1e-12 && (first.naive_sum - 2.5).abs() < 1e-12);
        // truth of the second: 14; error 6, naive 3, outside
        score.take(&record(3, 14.0, 2, [0.0, 0.0, 0.0]));
        assert_eq!(score.coverage(), Some(0.5));
        let skill = score.skill().unwrap();
        assert!((skill - (1.0 - 6.5 / 5.5)).abs() < 1e-12, "{skill}");
    }

    #[test]
    fn score_never_uses_a_reading_before_its_target_step() {
        let mut score = Score::default();
        for step in 0..5 {
            score.take(&record(step, 1.0, 5, [0.0, 1.0, 2.0]));
            assert_eq!(score.coverage(), None, "step {step}");
        }
        score.take(&record(5, 1.0, 5, [0.0, 1.0, 2.0]));
        assert_eq!(score.tallies()[0].1.scored, 1);
    }

    #[test]
    fn score_drops_forecasts_whose_target_stayed_empty() {
        let mut score = Score::default();
        score.take(&record(0, 1.0, 1, [0.0, 1.0, 2.0]));
        score.take(&record(7, 9.0, 1, [0.0, 1.0, 2.0])); // steps 1 to 6 are missing
        assert_eq!(score.tallies()[0].1.scored, 0);
        score.take(&record(8, 1.0, 1, [0.0, 1.0, 2.0]));
        assert_eq!(score.tallies()[0].1.scored, 1);
    }

    #[test]
    fn score_leaves_out_what_was_said_while_warming() {
        let mut score = Score::default();
        score.take(&Record {
            ready: false,
            ..record(0, 1.0, 1, [0.0, 1.0, 2.0])
        });
        score.take(&record(1, 1.0, 1, [0.0, 1.0, 2.0]));
        assert_eq!(score.coverage(), None);
    }

    #[test]
    fn summary_pools_coverage_and_ranks_skill_over_streams() {
        let stream = |mid: f64| {
            let mut score = Score::default();
            score.take(&record(0, 0.0, 1, [mid - 1.0, mid, mid + 1.0]));
            score.take(&record(1, 10.0, 1, [0.0; 3]));
            score
        };
        let scores = [stream(10.0), stream(5.0), stream(0.0)];
        let lines = summary(scores.iter());
        assert_eq!(lines.len(), 1);
        assert!((lines[0].coverage - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(lines[0].skill, Some([0.0, 0.5, 1.0]));
    }
}
