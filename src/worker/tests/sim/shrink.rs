//! The shortest history that is still wrong in the same way.

use super::run::run;
use super::step::Step;
use super::world::Check;

/// Histories run for shrinking at most: seconds, not hours.
const TRIES_MAX: usize = 3_000;

/// Leaves out steps, many at a time and then one by one, while the same check fails.
pub(super) fn shrink(seed: u64, steps: Vec<Step>, check: Check) -> Vec<Step> {
    let fails = |steps: &[Step]| {
        run(seed, Some(steps.to_vec()))
            .violation
            .is_some_and(|violation| violation.check == check)
    };
    let mut kept = steps;
    let mut tries = 0;
    let mut size = kept.len().div_ceil(2);
    while size > 0 && tries < TRIES_MAX {
        let mut at = 0;
        let mut left_out = false;
        while at < kept.len() && tries < TRIES_MAX {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            tries += 1;
            if fails(&fewer) {
                kept = fewer;
                left_out = true;
            } else {
                at += size;
            }
        }
        if !left_out {
            size /= 2;
        }
    }
    kept
}
