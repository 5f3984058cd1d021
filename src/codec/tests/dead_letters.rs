//! Copies of refused records.

use crate::codec::{DeadLetters, Place, Reason, headers};
use crate::engine::ModelVersion;
use crate::series::observation::{Offset, Partition, Source};

fn place() -> Place<'static> {
    let source = Source {
        offset: Offset(5),
        index: 2,
        timestamp_ms: 0,
    };
    Place {
        topic: "a.b",
        partition: Partition(0),
        source,
    }
}

fn headers_of(record_max_bytes: usize, value: Option<&[u8]>) -> (Option<Vec<u8>>, Vec<(String, String)>) {
    let mut letters = DeadLetters::new(record_max_bytes);
    let letter = letters.letter(&place(), (Reason::NoValue, "why"), 10, value);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = letter
        .headers()
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), text(bytes)))
        .collect();
    (letter.value.map(<[u8]>::to_vec), headers)
}

fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const WHY: [(&str, &str); 3] = [
    ("tidecast.source", "a.b/0/5/2"),
    ("tidecast.reason", "no_value"),
    ("tidecast.message", "why"),
];

#[test]
fn dead_letters_carry_the_value_as_received() {
    assert_eq!(
        headers_of(1 << 20, Some(b"\xff\x00")),
        (Some(b"\xff\x00".to_vec()), named(&WHY))
    );
    assert_eq!(headers_of(1 << 20, None), (None, named(&WHY)), "null stays null");
    assert_eq!(
        headers_of(1 << 20, Some(b"")),
        (Some(Vec::new()), named(&WHY)),
        "empty is not null"
    );
}

#[test]
fn dead_letters_leave_out_a_value_that_does_not_fit() {
    let value = vec![b'x'; 500];
    let room = 500 + 10 + 3 + 1024;
    assert_eq!(headers_of(room, Some(&value)), (Some(value.clone()), named(&WHY)));
    let mut why = WHY.to_vec();
    why.push(("tidecast.truncated", "500"));
    assert_eq!(headers_of(room - 1, Some(&value)), (None, named(&why)));
}

#[test]
fn headers_name_the_model() {
    let mut text = "old".to_owned();
    headers::write_model("plant", ModelVersion(12), &mut text);
    assert_eq!(text, "plant/12");
}
