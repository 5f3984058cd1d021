//! The engine run on the input topic by itself: what must be published for every record.

use std::sync::Arc;

use tidecast::codec::{self, Decoded, Decoder, ForecastEncoder, Reason};
use tidecast::engine::{Engine, Model, Outcome, PartitionState};
use tidecast::series::observation::{Offset, Partition, Source};
use tidecast::worker;

use super::observer::{Place, Record, Topic};

/// What must be published for an observation.
pub(super) struct Expected {
    /// `forecast`, or the code of a dead letter.
    pub(super) name: &'static str,
    pub(super) topic: Topic,
    pub(super) record: Record,
}

/// The engine run on a partition of the input topic, record by record.
pub(super) struct Rerun<'a> {
    topic: &'a str,
    pipeline: &'a str,
    partition: i32,
    engine: Engine,
    state: PartitionState,
    decoder: Decoder,
    encoder: ForecastEncoder,
}

impl<'a> Rerun<'a> {
    /// From the beginning, with the first version of the weights.
    pub(super) fn new(config: &'a worker::Config, topic: &'a str, partition: i32, first: Arc<Model>) -> Self {
        let engine = Engine::new(config.engine.clone());
        Self {
            topic,
            pipeline: &config.pipeline,
            partition,
            state: engine.partition(topic, Partition(partition), first),
            engine,
            decoder: Decoder::new(config.input.clone()),
            encoder: ForecastEncoder::new(&config.pipeline),
        }
    }

    /// The version that serves.
    pub(super) fn version(&self) -> u64 {
        self.state.model().version.0
    }

    /// Serves another version.
    pub(super) fn adopt(&mut self, model: Arc<Model>) {
        self.state.adopt(model);
    }

    /// From now on forecasts leave horizons out, or do not.
    pub(super) const fn thin(&mut self, on: bool) {
        self.state.thin(on);
    }

    /// Everything that must be published for a record.
    pub(super) fn step(&mut self, record: &Record) -> Vec<(Place, Expected)> {
        let message = codec::Message {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp_ms: record.timestamp_ms,
            offset: Offset(record.offset),
        };
        let (engine, state, partition) = (&mut self.engine, &mut self.state, self.partition);
        let mut expected = Vec::new();
        let mut admitted = false;
        self.decoder.decode(&message, &mut |decoded| match decoded {
            Decoded::Observation(observation) => {
                engine.admit(state, observation);
                admitted = true;
            }
            Decoded::Refused {
                source,
                reason,
                message,
            } => expected.push((source, letter(record, reason, message))),
        });
        let mut places: Vec<_> = expected
            .into_iter()
            .map(|(source, expected)| (place(partition, source), expected))
            .collect();
        if admitted {
            for judged in engine.step(state).iter() {
                let at = codec::Place {
                    topic: self.topic,
                    partition: Partition(partition),
                    source: judged.source,
                };
                let outcome = match judged.outcome {
                    Outcome::Forecast(forecast) => {
                        let mut value = Vec::new();
                        self.encoder.encode(&forecast, &at, &mut value);
                        let model = format!("{}/{}", self.pipeline, forecast.model_version.0);
                        forecast_record(record, forecast.stream, value, (&at.to_string(), &model))
                    }
                    dropped => {
                        let reason = Reason::of_outcome(&dropped).unwrap();
                        letter(record, reason, reason.sentence())
                    }
                };
                places.push((place(partition, judged.source), outcome));
            }
        }
        for (place, expected) in &mut places {
            if expected.topic == Topic::Letters {
                let source = format!("{}/{partition}/{}/{}", self.topic, place.offset, place.index);
                let behind = record.headers.len();
                expected
                    .record
                    .headers
                    .insert(behind, ("tidecast.source".to_owned(), source.into_bytes()));
            }
        }
        places.sort_by_key(|(place, _)| *place);
        places
    }
}

fn place(partition: i32, source: Source) -> Place {
    Place {
        partition,
        offset: source.offset.0,
        index: i64::from(source.index),
    }
}

fn forecast_record(
    received: &Record,
    stream: &str,
    value: Vec<u8>,
    (source, model): (&str, &str),
) -> Expected {
    let headers = [
        ("tidecast.source", source),
        ("tidecast.model", model),
        ("content-type", "application/json"),
    ];
    Expected {
        name: "forecast",
        topic: Topic::Forecasts,
        record: Record {
            offset: received.offset,
            timestamp_ms: received.timestamp_ms,
            key: Some(stream.as_bytes().to_vec()),
            value: Some(value),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .to_vec(),
        },
    }
}

/// The record as received, and why it is refused behind its headers; the source is still missing.
fn letter(received: &Record, reason: Reason, sentence: &str) -> Expected {
    let mut record = received.clone();
    for (name, value) in [
        ("tidecast.reason", reason.as_str()),
        ("tidecast.message", sentence),
    ] {
        record.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    Expected {
        name: reason.as_str(),
        topic: Topic::Letters,
        record,
    }
}
