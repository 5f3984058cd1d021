//! The forecast record.

use crate::codec::headers::Place;
use crate::codec::number::{self, Rounding};
use crate::codec::time;
use crate::engine::{Anomaly, Forecast, Status};

/// Numbers are rounded to this share of the stream's scale.
const ROUNDING_SHARE: f64 = 1e-4;

/// Writes forecast records of one pipeline. The bytes hang on the forecast and its place alone.
#[derive(Clone, Debug)]
pub struct ForecastEncoder {
    /// `{"v":1,"pipeline":"plant","stream":`.
    start: Vec<u8>,
}

impl ForecastEncoder {
    /// For one pipeline.
    #[must_use]
    pub fn new(pipeline: &str) -> Self {
        let mut start = br#"{"v":1,"pipeline":"#.to_vec();
        string(pipeline, &mut start);
        start.extend_from_slice(br#","stream":"#);
        Self { start }
    }

    /// Appends the record of `forecast`, made for the observation at `place`, to `out`.
    ///
    /// Forecasts are rounded to the largest power of ten that is at most 1e-4 of `forecast.scale`; `observed` is written
    /// as received; shares and scores have 4 decimals, `p` has 4 significant digits. -0 is 0.
    pub fn encode(&self, forecast: &Forecast<'_>, place: &Place<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start);
        string(forecast.stream, out);
        out.extend_from_slice(br#","origin":""#);
        time::write(forecast.origin_ms, out);
        out.extend_from_slice(br#"","interval_ms":"#);
        integer(forecast.interval_ms, out);
        out.extend_from_slice(br#","observed":"#);
        number::write(forecast.observed, out);
        out.extend_from_slice(br#","horizons":["#);
        separated(forecast.horizons, out, |&horizon, out| {
            integer(i64::from(horizon), out)
        });
        let rounding = rounding(forecast);
        out.extend_from_slice(br#"],"mean":["#);
        separated(forecast.mean, out, |&mean, out| rounded(mean, rounding, out));
        out.extend_from_slice(br#"],"quantiles":{"#);
        quantiles(forecast, rounding, out);
        out.extend_from_slice(br#"},"status":"#);
        status(forecast.status, out);
        out.extend_from_slice(br#","experts":{"#);
        separated(forecast.experts, out, |&(name, weight), out| {
            string(name, out);
            out.push(b':');
            rounded(weight, Some(Rounding::DECIMALS_4), out);
        });
        out.extend_from_slice(br#"},"model_version":"#);
        unsigned(forecast.model_version.0, out);
        out.extend_from_slice(br#","anomaly":"#);
        anomaly(forecast.anomaly, out);
        source(place, out);
    }
}

/// What the numbers of a forecast are rounded to.
pub(crate) fn rounding(forecast: &Forecast<'_>) -> Option<Rounding> {
    // A stream's first readings have no scale yet: their own size stands in for it.
    let scale = if forecast.scale > 0.0 {
        forecast.scale
    } else {
        forecast.observed.abs()
    };
    Rounding::to(scale * ROUNDING_SHARE)
}

fn quantiles(forecast: &Forecast<'_>, rounding: Option<Rounding>, out: &mut Vec<u8>) {
    let rows = forecast.quantiles.chunks_exact(forecast.horizons.len().max(1));
    for (index, (&level, row)) in forecast.levels.iter().zip(rows).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        number::write(level, out);
        out.extend_from_slice(br#"":["#);
        separated(row, out, |&quantile, out| rounded(quantile, rounding, out));
        out.push(b']');
    }
}

fn status(status: Status, out: &mut Vec<u8>) {
    let name = match status {
        Status::Warming { .. } => "warming",
        Status::Ready => "ready",
        Status::Stale => "stale",
        Status::Degraded => "degraded",
    };
    string(name, out);
    if let Status::Warming { ready_in } = status {
        out.extend_from_slice(br#","ready_in":"#);
        integer(i64::from(ready_in), out);
    }
}

fn anomaly(anomaly: Option<Anomaly>, out: &mut Vec<u8>) {
    let Some(anomaly) = anomaly else {
        out.extend_from_slice(b"null");
        return;
    };
    out.extend_from_slice(br#"{"score":"#);
    rounded(anomaly.score, Some(Rounding::DECIMALS_4), out);
    out.extend_from_slice(br#","p":"#);
    rounded(anomaly.p, Rounding::significant_4(anomaly.p), out);
    out.extend_from_slice(if anomaly.flag {
        br#","flag":true}"#
    } else {
        br#","flag":false}"#
    });
}

fn source(place: &Place<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","source":{"topic":"#);
    string(place.topic, out);
    out.extend_from_slice(br#","partition":"#);
    integer(i64::from(place.partition.0), out);
    out.extend_from_slice(br#","offset":"#);
    integer(place.source.offset.0, out);
    out.extend_from_slice(br#","index":"#);
    integer(i64::from(place.source.index), out);
    out.extend_from_slice(b"}}");
}

fn separated<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

fn rounded(number: f64, rounding: Option<Rounding>, out: &mut Vec<u8>) {
    number::write(rounding.map_or(number, |rounding| rounding.round(number)), out);
}

fn integer(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(number.unsigned_abs(), out);
}

fn unsigned(number: u64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect("an integer is JSON, and a vector takes every byte");
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is JSON, and a vector takes every byte");
}
