use std::sync::Arc;

use proptest::prelude::*;

use super::{Bench, HOUR_MS, Numbers, config, lively, observation};
use crate::engine::snapshot::{self, Anchor, Encoder, Header, Refusal};
use crate::engine::{Config, Engine, PartitionState};
use crate::series::observation::{NextOffset, Offset, Partition};

/// As the worker fills it in.
fn header(state: &PartitionState) -> Header {
    Header {
        cluster: "lkc-1".into(),
        topic: "sensors".into(),
        partition: Partition(0),
        next: NextOffset(17),
        switch_log: "1;0;0:1".into(),
        anchor: Some(Anchor {
            offset: Offset(16),
            timestamp_ms: 5,
        }),
        made_by: "0.1.0".into(),
        ..state.capture_header()
    }
}

/// A snapshot of `state` as it is.
fn encoded(state: &mut PartitionState) -> Vec<u8> {
    state.begin_capture();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&header(state), &mut out);
    while !state.is_captured() {
        state.capture(7);
        while let Some(block) = state.take_block() {
            encoder.block(&block, &mut out);
            state.give_back(block);
        }
    }
    state.end_capture();
    encoder.finish(&mut out);
    out
}

fn decoded(engine: &Engine, bytes: &[u8]) -> Result<(Header, snapshot::Content), Refusal> {
    snapshot::read(&mut &bytes[..], &snapshot::form(engine))
}

fn restored(bench: &Bench, bytes: &[u8]) -> PartitionState {
    let (_, content) = decoded(&bench.engine, bytes).unwrap();
    let model = Arc::clone(bench.state.model());
    bench.engine.restore("sensors", Partition(0), model, content)
}

/// Streams with a daily wave and noise, hourly, all at each step.
fn run(bench: &mut Bench, streams: usize, steps: std::ops::Range<i64>) {
    let ids: Vec<String> = (0..streams).map(|i| format!("s{i}")).collect();
    let mut numbers = Numbers(steps.start as u64 + 1);
    for step in steps {
        let wave = (step as f64 * std::f64::consts::TAU / 24.0).sin();
        let all: Vec<_> = ids
            .iter()
            .map(|id| observation(id, step * HOUR_MS, Some(wave + 0.2 * numbers.normal()), step))
            .collect();
        bench.batch(&all);
    }
}

fn bench(config: &Config) -> Bench {
    Bench::with_model(config.clone(), lively(config, 3))
}

#[test]
fn snapshot_restores_bitwise_and_goes_on_bitwise() {
    let config = config();
    let mut bench = bench(&config);
    run(&mut bench, 150, 0..60);
    let before = bench.state.fingerprint();
    let bytes = encoded(&mut bench.state);
    assert_eq!(bench.state.fingerprint(), before, "a capture changes nothing");
    let state = restored(&bench, &bytes);
    assert_eq!((state.fingerprint(), state.streams()), (before, 150));
    let mut other = Bench {
        engine: Engine::new(config),
        state,
    };
    for step in 60..70 {
        let seen = |bench: &mut Bench| {
            let id = format!("s{}", step % 7);
            bench.one(&id, step * HOUR_MS, Some(0.5))
        };
        assert_eq!(seen(&mut other), seen(&mut bench));
        assert_eq!(other.state.fingerprint(), bench.state.fingerprint());
    }
}

#[test]
fn snapshot_of_no_stream_is_a_snapshot() {
    let mut bench = Bench::new(config());
    let bytes = encoded(&mut bench.state);
    assert_eq!(restored(&bench, &bytes).fingerprint(), bench.state.fingerprint());
}
