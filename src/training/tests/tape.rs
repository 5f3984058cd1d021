use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use super::{HORIZONS, dims};
use crate::engine::{TapeChunk, TapeRow};
use crate::nn::Batch;
use crate::training::tape::{KEPT_BLOCKS, Layout, Segment, Tape};

const STEPS: usize = 8;

fn tape_of(bytes: usize) -> Tape {
    Tape::new(Layout::new(dims(), STEPS, &HORIZONS), bytes)
}

/// A row whose every number says which step it is; `observed` is the step too.
fn row(chunk: &mut TapeChunk, stream: u64, step: i64, change: impl Fn(&mut TapeRow<'_>)) {
    let at = step as f32;
    let (inputs, skips) = ([at, -at], [at + 0.1, at + 0.2, at + 0.3, at + 0.4]);
    let (state, centre) = ([at * 10.0; 12], [0.5, f64::from(at)]);
    let mut row = TapeRow {
        stream,
        step,
        model_version: 1,
        observed: f64::from(at),
        inputs: &inputs,
        skips: &skips,
        state: &state,
        centre: &centre,
        unit: &[2.0, 1.0],
        weight: &[1.0, 2.0],
        in_service: true,
    };
    change(&mut row);
    chunk.push(&row);
}

fn absorb(tape: &mut Tape, stream: u64, steps: impl IntoIterator<Item = i64>) {
    for step in steps {
        let mut chunk = TapeChunk::new(dims(), 1);
        row(&mut chunk, stream, step, |_| {});
        tape.absorb(&chunk);
    }
}

fn fresh(tape: &mut Tape) -> Vec<Segment> {
    let mut segments = Vec::new();
    tape.take_fresh(usize::MAX, &mut segments);
    segments
}

fn batch(tape: &Tape, segments: &[Segment]) -> Batch {
    let mut batch = Batch::default();
    tape.fill(segments, &mut batch);
    batch
}

/// (step 0's input, targets) of column `b`.
fn column(batch: &Batch, b: usize) -> (f32, Vec<[f32; 2]>) {
    let at = |t: usize| (t * batch.rows + b) * 2;
    let targets = (0..batch.steps)
        .map(|t| [batch.targets[at(t)], batch.targets[at(t) + 1]])
        .collect();
    (batch.inputs[at(0)], targets)
}

#[test]
fn a_block_is_fresh_once_its_last_target_is_revealed() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, 0..10);
    assert_eq!(tape.fresh(), 0, "step 7 awaits step 10");
    absorb(&mut tape, 1, [10]);
    assert_eq!((tape.fresh(), tape.material_rows()), (1, 0));
    let segments = fresh(&mut tape);
    assert_eq!((tape.fresh(), tape.material_rows()), (0, 8));
    let (first, targets) = column(&batch(&tape, &segments), 0);
    assert_eq!(first, 0.0);
    for (t, target) in targets.iter().enumerate() {
        // Horizon 1: (t + 1 − .5) / 2; horizon 3: t + 3 − t.
        assert_eq!(*target, [(t as f32 + 0.5) / 2.0, 3.0], "step {t}");
    }
}

#[test]
fn a_block_is_fresh_before_targets_farther_than_it_is_long_which_come_later() {
    let mut tape = Tape::new(Layout::new(dims(), STEPS, &[1, 20]), 1 << 20);
    absorb(&mut tape, 1, 0..9);
    let segments = fresh(&mut tape);
    assert_eq!(segments.len(), 1, "step 7 awaits step 8 alone");
    let known = |tape: &Tape| {
        let (_, targets) = column(&batch(tape, &segments), 0);
        let known = |k: usize| targets.iter().filter(|target| !target[k].is_nan()).count();
        [known(0), known(1)]
    };
    assert_eq!(known(&tape), [8, 0]);
    absorb(&mut tape, 1, 9..24);
    assert_eq!(known(&tape), [8, 4], "material, and steps 20 to 23 are in");
}

