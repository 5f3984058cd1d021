//! Feeds readings to Kafka at a pace, and waits where the daemon is behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock;
use super::reading::{Reading, Readings};
use crate::daemon::Stop;
use crate::kafka::feed::{Error, Feeder, Outgoing};

/// Without any outcome for so long, what is underway is written off: the demo goes on and the totals show it.
const WRITE_OFF_AFTER: Duration = Duration::from_secs(20);
/// How long a full queue may stay full.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a waiting pump looks again.
const PAUSE: Duration = Duration::from_millis(5);

/// What pump, reader and view tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Observations fed.
    pub fed: AtomicU64,
    /// Outcomes read.
    pub seen: AtomicU64,
    /// Given up waiting for.
    pub written_off: AtomicU64,
    /// Event time of the newest reading fed.
    pub time_ms: AtomicI64,
    /// Whether the history is fed and time passes at the asked pace.
    pub live: AtomicBool,
    /// Whether the pump waits for the daemon rather than for time.
    pub held_back: AtomicBool,
    /// Whether the source has ended.
    pub done: AtomicBool,
    /// Whether nothing more will be fed.
    pub ended: AtomicBool,
    /// Whether feeding or reading has ended with an error.
    pub failed: AtomicBool,
}

impl Progress {
    /// Notes an error for the view, which then ends, and hands it on.
    pub(crate) fn watch<E>(&self, result: Result<(), E>) -> Result<(), E> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Observations without an outcome so far.
    pub(crate) fn underway(&self) -> u64 {
        let settled = self.seen.load(Ordering::Acquire) + self.written_off.load(Ordering::Acquire);
        self.fed.load(Ordering::Acquire).saturating_sub(settled)
    }
}

/// How fast time passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Event seconds per second.
    pub speed: f64,
    /// Event time before which readings go as fast as the daemon takes them.
    pub live_from_ms: i64,
}

/// The pump.
pub(crate) struct Pump<'a> {
    pub feeder: Feeder,
    pub topic: String,
    pub pace: Pace,
    /// Observations on their way at most: beyond, the pump waits.
    pub underway_max: u64,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
}

impl Pump<'_> {
    /// Feeds until the source ends or a stop is asked for.
    ///
    /// # Errors
    /// The cluster takes no more.
    pub(crate) fn run(&self, readings: &mut dyn Readings) -> Result<(), Error> {
        let result = self.feed(readings);
        self.progress.ended.store(true, Ordering::Release);
        result
    }

    fn feed(&self, readings: &mut dyn Readings) -> Result<(), Error> {
        let names = readings.names().to_vec();
        let keys: Vec<String> = names
            .iter()
            .map(|name| serde_json::Value::from(name.as_str()).to_string())
            .collect();
        let mut batch = Vec::new();
        let mut schedule: Option<(Instant, i64)> = None;
        let mut text = String::new();
        while readings.next(&mut batch) {
            let Some(first) = batch.first() else {
                continue; // every sensor was silent
            };
            if !self.wait_for_time(first.time_ms, &mut schedule) {
                break;
            }
            for reading in &batch {
                if !self.wait_for_room() {
                    break;
                }
                write_record(&mut text, &keys[reading.stream], reading);
                let outgoing = Outgoing {
                    topic: &self.topic,
                    key: &names[reading.stream],
                    value: text.as_bytes(),
                    timestamp_ms: reading.time_ms.max(0),
                };
                self.feeder.send(&outgoing, PATIENCE)?;
                self.progress.fed.fetch_add(1, Ordering::Release);
            }
            self.progress.time_ms.store(first.time_ms, Ordering::Release);
            self.feeder.check()?;
        }
        self.feeder.flush(&self.topic, PATIENCE)?;
        self.progress
            .done
            .store(!self.stop.is_requested(), Ordering::Release);
        Ok(())
    }

    /// False if a stop was asked for.
    fn wait_for_time(&self, time_ms: i64, schedule: &mut Option<(Instant, i64)>) -> bool {
        let Pace { speed, live_from_ms } = self.pace;
        if time_ms < live_from_ms {
            return !self.stop.is_requested();
        }
        self.progress.live.store(true, Ordering::Release);
        let now = clock::now();
        let (start, start_ms) = *schedule.get_or_insert((now, time_ms));
        let due =
            start + Duration::from_secs_f64(((time_ms - start_ms).max(0) as f64 / 1000.0 / speed).min(1e8));
        if due + Duration::from_secs(1) < now {
            *schedule = Some((now, time_ms)); // what was lost while the daemon was behind is not caught up in a burst
        }
        // Kafka refuses records of the future, and so does the daemon.
        let early_ms = u64::try_from(time_ms - clock::wall_ms()).unwrap_or(0);
        let wait = due
            .saturating_duration_since(now)
            .max(Duration::from_millis(early_ms));
        if wait.is_zero() {
            return !self.stop.is_requested();
        }
        self.progress.held_back.store(false, Ordering::Release);
        !self.stop.wait(wait)
    }

    /// False if a stop was asked for.
    fn wait_for_room(&self) -> bool {
        let progress = self.progress;
        let mut seen = progress.seen.load(Ordering::Acquire);
        let mut since = clock::now();
        while progress.underway() >= self.underway_max {
            progress.held_back.store(true, Ordering::Release);
            if self.stop.wait(PAUSE) {
                return false;
            }
            let now = clock::now();
            let newest = progress.seen.load(Ordering::Acquire);
            if newest != seen {
                (seen, since) = (newest, now);
            } else if now.duration_since(since) > WRITE_OFF_AFTER {
                let lost = progress.underway();
                progress.written_off.fetch_add(lost, Ordering::Release);
                tracing::warn!(
                    lost,
                    "no outcome for {} s: these observations are written off",
                    WRITE_OFF_AFTER.as_secs()
                );
            }
        }
        !self.stop.is_requested()
    }
}

