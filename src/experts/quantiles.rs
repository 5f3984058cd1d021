//! Tracked standardised quantiles of the published forecast's error: this is the calibration (RECIPE §6).
//!
//! q(τ) = f + s a_τ · side. At maturity z = (y − f) / (s · side), a_τ += g (τ − 1{z ≤ a_τ}), with < for τ < .5 (ties).
//! Levels are the configured ones, ascending, .5 among them; its a is 0 and never moves.

/// Rate of a scored horizon: .04 n^.5 b^−.6.
#[must_use]
pub fn rate(horizon: u32, stride: u32) -> f32 {
    0.04 * (stride as f32).sqrt() * (horizon as f32).powf(-0.6)
}

/// a_τ of a Laplace with mean |error| 1, into `a` (Q, free).
pub fn start(levels: &[f32], a: &mut [f32]) {
    for (a, &level) in a.iter_mut().zip(levels) {
        *a = laplace(level);
    }
}

/// a_τ of streams like this one, into `a` (Q, free); monotone, and 0 at the median.
pub fn begin(levels: &[f32], learnt: &[f32], a: &mut [f32]) {
    a.copy_from_slice(learnt);
    for (a, &level) in a.iter_mut().zip(levels) {
        if level == 0.5 {
            *a = 0.0;
        }
    }
    monotone(levels, a);
}

/// Quantile of a Laplace with scale 1.
fn laplace(level: f32) -> f32 {
    if level == 0.5 {
        return 0.0;
    }
    let tail = level.min(1.0 - level);
    (0.5 / tail).ln().copysign(level - 0.5)
}

/// Gain g of an event: `rate`, more while few have matured. `matured` counts this event
/// ([`crate::experts::scale::Scale::matured`] + 1 of the served chain, before it learns).
#[must_use]
pub fn gain(rate: f32, matured: f32) -> f32 {
    (0.6 / matured).min(0.1).max(rate)
}

/// Learns a matured, standardised error `z` with a [`gain`].
pub fn learn(levels: &[f32], a: &mut [f32], z: f32, gain: f32) {
    for (a, &level) in a.iter_mut().zip(levels) {
        if level == 0.5 {
            continue;
        }
        // Beyond .05 and .95 an event is rare: twice the rate.
        let doubled = if (0.05..=0.95).contains(&level) { 1.0 } else { 2.0 };
        let below = z < *a || (z == *a && level > 0.5);
        *a += doubled * gain * (level - if below { 1.0 } else { 0.0 });
    }
    monotone(levels, a);
}

/// Clamps outward from the median.
fn monotone(levels: &[f32], a: &mut [f32]) {
    let median = levels.partition_point(|&level| level < 0.5);
    for i in (0..median).rev() {
        let limit = a.get(i + 1).map_or(0.0, |&above| above.min(0.0));
        a[i] = a[i].min(limit);
    }
    for i in median..a.len() {
        let limit = if i == median { 0.0 } else { a[i - 1] };
        a[i] = a[i].max(limit);
    }
}

/// The network's asymmetry from its .1, .5 and .9 quantiles: (q90 − q50) / ((q90 − q10) / 2) within .3..1.7; below the
/// median its mirror 2 − side. 1 without a network.
#[must_use]
pub fn side(q10: f32, q50: f32, q90: f32) -> f32 {
    let half = ((q90 - q10) / 2.0).max(super::TINY);
    ((q90 - q50) / half).clamp(0.3, 1.7)
}

/// u / (s · side): the error in the units that quantiles are tracked in. `scale` > 0.
#[must_use]
pub fn standardised(u: f32, scale: f32, side: f32) -> f32 {
    u / (scale * if u > 0.0 { side } else { 2.0 - side })
}

/// Quantiles (Q) of a forecast, monotone.
pub fn serve(centre: f32, scale: f32, side: f32, a: &[f32], out: &mut [f32]) {
    for (q, &a) in out.iter_mut().zip(a) {
        *q = (scale * sided(a, side)) + centre;
    }
}

fn sided(a: f32, side: f32) -> f32 {
    a * if a > 0.0 { side } else { 2.0 - side }
}

/// Mean of the forecast: centre + s × the mean of the tracked quantiles, each with the probability between the midpoints
/// to its neighbours.
#[must_use]
pub fn mean(centre: f32, scale: f32, side: f32, levels: &[f32], a: &[f32]) -> f32 {
    let mut below = 0.0;
    let mut sum = 0.0;
    for (i, &a) in a.iter().enumerate() {
        let above = levels
            .get(i + 1)
            .map_or(1.0, |next| f32::midpoint(levels[i], *next));
        sum += (above - below) * sided(a, side);
        below = above;
    }
    scale.mul_add(sum, centre)
}

