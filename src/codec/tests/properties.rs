//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{NOW_MS, config, decoded, message, outcomes};
use crate::codec::{Config, Decoder, ForecastEncoder, Place};
use crate::engine::{Forecast, ModelVersion, Status};
use crate::series::observation::{Offset, Partition, Source};

fn decoder(fields: usize) -> Decoder {
    let names = ["v", "a.b", "a.c.d"];
    Decoder::new(Config {
        id: Some("a.id".into()),
        ..config(&names[..fields])
    })
}

/// Ids, times and values, good and bad, as JSON.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>()
            .prop_filter("JSON has no such number", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        any::<i64>().prop_map(|number| number.to_string()),
        (0..1_000_000_000_i64).prop_map(|number| (NOW_MS - number).to_string()),
        "[a-z0-9/ é\"\\\\]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(&["null", "true", "[]", "{}", "1e999", "-0", "{\"b\":1}", "[1e400]"][..])
            .prop_map(str::to_owned),
    ]
}

fn object() -> impl Strategy<Value = String> {
    let key = prop::sample::select(&["id", "t", "v", "a", "a.b", "b", "\\u0074"][..]);
    vec((key, scalar()), 0..6).prop_map(|fields| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn decode_never_panics_on_bytes(key in vec(any::<u8>(), 0..8), value in vec(any::<u8>(), 0..64), fields in 1..4_usize) {
        let found = outcomes(&mut decoder(fields), &message(Some(&key), Some(&value)));
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn decode_never_panics_on_torn_json(value in object(), cut in 0..200_usize, fields in 1..4_usize) {
        let torn: String = value.chars().take(cut).collect();
        let found = outcomes(&mut decoder(fields), &message(None, Some(torn.as_bytes())));
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn decode_array_gives_what_singles_give(objects in vec(object(), 1..5), fields in 1..4_usize) {
        let mut decoder = decoder(fields);
        let mut singles = Vec::new();
        for (element, object) in objects.iter().enumerate() {
            for outcome in outcomes(&mut decoder, &message(None, Some(object.as_bytes()))) {
                let (index, rest) = outcome.split_once(' ').unwrap();
                singles.push(format!("{} {rest}", index.parse::<usize>().unwrap() + element * fields));
            }
        }
        prop_assert_eq!(singles.len(), objects.len() * fields);
        let array = format!("[{}]", objects.join(" , "));
        prop_assert_eq!(outcomes(&mut decoder, &message(None, Some(array.as_bytes()))), singles);
    }

    #[test]
    fn decode_reads_back_what_was_written(id in "[^\u{0}-\u{1f}]{1,4}", ms in 0..2_000_000_000_i64, value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let id_text = serde_json::to_string(&id).unwrap();
        let text = format!(r#"{{"id":{id_text},"v":{value:?},"t":{}}}"#, NOW_MS - ms);
        prop_assert_eq!(decoded(config(&["v"]), &text), [format!("0 {id} {} {value:?}", -ms)]);
    }

    #[test]
    fn encode_is_json_within_its_rounding(
        stream in ".{0,12}",
        numbers in vec(-1e12..1e12_f64, 4),
        scale in prop_oneof![Just(0.0), 1e-9..1e9_f64],
    ) {
        let mut quantiles = numbers[1..].to_vec();
        quantiles.sort_by(f64::total_cmp);
        let forecast = Forecast {
            stream: &stream,
            origin_ms: NOW_MS,
            interval_ms: 1000,
            observed: numbers[0],
            horizons: &[1],
            mean: &numbers[..1],
            levels: &[0.1, 0.5, 0.9],
            quantiles: &quantiles,
            status: Status::Ready,
            experts: &[("last", 1.0)],
            model_version: ModelVersion(1),
            anomaly: None,
            scale,
        };
        let source = Source { offset: Offset(0), index: 0, timestamp_ms: 0 };
        let place = Place { topic: "t", partition: Partition(0), source };
        let mut out = Vec::new();
        ForecastEncoder::new("p").encode(&forecast, &place, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(json["stream"].as_str(), Some(stream.as_str()));
        // The text is exact; serde_json's own reading may be off by the last bit.
        let text = std::str::from_utf8(&out).unwrap();
        let observed = text.split("\"observed\":").last().unwrap().split(',').next().unwrap();
        prop_assert_eq!(observed.parse::<f64>(), Ok(numbers[0]));
        // Half a step, and the last bit of the number itself. Without a scale its own size stands in.
        let scale = if scale > 0.0 { scale } else { numbers[0].abs() };
        let tolerance = scale * 1e-4 * 0.501 + numbers[0].abs() * 1e-15;
        prop_assert!((json["mean"][0].as_f64().unwrap() - numbers[0]).abs() <= tolerance);
        let at = |level: &str| json["quantiles"][level][0].as_f64().unwrap();
        prop_assert!(at("0.1") <= at("0.5") && at("0.5") <= at("0.9"));
    }
}