#[test]
fn newest_rows_are_drawn_from_streams_that_report() {
    let mut tape = tape_of(8 << 20);
    absorb(&mut tape, 1, 0..400);
    absorb(&mut tape, 2, 0..400);
    fresh(&mut tape);
    let (mut rng, mut segments) = (Pcg64Mcg::seed_from_u64(1), Vec::new());
    tape.sample(&mut rng, 64, &mut segments);
    let of_first = |half: &[Segment]| half.iter().filter(|segment| segment.stream == 0).count();
    let (newest, past) = segments.split_at(32);
    assert_eq!(of_first(newest), 0, "stream 1 has stopped");
    assert!(of_first(past) > 5, "and its past is drawn all the same");
}

#[test]
fn rows_keep_their_inputs_skips_weights_and_first_state() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, 0..30);
    let segments = fresh(&mut tape);
    let batch = batch(&tape, &segments[1..2]);
    assert_eq!(batch.state, [80.0; 12], "as it was before step 8");
    assert_eq!((batch.inputs[6], batch.inputs[7]), (11.0, -11.0));
    assert_eq!(batch.skips[3 * 4..4 * 4], [11.1, 11.2, 11.3, 11.4]);
    assert_eq!(batch.weights[..4], [1.0, 2.0, 1.0, 2.0]);
}

#[test]
fn a_gap_ends_the_run_and_still_reveals_across_it() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, (0..5).chain(7..20));
    let segments = fresh(&mut tape);
    let batch = batch(&tape, &segments);
    let (first, targets) = column(&batch, 0);
    assert_eq!((first, segments[0].rows()), (0.0, 5));
    // Steps 5 and 6 were never observed: truths of 2 and 3 at horizon 3, and of 4 at horizon 1; step 4 + 3 = 7 was.
    let known: Vec<_> = targets.iter().map(|t| [!t[0].is_nan(), !t[1].is_nan()]).collect();
    assert_eq!(
        known[..5],
        [[true; 2], [true; 2], [true, false], [true, false], [false, true]]
    );
    assert!(
        known[5..].iter().all(|k| *k == [false; 2]),
        "past the run's end all is masked"
    );
    assert_eq!(column(&batch, 1).0, 7.0, "the next run begins its own block");
}

#[test]
fn a_restarted_grid_reveals_nothing_of_the_one_before() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, 100..106);
    absorb(&mut tape, 1, 105..130);
    let segments = fresh(&mut tape);
    let (first, targets) = column(&batch(&tape, &segments), 0);
    assert_eq!(first, 100.0);
    let known = targets.iter().flatten().filter(|target| !target.is_nan()).count();
    assert_eq!(
        known,
        5 + 3,
        "only what 101..106 revealed, not the second 105 and later"
    );
    assert_eq!(column(&batch(&tape, &segments), 1).0, 105.0);
}

#[test]
fn missing_readings_and_rows_out_of_service_have_no_target() {
    let mut tape = tape_of(1 << 20);
    for step in 0..20 {
        let mut chunk = TapeChunk::new(dims(), 1);
        row(&mut chunk, 1, step, |row| {
            row.in_service = step >= 2;
            if step == 4 {
                row.observed = f64::NAN;
            }
        });
        tape.absorb(&chunk);
    }
    let segments = fresh(&mut tape);
    let (_, targets) = column(&batch(&tape, &segments), 0);
    let known: Vec<_> = targets.iter().map(|t| (!t[0].is_nan(), !t[1].is_nan())).collect();
    let yes = (true, true);
    let no = (false, false);
    assert_eq!(known, [no, no, yes, (false, true), yes, yes, yes, yes]);
}