/// The tracked levels nearest to .1 and .9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Width {
    low: usize,
    high: usize,
    /// Between them in a Laplace of scale 1; 0 where there are not two.
    laplace: f32,
}

impl Width {
    /// Of the configured levels (Q).
    #[must_use]
    pub fn new(levels: &[f32]) -> Self {
        let nearest = |wanted: f32| {
            let away = |i: &usize| (levels[*i] - wanted).abs();
            (0..levels.len()).min_by(|i, j| away(i).total_cmp(&away(j)))
        };
        let (low, high) = (nearest(0.1).unwrap_or(0), nearest(0.9).unwrap_or(0));
        Self {
            low,
            high,
            laplace: if low < high {
                laplace(levels[high]) - laplace(levels[low])
            } else {
                0.0
            },
        }
    }

    /// Spread of a normal with the same .1 and .9 quantiles: (q90 − q10) / 2.56. `scale` where no two levels are tracked.
    #[must_use]
    pub fn spread(&self, scale: f32, side: f32, a: &[f32]) -> f32 {
        if self.laplace <= 0.0 {
            return scale;
        }
        // Brought to .1 and .9 by a Laplace's shape where other levels are configured.
        let width = (sided(a[self.high], side) - sided(a[self.low], side)) * 3.218_876 / self.laplace;
        scale * width / 2.56
    }
}

/// Two-sided tail probability of a standardised error, from the tracked quantiles: between them linear in a Laplace's
/// z, beyond them by its exponential tail.
#[must_use]
pub fn tail_probability(levels: &[f32], a: &[f32], z: f32) -> f32 {
    // Levels whose quantile is z itself: a stream with ties.
    let (from, until) = (a.partition_point(|&a| a < z), a.partition_point(|&a| a <= z));
    let last = a.len() - 1;
    let like_laplace = if from < until {
        0f32.clamp(laplace(levels[from]), laplace(levels[until - 1]))
    } else if last == 0 {
        z
    } else {
        let above = from.clamp(1, last);
        let (x0, x1) = (a[above - 1], a[above]);
        let (y0, y1) = (laplace(levels[above - 1]), laplace(levels[above]));
        // Outer quantiles that coincide say nothing of the tail's shape: then it is at least a Laplace's of width 1.
        y0 + (z - x0) * (y1 - y0) / (x1 - x0).max(1e-3)
    };
    (-like_laplace.abs()).exp().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f32; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];

    #[test]
    fn start_is_laplace_and_the_mean_of_symmetric_quantiles_is_the_centre() {
        let mut a = [0.0; 5];
        start(&LEVELS, &mut a);
        assert!((a[1] + 1.609_438).abs() < 1e-5 && (a[0] + 2.995_732).abs() < 1e-5);
        assert!((mean(3.0, 2.0, 1.0, &LEVELS, &a) - 3.0).abs() < 1e-5);
        assert!((Width::new(&LEVELS).spread(1.0, 1.0, &a) - 3.218_876 / 2.56).abs() < 1e-5);
        let wide = mean(3.0, 2.0, 1.5, &LEVELS, &a);
        assert!(
            wide > 3.1,
            "an upper side that is wider pulls the mean up: {wide}"
        );
    }

    #[test]
    fn learn_reaches_the_empirical_quantiles() {
        let mut a = [0.0; 5];
        start(&LEVELS, &mut a);
        let mut hits = 0;
        for i in 0..4_000u32 {
            let uniform = (f64::from(i) * 0.618_033_988_749_895).fract() as f32;
            let z = 4.0 * (uniform - 0.5);
            if i >= 2_000 && z > a[1] && z <= a[3] {
                hits += 1;
            }
            learn(&LEVELS, &mut a, z, gain(0.02, i as f32 + 1.0));
        }
        assert!((1_560..=1_640).contains(&hits), "80 % of 2000: {hits}");
        assert!(a.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn ties_widen_nothing_on_a_constant_stream() {
        let mut a = [0.0; 5];
        start(&LEVELS, &mut a);
        for i in 0..5_000u32 {
            learn(&LEVELS, &mut a, 0.0, gain(0.04, i as f32 + 1.0));
        }
        assert!(a.iter().all(|a| a.abs() < 0.1), "{a:?}");
        assert!(a.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn tail_probability_falls_outward_and_meets_the_levels() {
        let mut a = [0.0; 5];
        start(&LEVELS, &mut a);
        for (i, expected) in [(0, 0.05), (1, 0.2), (2, 1.0), (3, 0.2), (4, 0.05)] {
            assert!((tail_probability(&LEVELS, &a, a[i]) - expected).abs() < 1e-5);
        }
        assert!(tail_probability(&LEVELS, &a, 20.0) < 1e-6);
        assert_eq!(tail_probability(&LEVELS, &[0.0; 5], 0.0), 1.0);
    }
}
