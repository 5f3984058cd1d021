use std::sync::Arc;

use super::{Bench, HOUR_MS, Seen, config, lively, observation};
use crate::engine::config::Interval;
use crate::engine::{Model, Status};

#[test]
fn every_observation_has_one_outcome() {
    let mut config = config();
    config.gap_max = 4;
    config.streams_max = 1;
    let mut bench = Bench::new(config);
    let at = |hour: i64, value: f64| observation("s", hour * HOUR_MS, Some(value), hour);
    let null = observation("s", 3 * HOUR_MS, None, 3);
    let other = observation("t", 0, Some(1.0), 9);
    let seen = bench.batch(&[
        at(0, 1.0),
        at(1, 2.0),
        at(1, 3.0),
        at(0, 4.0),
        null,
        at(5, 5.0),
        at(100, 6.0),
        other,
    ]);
    let names: Vec<&str> = seen
        .iter()
        .map(|seen| match seen {
            Seen::Forecast(_) => "forecast",
            Seen::Other(name) => name,
        })
        .collect();
    let expected = [
        "forecast",
        "forecast",
        "duplicate",
        "late",
        "missing",
        "forecast",
        "forecast",
        "over_capacity",
    ];
    assert_eq!(names, expected);
    let stats = bench.state.stats();
    assert_eq!((stats.gaps, stats.long_gaps, stats.restarts), (2, 1, 0));
    let counts = stats.outcomes;
    let all = [
        counts.forecast,
        counts.duplicate,
        counts.late,
        counts.missing,
        counts.over_capacity,
        counts.muted,
    ];
    assert_eq!(all, [4, 1, 1, 1, 1, 0]);
    assert_eq!(bench.state.streams(), 1);
}

#[test]
fn a_stream_is_muted_until_it_is_ready_where_warming_is_not_published() {
    let mut config = config();
    config.publish_warming = false;
    let mut bench = Bench::new(config);
    let values: Vec<f64> = (0..60).map(|t| f64::from(t % 24)).collect();
    let seen = bench.series("s", &values);
    let first = seen.iter().position(|seen| seen.forecast().is_some());
    assert_eq!(first, Some(48), "two days of an hourly stream");
    assert_eq!(seen[48].forecast().unwrap().status, Status::Ready);
}

#[test]
fn warming_counts_down_and_a_long_gap_is_stale_once() {
    let mut config = config();
    config.gap_max = 4;
    let mut bench = Bench::new(config);
    let values: Vec<f64> = (0..60).map(|t| f64::from(t % 24)).collect();
    let seen = bench.series("s", &values);
    let status = |seen: &Seen| seen.forecast().unwrap().status;
    assert_eq!(status(&seen[0]), Status::Warming { ready_in: 48 });
    assert_eq!(status(&seen[47]), Status::Warming { ready_in: 1 });
    assert_eq!(status(&seen[48]), Status::Ready);
    assert_eq!(status(&bench.one("s", 5_000 * HOUR_MS, Some(3.0))), Status::Stale);
    assert_eq!(status(&bench.one("s", 5_001 * HOUR_MS, Some(4.0))), Status::Ready);
}

#[test]
fn a_found_interval_goes_on_and_a_changed_one_restarts_the_stream() {
    let mut config = config();
    config.interval = Interval::Auto;
    let mut bench = Bench::new(config);
    let mut time_ms = 0;
    let mut last = None;
    for step in 0..80 {
        last = bench
            .one("s", time_ms, Some(f64::from(step % 24)))
            .forecast()
            .cloned();
        time_ms += HOUR_MS;
    }
    assert_eq!(last.unwrap().status, Status::Ready);
    assert_eq!(bench.state.stats().restarts, 0);
    let view = bench.state.stream("s").unwrap();
    assert_eq!(
        (view.interval_ms, view.season, view.last),
        (HOUR_MS, 24, Some(7.0))
    );
    for step in 0..20 {
        let seen = bench.one("s", time_ms, Some(f64::from(step % 24)));
        assert!(
            seen.forecast().is_some() || seen == Seen::Other("duplicate"),
            "{seen:?}"
        );
        time_ms += HOUR_MS / 4;
    }
    assert_eq!(bench.state.stats().restarts, 1);
    assert_eq!(bench.state.stream("s").unwrap().interval_ms, HOUR_MS / 4);
}

