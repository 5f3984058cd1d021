//! Exactly one outcome for every observation, in order per stream, dead letters byte for byte, on a real Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::broker::daemon::{Daemon, await_until};
use crate::broker::{Broker, Names, kcat, sections};

/// Fields by dotted path, two values: every message below is read by this.
const INPUT: &str = r#"format = "json", id = "meta.id", time = "meta.t", values = ["flow", "heat"], start = "earliest", value_max_bytes = 4096"#;

fn config(broker: &Broker, names: &Names, input: &str) -> String {
    let sections = sections(&broker.servers, &names.group, "a", "commit_interval_ms = 100");
    let Names {
        input: topic,
        forecasts,
        letters,
        ..
    } = names;
    format!(
        r#"{sections}
[training]
cpu_share = 0
[pipeline.plant]
input = {{ topics = ["{topic}"], {input} }}
output = {{ topic = "{forecasts}", start_when = "always" }}
dead_letter = {{ topic = "{letters}", drops = true }}
interval = "1m"
horizons = [1, 3]
streams_max = 8
"#
    )
}

/// A message, and what must become of each of its observations: `forecast` or the code of a dead letter.
struct Case {
    key: Option<&'static str>,
    value: Option<String>,
    outcomes: Vec<&'static str>,
}

fn case(value: impl Into<String>, outcomes: &[&'static str]) -> Case {
    Case {
        key: Some("k"),
        value: Some(value.into()),
        outcomes: outcomes.to_vec(),
    }
}

fn good(id: &str, minute: u32, flow: &str, heat: &str) -> String {
    format!(r#"{{"meta":{{"id":"{id}","t":"2026-01-05T10:{minute:02}:00Z"}},"flow":{flow},"heat":{heat}}}"#)
}

fn cases() -> Vec<Case> {
    let mut cases = readings();
    cases.extend(poisons());
    cases.extend(extremes());
    cases
}

/// What can be read, in every form, and what the grid says to it.
fn readings() -> Vec<Case> {
    vec![
        case(good("p1", 0, "1.5", "20"), &["forecast", "forecast"]),
        case(good("p1", 1, "1.6", "20.5"), &["forecast", "forecast"]),
        case(
            format!(
                "[{},{}]",
                good("p1", 2, "1.7", "21"),
                good("p2", 0, "-3e2", "1E-3")
            ),
            &["forecast", "forecast", "forecast", "forecast"],
        ),
        case(good("p1", 2, "9", "9"), &["duplicate", "duplicate"]),
        case(good("p1", 1, "9", "9"), &["late", "late"]),
        case(good("p1", 3, "null", "22"), &["missing", "forecast"]),
        case(
            r#"{"meta":{"id":"p1","t":"2026-01-05T10:04:00Z"},"heat":23}"#,
            &["no_value", "forecast"],
        ),
        case(
            good("p1", 5, "\"warm\"", "true"),
            &["not_a_number", "not_a_number"],
        ),
        case(good("p1", 6, "1e999", "24"), &["not_finite", "forecast"]),
    ]
}

fn poisons() -> Vec<Case> {
    let long = "x".repeat(300);
    vec![
        case("[]", &["empty"]),
        Case {
            key: Some("k"),
            value: None,
            outcomes: vec!["empty"],
        },
        case("{\"meta\":", &["malformed"]),
        case("not json at all", &["malformed"]),
        case(
            format!("[{},7]", good("p2", 1, "1", "2")),
            &["forecast", "forecast", "malformed"],
        ),
        case(
            r#"{"meta":{"t":"2026-01-05T10:00:00Z"},"flow":1,"heat":2}"#,
            &["no_stream", "no_stream"],
        ),
        case(
            r#"{"meta":{"id":null,"t":"2026-01-05T10:00:00Z"},"flow":1,"heat":2}"#,
            &["no_stream", "no_stream"],
        ),
        case(
            r#"{"meta":{"id":"p3"},"flow":1,"heat":2}"#,
            &["no_time", "no_time"],
        ),
        case(
            r#"{"meta":{"id":"p3","t":"yesterday"},"flow":1,"heat":2}"#,
            &["bad_time", "bad_time"],
        ),
        case(
            r#"{"meta":{"id":"p3","t":"2126-01-05T10:00:00Z"},"flow":1,"heat":2}"#,
            &["time_in_future", "time_in_future"],
        ),
        case(good(&long, 0, "1", "2"), &["stream_too_long", "stream_too_long"]),
    ]
}

/// Times in every form, extreme values, ids beyond ASCII, and one stream more than the partition may hold.
fn extremes() -> Vec<Case> {
    vec![
        case(
            r#"{"meta":{"id":"p3","t":1767607200},"flow":1,"heat":2}"#,
            &["forecast", "forecast"],
        ),
        case(
            r#"{"meta":{"id":"p3","t":1767607260000},"flow":1,"heat":2}"#,
            &["forecast", "forecast"],
        ),
        case(
            r#"{"meta":{"id":"p3","t":"2026-01-05T11:02:00+01:00"},"flow":1,"heat":2}"#,
            &["forecast", "forecast"],
        ),
        case(good("p1", 59, "1e30", "-0.0"), &["forecast", "forecast"]),
        Case {
            key: None,
            value: Some(good("ключ/é", 0, "1", "2")),
            outcomes: vec!["forecast", "forecast"],
        },
        case(good("p9", 0, "1", "2"), &["over_capacity", "over_capacity"]),
        case(format!(r#"{{"pad":"{}"}}"#, "y".repeat(5000)), &["too_large"]),
    ]
}

/// source (`topic/partition/offset/index`) to outcome.
type Outcomes = BTreeMap<String, String>;

fn published(broker: &Broker, names: &Names) -> (Vec<kcat::Record>, Vec<kcat::Record>) {
    (
        kcat::read(&broker.servers, &names.forecasts),
        kcat::read(&broker.servers, &names.letters),
    )
}

fn outcomes_of(forecasts: &[kcat::Record], dead: &[kcat::Record]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let named = |record: &kcat::Record, outcome: &str| {
        (
            record
                .header("tidecast.source")
                .expect("names its source")
                .to_owned(),
            outcome.to_owned(),
        )
    };
    let all = forecasts.iter().map(|record| named(record, "forecast")).chain(
        dead.iter()
            .map(|record| named(record, record.header("tidecast.reason").expect("has its reason"))),
    );
    for (source, outcome) in all {
        if let Some(first) = outcomes.insert(source.clone(), outcome.clone()) {
            panic!("two outcomes of {source}: {first} and {outcome}");
        }
    }
    outcomes
}

#[test]
fn outcomes_every_observation_of_a_poisoned_input_has_exactly_one() {
    let broker = Broker::shared();
    let names = Names::made(broker, "poison", 1);
    let cases = cases();
    let messages: Vec<_> = cases
        .iter()
        .map(|case| (case.key, case.value.as_deref()))
        .collect();
    kcat::write(&broker.servers, &names.input, 0, &messages);
    let expected: Outcomes = (0..)
        .zip(&cases)
        .flat_map(|(offset, case): (u64, &Case)| {
            let source = format!("{}/0/{offset}", names.input);
            (0..)
                .zip(&case.outcomes)
                .map(move |(index, outcome): (u64, _)| (format!("{source}/{index}"), (*outcome).to_owned()))
        })
        .collect();

    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &config(broker, &names, INPUT));
    daemon.await_ready();
    let (forecasts, dead) = await_until("all outcomes", Duration::from_secs(30), || {
        let (forecasts, dead) = published(broker, &names);
        (forecasts.len() + dead.len() >= expected.len()).then_some((forecasts, dead))
    });
    assert!(daemon.terminate().success());
    let outcomes = outcomes_of(&forecasts, &dead);
    for (source, outcome) in &expected {
        assert_eq!(outcomes.get(source), Some(outcome), "outcome of {source}");
    }
    assert_eq!(outcomes.len(), expected.len());
    dead_letters_are_copies(&cases, &dead);
    streams_are_in_order(&forecasts);
    forecasts_keep_the_contract(&forecasts);
}

fn offset_and_index(record: &kcat::Record) -> (i64, i64) {
    let source = record.header("tidecast.source").unwrap();
    let mut parts = source.rsplit('/').map(|part| part.parse().unwrap());
    let index = parts.next().unwrap();
    (parts.next().unwrap(), index)
}

fn dead_letters_are_copies(cases: &[Case], dead: &[kcat::Record]) {
    for letter in dead {
        let case = &cases[usize::try_from(offset_and_index(letter).0).unwrap()];
        assert_eq!(letter.key.as_deref(), case.key);
        if letter.header("tidecast.truncated").is_none() {
            assert_eq!(letter.value, case.value);
        }
        assert!(!letter.header("tidecast.message").expect("says why").is_empty());
    }
}

pub(crate) fn streams_are_in_order(forecasts: &[kcat::Record]) {
    let mut newest = BTreeMap::new();
    for record in forecasts {
        let place = offset_and_index(record);
        let stream = (record.partition, record.key.clone().unwrap());
        let before = newest.insert(stream.clone(), place);
        assert!(
            before.is_none_or(|before| before < place),
            "{stream:?}: {before:?} before {place:?}"
        );
    }
}

fn forecasts_keep_the_contract(forecasts: &[kcat::Record]) {
    for record in forecasts {
        let json: serde_json::Value = serde_json::from_str(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(json["v"], 1);
        assert_eq!(json["stream"].as_str(), record.key.as_deref());
        assert_eq!(json["horizons"], serde_json::json!([1, 3]));
        let source = &json["source"];
        let place = format!(
            "{}/{}/{}/{}",
            source["topic"].as_str().unwrap(),
            source["partition"],
            source["offset"],
            source["index"]
        );
        assert_eq!(record.header("tidecast.source"), Some(place.as_str()));
        let weights: f64 = json["experts"]
            .as_object()
            .unwrap()
            .values()
            .map(|value| value.as_f64().unwrap())
            .sum();
        assert!((weights - 1.0).abs() < 0.02, "{weights}");
        let quantiles = json["quantiles"].as_object().unwrap();
        for horizon in 0..2 {
            let at = |level: &str| quantiles[level][horizon].as_f64().unwrap();
            assert!(at("0.1") <= at("0.5") && at("0.5") <= at("0.9"), "{json}");
        }
    }
}

/// The key names the stream where the config names no field; then a key must be text.
#[test]
fn outcomes_of_keys_that_are_no_text() {
    let broker = Broker::shared();
    let names = Names::made(broker, "keys", 1);
    let input = r#"format = "json", values = ["v"], start = "earliest""#;
    kcat::write_bytes(
        &broker.servers,
        &names.input,
        0,
        b"pump\x01{\"v\":1}\npu\xffmp\x01{\"v\":1}\n\x01{\"v\":2}\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &config(broker, &names, input));
    daemon.await_ready();
    let outcomes = await_until("three outcomes", Duration::from_secs(30), || {
        let (forecasts, dead) = published(broker, &names);
        let outcomes = outcomes_of(&forecasts, &dead);
        (outcomes.len() == 3).then_some(outcomes)
    });
    assert!(daemon.terminate().success());
    let found: Vec<_> = outcomes.values().map(String::as_str).collect();
    assert_eq!(found, ["forecast", "not_utf8", "no_stream"]);
    let sources: BTreeSet<_> = outcomes.keys().cloned().collect();
    assert!(sources.contains(&format!("{}/0/1/0", names.input)));
}

/// Key, value, headers and timestamp of a dead letter are those received, to the byte; ours come behind them.
#[test]
fn outcomes_dead_letter_is_the_record_byte_for_byte() {
    let broker = Broker::shared();
    let names = Names::made(broker, "bytes", 1);
    let input = &names.input;
    let line = b"k\xfe\x02y\x01\xff\xfe{\"v\":\x03}\x80\n";
    let headers = ["trace=4bf9 2f", "tidecast.source=not/ours/0/0"];
    kcat::write_with(&broker.servers, input, 0, line, &headers);
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &config(broker, &names, INPUT));
    daemon.await_ready();
    let received = kcat::read_bytes(&broker.servers, input, "%T|%K|%k|%S|%s|%h");
    let letter = await_until("the dead letter", Duration::from_secs(30), || {
        let letter = kcat::read_bytes(&broker.servers, &names.letters, "%T|%K|%k|%S|%s|%h");
        (!letter.is_empty()).then_some(letter)
    });
    assert!(daemon.terminate().success());
    assert!(
        received.windows(4).any(|bytes| bytes == b"|k\xfe\x02"),
        "{received:?}"
    );
    let (copy, ours) = letter.split_at(received.len());
    assert_eq!(copy, received);
    let ours = String::from_utf8_lossy(ours);
    assert!(ours.contains(&format!("tidecast.source={input}/0/0/0")), "{ours}");
    assert!(ours.contains("tidecast.reason=not_utf8"), "{ours}");
}
