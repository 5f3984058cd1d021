//! Reads what the daemon publishes, as any team downstream would.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::board::Event;
use super::pump::Progress;
use super::record::Record;
use crate::codec::headers;
use crate::daemon::Stop;
use crate::kafka::feed::{Error, Reader, Received};

/// Events handed over at once at most.
const BATCH_MAX: usize = 512;
/// How long a poll waits for a first record.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads until a stop is asked for or nobody listens.
///
/// # Errors
/// A topic cannot be read.
pub(crate) fn run(
    reader: &Reader,
    forecasts: &str,
    progress: &Progress,
    events: &SyncSender<Vec<Event>>,
    stop: &Stop,
) -> Result<(), Error> {
    while !stop.is_requested() {
        let mut batch = Vec::new();
        let mut wait = PAUSE;
        while batch.len() < BATCH_MAX
            && reader.poll(wait, &mut |record| batch.push(event(record, forecasts)))?
        {
            wait = Duration::ZERO;
        }
        if batch.is_empty() {
            continue;
        }
        progress.seen.fetch_add(batch.len() as u64, Ordering::Release);
        if events.send(batch).is_err() {
            break;
        }
    }
    Ok(())
}

fn event(received: &Received<'_>, forecasts: &str) -> Event {
    if received.topic() != forecasts {
        let reason = received.header(headers::REASON).unwrap_or("without a reason");
        return Event::Letter(reason.to_owned());
    }
    match Record::parse(received.value().unwrap_or_default()) {
        Ok(record) => Event::Forecast(Box::new(record)),
        Err(why) => Event::Unreadable(why),
    }
}
