//! Capture and restore: bitwise, whatever goes on meanwhile.

use std::sync::Arc;

use proptest::prelude::*;

use super::capacity::{crowded, readings, step, timed};
use super::{Bench, HOUR_MS, Numbers, Seen, config, lively, observation};
use crate::engine::snapshot::{self, Anchor, Block, Content, Encoder, Form, Header, Refusal};
use crate::engine::{Config, Engine, PartitionState};
use crate::series::observation::{NextOffset, Offset, Partition};

/// As the worker fills it in.
pub(super) fn header(state: &PartitionState) -> Header {
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
pub(super) fn encoded(state: &mut PartitionState) -> Vec<u8> {
    state.begin_capture();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&header(state), &mut out);
    while !state.is_captured() {
        state.capture(7);
        drain(state, &mut encoder, &mut out);
    }
    state.end_capture();
    encoder.finish(&mut out);
    out
}

fn drain(state: &mut PartitionState, encoder: &mut Encoder, out: &mut Vec<u8>) {
    while let Some(block) = state.take_block() {
        encoder.block(&block, out);
        state.give_back(block);
    }
}

pub(super) fn decoded(engine: &Engine, bytes: &[u8]) -> Result<(Header, Content), Refusal> {
    snapshot::read(&mut &bytes[..], &snapshot::form(engine))
}

/// The partition of a snapshot, with an engine and a model of its own.
pub(super) fn restored(config: &Config, bytes: &[u8]) -> Bench {
    let engine = Engine::new(config.clone());
    let (header, content) = decoded(&engine, bytes).unwrap();
    let state = engine.restore(&header.topic, header.partition, lively(config, 3), content);
    Bench::of(engine, state)
}

pub(super) fn bench(config: &Config) -> Bench {
    Bench::with_model(config.clone(), lively(config, 3))
}

/// Streams with a daily wave and noise, hourly, all at each step.
pub(super) fn run(bench: &mut Bench, streams: usize, steps: std::ops::Range<i64>) {
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

#[test]
fn snapshot_restores_bitwise_and_goes_on_bitwise() {
    let config = config();
    let mut bench = bench(&config);
    run(&mut bench, 150, 0..60);
    let before = bench.state.fingerprint();
    let bytes = encoded(&mut bench.state);
    assert_eq!(bench.state.fingerprint(), before, "a capture changes nothing");
    let mut other = restored(&config, &bytes);
    assert_eq!((other.state.fingerprint(), other.state.streams()), (before, 150));
    for step in 60..70 {
        let seen = |bench: &mut Bench| bench.one(&format!("s{}", step % 7), step * HOUR_MS, Some(0.5));
        assert_eq!(seen(&mut other), seen(&mut bench));
        assert_eq!(other.state.fingerprint(), bench.state.fingerprint());
    }
}

#[test]
fn restored_streams_have_the_keys_of_their_partition() {
    let config = config();
    let mut bench = bench(&config);
    run(&mut bench, 3, 0..2);
    let bytes = encoded(&mut bench.state);
    let engine = Engine::new(config.clone());
    let keys = |state: &PartitionState| {
        let slots = state.index.live();
        slots.map(|slot| state.index.key(slot)).collect::<Vec<_>>()
    };
    for (topic, partition, same) in [("sensors", 0, true), ("sensors", 1, false), ("other", 0, false)] {
        let partition = Partition(partition);
        let (_, content) = decoded(&engine, &bytes).unwrap();
        let state = engine.restore(topic, partition, lively(&config, 3), content);
        let mut fresh = engine.partition(topic, partition, lively(&config, 3));
        for id in ["s0", "s1", "s2"] {
            fresh.admit(&observation(id, 0, Some(0.0), 0));
        }
        assert_eq!(keys(&state), keys(&fresh));
        assert_eq!(keys(&state) == keys(&bench.state), same);
    }
}

#[test]
fn snapshot_of_no_stream_is_a_snapshot() {
    let config = config();
    let mut bench = bench(&config);
    let bytes = encoded(&mut bench.state);
    assert_eq!(
        restored(&config, &bytes).state.fingerprint(),
        bench.state.fingerprint()
    );
}

#[test]
fn snapshot_says_what_it_is_of() {
    let config = config();
    let mut bench = bench(&config);
    run(&mut bench, 3, 0..5);
    bench.state.begin_capture();
    let expected = header(&bench.state);
    let bytes = encoded(&mut bench.state);
    assert_eq!(snapshot::read_header(&mut &bytes[..]).unwrap(), expected);
    assert_eq!(decoded(&bench.engine, &bytes).unwrap().0, expected);
    assert_eq!((expected.streams, expected.clock.now_ms), (3, 4 * HOUR_MS));
    assert_eq!(expected.fingerprint, snapshot::fingerprint(&config));
}

#[test]
fn capture_takes_no_stream_that_began_later_and_can_be_given_up() {
    let config = config();
    let mut bench = bench(&config);
    run(&mut bench, 70, 0..3);
    let before = bench.state.fingerprint();
    bench.state.begin_capture();
    bench.state.capture(10);
    run(&mut bench, 140, 3..5);
    bench.state.end_capture();
    assert!(!bench.state.is_capturing() && !bench.state.is_captured() && bench.state.take_block().is_none());
    bench.state.give_back(Block::default());
    let after = bench.state.fingerprint();
    assert_ne!(before, after);
    let bytes = encoded(&mut bench.state);
    assert_eq!(restored(&config, &bytes).state.fingerprint(), after);
}

#[test]
#[should_panic(expected = "between steps")]
fn capture_is_of_no_half_stepped_batch() {
    let mut bench = Bench::new(config());
    bench
        .engine
        .admit(&mut bench.state, observation("s", 0, Some(1.0), 0));
    bench.state.begin_capture();
}

#[test]
fn loading_may_happen_on_another_thread() {
    const fn crosses<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    crosses::<Content>();
    crosses::<Block>();
    crosses::<Encoder>();
    is_shared::<Arc<Form>>();
}

#[test]
fn fingerprint_of_a_configuration_is_of_what_shapes_state() {
    use crate::engine::config::{Interval, Seasons};
    type Change = fn(&mut Config);
    let same: [Change; 7] = [
        |c| c.horizons = vec![1, 2],
        |c| c.quantiles = vec![0.5],
        |c| c.streams_max = 1,
        |c| c.stream_ttl_ms = 1,
        |c| c.publish_warming = false,
        |c| c.tape_share = 1.0,
        |c| {
            let all = crate::experts::ExpertSet::from_names([]).unwrap();
            c.experts = all.iter().map(|expert| expert.name().to_owned()).collect();
            c.experts.reverse();
        },
    ];
    let other: [Change; 9] = [
        |c| c.interval = Interval::Auto,
        |c| c.interval = Interval::Given(1),
        |c| c.seasons = Seasons::Durations(vec![24]),
        |c| c.seasons = Seasons::Steps(vec![24]),
        |c| c.utc_offset_ms = 1,
        |c| c.gap_max = 1,
        |c| c.model.cell = crate::nn::Cell::Lstm,
        |c| c.model.hidden = 9,
        |c| c.model.layers = 2,
    ];
    let of = |change: &Change| {
        let mut config = config();
        change(&mut config);
        snapshot::fingerprint(&config)
    };
    let mut all: Vec<u64> = other.iter().map(of).collect();
    all.push(of(&((|c| c.experts = vec!["last".to_owned()]) as Change)));
    all.push(snapshot::fingerprint(&config()));
    assert!(same.iter().all(|change| of(change) == all[10]));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 11, "each differs from each");
}