/// Replaces `text` by the record of a reading; `key` is the stream's id as JSON.
fn write_record(text: &mut String, key: &str, reading: &Reading) {
    use std::fmt::Write as _;
    text.clear();
    let value = reading
        .value
        .map_or(serde_json::Value::Null, serde_json::Value::from);
    let time = clock::rfc3339(reading.time_ms);
    write!(text, r#"{{"sensor":{key},"time":"{time}","value":{value}}}"#)
        .expect("writing to a string cannot fail");
}

/// Events of the last few seconds, for rates that settle quickly and do not flicker.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Duration, f64)>,
}

impl Rate {
    /// Per second over the last three seconds, given a total as of `now` since some start.
    pub(crate) fn update(&mut self, now: Duration, total: f64) -> f64 {
        self.samples.push_back((now, total));
        while self.samples.len() > 2 && now.saturating_sub(self.samples[1].0) > Duration::from_secs(3) {
            self.samples.pop_front();
        }
        let (then, before) = self.samples[0];
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.0 {
            (total - before) / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_record_is_json_whatever_the_name() {
        let mut text = String::new();
        let key = serde_json::Value::from("a\"b").to_string();
        write_record(
            &mut text,
            &key,
            &Reading {
                stream: 0,
                time_ms: 60_000,
                value: Some(1.5),
            },
        );
        assert_eq!(
            text,
            r#"{"sensor":"a\"b","time":"1970-01-01T00:01:00Z","value":1.5}"#
        );
        write_record(
            &mut text,
            &key,
            &Reading {
                stream: 0,
                time_ms: 0,
                value: None,
            },
        );
        assert!(text.ends_with(r#""value":null}"#), "{text}");
    }

    #[test]
    fn rate_is_over_the_last_seconds() {
        let mut rate = Rate::default();
        let at = |rate: &mut Rate, second: u64, total: f64| rate.update(Duration::from_secs(second), total);
        assert!(at(&mut rate, 0, 0.0).abs() < 1e-9);
        assert!((at(&mut rate, 1, 100.0) - 100.0).abs() < 1e-9);
        for second in 2..10 {
            at(&mut rate, second, 100.0);
        }
        assert!(at(&mut rate, 10, 100.0).abs() < 1e-9);
    }

    #[test]
    fn progress_counts_what_is_underway() {
        let progress = Progress::default();
        progress.fed.store(10, Ordering::Release);
        progress.seen.store(4, Ordering::Release);
        progress.written_off.store(1, Ordering::Release);
        assert_eq!(progress.underway(), 5);
        progress.seen.store(40, Ordering::Release);
        assert_eq!(progress.underway(), 0);
    }
}
