use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const GIVEN: CadenceRules = CadenceRules {
    interval_ms: Some(MINUTE),
    gap_max: 32,
};
const AUTO: CadenceRules = CadenceRules {
    interval_ms: None,
    gap_max: 32,
};

fn placed(rules: CadenceRules, times: &[i64]) -> Vec<Placement> {
    let mut cadence = Cadence::zeroed();
    times.iter().map(|&time| cadence.place(time, &rules)).collect()
}

const TICK: Placement = Placement::Tick { gap: 0 };

#[test]
fn place_puts_readings_on_the_nearest_tick() {
    let got = placed(
        GIVEN,
        &[7, MINUTE, 2 * MINUTE + 29_000, 3 * MINUTE - 20_000, 2 * MINUTE, 0],
    );
    let expected = [TICK, TICK, TICK, TICK, Placement::Late, Placement::Late];
    assert_eq!(got, expected);
}

#[test]
fn place_takes_the_next_tick_only_from_midway_and_only_where_its_own_is_filled() {
    let midway = 30_000;
    assert_eq!(
        placed(GIVEN, &[0, midway]),
        [TICK, TICK],
        "tick 0 is filled, tick 1 half an interval away"
    );
    assert_eq!(placed(GIVEN, &[0, midway - 1]), [TICK, Placement::Duplicate]);
    let mut cadence = Cadence::zeroed();
    cadence.place(0, &GIVEN);
    cadence.place(MINUTE + midway, &GIVEN);
    assert_eq!(
        cadence.newest(),
        1,
        "midway between free ticks goes to the earlier"
    );
    assert_eq!(cadence.place(MINUTE + midway, &GIVEN), TICK);
    assert_eq!(cadence.place(MINUTE + midway, &GIVEN), Placement::Late);
}

#[test]
fn place_counts_gaps_up_to_the_edge() {
    assert_eq!(placed(GIVEN, &[0, 33 * MINUTE])[1], Placement::Tick { gap: 32 });
    assert_eq!(
        placed(GIVEN, &[0, 34 * MINUTE])[1],
        Placement::LongGap { steps: 33 }
    );
}

#[test]
fn place_finds_the_interval_from_the_fifth_reading() {
    let mut cadence = Cadence::zeroed();
    for (i, time) in [0, 59_000, 120_500, 180_000].into_iter().enumerate() {
        assert_eq!(cadence.place(time, &AUTO), Placement::Pending);
        assert_eq!((cadence.newest(), cadence.interval_ms()), (i as i64, 0));
    }
    assert_eq!(
        cadence.place(240_100, &AUTO),
        Placement::Restarted { found: true }
    );
    assert_eq!((cadence.newest(), cadence.interval_ms()), (4, MINUTE));
    assert_eq!(cadence.time_ms(cadence.newest()), 4 * MINUTE);
    assert_eq!(cadence.place(300_100, &AUTO), TICK);
    assert_eq!(cadence.place(300_200, &AUTO), Placement::Duplicate);
}

#[test]
fn place_ignores_one_outage_among_the_first_arrivals() {
    let mut cadence = Cadence::zeroed();
    for time in [0, 60_000, 660_000, 720_000, 780_000] {
        cadence.place(time, &AUTO);
    }
    assert_eq!(cadence.interval_ms(), MINUTE);
    assert_eq!(cadence.newest(), 13);
}

#[test]
fn place_keeps_an_odd_interval() {
    let mut cadence = Cadence::zeroed();
    for i in 0..5 {
        cadence.place(i * 42_421, &AUTO);
    }
    assert_eq!(cadence.interval_ms(), 42_421);
}

#[test]
fn place_restarts_the_grid_when_eight_differences_agree_on_another_interval() {
    let mut cadence = Cadence::zeroed();
    for i in 0..20 {
        cadence.place(i * MINUTE, &AUTO);
    }
    let mut found = Vec::new();
    for i in 1..=8 {
        found.push(cadence.place(19 * MINUTE + i * 10_000, &AUTO));
    }
    assert_eq!(found[7], Placement::Restarted { found: false });
    assert!(
        found[..7]
            .iter()
            .all(|each| !matches!(each, Placement::Restarted { .. }))
    );
    assert_eq!((cadence.newest(), cadence.interval_ms()), (0, 10_000));
    assert_eq!(cadence.place(19 * MINUTE + 90_000, &AUTO), TICK);
}

#[test]
fn place_corrects_an_interval_that_the_gaps_of_the_first_arrivals_made_too_long() {
    let mut cadence = Cadence::zeroed();
    for minute in [0, 2, 4, 6, 8] {
        cadence.place(minute * MINUTE, &AUTO);
    }
    assert_eq!(cadence.interval_ms(), 2 * MINUTE);
    let mut restarts = 0;
    for minute in [9, 10, 13, 14, 15, 17, 18, 19, 22, 23, 24, 25, 27, 28, 30, 31] {
        let placement = cadence.place(minute * MINUTE + minute % 3 * 1_000, &AUTO);
        restarts += u32::from(placement == Placement::Restarted { found: false });
    }
    assert_eq!((cadence.interval_ms(), restarts), (MINUTE, 1));
}