#[test]
fn header_keeps_every_level_exactly() {
    let mut config = config();
    let mut seen = 0;
    for low in (1..500).step_by(7) {
        config.quantiles = (low..500)
            .step_by(16)
            .chain([500])
            .map(|level| f64::from(level) / 1000.0)
            .collect();
        config.quantiles.dedup();
        config.quantiles.truncate(30);
        let mut bench = Bench::new(config.clone());
        let bytes = encoded(&mut bench.state);
        let levels = snapshot::read_header(&mut &bytes[..]).unwrap().dims.levels;
        let expected: Vec<f32> = config.quantiles.iter().map(|&level| level as f32).collect();
        assert_eq!(levels, expected);
        seen += levels.len();
    }
    assert!(seen > 500);
}

/// What goes on while rows are copied.
#[derive(Clone, Debug)]
enum Event {
    Step(usize),
    Copy(usize),
    Take,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        (1usize..12).prop_map(Event::Step),
        (1usize..4).prop_map(Event::Copy),
        Just(Event::Take)
    ];
    prop::collection::vec(one, 0..40)
}

/// Takes a snapshot of `bench` while it goes on as `events` say with what is `left`; gives the file, and the steps taken
/// with what they came to.
type Step = (Vec<(String, i64, f64)>, Vec<Seen>, u64);

fn captured(bench: &mut Bench, events: &[Event], mut left: &[(String, i64, f64)]) -> (Vec<u8>, Vec<Step>) {
    bench.state.begin_capture();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&header(&bench.state), &mut out);
    let mut steps = Vec::new();
    for event in events {
        match *event {
            Event::Step(count) => {
                let (batch, after) = left.split_at(count.min(left.len()));
                left = after;
                let seen = step(bench, batch);
                steps.push((batch.to_vec(), seen, bench.state.fingerprint()));
            }
            Event::Copy(rows) => bench.state.capture(rows),
            Event::Take => drain(&mut bench.state, &mut encoder, &mut out),
        }
    }
    bench.state.capture(usize::MAX);
    drain(&mut bench.state, &mut encoder, &mut out);
    assert!(bench.state.is_captured());
    bench.state.end_capture();
    encoder.finish(&mut out);
    (out, steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_is_of_the_moment_it_began_whatever_goes_on(
        all in readings(30..200),
        first in 0usize..30,
        events in events(),
        ttl_hours in prop_oneof![Just(20i64), Just(130)],
    ) {
        let config = crowded(ttl_hours);
        let all = timed(&all);
        let mut bench = bench(&config);
        all[..first].chunks(5).for_each(|batch| { step(&mut bench, batch); });
        let began = bench.state.fingerprint();
        let (bytes, steps) = captured(&mut bench, &events, &all[first..]);
        let mut other = restored(&config, &bytes);
        prop_assert_eq!(other.state.fingerprint(), began);
        for (batch, seen, fingerprint) in steps {
            prop_assert_eq!(step(&mut other, &batch), seen);
            prop_assert_eq!(other.state.fingerprint(), fingerprint);
        }
    }
}
