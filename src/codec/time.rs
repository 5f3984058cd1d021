//! Event times: RFC 3339 or a number in a unit.

use chrono::{DateTime, Datelike as _, Timelike as _};

use crate::codec::config::TimeUnit;

/// 0000-01-01T00:00:00Z: RFC 3339 writes a year in four digits.
pub(super) const TIME_MIN_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
pub(super) const TIME_MAX_MS: i64 = 253_402_300_799_999;

/// Milliseconds since 1970 of an RFC 3339 text; finer parts are cut off. `None`: it is none, or before the year 0.
pub(super) fn of_text(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    within(time.timestamp_millis())
}

/// Milliseconds since 1970 of a JSON number; finer parts of whole numbers are cut off, fractions are rounded.
/// `None`: outside the years 0000 to 9999.
pub(super) fn of_number(text: &str, unit: TimeUnit) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        let (multiply, divide) = match unit_of(whole.unsigned_abs() as f64, unit) {
            TimeUnit::Seconds => (1000, 1),
            TimeUnit::Microseconds => (1, 1000),
            TimeUnit::Nanoseconds => (1, 1_000_000),
            TimeUnit::Auto | TimeUnit::Milliseconds => (1, 1),
        };
        return within(whole.checked_mul(multiply)?.div_euclid(divide));
    }
    let number = text.parse::<f64>().ok()?;
    let ms = match unit_of(number.abs(), unit) {
        TimeUnit::Seconds => number * 1e3,
        TimeUnit::Microseconds => number / 1e3,
        TimeUnit::Nanoseconds => number / 1e6,
        TimeUnit::Auto | TimeUnit::Milliseconds => number,
    };
    let rounded = ms.round();
    if !(TIME_MIN_MS as f64..=TIME_MAX_MS as f64).contains(&rounded) {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a whole number within the bounds just checked"
    )]
    within(rounded as i64)
}

/// Seconds reach to the year 5138, and milliseconds begin in 1973: no time of a plant is read in the wrong unit.
fn unit_of(magnitude: f64, unit: TimeUnit) -> TimeUnit {
    match unit {
        TimeUnit::Auto if magnitude < 1e11 => TimeUnit::Seconds,
        TimeUnit::Auto if magnitude < 1e14 => TimeUnit::Milliseconds,
        TimeUnit::Auto if magnitude < 1e17 => TimeUnit::Microseconds,
        TimeUnit::Auto => TimeUnit::Nanoseconds,
        given => given,
    }
}

fn within(ms: i64) -> Option<i64> {
    (TIME_MIN_MS..=TIME_MAX_MS).contains(&ms).then_some(ms)
}

/// Appends `2026-11-24T10:00:00Z`, with `.250` before the `Z` where there are milliseconds. A time outside the years
/// 0000 to 9999 is written as the nearest one inside.
pub(super) fn write(ms: i64, out: &mut Vec<u8>) {
    let time = DateTime::from_timestamp_millis(ms.clamp(TIME_MIN_MS, TIME_MAX_MS))
        .expect("a time within four-digit years is one")
        .naive_utc();
    digits(time.year().unsigned_abs(), 4, out);
    for (separator, number) in [
        (b'-', time.month()),
        (b'-', time.day()),
        (b'T', time.hour()),
        (b':', time.minute()),
        (b':', time.second()),
    ] {
        out.push(separator);
        digits(number, 2, out);
    }
    let fraction_ms = time.nanosecond() / 1_000_000;
    if fraction_ms != 0 {
        out.push(b'.');
        digits(fraction_ms, 3, out);
    }
    out.push(b'Z');
}

fn digits(number: u32, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(b"0123456789"[digit as usize]);
    }
}
