//! The event time of a partition, and what is remembered of the last look for idle streams.
//!
//! # How it moves
//! Idle is who was not seen for `stream_ttl` of this time, so whoever moves it decides who is forgotten. One clock gone
//! wrong must not: an event time is only a voice. A running median follows the event times by small steps, up and down (a
//! stochastic approximation of the median, Robbins and Monro 1951), and the partition's time follows the median: up at
//! once, down slowly, as no stream may grow old by a median that dips and comes back.
//!
//! - **Step**: 4 / streams of `stream_ttl`, an eighth at most. So before a stream is forgotten, a quarter as many
//!   observations as there are streams have come without one of it.
//! - **One message** moves the median by an eighth at most, whatever it holds.
//! - **One stream** among others has one voice until somebody else has moved the time, and but an echo of a millisecond
//!   then: at whatever rate it lies, it is a step ahead.
//! - **Ids beyond the capacity** have a small voice. They need one: where all streams are gone for good, theirs are the
//!   only ones left.
//!
//! What most observations say is believed in the end, be it a plant whose clock is set; once it is set back, the time comes
//! back with it. All of it is a function of the observations in their order.

use crate::series::observation::Offset;

/// Time of a partition, from its observations alone: no wall clock shapes state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The partition's time, milliseconds since 1970; `i64::MIN` before the first observation. Invariant: not before
    /// `median_ms`.
    pub now_ms: i64,
    /// Running median of event times.
    pub median_ms: i64,
    /// No look for idle streams is worth its cost before this is idle: none was last seen before, or there was a look just
    /// now.
    pub oldest_ms: i64,
}

/// An observation as the clock hears it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// Event time.
    pub(crate) time_ms: i64,
    /// Message that carried it.
    pub(crate) offset: Offset,
    /// [`Clock::now_ms`] when its stream was seen last; `None` of a new one.
    pub(crate) seen_ms: Option<i64>,
    /// Whether its stream has, or finds, a place.
    pub(crate) admitted: bool,
}

/// The message in hand, and where the median was before it. No part of state: restarts lie between messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hearing(Option<(Offset, i64)>);

/// Parts of `stream_ttl` that one observation, or one message, moves the median by at most. Fewer give a single message
/// more weight in a small partition; more make a sparse one lag: with 30 days, streams of one reading in three days keep up.
const SHARE_LEAST: i64 = 8;
/// Observations per stream and `stream_ttl` that the time needs to keep up, inverse. Fewer let a lie be believed sooner,
/// more make partitions lag whose streams are mostly gone.
const STEPS_PER_STREAM: i64 = 4;
/// How much smaller the voice of an id beyond the capacity is, and how much slower the time comes back than the median.
const SMALLER: i64 = 16;
/// What a stream moves that was itself the last to move the time: next to nothing, however often it speaks; but something,
/// or all streams might wait for each other where the time comes back to where they all saw it.
const ECHO_MS: i64 = 1;
/// Of a full partition's lifetime (`stream_ttl`), how much passes at least between two looks for idle streams: each costs
/// a pass over all of them. Smaller parts keep idle streams longer than asked for, larger ones let hostile ids cost more.
const SWEEP_SHARE: i64 = 64;

impl Clock {
    /// Of a partition that saw nothing.
    pub const START: Self = Self {
        now_ms: i64::MIN,
        median_ms: i64::MIN,
        oldest_ms: i64::MIN,
    };

    /// Hears an observation; the partition holds `streams`. Gives when its stream was seen: now; a millisecond before where
    /// the next voice may be its own, that is unless it was the last to move the time.
    pub(crate) fn hear(&mut self, voice: &Voice, hearing: &mut Hearing, streams: usize, ttl_ms: i64) -> i64 {
        // The largest number is the mark of a vacant slot.
        let time_ms = voice.time_ms.min(i64::MAX - 1);
        if self.now_ms == i64::MIN {
            self.now_ms = time_ms;
            self.median_ms = time_ms;
            return self.now_ms;
        }
        let now_before_ms = self.now_ms;
        let before_ms = match hearing.0 {
            Some((offset, before_ms)) if offset == voice.offset => before_ms,
            _ => self.median_ms,
        };
        hearing.0 = Some((voice.offset, before_ms));
        let message_ms = (ttl_ms / SHARE_LEAST).max(1);
        let share = (i64::try_from(streams).unwrap_or(i64::MAX) / STEPS_PER_STREAM).max(SHARE_LEAST);
        let full_ms = (ttl_ms / share).max(1);
        let small_ms = (full_ms / SMALLER).max(1);
        let step_ms = if streams > 1 && voice.seen_ms == Some(self.now_ms) {
            ECHO_MS
        } else if voice.admitted {
            full_ms
        } else {
            small_ms
        };
        let range = |around: i64, by: i64| (around.saturating_sub(by), around.saturating_add(by));
        let (low, high) = range(self.median_ms, step_ms);
        let (lowest, highest) = range(before_ms, message_ms);
        self.median_ms = time_ms.clamp(low, high).clamp(lowest, highest);
        let back_ms = small_ms.min(step_ms);
        self.now_ms = self.median_ms.max(self.now_ms.saturating_sub(back_ms));
        if self.now_ms == now_before_ms {
            self.now_ms.saturating_sub(1)
        } else {
            self.now_ms
        }
    }

    /// Whether some stream may have been idle for longer than `ttl_ms`, and none was looked for just now.
    pub(crate) const fn is_sweep_due(&self, ttl_ms: i64) -> bool {
        self.is_idle(self.oldest_ms, ttl_ms)
    }

    /// Whether a stream seen last at `seen_ms` has been idle for longer than `ttl_ms`.
    pub(crate) const fn is_idle(&self, seen_ms: i64, ttl_ms: i64) -> bool {
        self.now_ms.saturating_sub(seen_ms) > ttl_ms
    }

    /// Idle streams were looked for; of those that stay, the one seen longest ago was seen at `oldest_ms`.
    pub(crate) fn swept(&mut self, oldest_ms: i64, ttl_ms: i64) {
        let just_now = self
            .now_ms
            .saturating_sub(ttl_ms)
            .saturating_add(ttl_ms / SWEEP_SHARE);
        self.oldest_ms = oldest_ms.max(just_now);
    }
}
