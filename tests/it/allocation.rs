//! Allocations, counted: the data plane makes none per record after warm-up, and a snapshot's reader none beyond what the
//! file holds, whatever it claims.

#![allow(unsafe_code, reason = "an allocator that counts can only be written as one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use tidecast::codec::config::TimeUnit;
use tidecast::codec::{self, Decoded, Decoder, ForecastEncoder, Message, Place};
use tidecast::engine::config::{Interval, ModelConfig, Seasons};
use tidecast::engine::snapshot::{self, Encoder};
use tidecast::engine::{self, Engine, Model, Outcome, PartitionState};
use tidecast::nn;
use tidecast::series::observation::{Offset, Partition};

struct Counting;

thread_local! {
    /// Per thread: the other tests of this binary allocate as they like.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes of them; what grows counts anew.
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
    BYTES.with(|count| count.set(count.get() + bytes as u64));
}

// SAFETY: every call goes on to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
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
            seasons: Seasons::Auto,
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

/// Ids that never come back, as a broken producer makes them: nothing of them is kept, on the whole way from bytes to the
/// engine, and the streams that were there first are served.
#[test]
fn allocation_none_for_millions_of_ids_over_capacity() {
    const ROUNDS: i64 = 50;
    const BOMB: usize = 5_000_000 / ROUNDS as usize;
    let mut path = Path::new();
    for minute in 0..200 {
        path.turn(&messages(minute));
    }
    let mut strangers: Vec<_> = messages(0).into_iter().cycle().take(2000).collect();
    let mut next = 0_u64;
    let (mut forecasts, mut allocations) = (0, 0);
    for minute in 200..200 + ROUNDS {
        for _ in 0..BOMB / strangers.len() {
            for record in &mut strangers {
                record.clear();
                let seconds = 1_767_607_200 + minute * 60;
                write!(record, r#"{{"id":"pump-{next:016x}","t":{seconds},"v":1}}"#).unwrap();
                next += 1;
            }
            let before = ALLOCATIONS.with(Cell::get);
            assert_eq!(path.turn(&strangers), 0);
            // The first are the first ever of their kind: whatever grows for them has grown after that.
            if next > 2 * BOMB as u64 {
                allocations += ALLOCATIONS.with(Cell::get) - before;
            }
        }
        forecasts += path.turn(&messages(minute));
    }
    assert_eq!((next, forecasts), (5_000_000, ROUNDS as usize * STREAMS));
    assert_eq!(path.state.stats().outcomes.over_capacity, next);
    assert_eq!(path.state.streams(), STREAMS);
    assert_eq!(allocations, 0, "allocations for ids over capacity");
}

/// A snapshot of all streams, and its engine.
fn snapshot_file() -> (Engine, Vec<u8>) {
    let mut path = Path::new();
    for minute in 0..60 {
        path.turn(&messages(minute));
    }
    path.state.begin_capture();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&path.state.capture_header(), &mut bytes);
    path.state.capture(usize::MAX);
    while let Some(block) = path.state.take_block() {
        encoder.block(&block, &mut bytes);
    }
    encoder.finish(&mut bytes);
    (path.engine, bytes)
}

/// Reads it, and the bytes that this allocated.
fn read(engine: &Engine, bytes: &[u8]) -> (Result<(snapshot::Header, u64), String>, u64) {
    let form = snapshot::form(engine);
    let before = BYTES.with(Cell::get);
    let found = snapshot::read(&mut &*bytes, &form);
    let allocated = BYTES.with(Cell::get) - before;
    let model = Arc::new(Model::first(engine.config(), 1));
    let found = found.map(|(header, content)| {
        let state = engine.restore("t", Partition(0), model, content);
        (header, state.fingerprint())
    });
    (found.map_err(|refusal| refusal.to_string()), allocated)
}

/// Makes the checksums of header and first block right for what is there, as a hostile writer would.
fn seal(bytes: &mut [u8], head: usize, block: usize) {
    for (from, to) in [(0, head), (head, block)] {
        let crc = crc32fast::hash(&bytes[from..to - 4]).to_le_bytes();
        bytes[to - 4..to].copy_from_slice(&crc);
    }
}

#[test]
fn allocation_of_a_snapshots_reader_is_bounded_by_the_file() {
    let (engine, whole) = snapshot_file();
    let (original, needed) = read(&engine, &whole);
    let original = original.unwrap();
    let number = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let head = 16 + number(12) + 4;
    let block = head + 20 + number(head + 16) + 4;
    assert!(block < whole.len(), "header, block, end");
    // Lengths of header, rows, raw and packed, and anything anywhere.
    let lengths = [12, head + 8, head + 12, head + 16];
    let place = prop_oneof![prop::sample::select(lengths.to_vec()), 0..whole.len() - 4];
    let value = prop_oneof![
        any::<u32>(),
        0..1_000_000_u32,
        prop::sample::select(vec![0, 1, 64, 65, u32::MAX, u32::MAX / 2])
    ];
    let cut = prop_oneof![3 => Just(whole.len()), 1 => 0..whole.len()];
    let corruption = (prop::collection::vec((place, value), 1..3), any::<bool>(), cut);
    let config = ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((changes, is_sealed, end) in corruption)| {
        let mut bytes = whole.clone();
        for (at, value) in changes {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        if is_sealed {
            seal(&mut bytes, head, block);
        }
        bytes.truncate(end);
        let (found, allocated) = read(&engine, &bytes);
        match found {
            Ok(found) => prop_assert!(is_sealed || found == original),
            Err(reason) => prop_assert!(!reason.is_empty()),
        }
        // LZ4 makes 255 bytes of one at most; buffers grow by doubling.
        let most = 2 * needed + 2 * 255 * bytes.len().min(2000) as u64;
        prop_assert!(allocated <= most, "{allocated} bytes for a file of {}, {needed} are needed", bytes.len());
    });
}
