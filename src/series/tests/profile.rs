use super::*;
use crate::series::calendar::Calendar;

fn rules(steps: u32, slots_max: usize) -> ProfileRules {
    ProfileRules::new(Calendar::with_steps(60_000, 0, &[steps]).day, slots_max, DAY_RATE)
}

#[test]
fn slots_are_the_largest_divisor_and_many_where_there_is_none() {
    let cases = [
        (24, 96, 24),
        (288, 96, 96),
        (1_440, 96, 96),
        (480, 96, 96),
        (10_080, 336, 336),
        (97, 96, 96),
        (127, 60, 60),
    ];
    for (steps, most, expected) in cases {
        assert_eq!(slots(steps, most), expected, "{steps}");
    }
}

#[test]
fn one_step_slots_are_the_plain_update_of_every_step() {
    let rules = rules(24, DAY_SLOTS);
    let (mut profile, mut means, mut visits) = (Profile::zeroed(), [0.0; 24], [0.0; 24]);
    let (mut plain, mut seen) = ([0f32; 24], [0f32; 24]);
    for t in 0..2_000u32 {
        let (i, y) = (
            (t % 24) as usize,
            (f64::from(t) * 0.618_033_988_749_895).fract() as f32,
        );
        profile.update(&mut means, &mut visits, &rules, t % 24, y);
        seen[i] += 1.0;
        plain[i] += (y - plain[i]) * (1.0 / seen[i]).max(0.1);
        let got = profile.at(&means, &visits, &rules, t % 24).unwrap();
        assert!((got - plain[i]).abs() < 1e-5, "{t}");
    }
}

#[test]
fn an_unseen_slot_says_nothing_and_no_season_neither() {
    let day = rules(24, DAY_SLOTS);
    let (mut profile, mut means, mut visits) = (Profile::zeroed(), [0.0; 24], [0.0; 24]);
    assert_eq!(profile.at(&means, &visits, &day, 3), None);
    profile.update(&mut means, &mut visits, &day, 3, 5.0);
    assert_eq!(profile.at(&means, &visits, &day, 3), Some(5.0));
    assert_eq!(profile.at(&means, &visits, &day, 4), None);
    let none = ProfileRules::new(Season::NONE, DAY_SLOTS, DAY_RATE);
    profile.update(&mut means, &mut visits, &none, 0, 5.0);
    assert_eq!(profile.at(&means, &visits, &none, 0), None);
}

#[test]
fn a_prime_season_is_cut_into_unequal_slots_and_still_has_a_shape() {
    let rules = rules(97, DAY_SLOTS);
    let (mut profile, mut means, mut visits) = (Profile::zeroed(), [0.0; 96], [0.0; 96]);
    for t in 0..970u32 {
        profile.update(&mut means, &mut visits, &rules, t % 97, (t % 97) as f32);
    }
    for index in 2..95 {
        let got = profile.at(&means, &visits, &rules, index).unwrap();
        assert!((got - index as f32).abs() < 1.5, "{index} {got}");
    }
}
