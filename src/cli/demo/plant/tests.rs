//! The plant by seed, its cycle, its faults.

use super::*;

const START_MS: i64 = 1_700_006_400_000; // 2023-11-15T00:00:00Z, a Wednesday
const INTERVAL_MS: i64 = 300_000;
const DAY_STEPS: usize = 288;

fn plant(seed: u64, streams: usize) -> Plant {
    Plant::new(Options {
        seed,
        streams,
        start_ms: START_MS,
        interval_ms: INTERVAL_MS,
        faults_from_ms: START_MS + 2 * DAY_MS,
    })
}

/// Readings of one sensor by step; `None` where it was silent, `Some(None)` where it said null.
fn series(seed: u64, sensor: usize, days: usize) -> Vec<Option<Option<f64>>> {
    let mut plant = plant(seed, SENSORS.len());
    let mut out = Vec::new();
    (0..days * DAY_STEPS)
        .map(|_| {
            assert!(plant.next(&mut out));
            out.iter()
                .find(|reading| reading.stream == sensor)
                .map(|reading| reading.value)
        })
        .collect()
}

fn clean(sensor: usize, days: usize) -> Vec<f64> {
    series(1, sensor, days)
        .into_iter()
        .map(|value| value.unwrap().unwrap())
        .collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let cov: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
    let var = |x: &[f64], m: f64| x.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    cov / (var(a, ma) * var(b, mb)).sqrt()
}

#[test]
fn plant_same_seed_gives_same_readings_and_another_does_not() {
    assert_eq!(series(7, 0, 2), series(7, 0, 2));
    assert_ne!(series(7, 0, 2), series(8, 0, 2));
}

#[test]
fn plant_flow_follows_a_daily_cycle() {
    let flow = clean(0, 2);
    let day = correlation(&flow[..DAY_STEPS], &flow[DAY_STEPS..]);
    assert!(day > 0.7, "a day apart: {day}");
    let half = DAY_STEPS / 2;
    let shifted = correlation(&flow[..DAY_STEPS], &flow[half..half + DAY_STEPS]);
    assert!(shifted < 0.3, "half a day apart: {shifted}");
}

#[test]
fn plant_values_stay_physical_over_a_month() {
    let mut plant = plant(3, 24);
    let mut out = Vec::new();
    for _ in 0..30 * DAY_STEPS {
        assert!(plant.next(&mut out));
        assert!(
            out.iter()
                .filter_map(|reading| reading.value)
                .all(|value| (-20.0..200.0).contains(&value))
        );
    }
}

#[test]
fn plant_dropout_is_silent_then_null_then_back() {
    let level = series(1, faults::DROPS_OUT, 4);
    let at = |hour: usize| level[2 * DAY_STEPS + hour * 12 + 6];
    assert!(at(5).is_some_and(|value| value.is_some()));
    assert_eq!(at(10), None);
    assert_eq!(at(30), Some(None));
    assert!(at(31).is_some_and(|value| value.is_some()));
}

#[test]
fn plant_drift_adds_up_by_the_day() {
    let drifting = clean(faults::DRIFTS, 6);
    let mean = |day: usize| {
        drifting[day * DAY_STEPS..(day + 1) * DAY_STEPS]
            .iter()
            .sum::<f64>()
            / DAY_STEPS as f64
    };
    let raised = mean(5) - mean(1);
    assert!(raised > 5.0, "{raised}");
}

#[test]
fn plant_failing_sensor_sticks_then_talks_nonsense() {
    let vibration = clean(faults::FAILS, 4);
    let hour = |hour: usize| &vibration[3 * DAY_STEPS + hour * 12..3 * DAY_STEPS + (hour + 1) * 12];
    assert!(
        hour(6)
            .iter()
            .all(|value| value.to_bits() == hour(6)[0].to_bits()),
        "stuck"
    );
    let spread =
        hour(17).iter().copied().fold(f64::MIN, f64::max) - hour(17).iter().copied().fold(f64::MAX, f64::min);
    assert!(spread > 10.0, "nonsense spreads over {spread}");
}

#[test]
fn plant_schedule_says_what_the_readings_do() {
    let schedule = faults::Schedule {
        from_ms: START_MS + 2 * DAY_MS,
    };
    let level = series(1, faults::DROPS_OUT, 5);
    for (step, read) in level.iter().enumerate() {
        let fault = schedule.fault(faults::DROPS_OUT, START_MS + step as i64 * INTERVAL_MS);
        let silent = !read.is_some_and(|value| value.is_some());
        assert_eq!(fault == Some(faults::Fault::Silent), silent, "step {step}");
    }
    let at = |hour: i64| schedule.fault(faults::FAILS, schedule.from_ms + hour * HOUR_MS);
    assert_eq!(
        [0, 12, 36, 60].map(at),
        [
            None,
            Some(faults::Fault::Stuck),
            Some(faults::Fault::Nonsense),
            None
        ]
    );
    assert_eq!(at(-1), None);
}

#[test]
fn plant_hint_names_only_sensors_that_this_run_has() {
    assert_eq!(faults::hint(3), None);
    let few = faults::hint(4).unwrap();
    assert!(
        few.contains("pump-2/vibration") && !few.contains("tank-2/level"),
        "{few}"
    );
    assert!(faults::hint(12).unwrap().contains("compressor/temperature"));
    let names = plant(1, SENSORS.len()).names().to_vec();
    let named = [faults::DROPS_OUT, faults::DRIFTS, faults::FAILS].map(|sensor| &names[sensor]);
    let all = faults::hint(12).unwrap();
    assert!(named.into_iter().all(|name| all.contains(name.as_str())), "{all}");
}

#[test]
fn plant_scales_by_whole_lines_with_distinct_names() {
    let names: std::collections::BTreeSet<_> = plant(1, 100).names().iter().cloned().collect();
    assert_eq!(names.len(), 100);
    assert!(
        names.contains("pump-3/flow") && names.contains("compressor-2/pressure"),
        "{names:?}"
    );
}
