//! Units for people: durations, sizes, offsets from UTC.

/// Milliseconds of `500ms`, `30s`, `5m`, `1h`, `7d` or `0`.
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (number, unit) = split(text)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// Bytes of `64KB`, `256MB`, `1GB`, `1KiB`, `1MiB`, `1GiB`, `100B` or `100`.
pub(super) fn size_bytes(text: &str) -> Option<i64> {
    let (number, unit) = split(text)?;
    let unit_bytes = match unit {
        "" | "B" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit_bytes)
}

fn split(text: &str) -> Option<(i64, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Milliseconds that local time is ahead of UTC: `UTC`, `Z`, `+01:00`, `-09:30`.
pub(super) fn utc_offset_ms(text: &str) -> Option<i64> {
    if matches!(text, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let minutes_all = hours * 60 + minutes;
    (minutes < 60 && minutes_all <= 14 * 60).then_some(sign * minutes_all * 60_000)
}
