//! Which horizons are published, which are scored, and what follows for the network's shape.

use crate::engine::Config;
use crate::engine::config::Profile;
use crate::experts::Expert;
use crate::nn::Shape;

/// Most horizons of a list that are all scored; a longer list is scored at [`SPREAD`] log-spaced ones.
const LISTED_MAX: usize = 8;
/// Scored horizons of a long list: with 4 the learnt state between them loses .1 % (RECIPE §7), with 8 a row has 5 KB more.
const SPREAD: usize = 4;

/// Levels of the network's head, whatever quantiles are published: training scores these.
pub const HEAD_LEVELS: [f32; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];
/// Hidden units of a head (M).
pub const HEAD_HIDDEN: usize = 32;

/// Published and scored horizons of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizonPlan {
    /// Published, ascending (H).
    pub published: Vec<u32>,
    /// Scored, ascending, from 1 on (K).
    pub scored: Vec<u32>,
}

impl HorizonPlan {
    /// Of a configuration. A compact row has room for four scored horizons.
    ///
    /// # Panics
    /// Where its list of horizons is empty, not ascending, or holds a 0.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let listed_max = match config.profile {
            Profile::Accurate => LISTED_MAX,
            Profile::Compact if config.horizons.first() == Some(&1) => SPREAD,
            Profile::Compact => SPREAD - 1,
        };
        Self::new(&config.horizons, listed_max)
    }

    /// From the published list, ascending, each at least 1; one of up to `listed_max` is scored as it is.
    fn new(published: &[u32], listed_max: usize) -> Self {
        assert!(
            published.first().is_some_and(|&first| first >= 1),
            "horizons: at least one, from 1 on"
        );
        assert!(
            published.windows(2).all(|pair| pair[0] < pair[1]),
            "horizons: ascending"
        );
        let mut scored = if published.len() <= listed_max {
            published.to_vec()
        } else {
            spread(published)
        };
        if scored[0] != 1 {
            scored.insert(0, 1);
        }
        Self {
            published: published.to_vec(),
            scored,
        }
    }
}

/// 1, the last one, and two between them, evenly in log h.
fn spread(published: &[u32]) -> Vec<u32> {
    let last = f64::from(*published.last().expect("not empty"));
    let mut scored: Vec<u32> = (0..SPREAD)
        .map(|i| last.powf(i as f64 / (SPREAD - 1) as f64).round() as u32)
        .collect();
    scored.dedup();
    scored
}

/// Names of the experts that a configuration asks for, in the order of the record (E).
///
/// # Panics
/// Where it names one that is unknown: the configuration's loader refuses it.
#[must_use]
pub fn experts(config: &Config) -> Vec<&'static str> {
    config.expert_set().iter().map(Expert::name).collect()
}

/// The network that a configuration asks for.
#[must_use]
pub fn shape(config: &Config) -> Shape {
    let horizons = HorizonPlan::of(config).scored.len();
    Shape {
        cell: config.model.cell,
        inputs: crate::engine::features::inputs(horizons),
        hidden: config.model.hidden,
        layers: config.model.layers,
        horizons,
        skips: crate::engine::features::SKIPS,
        head_hidden: HEAD_HIDDEN,
        quantiles: HEAD_LEVELS.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_scores_a_short_list_itself_and_spreads_a_long_one() {
        assert_eq!(
            HorizonPlan::new(&[1, 12, 24, 96], LISTED_MAX).scored,
            [1, 12, 24, 96]
        );
        assert_eq!(HorizonPlan::new(&[12, 24], LISTED_MAX).scored, [1, 12, 24]);
        assert_eq!(
            HorizonPlan::new(&[1, 6, 12, 24, 96], SPREAD).scored,
            [1, 5, 21, 96]
        );
        let all: Vec<u32> = (1..=12).collect();
        assert_eq!(HorizonPlan::new(&all, LISTED_MAX).scored, [1, 2, 5, 12]);
        let day: Vec<u32> = (1..=96).collect();
        assert_eq!(HorizonPlan::new(&day, LISTED_MAX).scored, [1, 5, 21, 96]);
    }
}