#[test]
fn place_finds_an_interval_under_jitter_and_stays_with_it() {
    for seed in 0..50u64 {
        let mut numbers = seed;
        let mut dice = || {
            numbers = numbers
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (numbers >> 40) as i64
        };
        // Up to 5 s late; a quarter of the readings are lost from the sixth on.
        let mut cadence = Cadence::zeroed();
        for minute in 0..2_000 {
            let (lost, late_ms) = (dice() % 4 == 0, dice() % 5_000);
            if minute < 6 || !lost {
                let placement = cadence.place(minute * MINUTE + late_ms, &AUTO);
                let begins_anew = placement == Placement::Restarted { found: false };
                assert!(!begins_anew, "seed {seed}, minute {minute}");
            }
        }
        assert_eq!(cadence.interval_ms(), MINUTE, "seed {seed}");
    }
}

#[test]
fn place_takes_no_gaps_and_no_jitter_for_another_interval() {
    let mut numbers = 7u64;
    let mut dice = || {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 40) as i64
    };
    // Half of the readings are lost, the others come up to 5 s late; then arrivals of no interval at all.
    let mut cadence = Cadence::zeroed();
    for minute in 0..5 {
        cadence.place(minute * MINUTE, &AUTO);
    }
    for minute in 5..2_000 {
        if dice() % 2 == 0 {
            let placement = cadence.place(minute * MINUTE + dice() % 5_000, &AUTO);
            assert!(
                matches!(placement, Placement::Tick { .. }),
                "{minute}: {placement:?}"
            );
        }
    }
    let (mut cadence, mut time_ms, mut restarts) = (Cadence::zeroed(), 0, 0);
    for _ in 0..5_000 {
        time_ms += 1 + dice() % (2 * MINUTE);
        let placement = cadence.place(time_ms, &AUTO);
        restarts += u32::from(placement == Placement::Restarted { found: false });
    }
    assert!(
        restarts <= 5,
        "{restarts}: what has no interval does not begin anew all the time"
    );
}

#[test]
fn place_keeps_a_given_interval_whatever_arrives() {
    let mut cadence = Cadence::zeroed();
    for i in 0..100 {
        cadence.place(i * 1_000, &GIVEN);
    }
    assert_eq!(cadence.interval_ms(), MINUTE);
}

#[test]
fn place_survives_the_ends_of_time() {
    let ends = [i64::MAX, i64::MIN, 0, i64::MAX - 1, i64::MIN + 1, i64::MAX, -1, 1];
    for rules in [
        AUTO,
        GIVEN,
        CadenceRules {
            interval_ms: Some(1),
            gap_max: 0,
        },
    ] {
        let mut cadence = Cadence::zeroed();
        for time in ends.into_iter().rev().chain(ends) {
            cadence.place(time, &rules);
            let (newest, last) = (cadence.time_ms(cadence.newest()), cadence.time_ms(i64::MAX));
            assert!(newest <= last);
        }
    }
}

proptest! {
    /// Whatever the times: the newest tick never falls but in a restart, and a step is taken exactly where the answer
    /// says so.
    #[test]
    fn place_never_goes_back(
        times in prop::collection::vec(prop_oneof![any::<i64>(), -100_000i64..100_000, 0i64..1_000], 1..200),
        given in prop::option::of(1i64..100_000),
        gap_max in 0u32..40,
    ) {
        let rules = CadenceRules { interval_ms: given, gap_max };
        let mut cadence = Cadence::zeroed();
        for (i, time) in times.into_iter().enumerate() {
            let before = cadence.newest();
            let placement = cadence.place(time, &rules);
            let moved = i128::from(cadence.newest()) - i128::from(before);
            match placement {
                Placement::Duplicate | Placement::Late => prop_assert_eq!(moved, 0),
                Placement::Pending => prop_assert_eq!(moved, i128::from(i > 0)),
                Placement::Tick { gap } => {
                    prop_assert!(gap <= gap_max);
                    prop_assert!(i == 0 || moved == i128::from(gap) + 1);
                }
                Placement::LongGap { steps } => {
                    prop_assert!(steps > u64::from(gap_max));
                    prop_assert!(moved >= 1);
                }
                Placement::Restarted { .. } => prop_assert!(given.is_none()),
            }
        }
    }

    /// A jittered, gappy grid is found again: every reading within a third of an interval of its tick takes a step.
    #[test]
    fn place_follows_a_jittered_grid(
        steps in prop::collection::vec((1i64..4, -15_000i64..15_000), 10..100),
    ) {
        let mut cadence = Cadence::zeroed();
        cadence.place(0, &GIVEN);
        let mut tick = 0;
        for (advance, jitter) in steps {
            tick += advance;
            let placement = cadence.place(tick * MINUTE + jitter, &GIVEN);
            prop_assert_eq!(placement, Placement::Tick { gap: (advance - 1) as u32 });
            prop_assert_eq!(cadence.newest(), tick);
        }
    }
}
