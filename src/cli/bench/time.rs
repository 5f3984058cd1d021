//! Rates of things that take turns, so that a machine that slows down slows all of them.

use std::time::{Duration, Instant};

use crate::daemon::clock::thread_cpu;

/// How long each has the core in a round: long against a look at the clock, short against a change of its speed.
const SLICE: Duration = Duration::from_millis(20);

/// One of the things: does some of it, and says how much.
pub(super) type Part<'a> = &'a mut dyn FnMut() -> u64;

/// Medians over rounds of how much each did per second; the first round, in which caches fill, does not count.
pub(super) fn rates(seconds: u16, parts: &mut [Part<'_>]) -> Vec<f64> {
    let end = now() + Duration::from_secs(seconds.into());
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); parts.len()];
    let mut warm = false;
    while now() < end || rounds[0].len() < 5 {
        for (part, rates) in parts.iter_mut().zip(&mut rounds) {
            let rate = rate(part);
            if warm {
                rates.push(rate);
            }
        }
        warm = true;
    }
    rounds.into_iter().map(median).collect()
}

fn rate(part: &mut Part<'_>) -> f64 {
    // Of the thread, not of the wall: what else runs on the machine takes no part.
    let start = thread_cpu();
    let mut done = 0;
    loop {
        done += part();
        let passed = thread_cpu() - start;
        if passed >= SLICE {
            return done as f64 / passed.as_secs_f64();
        }
    }
}

/// The upper one of an even number.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[allow(clippy::disallowed_methods, reason = "a bench looks at the clock")]
fn now() -> Instant {
    Instant::now()
}
