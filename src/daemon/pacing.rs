//! How fast the trainer may go.

use std::time::Duration;

/// Unused allowance that is kept: after an idle hour the trainer may not take a core for half an hour.
const CREDIT_MAX: Duration = Duration::from_millis(500);

/// Longest single pause, so that a stop and fresh chunks are not slept through.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Keeps a thread's CPU time below a share of wall time.
#[derive(Clone, Copy, Debug)]
pub struct CpuCap {
    /// Of one core, above 0.
    share: f64,
    /// CPU and wall time up to which the account is settled.
    cpu: Duration,
    wall: Duration,
    /// Unused wall time that is kept.
    credit_max: Duration,
}

impl CpuCap {
    /// A cap of `share` (above 0) of one core, from these readings of the thread's CPU clock and of a monotonic clock on.
    #[must_use]
    pub const fn new(share: f64, cpu: Duration, wall: Duration) -> Self {
        Self {
            share,
            cpu,
            wall,
            credit_max: CREDIT_MAX,
        }
    }

    /// How long to pause at these readings before more may be used.
    pub fn pause(&mut self, cpu: Duration, wall: Duration) -> Duration {
        let used = cpu.saturating_sub(self.cpu).as_secs_f64();
        let passed = wall.saturating_sub(self.wall).as_secs_f64();
        let needed = used / self.share;
        let credit = (passed - needed).max(0.0);
        if credit > self.credit_max.as_secs_f64() {
            // Forget what is older than the credit that is kept.
            self.cpu = cpu;
            self.wall = wall.saturating_sub(self.credit_max);
        }
        Duration::from_secs_f64((needed - passed).clamp(0.0, PAUSE_MAX.as_secs_f64()))
    }
}

/// Whether training stops for lag: beyond the threshold, until half of it is left.
///
/// Between the two it stays as it was: at the threshold itself it would flap.
#[must_use]
pub const fn paused_by_lag(paused: bool, lag: i64, threshold: i64) -> bool {
    if paused {
        lag > threshold / 2
    } else {
        lag > threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs bursts of `burst` ms of work under the cap for a minute of simulated time; returns the CPU share used.
    fn share_used(mut cap: CpuCap, burst: u64, idle_first: Duration) -> f64 {
        let (mut cpu, mut wall) = (ms(0), idle_first);
        while wall < idle_first + ms(60_000) {
            let pause = cap.pause(cpu, wall);
            if pause.is_zero() {
                cpu += ms(burst);
                wall += ms(burst);
            } else {
                wall += pause;
            }
        }
        cpu.as_secs_f64() / 60.0
    }

    #[test]
    fn cap_holds_the_share_whatever_the_burst() {
        for share in [0.05, 0.25, 0.5, 1.0] {
            for burst in [1_u32, 20, 300] {
                let cap = CpuCap::new(share, ms(0), ms(0));
                let used = share_used(cap, u64::from(burst), ms(0));
                let slack = 0.02 + f64::from(burst) / 60_000.0; // absolute: one credit and one burst of a minute
                assert!(
                    (used - share).abs() <= slack,
                    "share {share} burst {burst}: used {used}"
                );
            }
        }
    }

    #[test]
    fn cap_idle_hour_gives_half_a_second_only() {
        let used = share_used(CpuCap::new(0.1, ms(0), ms(0)), 10, ms(3_600_000));
        assert!(used <= 0.1 + 0.011, "{used}"); // absolute: 0.5 s of 60
    }

    #[test]
    fn cap_that_keeps_all_credit_runs_flat_out_after_an_idle_hour() {
        // Negative control of the test above.
        let mut cap = CpuCap::new(0.1, ms(0), ms(0));
        cap.credit_max = Duration::MAX;
        let used = share_used(cap, 10, ms(3_600_000));
        assert!(used > 0.99, "{used}");
    }

    #[test]
    fn training_paused_beyond_the_lag_resumes_at_half() {
        assert!(!paused_by_lag(false, 1000, 1000));
        assert!(paused_by_lag(false, 1001, 1000));
        assert!(paused_by_lag(true, 501, 1000));
        assert!(!paused_by_lag(true, 500, 1000));
    }
}
