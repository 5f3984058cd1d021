//! The data plane allocates nothing per record after warm-up: decode, step, encode, counted.

#![allow(unsafe_code, reason = "an allocator that counts can only be written as one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use tidecast::codec::config::TimeUnit;
use tidecast::codec::{self, Decoded, Decoder, ForecastEncoder, Message, Place};
use tidecast::engine::config::{Interval, ModelConfig, Seasons};
use tidecast::engine::{self, Engine, Model, Outcome, PartitionState};
use tidecast::nn;
use tidecast::series::observation::{Offset, Partition};

struct Counting;

thread_local! {
    /// Per thread: the other tests of this binary allocate as they like.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: `pointer` came from `System` with `layout`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STREAMS: usize = 50;

struct Path {
    decoder: Decoder,
    engine: Engine,
    state: PartitionState,
    encoder: ForecastEncoder,
    out: Vec<u8>,
}

impl Path {
    fn new() -> Self {
        let config = engine::Config {
            interval: Interval::Given(60_000),
            seasons: Seasons::Steps(vec![24]),
            utc_offset_ms: 0,
            gap_max: 32,
            horizons: (1..=12).collect(),
            quantiles: vec![0.1, 0.5, 0.9],
            model: ModelConfig {
                cell: nn::Cell::Gru,
                hidden: 16,
                layers: 1,
            },
            experts: Vec::new(),
            streams_max: STREAMS,
            profile: engine::Profile::Accurate,
            stream_ttl_ms: 30 * 86_400_000,
            publish_warming: true,
            tape_share: 0.0,
        };
        let engine = Engine::new(config.clone());
        let state = engine.partition("t", Partition(0), Arc::new(Model::first(&config, 1)));
        let decoder = Decoder::new(codec::Config {
            id: Some("id".into()),
            time: Some("t".into()),
            time_unit: TimeUnit::Auto,
            values: vec!["v".into()],
            future_max_ms: i64::MAX,
            stream_max_bytes: 256,
            value_max_bytes: 1 << 20,
        });
        Self {
            decoder,
            engine,
            state,
            encoder: ForecastEncoder::new("p"),
            out: Vec::with_capacity(1 << 20),
        }
    }

    /// One reading of every stream; the number of forecasts.
    fn turn(&mut self, messages: &[Vec<u8>]) -> usize {
        let (engine, state) = (&mut self.engine, &mut self.state);
        for (offset, value) in (0..).zip(messages) {
            let message = Message {
                key: None,
                value: Some(value),
                timestamp_ms: 1 << 42,
                offset: Offset(offset),
            };
            self.decoder.decode(&message, &mut |decoded| match decoded {
                Decoded::Observation(observation) => engine.admit(state, observation),
                Decoded::Refused { message, .. } => panic!("{message}"),
            });
        }
        self.out.clear();
        let mut forecasts = 0;
        for judged in self.engine.step(&mut self.state).iter() {
            if let Outcome::Forecast(forecast) = judged.outcome {
                let place = Place {
                    topic: "t",
                    partition: Partition(0),
                    source: judged.source,
                };
                self.encoder.encode(&forecast, &place, &mut self.out);
                forecasts += 1;
            }
        }
        forecasts
    }
}

fn messages(minute: i64) -> Vec<Vec<u8>> {
    (0..STREAMS)
        .map(|stream| {
            let value = 20.0 + (minute as f64 / 4.0 + stream as f64).sin();
            let seconds = 1_767_607_200 + minute * 60;
            format!(r#"{{"id":"sensor-{stream}","t":{seconds},"v":{value:.4}}}"#).into_bytes()
        })
        .collect()
}

#[test]
fn allocation_none_per_record_after_warm_up() {
    let mut path = Path::new();
    for minute in 0..200 {
        path.turn(&messages(minute));
    }
    let mut forecasts = 0;
    let mut allocations = 0;
    for minute in 200..2200 {
        let messages = messages(minute);
        let before = ALLOCATIONS.with(Cell::get);
        forecasts += path.turn(&messages);
        allocations += ALLOCATIONS.with(Cell::get) - before;
    }
    assert_eq!(forecasts, 2000 * STREAMS);
    assert_eq!(allocations, 0, "allocations in {forecasts} records");
    // The counter counts: a negative control.
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 1);
}
