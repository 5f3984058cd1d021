//! The last valid and the first invalid input of every reason.

use super::{config, decoded, message, outcomes};
use crate::codec::{Config, Decoder, Reason};

/// Reason, a message that just passes, one that just does not; field `v`, ids of at most 16 bytes.
const EDGES: &[(Reason, &str, &str)] = &[
    (Reason::Empty, r#"[{"id":"p","t":1767607200,"v":1}]"#, "[]"),
    (Reason::Empty, r#"{"id":"p","t":1767607200,"v":1}"#, ""),
    (
        Reason::Malformed,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":1767607200,"v":1"#,
    ),
    (
        Reason::Malformed,
        r#"{"id":"p","t":1767607200,"v":1} "#,
        r#"{"id":"p","t":1767607200,"v":1} x"#,
    ),
    (
        Reason::Malformed,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":1767607200,"v":01}"#,
    ),
    (Reason::Malformed, r#"{"id":"p","t":1767607200,"v":1}"#, r#""{}""#),
    (Reason::Malformed, r#"[{"id":"p","t":1767607200,"v":1}]"#, "[[]]"),
    (
        Reason::NoStream,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"t":1767607200,"v":1}"#,
    ),
    (
        Reason::NoStream,
        r#"{"id":" ","t":1767607200,"v":1}"#,
        r#"{"id":"","t":1767607200,"v":1}"#,
    ),
    (
        Reason::NoStream,
        r#"{"id":-7,"t":1767607200,"v":1}"#,
        r#"{"id":-7.0,"t":1767607200,"v":1}"#,
    ),
    (
        Reason::NoStream,
        r#"{"id":"null","t":1767607200,"v":1}"#,
        r#"{"id":null,"t":1767607200,"v":1}"#,
    ),
    (
        Reason::NoStream,
        r#"{"id":1,"t":1767607200,"v":1}"#,
        r#"{"id":true,"t":1767607200,"v":1}"#,
    ),
    (
        Reason::StreamTooLong,
        r#"{"id":"0123456789abcdef","t":1767607200,"v":1}"#,
        r#"{"id":"0123456789abcdefg","t":1767607200,"v":1}"#,
    ),
    (
        Reason::StreamTooLong,
        r#"{"id":"01234567é89abcd","t":1767607200,"v":1}"#,
        r#"{"id":"01234567é89abcde","t":1767607200,"v":1}"#,
    ),
    (
        Reason::NotUtf8,
        r#"{"id":"\ud83d\ude00","t":1767607200,"v":1}"#,
        r#"{"id":"\ud83d","t":1767607200,"v":1}"#,
    ),
    (
        Reason::NoTime,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","v":1}"#,
    ),
    (
        Reason::NoTime,
        r#"{"id":"p","t":0,"v":1}"#,
        r#"{"id":"p","t":null,"v":1}"#,
    ),
    (
        Reason::BadTime,
        r#"{"id":"p","t":"2026-01-05T10:00:00Z","v":1}"#,
        r#"{"id":"p","t":"2026-01-05T10:00:00","v":1}"#,
    ),
    (
        Reason::BadTime,
        r#"{"id":"p","t":"0000-01-01T00:00:00Z","v":1}"#,
        r#"{"id":"p","t":"0000-01-01T00:00:00+00:01","v":1}"#,
    ),
    (
        Reason::BadTime,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":false,"v":1}"#,
    ),
    (
        Reason::TimeInFuture,
        r#"{"id":"p","t":1767609000,"v":1}"#,
        r#"{"id":"p","t":1767609000.001,"v":1}"#,
    ),
    (
        Reason::NoValue,
        r#"{"id":"p","t":1767607200,"v":null}"#,
        r#"{"id":"p","t":1767607200,"V":1}"#,
    ),
    (
        Reason::NotANumber,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":1767607200,"v":"1"}"#,
    ),
    (
        Reason::NotANumber,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":1767607200,"v":true}"#,
    ),
    (
        Reason::NotANumber,
        r#"{"id":"p","t":1767607200,"v":1}"#,
        r#"{"id":"p","t":1767607200,"v":[1]}"#,
    ),
    (
        Reason::NotFinite,
        r#"{"id":"p","t":1767607200,"v":1.7976931348623157e308}"#,
        r#"{"id":"p","t":1767607200,"v":1.7976931348623159e308}"#,
    ),
    (
        Reason::NotFinite,
        r#"{"id":"p","t":1767607200,"v":1e-999}"#,
        r#"{"id":"p","t":1767607200,"v":-1e999}"#,
    ),
];

#[test]
fn edges_of_every_reason() {
    for (reason, valid, invalid) in EDGES {
        let good = decoded(config(&["v"]), valid);
        assert!(
            good.len() == 1 && good[0].split(' ').count() > 2,
            "{valid}: {good:?}"
        );
        assert_eq!(
            decoded(config(&["v"]), invalid),
            [format!("0 {}", reason.as_str())],
            "{invalid}"
        );
    }
}

#[test]
fn edges_of_bytes() {
    let mut decoder = Decoder::new(Config {
        value_max_bytes: 31,
        ..config(&["v"])
    });
    let value = r#"{"id":"p","t":1767607200,"v":1}"#;
    assert_eq!(
        outcomes(&mut decoder, &message(None, Some(value.as_bytes()))),
        ["0 p 0 1.0"]
    );
    let larger = format!("{value} ");
    assert_eq!(
        outcomes(&mut decoder, &message(None, Some(larger.as_bytes()))),
        ["0 too_large"]
    );
    assert_eq!(outcomes(&mut decoder, &message(None, None)), ["0 empty"]);
    let broken: Vec<u8> = value
        .bytes()
        .map(|byte| if byte == b'p' { 0xff } else { byte })
        .collect();
    assert_eq!(
        outcomes(&mut decoder, &message(None, Some(&broken))),
        ["0 not_utf8"]
    );
}

#[test]
fn edges_know_every_reason_of_the_decoder() {
    let dropped = [
        Reason::Duplicate,
        Reason::Late,
        Reason::Missing,
        Reason::OverCapacity,
        Reason::Muted,
    ];
    let missing: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|reason| !EDGES.iter().any(|(edge, ..)| edge == reason) && !dropped.contains(reason))
        .collect();
    assert_eq!(missing, [Reason::TooLarge], "its edge is one of bytes");
    let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    assert!(Reason::ALL.iter().all(|reason| !reason.sentence().is_empty()));
}