#[test]
fn targets_are_clipped() {
    let mut tape = tape_of(1 << 20);
    for step in 0..20 {
        let mut chunk = TapeChunk::new(dims(), 1);
        row(&mut chunk, 1, step, |row| {
            row.observed = if step == 5 { 1e9 } else { -1e9 }
        });
        tape.absorb(&chunk);
    }
    let segments = fresh(&mut tape);
    let (_, targets) = column(&batch(&tape, &segments), 0);
    assert_eq!((targets[3][0], targets[4][0]), (-15.0, 15.0));
}

#[test]
fn a_row_that_is_not_finite_is_refused_and_ends_the_run() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, 0..4);
    let mut chunk = TapeChunk::new(dims(), 1);
    row(&mut chunk, 1, 4, |row| row.unit = &[0.0, 1.0]);
    tape.absorb(&chunk);
    absorb(&mut tape, 1, 5..20);
    assert_eq!(tape.refused, 1);
    let segments = fresh(&mut tape);
    let (_, targets) = column(&batch(&tape, &segments), 0);
    assert_eq!(segments[0].rows(), 4);
    assert!(!targets[3][0].is_nan(), "its reading is a truth all the same");
}

#[test]
fn a_chunk_of_other_widths_is_refused_whole() {
    let mut tape = Tape::new(
        Layout::new(crate::engine::TapeDims { state: 13, ..dims() }, STEPS, &HORIZONS),
        1 << 20,
    );
    absorb(&mut tape, 1, 0..4);
    assert_eq!((tape.refused, tape.taken, tape.streams()), (4, 0, 0));
}

#[test]
fn segments_never_cross_a_gap_and_start_with_their_own_state() {
    let mut tape = tape_of(1 << 20);
    absorb(&mut tape, 1, (0..300).filter(|step| step % 37 != 0));
    absorb(&mut tape, 2, 0..100);
    tape.pass_fresh();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut segments = Vec::new();
    let mut seen_inside = false;
    for _ in 0..50 {
        tape.sample(&mut rng, 16, &mut segments);
        assert_eq!(segments.len(), 16);
        let batch = batch(&tape, &segments);
        for (b, segment) in segments.iter().enumerate() {
            let first = column(&batch, b).0;
            assert_eq!(
                batch.state[b * 12],
                first * 10.0,
                "the state before the segment's first step"
            );
            for t in 0..segment.rows() {
                assert_eq!(
                    batch.inputs[(t * 16 + b) * 2],
                    first + t as f32,
                    "consecutive steps"
                );
            }
            seen_inside |= !(first as usize).is_multiple_of(STEPS);
        }
    }
    assert!(seen_inside, "segments start inside blocks too");
}

#[test]
fn half_of_a_sample_is_newest() {
    let mut tape = Tape::new(Layout::new(dims(), STEPS, &HORIZONS), 64 << 20);
    absorb(&mut tape, 1, 0..20_000);
    tape.pass_fresh();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut segments = Vec::new();
    tape.sample(&mut rng, 64, &mut segments);
    let batch = batch(&tape, &segments);
    let firsts: Vec<_> = (0..64).map(|b| column(&batch, b).0).collect();
    assert!(
        firsts[..32].iter().all(|first| *first >= 0.84 * 20_000.0),
        "the newest 15 %: {firsts:?}"
    );
    assert!(
        firsts[32..].iter().any(|first| *first < 10_000.0),
        "the rest from all of the past: {firsts:?}"
    );
}

