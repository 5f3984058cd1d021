//! The event time of a partition, and what is remembered of the last look for idle streams.

/// Time of a partition, from its observations alone: no wall clock shapes state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Largest event time admitted, milliseconds since 1970; `i64::MIN` before the first one.
    pub now_ms: i64,
    /// No stream was last seen before this.
    pub oldest_ms: i64,
    /// `now_ms` when idle streams were looked for last; `i64::MIN` = never.
    pub swept_ms: i64,
}

/// Of a full partition's lifetime (`stream_ttl`), how much passes at least between two looks for idle streams: each costs
/// a pass over all of them. Smaller parts keep idle streams longer than asked for, larger ones let hostile ids cost more.
const SWEEP_SHARE: i64 = 64;

impl Clock {
    /// Of a partition that saw nothing.
    pub const START: Self = Self {
        now_ms: i64::MIN,
        oldest_ms: i64::MIN,
        swept_ms: i64::MIN,
    };

    /// An observation was admitted.
    pub(crate) fn note(&mut self, time_ms: i64) {
        // The largest number is the mark of a vacant slot.
        self.now_ms = self.now_ms.max(time_ms.min(i64::MAX - 1));
    }

    /// Whether some stream may have been idle for longer than `ttl_ms`, and none was looked for just now.
    pub(crate) const fn is_sweep_due(&self, ttl_ms: i64) -> bool {
        self.is_idle(self.oldest_ms, ttl_ms)
            && self.now_ms.saturating_sub(self.swept_ms) > ttl_ms / SWEEP_SHARE
    }

    /// Whether a stream seen last at `seen_ms` has been idle for longer than `ttl_ms`.
    pub(crate) const fn is_idle(&self, seen_ms: i64, ttl_ms: i64) -> bool {
        self.now_ms.saturating_sub(seen_ms) > ttl_ms
    }

    /// Idle streams were looked for; of those that stay, the one seen longest ago was seen at `oldest_ms`.
    pub(crate) const fn swept(&mut self, oldest_ms: i64) {
        self.oldest_ms = oldest_ms;
        self.swept_ms = self.now_ms;
    }
}