#[test]
fn tape_takes_rows_as_they_were_served_and_chains_their_states() {
    let mut config = config();
    config.tape_share = 1.0;
    let model = lively(&config, 3);
    let mut bench = Bench::with_model(config, Arc::clone(&model));
    let values: Vec<f64> = (0..100).map(|t| (f64::from(t) * 0.26).sin()).collect();
    bench.series("s", &values);
    bench.engine.tape().suppress(true);
    bench.one("s", 100 * HOUR_MS, Some(0.0));
    bench.engine.tape().suppress(false);
    bench.engine.tape().cut();
    let chunk = bench.engine.tape().take_full().expect("cut");
    assert_eq!((chunk.len(), bench.engine.tape().dropped()), (100, 0));
    let dims = chunk.dims;
    let mut state = chunk.state[..dims.state].to_vec();
    assert!(
        state.iter().all(|&h| h == 0.0),
        "a stream begins with an empty state"
    );
    let mut scratch = crate::nn::Scratch::new(model.network.shape(), 1);
    for (row, &value) in values.iter().enumerate() {
        assert_eq!(
            chunk.state[row * dims.state..(row + 1) * dims.state],
            state,
            "state before step {row}"
        );
        model.network.step(
            1,
            &chunk.inputs[row * dims.inputs..(row + 1) * dims.inputs],
            &mut state,
            &mut scratch,
        );
        assert_eq!((chunk.step[row], chunk.observed[row]), (row as i64, value));
        assert_eq!(chunk.in_service[row], row >= 48);
        assert!(
            chunk.unit[row * dims.horizons..(row + 1) * dims.horizons]
                .iter()
                .all(|&s| s > 0.0)
        );
    }
    assert!(
        chunk.skips.iter().chain(&chunk.inputs).all(|x| x.abs() <= 4.0),
        "squashed"
    );
}

#[test]
fn tape_holds_no_stream_where_its_share_is_0() {
    let mut bench = Bench::new(config());
    bench.series("s", &[1.0, 2.0]);
    bench.engine.tape().cut();
    assert!(bench.engine.tape().take_full().is_none());
}

#[test]
#[should_panic(expected = "does not fit")]
fn adopt_refuses_a_model_of_another_shape() {
    let mut bench = Bench::new(config());
    let mut other = config();
    other.model.hidden = 9;
    bench.state.adopt(Arc::new(Model::first(&other, 1)));
}

#[test]
fn a_missing_target_matures_nothing() {
    let mut bench = Bench::new(config());
    let mut present = 0;
    for hour in 0..200i64 {
        let value = if hour % 7 == 3 {
            None
        } else {
            Some((hour % 24) as f64)
        };
        present += u64::from(hour >= 48 && value.is_some());
        bench.one("s", hour * HOUR_MS, value);
    }
    let stats = bench.state.stats();
    assert_eq!((stats.skill_near.count, stats.coverage_count), (present, present));
    // An untold gap, too: its steps have no truth.
    bench.one("s", 210 * HOUR_MS, Some(1.0));
    assert_eq!(bench.state.stats().skill_near.count, present + 1);
}

#[test]
fn tape_drops_and_counts_rows_where_the_trainer_does_not_keep_up() {
    use crate::engine::{TapeBuffer, TapeDims, TapeRow};
    let dims = TapeDims {
        inputs: 1,
        horizons: 1,
        skips: 1,
        state: 1,
    };
    let mut tape = TapeBuffer::new(dims, 2, 2);
    let row = |step: i64| TapeRow {
        stream: 7,
        step,
        model_version: 1,
        observed: 0.0,
        inputs: &[0.0],
        skips: &[0.0],
        state: &[0.0],
        centre: &[0.0],
        unit: &[1.0],
        weight: &[1.0],
        in_service: true,
    };
    (0..5).for_each(|step| tape.push(&row(step)));
    assert_eq!(tape.dropped(), 1, "two chunks of two rows");
    let oldest = tape.take_full().expect("two are full");
    assert_eq!(oldest.step, [0, 1]);
    tape.give_back(oldest);
    tape.push(&row(5));
    assert_eq!(
        (tape.dropped(), tape.take_full().map(|chunk| chunk.step)),
        (1, Some(vec![2, 3]))
    );
    tape.cut();
    assert_eq!(tape.take_full().map(|chunk| chunk.step), Some(vec![5]));
}
