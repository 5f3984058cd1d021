//! A row follows the seasons that are found in its stream ([`crate::series::seasons`]).
//!
//! Where a season is another one, what was known of the old one is forgotten: its profile is made anew from the ring, its
//! shares begin again, its experts get equal weights. Where one is left out or taken back, its profile goes on. In both
//! cases what the experts say is something else than before: the stacks begin again, and nothing in flight is judged.

use bytemuck::Zeroable;

use crate::engine::row::Row;
use crate::engine::setup::{Grid, Setup};
use crate::engine::wave::Job;
use crate::experts::base::SHARES;
use crate::experts::linear::{self, covariance};
use crate::experts::share::Share;
use crate::experts::{Expert, ExpertSet, pending};
use crate::series::profile::{Profile, ProfileRules};
use crate::series::ring::Ring;
use crate::series::seasons::{Changed, Look, Which};

/// Takes a reading into what is known of the stream's seasons, before the past takes it.
pub(crate) fn observe(grid: &Grid, row: &mut Row<'_>, local_ms: i64, x: f32) {
    let [seasons] = &mut *row.seasons else {
        return;
    };
    // The first readings of a stream have no interval yet.
    if grid.kept.interval_ms == 0 {
        return;
    }
    let rules = &grid.kept_profiles;
    seasons.observe(&Look {
        local_ms,
        x,
        levels: row.motion.levels,
        profiles: [
            (&*row.hour, &*row.hour_means, &*row.hour_visits, &rules.hour).into(),
            (&*row.day, &*row.day_means, &*row.day_visits, &rules.day).into(),
            (&*row.week, &*row.week_means, &*row.week_visits, &rules.week).into(),
        ],
        calendar: grid.own,
        has_short: !row.hour_means.is_empty(),
        ring: row.ring,
        values: row.ring_values,
    });
}

/// What is other seasons than at the step before; `None` almost always.
pub(crate) fn change(row: &mut Row<'_>) -> Option<Changed> {
    row.seasons.first_mut()?.change()
}

/// The row follows the seasons now in use; `grid` is theirs, `job` the one that waits for its next step.
pub(crate) fn follow((setup, grid): (&Setup, &Grid), job: &Job, row: &mut Row<'_>, changed: &Changed) {
    let (next_ms, _) = job.next();
    let steps = i64::try_from(job.skipped).unwrap_or(i64::MAX).saturating_add(1);
    let back = grid.kept.interval_ms.saturating_mul(steps);
    let newest_ms = grid.kept.local_ms(next_ms).saturating_sub(back);
    let past = |which, rules| Past {
        ring: row.ring,
        values: row.ring_values,
        newest_ms,
        interval_ms: grid.kept.interval_ms,
        rules,
        is_another: changed.is_another(which),
    };
    let rules = &grid.kept_profiles;
    past(Which::Short, &rules.hour).fill(row.hour, row.hour_means, row.hour_visits);
    past(Which::Main, &rules.day).fill(row.day, row.day_means, row.day_visits);
    if changed.is_another(Which::Main) {
        row.spread_visits.fill(0.0);
    }
    pending::clear(row.pending);
    pending::clear(row.origins);
    renew_linear(setup, row, changed);
    renew_weights(setup, row, changed);
}

/// What a profile is made anew from.
struct Past<'a> {
    ring: &'a Ring,
    values: &'a [f32],
    /// Local time of the newest value.
    newest_ms: i64,
    interval_ms: i64,
    rules: &'a ProfileRules,
    is_another: bool,
}

impl Past<'_> {
    fn fill(&self, profile: &mut Profile, means: &mut [f32], visits: &mut [f32]) {
        if !self.is_another {
            return;
        }
        *profile = Profile::zeroed();
        means.fill(0.0);
        visits.fill(0.0);
        for lag in (0..self.ring.len()).rev() {
            let Some(x) = self.ring.at(self.values, lag) else {
                continue;
            };
            let back = self.interval_ms.saturating_mul(lag as i64);
            let index = self.rules.season.index(self.newest_ms.saturating_sub(back));
            profile.update(means, visits, self.rules, index, x);
        }
    }
}

/// The linear experts forget what they learnt of regressors that are others now, and all that they learnt around another
/// base.
fn renew_linear(setup: &Setup, row: &mut Row<'_>, changed: &Changed) {
    if row.covariance.is_empty() {
        return;
    }
    if changed.is_new(Which::Main) {
        covariance::forget(row.covariance, linear::PLAIN);
    }
    for k in 0..setup.plan.scored.len() {
        let weights = row.linear[setup.layout.linear(k)].chunks_exact_mut(linear::WEIGHTS_LEN);
        for (expert, weights) in setup.experts().linear().zip(weights) {
            if is_new(expert, changed) {
                linear::forget(weights, 0);
            } else if changed.is_new(Which::Main) {
                linear::forget(weights, linear::PLAIN);
            }
        }
    }
}

/// Experts that say something new get equal weights, their shares begin again; so do the stacks.
fn renew_weights(setup: &Setup, row: &mut Row<'_>, changed: &Changed) {
    let all = setup.experts();
    let new = ExpertSet::of(all.iter().filter(|&expert| is_new(expert, changed)));
    let few = all.classical();
    for k in 0..setup.plan.scored.len() {
        let [mut classical, mut served] = row.centres(k, (few.len(), all.len()));
        classical.renew(few, new);
        served.renew(all, new);
        for (share, which) in row.shares[k * SHARES..][..SHARES].iter_mut().zip(SHARED) {
            if changed.is_another(which) {
                *share = Share::START;
            }
        }
    }
}

/// Season of each share.
const SHARED: [Which; SHARES] = [Which::Main, Which::Main, Which::Long, Which::Short];

fn is_new(expert: Expert, changed: &Changed) -> bool {
    expert.season().is_some_and(|which| changed.is_new(which))
}
