//! Times as people and files write them.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// The demo's one look at the monotonic clock.
#[allow(
    clippy::disallowed_methods,
    reason = "the demo paces readings by it; no state depends on it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The demo's one look at the wall clock, milliseconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "simulated time must not run ahead of it: Kafka refuses such records"
)]
pub(crate) fn wall_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// Reads `2016-07-01 00:00:00`, `2016-07-01T00:00`, `2016-07-01`, RFC 3339, or seconds or milliseconds since 1970.
/// Times without a zone are UTC. Milliseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return epoch(number);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    const FORMS: [&str; 8] = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
        "%Y/%m/%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
        "%d.%m.%Y %H:%M:%S",
        "%d.%m.%Y %H:%M",
    ];
    let naive = FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()?
                .and_hms_opt(0, 0, 0)
        })?;
    Some(naive.and_utc().timestamp_millis())
}

/// By magnitude: below 1e11 seconds (until the year 5138), else milliseconds (from 1973 on).
#[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
fn epoch(number: f64) -> Option<i64> {
    let ms = if number.abs() < 1e11 {
        number * 1000.0
    } else {
        number
    };
    (ms.abs() < 2.5e14).then_some(ms.round() as i64)
}

/// RFC 3339 in UTC, whole seconds where it is whole.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    DateTime::from_timestamp_millis(time_ms).map_or_else(
        || time_ms.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// For the header of the view.
pub(crate) fn minute(time_ms: i64) -> String {
    DateTime::from_timestamp_millis(time_ms)
        .map_or_else(String::new, |time| time.format("%a %Y-%m-%d %H:%M").to_string())
}

/// `5 min`, `3 h`, `2 days`: as long as a person would say it.
pub(crate) fn span(ms: i64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        _ if days >= 2 => format!("{days} days"),
        _ if hours >= 1 && ms % 3_600_000 == 0 => format!("{hours} h"),
        _ if hours >= 1 => format!("{hours} h {} min", minutes % 60),
        _ if minutes >= 1 => format!("{minutes} min"),
        _ if seconds >= 1 => format!("{seconds} s"),
        _ => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_every_form_and_nothing_else() {
        let noon = 1_467_374_400_000;
        for text in [
            "2016-07-01 12:00:00",
            "2016-07-01T12:00:00Z",
            "2016-07-01T14:00:00+02:00",
            "2016-07-01T12:00",
            "2016/07/01 12:00",
            "01.07.2016 12:00",
            "01.07.2016 12:00:00",
            "2016/07/01 12:00:00",
            "2016-07-01T12:00:00",
            "1467374400",
            "1467374400000",
            " 1467374400.0 ",
        ] {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2016-13-01 00:00:00",
            "2016-07-01 25:00:00",
            "NaN",
            "1e300",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn span_speaks_as_people_do() {
        let said: Vec<_> = [1500, 300_000, 3_600_000, 5_400_000, 86_400_000, 604_800_000]
            .map(span)
            .into();
        assert_eq!(said, ["1 s", "5 min", "1 h", "1 h 30 min", "24 h", "7 days"]);
    }
}
