//! librdkafka's own lines, under the target `librdkafka`: one of a kind per half a minute, with how many were left out. A
//! broker that is away for a night would fill the log otherwise, some ten lines a second per client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::lookup;

/// Least time between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(30);
/// Kinds that are told apart; facilities and error codes are few dozens. Beyond it, one kind is all others.
const KINDS_MAX: usize = 128;

static LIMITER: Mutex<Limiter> = Mutex::new(Limiter {
    kinds: BTreeMap::new(),
});

/// When each kind was let through last, and how many were not since then.
struct Limiter {
    kinds: BTreeMap<String, (Instant, u64)>,
}

impl Limiter {
    /// How many of the kind were left out before this one; `None` where this one is left out too.
    fn admit(&mut self, kind: &str, now: Instant) -> Option<u64> {
        let full = self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(kind);
        let kind = if full { "others" } else { kind };
        match self.kinds.get_mut(kind) {
            Some((last, left_out)) if now.saturating_duration_since(*last) < INTERVAL => {
                *left_out += 1;
                None
            }
            Some((last, left_out)) => {
                *last = now;
                Some(std::mem::take(left_out))
            }
            None => {
                self.kinds.insert(kind.to_owned(), (now, 0));
                Some(0)
            }
        }
    }
}

fn admit(kind: &str) -> Option<u64> {
    LIMITER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .admit(kind, lookup::now())
}

/// A line of the library, at its level; what it calls an error it deals with by itself, so that is a warning.
pub(crate) fn line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
        return;
    }
    let Some(left_out) = admit(facility) else { return };
    if matches!(level, RDKafkaLogLevel::Notice) {
        tracing::info!(target: "librdkafka", facility, left_out, "{message}");
        return;
    }
    if matches!(
        level,
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
    ) {
        tracing::error!(target: "librdkafka", facility, left_out, "{message}");
    } else {
        tracing::warn!(target: "librdkafka", facility, left_out, "{message}");
    }
}

/// Trouble that the library deals with by itself (a connection lost, a broker away).
pub(crate) fn trouble(error: &KafkaError, reason: &str) {
    if matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
        return; // every partition that is read up to its end, each time; the poll hands it out too
    }
    if let Some(left_out) = admit(&error.to_string()) {
        tracing::warn!(target: "librdkafka", %error, left_out, "{reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lets_one_of_a_kind_through_and_counts_the_rest() {
        let mut limiter = Limiter {
            kinds: BTreeMap::new(),
        };
        let start = lookup::now();
        assert_eq!(limiter.admit("FAIL", start), Some(0));
        assert_eq!(limiter.admit("FAIL", start + INTERVAL / 2), None);
        assert_eq!(limiter.admit("GETPID", start + INTERVAL / 2), Some(0));
        assert_eq!(limiter.admit("FAIL", start + INTERVAL / 2), None);
        assert_eq!(limiter.admit("FAIL", start + INTERVAL), Some(2));
        assert_eq!(limiter.admit("FAIL", start + INTERVAL * 2), Some(0));
    }

    #[test]
    fn log_kinds_are_bounded() {
        let mut limiter = Limiter {
            kinds: BTreeMap::new(),
        };
        let start = lookup::now();
        let admitted = (0..10 * KINDS_MAX)
            .filter_map(|kind| limiter.admit(&kind.to_string(), start))
            .count();
        assert_eq!(admitted, KINDS_MAX + 1);
        assert_eq!(limiter.kinds.len(), KINDS_MAX + 1);
    }
}
