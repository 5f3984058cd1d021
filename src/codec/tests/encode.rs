//! Exact bytes of forecast records.

use crate::codec::{ForecastEncoder, Place};
use crate::engine::{Anomaly, Forecast, ModelVersion, Status};
use crate::series::observation::{Offset, Partition, Source};

fn place() -> Place<'static> {
    let source = Source {
        offset: Offset(1234),
        index: 0,
        timestamp_ms: 0,
    };
    Place {
        topic: "sensors",
        partition: Partition(3),
        source,
    }
}

fn forecast() -> Forecast<'static> {
    Forecast {
        stream: "pump-7/temperature",
        origin_ms: 1_795_514_400_000,
        interval_ms: 60_000,
        observed: 21.5,
        horizons: &[1, 2, 3],
        mean: &[21.600_01, 21.599_96, 21.700_04],
        levels: &[0.1, 0.5, 0.9],
        quantiles: &[21.2, 21.1, 21.0, 21.6, 21.6, 21.7, 21.9, 22.1, 22.3],
        status: Status::Ready,
        experts: &[
            ("last", 0.05),
            ("seasonal", 0.06),
            ("level", 0.04),
            ("day", 0.45),
            ("network", 0.399_99),
        ],
        model_version: ModelVersion(12),
        anomaly: Some(Anomaly {
            score: 0.12,
            p: 0.31,
            peak: false,
            flag: false,
        }),
        scale: 1.0,
    }
}

fn bytes(forecast: &Forecast<'_>) -> String {
    let mut out = Vec::new();
    ForecastEncoder::new("plant").encode(forecast, &place(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn encode_writes_the_record_of_the_contract() {
    let expected = concat!(
        r#"{"v":1,"pipeline":"plant","stream":"pump-7/temperature","origin":"2026-11-24T10:00:00Z","interval_ms":60000,"#,
        r#""observed":21.5,"horizons":[1,2,3],"mean":[21.6,21.6,21.7],"#,
        r#""quantiles":{"0.1":[21.2,21.1,21.0],"0.5":[21.6,21.6,21.7],"0.9":[21.9,22.1,22.3]},"#,
        r#""status":"ready","experts":{"last":0.05,"seasonal":0.06,"level":0.04,"day":0.45,"network":0.4},"#,
        r#""model_version":12,"anomaly":{"score":0.12,"p":0.31,"flag":false},"#,
        r#""source":{"topic":"sensors","partition":3,"offset":1234,"index":0}}"#,
    );
    assert_eq!(bytes(&forecast()), expected);
}

#[test]
fn encode_writes_a_stream_that_warms_up() {
    let warming = Forecast {
        stream: "a\"\\\u{1}é/😀",
        origin_ms: 1_795_514_400_250,
        interval_ms: 0,
        observed: -0.0,
        horizons: &[1],
        mean: &[-0.0],
        levels: &[0.025, 0.5],
        quantiles: &[-1e-9, 0.0],
        status: Status::Warming { ready_in: 30 },
        experts: &[("last", 1.0)],
        model_version: ModelVersion(1),
        anomaly: None,
        scale: 0.0,
    };
    let expected = concat!(
        r#"{"v":1,"pipeline":"plant","stream":"a\"\\\u0001é/😀","origin":"2026-11-24T10:00:00.250Z","interval_ms":0,"#,
        r#""observed":0.0,"horizons":[1],"mean":[0.0],"quantiles":{"0.025":[-1e-9],"0.5":[0.0]},"#,
        r#""status":"warming","ready_in":30,"experts":{"last":1.0},"model_version":1,"anomaly":null,"#,
        r#""source":{"topic":"sensors","partition":3,"offset":1234,"index":0}}"#,
    );
    assert_eq!(bytes(&warming), expected);
}

#[test]
fn encode_names_every_status() {
    for (status, text) in [
        (Status::Stale, r#""status":"stale","experts""#),
        (Status::Degraded, r#""status":"degraded","experts""#),
    ] {
        assert!(bytes(&Forecast { status, ..forecast() }).contains(text));
    }
}

/// The mean of a forecast whose stream has this scale.
fn mean(number: f64, scale: f64) -> String {
    let text = bytes(&Forecast {
        horizons: &[1],
        mean: &[number],
        quantiles: &[0.0, 0.0, 0.0],
        scale,
        ..forecast()
    });
    let start = text.find(r#""mean":["#).unwrap() + 8;
    text[start..start + text[start..].find(']').unwrap()].to_owned()
}

#[test]
fn encode_rounds_to_the_scale() {
    let table: &[(f64, f64, &str)] = &[
        (21.599_961_3, 1.0, "21.6"),
        (21.599_941_3, 1.0, "21.5999"),
        (21.599_941_3, 9.99, "21.5999"),
        (21.599_941_3, 10.0, "21.6"),
        (0.1 + 0.2, 0.01, "0.3"),
        (1e-7 / 3.0, 1e-6, "3.33e-8"),
        (123_456_789.4, 1e8, "123460000.0"),
        (123_456_789.4, 1e4, "123456789.0"),
        (1e30, 1.0, "1e+30"),
        (1.234_567_89e30, 1e29, "1.23456789e+30"),
        (4.0, f64::NAN, "4.0"),
        (4.25, f64::INFINITY, "4.25"),
        (-0.000_04, 1.0, "0.0"),
        (1.5, 5e-324, "1.5"),
        (f64::NAN, 1.0, "null"),
    ];
    for (number, scale, expected) in table {
        assert_eq!(mean(*number, *scale), *expected, "{number} at {scale}");
    }
}

#[test]
fn encode_shows_a_small_tail_probability() {
    let rare = Forecast {
        anomaly: Some(Anomaly {
            score: 0.999_96,
            p: 1.234_567e-9,
            peak: true,
            flag: true,
        }),
        ..forecast()
    };
    assert!(
        bytes(&rare).contains(r#""anomaly":{"score":1.0,"p":1.235e-9,"flag":true}"#),
        "{}",
        bytes(&rare)
    );
    let never = Forecast {
        anomaly: Some(Anomaly {
            score: 0.0,
            p: 0.0,
            peak: true,
            flag: true,
        }),
        ..forecast()
    };
    assert!(bytes(&never).contains(r#""p":0.0"#));
}

#[test]
fn encode_bounds_times_to_four_digit_years() {
    for (origin_ms, text) in [
        (i64::MAX, "9999-12-31T23:59:59.999Z"),
        (i64::MIN, "0000-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ] {
        assert!(
            bytes(&Forecast {
                origin_ms,
                ..forecast()
            })
            .contains(text),
            "{origin_ms}"
        );
    }
}

#[test]
fn encode_stays_far_below_the_limit_of_a_record_within_the_bounds_of_the_configuration() {
    // 512 horizons, 15 levels, an id of 4096 bytes: the bounds of `config`; no number is longer than these.
    let stream = "\u{1}".repeat(4096);
    let horizons: Vec<u32> = (65_000..65_512).collect();
    let longest = -1.234_567_890_123_456_7e-300;
    let levels: Vec<f64> = (1..=15).map(|level| f64::from(level) / 17.0).collect();
    let largest = Forecast {
        stream: &stream,
        observed: longest,
        horizons: &horizons,
        mean: &vec![longest; 512],
        levels: &levels,
        quantiles: &vec![longest; 512 * 15],
        scale: 0.0, // leaves numbers this small unrounded
        ..forecast()
    };
    let length = bytes(&largest).len() + stream.len();
    assert!((200_000..1_048_000 / 4).contains(&length), "{length}");
}
