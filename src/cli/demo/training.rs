//! What training says of itself, read from the daemon's `/metrics` as any scraper would.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::text;

/// Bytes of an answer at most.
const ANSWER_MAX: u64 = 4 << 20;
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The text of `/metrics`; `None` where it does not answer.
pub(crate) fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Sum of a metric over its labels; `None` where it is not there.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let mut values = text
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .peekable();
    values.peek()?;
    Some(values.sum())
}

/// In a few words, from the text of `/metrics`; `None` before anything was trained.
pub(crate) fn says(metrics: &str) -> Option<String> {
    let rows = metric(metrics, "tidecast_training_rows_total").filter(|rows| *rows >= 1.0)?;
    let refused = metric(metrics, "tidecast_training_refused_total").unwrap_or(0.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters of one process"
    )]
    let count = |value: f64| text::count(value.max(0.0) as u64);
    let mut said = format!("trained on {} rows", count(rows));
    if refused >= 1.0 {
        said += &format!(", {} refused", count(refused));
    }
    if metric(metrics, "tidecast_training_paused").is_some_and(|paused| paused >= 1.0) {
        said += ", paused: the daemon lags";
    }
    if metric(metrics, "tidecast_degraded").is_some_and(|degraded| degraded >= 1.0) {
        said += ", horizons left out";
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_sums_over_labels_and_knows_names_apart() {
        let text = "# TYPE a counter\na_total{p=\"x\"} 2\na_total{p=\"y\"} 3\na_total_other 9\nb 1\n";
        assert_eq!(metric(text, "a_total"), Some(5.0));
        assert_eq!(metric(text, "b"), Some(1.0));
        assert_eq!(metric(text, "c"), None);
    }

    #[test]
    fn says_what_was_trained() {
        assert_eq!(says(""), None);
        let text =
            "tidecast_training_rows_total{pipeline=\"plant\"} 12345\ntidecast_training_versions_total 3\n";
        assert_eq!(says(text).as_deref(), Some("trained on 12,345 rows"));
        let refused = format!("{text}tidecast_training_refused_total 2\n");
        assert_eq!(
            says(&refused).as_deref(),
            Some("trained on 12,345 rows, 2 refused")
        );
        let lagging = format!("{text}tidecast_training_paused 1\ntidecast_degraded 2\n");
        assert_eq!(
            says(&lagging).as_deref(),
            Some("trained on 12,345 rows, paused: the daemon lags, horizons left out")
        );
    }
}
