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

/// In a few words, from the text of `/metrics`.
pub(crate) fn says(metrics: &str) -> String {
    let rows = metric(metrics, "tidecast_training_rows_total").unwrap_or(0.0);
    if rows < 1.0 {
        return "training starts soon".to_owned();
    }
    let whole = |name: &str| metric(metrics, name).unwrap_or(0.0).max(0.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters of one process"
    )]
    let count = |name: &str| text::count(whole(name) as u64);
    format!(
        "trained on {} rows, updates: {}, refused: {}",
        count("tidecast_training_rows_total"),
        count("tidecast_training_versions_total"),
        count("tidecast_training_refused_total"),
    )
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
        assert!(says("").contains("starts soon"));
        let text =
            "tidecast_training_rows_total{pipeline=\"plant\"} 12345\ntidecast_training_versions_total 3\n";
        assert_eq!(says(text), "trained on 12,345 rows, updates: 3, refused: 0");
    }
}
