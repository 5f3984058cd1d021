//! An exactly-once pass-through: the same clients, records and formats, and numbers that nothing had to compute.

use std::time::Duration;

use super::Meter;
use crate::codec::headers::{self, Place};
use crate::codec::{Decoded, Decoder, ForecastEncoder, Message};
use crate::config::Pipeline;
use crate::engine::{self, Anomaly, Forecast, HorizonPlan, ModelVersion, Status};
use crate::kafka::{KafkaSink, KafkaSource};
use crate::series::observation::{NextOffset, Observation};
use crate::worker::ports::{
    Commit, Destination, Error, Event, Outgoing, PartitionId, Record, Sink as _, Source as _,
};

/// As long as a worker waits for a first record.
const WAIT: Duration = Duration::from_millis(50);

/// Reads the topic to its end.
pub(super) fn run(
    pipeline: &Pipeline,
    (mut source, mut sink): (KafkaSource, KafkaSink),
    meter: &mut Meter,
) -> anyhow::Result<()> {
    let config = &pipeline.worker;
    let mut decoder = Decoder::new(config.input.clone());
    let mut numbers = Numbers::new(pipeline);
    sink.connect(&mut || {})?;
    let mut open = Open::default();
    let mut due = meter.clock.elapsed() + config.commit_interval;
    while !meter.is_done() {
        let mut failure = None;
        let event = source.poll(WAIT, &mut |record| {
            let message = Message {
                key: record.key,
                value: record.value,
                timestamp_ms: record.timestamp_ms,
                offset: record.offset,
            };
            open.next = Some((record.partition, record.offset.next()));
            decoder.decode(&message, &mut |decoded| {
                if let Decoded::Observation(observation) = decoded {
                    open.count += 1;
                    let published = numbers.publish(record, &observation, &mut sink);
                    failure = failure.take().or(published.err());
                }
            });
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        match &event {
            Event::Assigned(ids) => {
                source.hold(ids)?;
                ids.iter().try_for_each(|id| source.start(*id, NextOffset(0)))?;
            }
            Event::Revoked(ids) | Event::Lost(ids) => source.release(ids)?,
            _ => {}
        }
        // Reading the clock for each record would cost more than the record is worth.
        let looks = event == Event::Idle || open.count.is_multiple_of(64);
        if looks && meter.clock.elapsed() >= due {
            open.commit(&mut source, &mut sink, meter)?;
            due = meter.clock.elapsed() + config.commit_interval;
        }
    }
    Ok(())
}

/// What the open transaction holds.
#[derive(Default)]
struct Open {
    next: Option<(PartitionId, NextOffset)>,
    count: u64,
}

impl Open {
    fn commit(
        &mut self,
        source: &mut KafkaSource,
        sink: &mut KafkaSink,
        meter: &mut Meter,
    ) -> Result<(), Error> {
        let Some((partition, next)) = self.next.take() else {
            return Ok(());
        };
        let offset = Commit {
            partition,
            next,
            metadata: "1;0;0:1",
        };
        sink.commit(&[offset], &mut || source.membership())?;
        meter.commit(std::mem::take(&mut self.count));
        Ok(())
    }
}

/// A forecast as wide as the pipeline's, and its record.
struct Numbers<'a> {
    pipeline: &'a Pipeline,
    horizons: Vec<u32>,
    mean: Vec<f64>,
    quantiles: Vec<f64>,
    experts: Vec<(&'static str, f64)>,
    encoder: ForecastEncoder,
    value: Vec<u8>,
    source: String,
    model: String,
}

impl<'a> Numbers<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        let config = &pipeline.worker.engine;
        let horizons = HorizonPlan::of(config).published;
        let names = engine::experts(config);
        let whole = (names.len() * (names.len() + 1) / 2) as f64;
        let experts = names.iter().enumerate();
        Self {
            pipeline,
            mean: vec![0.0; horizons.len()],
            quantiles: vec![0.0; horizons.len() * config.quantiles.len()],
            experts: experts
                .map(|(index, name)| (*name, (index + 1) as f64 / whole))
                .collect(),
            encoder: ForecastEncoder::new(&pipeline.worker.pipeline),
            horizons,
            value: Vec::new(),
            source: String::new(),
            model: String::new(),
        }
    }

    fn publish(
        &mut self,
        record: &Record<'_>,
        observation: &Observation<'_>,
        sink: &mut KafkaSink,
    ) -> Result<(), Error> {
        let config = &self.pipeline.worker;
        let levels = &config.engine.quantiles;
        let observed = observation.value.expect("the bench feeds numbers");
        for (h, mean) in self.mean.iter_mut().enumerate() {
            *mean = (h as f64).mul_add(0.0137, observed);
        }
        let count = self.mean.len();
        for (row, level) in self.quantiles.chunks_exact_mut(count).zip(levels) {
            for (quantile, mean) in row.iter_mut().zip(&self.mean) {
                *quantile = mean + 1.618 * (level - 0.5);
            }
        }
        let forecast = Forecast {
            stream: observation.stream,
            origin_ms: observation.time_ms,
            interval_ms: super::INTERVAL_MS,
            observed,
            horizons: &self.horizons,
            mean: &self.mean,
            levels,
            quantiles: &self.quantiles,
            status: Status::Ready,
            experts: &self.experts,
            model_version: ModelVersion(1),
            anomaly: Some(Anomaly {
                score: 0.1234,
                p: 0.4321,
                peak: false,
                flag: false,
            }),
            scale: 1.0,
        };
        let place = Place {
            topic: &config.topics[record.partition.topic],
            partition: record.partition.partition,
            source: observation.source,
        };
        self.value.clear();
        self.encoder.encode(&forecast, &place, &mut self.value);
        headers::write_source(&place, &mut self.source);
        headers::write_model(&config.pipeline, forecast.model_version, &mut self.model);
        let headers = [
            (headers::SOURCE, Some(self.source.as_bytes())),
            (headers::MODEL, Some(self.model.as_bytes())),
            (headers::CONTENT_TYPE, Some(headers::JSON.as_bytes())),
        ];
        let outgoing = Outgoing {
            origin: record.partition,
            timestamp_ms: record.timestamp_ms,
            key: Some(observation.stream.as_bytes()),
            value: Some(&self.value),
            headers: &headers,
        };
        sink.publish(Destination::Forecasts, &outgoing)
    }
}
