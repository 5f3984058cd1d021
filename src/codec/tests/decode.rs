//! Shapes of messages.

use super::{NOW_MS, config, decoded, message, outcomes, sentence};
use crate::codec::config::TimeUnit;
use crate::codec::{Config, Decoder, OBSERVATIONS_MAX};

#[test]
fn decode_reads_an_object() {
    assert_eq!(
        decoded(
            config(&["v"]),
            r#" {"x":[1,{"v":2}],"id":"p","t":1767607200,"v":1.5e0}"#
        ),
        ["0 p 0 1.5"]
    );
}

#[test]
fn decode_names_streams_of_several_values_by_field() {
    let value = r#"[{"id":"p","t":1767607200,"a":1,"b":null},{"id":7,"t":1767607201,"b":-0.0,"a":2}]"#;
    assert_eq!(
        decoded(config(&["a", "b"]), value),
        [
            "0 p/a 0 1.0",
            "1 p/b 0 missing",
            "2 7/a 1000 2.0",
            "3 7/b 1000 -0.0"
        ]
    );
}

#[test]
fn decode_takes_key_and_kafka_time_where_no_field_is_named() {
    let bare = Config {
        id: None,
        time: None,
        ..config(&["v"])
    };
    assert_eq!(
        decoded(bare.clone(), r#"[{"v":1},{"v":2}]"#),
        ["0 key 0 1.0", "1 key 0 2.0"]
    );
    let mut decoder = Decoder::new(bare);
    assert_eq!(
        outcomes(&mut decoder, &message(None, Some(b"[{\"v\":1},{}]"))),
        ["0 no_stream", "1 no_stream"]
    );
    assert_eq!(
        outcomes(&mut decoder, &message(Some(b""), Some(b"{}"))),
        ["0 no_stream"]
    );
    assert_eq!(
        outcomes(&mut decoder, &message(Some(b"a\xff"), Some(b"{}"))),
        ["0 not_utf8"]
    );
    let untimed = crate::codec::Message {
        timestamp_ms: -1,
        ..message(Some(b"k"), Some(b"{\"v\":1}"))
    };
    assert_eq!(outcomes(&mut decoder, &untimed), ["0 no_time"]);
}

#[test]
fn decode_follows_dotted_paths() {
    let nested = Config {
        id: Some("meta.id".into()),
        time: Some("meta.at.t".into()),
        ..config(&["v", "v.deep"])
    };
    let value = r#"{"v":{"deep":3},"meta":{"at":{"t":1767607200},"id":"p"}}"#;
    assert_eq!(
        decoded(nested.clone(), value),
        ["0 not_a_number", "1 p/v.deep 0 3.0"]
    );
    let flat = r#"{"v":1,"v.deep":4,"meta":5,"meta.id":"q","meta.at.t":1767607200}"#;
    assert_eq!(
        decoded(nested.clone(), flat),
        ["0 q/v 0 1.0", "1 q/v.deep 0 4.0"],
        "names as they are, dots and all"
    );
    assert_eq!(
        decoded(nested.clone(), r#"{"v":1,"meta":[]}"#),
        ["0 no_stream", "1 no_stream"]
    );
    assert_eq!(
        decoded(nested, r#"{"v":1,"meta":{"id":"p","at":1e999}}"#),
        ["0 no_time", "1 no_time"]
    );
}

#[test]
fn decode_lets_the_last_of_a_name_count() {
    assert_eq!(
        decoded(
            config(&["v"]),
            r#"{"v":"x","id":"a","id":"b","t":1767607200,"v":2}"#
        ),
        ["0 b 0 2.0"]
    );
    let nested = Config {
        id: Some("meta.id".into()),
        ..config(&["v"])
    };
    let value = r#"{"meta":{"id":"a"},"meta":{"other":1},"t":1767607200,"v":2}"#;
    assert_eq!(
        decoded(nested, value),
        ["0 no_stream"],
        "the last `meta` has no id"
    );
}

#[test]
fn decode_reads_escapes_in_ids_and_keys() {
    let value = r#"{"\u0069d":"a\"\u00e9\ud83d\ude00","t":1767607200,"v":1}"#;
    assert_eq!(decoded(config(&["v"]), value), ["0 a\"é😀 0 1.0"]);
    assert_eq!(
        decoded(config(&["v"]), r#"{"id":"\ud800","t":1767607200,"v":1}"#),
        ["0 not_utf8"]
    );
}

#[test]
fn decode_keeps_a_fault_in_its_element() {
    let value = r#"[{"id":"a","t":1767607200,"x":1,"y":2},7,{"t":1},{"id":"a","t":1767607200,"y":"2"},1e999,{"\ud800":1}]"#;
    let expected = [
        "0 a/x 0 1.0",
        "1 a/y 0 2.0",
        "2 malformed",
        "4 no_stream",
        "5 no_stream",
        "6 no_value",
        "7 not_a_number",
        "8 malformed",
        "10 malformed",
    ];
    assert_eq!(decoded(config(&["x", "y"]), value), expected);
}

#[test]
fn decode_reads_times_in_every_form() {
    let at = |unit, time: &str| {
        let one = Config {
            time_unit: unit,
            future_max_ms: i64::MAX,
            ..config(&["v"])
        };
        decoded(one, &format!(r#"{{"id":"p","t":{time},"v":1}}"#)).remove(0)
    };
    let same = [
        "1767607200",
        "1767607200000",
        "1767607200000000",
        "1767607200000000999",
        "1767607200.0",
        "1.7676072e9",
        "\"2026-01-05T10:00:00Z\"",
        "\"2026-01-05T11:30:00.0009+01:30\"",
        "\"2026-01-05t10:00:00z\"",
    ];
    for time in same {
        assert_eq!(at(TimeUnit::Auto, time), "0 p 0 1.0", "{time}");
    }
    assert_eq!(at(TimeUnit::Auto, "1767607200.25"), "0 p 250 1.0");
    assert_eq!(at(TimeUnit::Seconds, "0"), format!("0 p {} 1.0", -NOW_MS));
    assert_eq!(at(TimeUnit::Milliseconds, "1767607200001"), "0 p 1 1.0");
    assert_eq!(
        at(TimeUnit::Microseconds, "-1"),
        format!("0 p {} 1.0", -1 - NOW_MS),
        "rounded down, as for all times"
    );
    assert_eq!(at(TimeUnit::Nanoseconds, "1767607200001000000"), "0 p 1 1.0");
    for time in [
        "\"yesterday\"",
        "\"2026-01-05\"",
        "\"1767607200\"",
        "true",
        "[]",
        "{}",
        "1e999",
        "1e300",
        "-1e30",
        "99999999999999999999999",
        "\"2026-13-05T10:00:00Z\"",
    ] {
        assert_eq!(at(TimeUnit::Auto, time), "0 bad_time", "{time}");
    }
}

#[test]
fn decode_bounds_the_observations_of_a_message() {
    let objects = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(
        decoded(config(&["v"]), &objects(OBSERVATIONS_MAX)).len(),
        OBSERVATIONS_MAX
    );
    assert_eq!(
        decoded(config(&["v"]), &objects(OBSERVATIONS_MAX + 1)),
        ["0 too_large"]
    );
    assert_eq!(
        decoded(config(&["a", "b"]), &objects(OBSERVATIONS_MAX / 2 + 1)),
        ["0 too_large"]
    );
}

#[test]
fn decode_says_what_and_the_way_out() {
    let value = r#"{"id":"p","t":1767607200,"v":"21,5"}"#;
    assert_eq!(
        sentence(config(&["v"]), value),
        "the value field `v` is a string, `21,5`: a JSON number, not in quotes, is needed"
    );
    let long = format!(r#"{{"id":"p","t":"{}","v":1}}"#, "é".repeat(500));
    assert!(
        sentence(config(&["v"]), &long).len() < 300,
        "a sentence stays short"
    );
    assert!(sentence(config(&["v"]), "{\"id\":").contains("EOF while parsing"));
    assert!(sentence(config(&["v"]), "7").contains("is a number"));
}