#[test]
fn the_tape_stays_within_its_bytes_and_shares_them_evenly() {
    let layout = Layout::new(dims(), STEPS, &HORIZONS);
    let bytes = 40 * layout.block_bytes();
    let mut tape = Tape::new(layout, bytes);
    absorb(&mut tape, 1, 0..1000);
    absorb(&mut tape, 2, 0..1000);
    for step in 1000..1400 {
        absorb(&mut tape, 1, [step]);
        absorb(&mut tape, 2, [step]);
        assert!(tape.bytes() <= bytes, "{} of {bytes}", tape.bytes());
    }
    assert_eq!(tape.streams(), 2);
    let rows = tape.rows();
    assert!(rows > 38 * STEPS, "memory is used: {rows} rows");
    assert_eq!(tape.evicted + rows as u64, tape.taken);
    tape.pass_fresh();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut segments = Vec::new();
    tape.sample(&mut rng, 200, &mut segments);
    let batch = batch(&tape, &segments);
    let oldest = (0..200).map(|b| column(&batch, b).0 as i64).min().unwrap();
    assert!(
        (1400 - 21 * STEPS as i64..1400 - 18 * STEPS as i64).contains(&oldest),
        "oldest {oldest}"
    );
}

#[test]
fn too_many_streams_are_refused_and_stopped_ones_make_room() {
    let layout = Layout::new(dims(), STEPS, &HORIZONS);
    let per_stream = 3 + KEPT_BLOCKS; // 3 = what horizon 3 needs to mature
    let mut tape = Tape::new(layout.clone(), 2 * per_stream * layout.block_bytes());
    for step in 0..40 {
        (1..=3).for_each(|stream| absorb(&mut tape, stream, [step]));
    }
    assert_eq!(
        (tape.streams(), tape.refused),
        (2, 40),
        "the third finds no place"
    );
    // Stream 1 stops; after 512 turns of what is left it is dropped for the third.
    for step in 40..1200 {
        (2..=3).for_each(|stream| absorb(&mut tape, stream, [step]));
    }
    assert_eq!(tape.streams(), 2);
    assert!(tape.refused < 40 + 1160, "the third came in");
    let refused = tape.refused;
    absorb(&mut tape, 1, [2000]);
    assert_eq!(tape.refused, refused + 1, "the first is gone");
}

#[test]
fn a_tape_too_small_for_a_stream_takes_nothing() {
    let mut tape = tape_of(100);
    absorb(&mut tape, 1, 0..10);
    assert_eq!((tape.bytes(), tape.taken, tape.refused), (0, 0, 10));
}

/// Every target that training can see is the reading that was observed b steps after its row, at or before now; also
/// on blocks whose memory held other targets before.
#[test]
fn material_holds_only_what_was_observed() {
    let layout = Layout::new(dims(), STEPS, &HORIZONS);
    // 19: memory of a whole block comes to hold the end of a run, and the other way round.
    let mut tape = Tape::new(layout.clone(), 19 * layout.block_bytes());
    let truth = |step: i64| (step % 23) as f64 / 2.0;
    let mut rng = Pcg64Mcg::seed_from_u64(9);
    let (mut segments, mut known) = (Vec::new(), 0);
    let is_served = |step: i64| step % 29 != 0;
    for now in (0..1500_i64).filter(|step| is_served(*step)) {
        let mut chunk = TapeChunk::new(dims(), 1);
        row(&mut chunk, 1, now, |row| {
            row.observed = truth(now);
            row.centre = &[0.0; 2];
            row.unit = &[1.0; 2];
        });
        tape.absorb(&chunk);
        tape.take_fresh(1, &mut segments);
        if segments.is_empty() {
            tape.sample(&mut rng, 4, &mut segments);
        }
        let batch = batch(&tape, &segments);
        for place in 0..batch.rows * STEPS {
            let step = batch.inputs[place * 2] as i64;
            for (k, horizon) in HORIZONS.into_iter().enumerate() {
                let target = batch.targets[place * 2 + k];
                if !target.is_nan() {
                    let due = step + i64::from(horizon);
                    assert!(
                        due <= now && is_served(due),
                        "step {step} horizon {horizon} is known at {now}"
                    );
                    assert_eq!(f64::from(target), truth(due), "step {step} horizon {horizon}");
                    known += 1;
                }
            }
        }
    }
    assert!(
        tape.evicted > 1000 && known > 10_000,
        "memory was used again: {}, {known}",
        tape.evicted
    );
}
