//! Benches of the parts. Rates wander by a fifth over minutes on a shared machine: compare two versions interleaved in
//! one run, as a ratio.

mod nn;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use tidecast::codec::config::TimeUnit;
use tidecast::codec::{self, Decoder, ForecastEncoder, Message};
use tidecast::engine::config::{Interval, ModelConfig, Seasons};
use tidecast::engine::snapshot::{self, Encoder};
use tidecast::engine::{self, Engine, Model, Outcome, PartitionState};
use tidecast::nn::Cell;
use tidecast::series::observation::{Observation, Offset, Partition, Source};

const STREAMS: usize = 1000;
const START_MS: i64 = 1_767_607_200_000;

fn engine_config() -> engine::Config {
    engine::Config {
        interval: Interval::Given(60_000),
        seasons: Seasons::Auto,
        utc_offset_ms: 0,
        gap_max: 32,
        horizons: vec![1, 12, 24, 96],
        quantiles: vec![0.1, 0.5, 0.9],
        model: ModelConfig {
            cell: Cell::Gru,
            hidden: 48,
            layers: 1,
        },
        experts: Vec::new(),
        streams_max: STREAMS,
        profile: engine::Profile::Accurate,
        stream_ttl_ms: 30 * 86_400_000,
        publish_warming: true,
        tape_share: 0.0,
    }
}

/// One reading of every stream.
fn round(engine: &mut Engine, state: &mut PartitionState, minute: i64, streams: &[String]) {
    for (index, stream) in (0u32..).zip(streams) {
        let phase = minute as f64 / 60.0 + f64::from(index);
        let source = Source {
            offset: Offset(minute),
            index,
            timestamp_ms: START_MS + minute * 60_000,
        };
        engine.admit(
            state,
            Observation {
                stream,
                time_ms: source.timestamp_ms,
                value: Some(20.0 + phase.sin()),
                source,
            },
        );
    }
}

fn engine(c: &mut Criterion) {
    let config = engine_config();
    let mut engine = Engine::new(config.clone());
    let mut state = engine.partition("bench", Partition(0), Arc::new(Model::first(&config, 1)));
    let streams: Vec<String> = (0..STREAMS).map(|index| format!("stream-{index}")).collect();
    let mut minute = 0;
    let mut turn = || {
        round(&mut engine, &mut state, minute, &streams);
        minute += 1;
        engine.step(&mut state).len()
    };
    (0..200).for_each(|_| {
        turn();
    });
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(STREAMS as u64));
    group.bench_function("observation, 4 scored horizons, 1000 streams", |b| {
        b.iter(&mut turn)
    });
}

/// Rates are those of the rows' bytes in memory.
fn snapshots(c: &mut Criterion) {
    let config = engine_config();
    let mut engine = Engine::new(config.clone());
    let mut state = engine.partition("bench", Partition(0), Arc::new(Model::first(&config, 1)));
    let streams: Vec<String> = (0..STREAMS).map(|index| format!("stream-{index}")).collect();
    (0..200).for_each(|minute| {
        round(&mut engine, &mut state, minute, &streams);
        engine.step(&mut state);
    });
    let row_bytes: usize = engine::row_table(&config).iter().map(|field| field.bytes).sum();
    let mut file = Vec::new();
    let mut write = || {
        state.begin_capture();
        file.clear();
        let mut encoder = Encoder::new(&state.capture_header(), &mut file);
        while !state.is_captured() {
            state.capture(256);
            while let Some(block) = state.take_block() {
                encoder.block(&block, &mut file);
                state.give_back(block);
            }
        }
        encoder.finish(&mut file);
        state.end_capture();
        file.len()
    };
    let mut group = c.benchmark_group("snapshot");
    group.throughput(Throughput::Bytes((STREAMS * row_bytes) as u64));
    group.bench_function("copy and encode 1000 streams", |b| b.iter(&mut write));
    let form = snapshot::form(&engine);
    group.bench_function("read 1000 streams", |b| {
        b.iter(|| snapshot::read(&mut &file[..], &form).expect("it was just written"));
    });
}

fn codec(c: &mut Criterion) {
    let mut decoder = Decoder::new(codec::Config {
        id: Some("id".into()),
        time: Some("t".into()),
        time_unit: TimeUnit::Auto,
        values: vec!["v".into()],
        future_max_ms: 1_800_000,
        stream_max_bytes: 256,
        value_max_bytes: 1 << 20,
    });
    let value = br#"{"id":"pump-7/temperature","t":"2026-01-05T10:00:00Z","v":21.53}"#;
    let message = Message {
        key: None,
        value: Some(value),
        timestamp_ms: START_MS,
        offset: Offset(0),
    };
    c.bench_function("decode a record of 64 bytes", |b| {
        b.iter(|| {
            decoder.decode(black_box(&message), &mut |decoded| {
                black_box(decoded);
            })
        });
    });

    let config = engine::Config {
        horizons: (1..=12).collect(),
        ..engine_config()
    };
    let mut engine = Engine::new(config.clone());
    let mut state = engine.partition("bench", Partition(0), Arc::new(Model::first(&config, 1)));
    let streams = ["stream".to_owned()];
    (0..200).for_each(|minute| {
        round(&mut engine, &mut state, minute, &streams);
        engine.step(&mut state);
    });
    round(&mut engine, &mut state, 200, &streams);
    let outcomes = engine.step(&mut state);
    let judged = outcomes.get(0);
    let Outcome::Forecast(forecast) = judged.outcome else {
        panic!("a warm stream forecasts")
    };
    let encoder = ForecastEncoder::new("plant");
    let place = codec::Place {
        topic: "sensors",
        partition: Partition(0),
        source: judged.source,
    };
    let mut out = Vec::new();
    c.bench_function("encode a forecast of 12 horizons", |b| {
        b.iter(|| {
            out.clear();
            encoder.encode(black_box(&forecast), &place, &mut out);
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    nn::benches(&mut criterion);
    engine(&mut criterion);
    snapshots(&mut criterion);
    codec(&mut criterion);
    criterion.final_summary();
}
