//! The one place that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::worker;

/// Monotonic time since it was made; copies share the start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the shell reads the clock"
    )]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl worker::ports::Clock for Clock {
    fn now(&self) -> Duration {
        self.elapsed()
    }
}

/// CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Milliseconds since 1970, for what people read only.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "this is where the shell reads the clock"
)]
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
