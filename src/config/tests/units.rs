//! Units for people.

use crate::config::units::{duration_ms, size_bytes, utc_offset_ms};

#[test]
fn units_read_durations() {
    let table = [
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("0", 0),
        ("0s", 0),
    ];
    for (text, ms) in table {
        assert_eq!(duration_ms(text), Some(ms), "{text}");
    }
    for text in [
        "",
        "7",
        "1.5h",
        "-1s",
        "1 m",
        "m",
        "1M",
        "1w",
        "99999999999999999d",
        "1h30m",
        "+1s",
    ] {
        assert_eq!(duration_ms(text), None, "{text}");
    }
}

#[test]
fn units_read_sizes() {
    let table = [
        ("100", 100),
        ("1B", 1),
        ("64KB", 64_000),
        ("256MB", 256_000_000),
        ("1GB", 1_000_000_000),
        ("1MiB", 1 << 20),
    ];
    for (text, bytes) in table {
        assert_eq!(size_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "MB", "1.5MB", "1mb", "1 MB", "9999999999999GB"] {
        assert_eq!(size_bytes(text), None, "{text}");
    }
}

#[test]
fn units_read_offsets() {
    let table = [
        ("UTC", 0),
        ("Z", 0),
        ("+01:00", 3_600_000),
        ("-09:30", -34_200_000),
        ("+14:00", 50_400_000),
        ("-00:00", 0),
    ];
    for (text, ms) in table {
        assert_eq!(utc_offset_ms(text), Some(ms), "{text}");
    }
    for text in [
        "", "+", "1:00", "+1:00", "+14:01", "+01:60", "+0100", "CET", "é1:00", "+01:0é",
    ] {
        assert_eq!(utc_offset_ms(text), None, "{text}");
    }
}
