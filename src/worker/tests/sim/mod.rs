//! The worker's real code in a simulated world: seeded histories in which everything fails, judged by a model that is
//! independent of the worker.

mod coverage;
mod events;
mod group;
mod input;
mod oracle;
mod ports;
mod process;
mod reference;
mod rng;
mod run;
mod scenario;
mod shrink;
mod sink;
mod source;
mod step;
mod store;
mod transactions;
mod versions;
mod world;

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Instant;

use coverage::{Cover, Coverage};
use run::{play, run};
use shrink::shrink;

/// Histories of `make test`.
const HISTORIES: u64 = 20_000;
/// One per core of the smallest machine that this is run on.
const THREADS: u64 = 2;

/// Runs a range of seeds; the first that is wrong ends the test with its shortest history.
fn run_all(seeds: Range<u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let told = run(seed, None);
        if told.violation.is_some() {
            panic!("{}", tell_failure(seed));
        }
        coverage.add(&told.coverage);
    }
    coverage
}

/// The seed, and the shortest history that fails in the same way.
fn tell_failure(seed: u64) -> String {
    let told = run(seed, None);
    let violation = told.violation.expect("the seed fails");
    let steps = shrink(seed, told.steps, violation.check);
    let told = play(seed, Some(steps.clone()), true);
    let shortest = told.violation.unwrap_or(violation);
    let mut text = format!(
        "seed {seed}: {:?}: {}\nTIDECAST_SIM_SEED={seed} runs it again; its shortest history has {} steps:\n",
        shortest.check,
        shortest.text,
        steps.len()
    );
    for sentence in told.story {
        writeln!(text, "  {sentence}").expect("writing to a string cannot fail");
    }
    text
}

#[test]
#[ignore = "some seeds still fail"]
fn sim() {
    if let Ok(seed) = std::env::var("TIDECAST_SIM_SEED") {
        let seed: u64 = seed.parse().expect("TIDECAST_SIM_SEED is a number");
        let fails = run(seed, None).violation.is_some();
        assert!(!fails, "{}", tell_failure(seed));
        return;
    }
    let histories = std::env::var("TIDECAST_SIM_HISTORIES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(HISTORIES);
    #[allow(
        clippy::disallowed_methods,
        reason = "how long histories take, not what they do"
    )]
    let began = Instant::now();
    let per_thread = histories / THREADS;
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run_all(thread * per_thread..(thread + 1) * per_thread)))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(done) => coverage.add(&done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "sim: {} histories, {} events, {seconds:.1} s, {:.0}/s\n{coverage}",
        coverage.runs,
        coverage.times(Cover::Event),
        coverage.runs as f64 / seconds
    );
    let missing = coverage.missing();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
#[ignore = "for development: what is wrong in how many histories"]
fn sim_survey() {
    let count: u64 =
        std::env::var("TIDECAST_SIM_HISTORIES").map_or(1000, |text| text.parse().expect("a number"));
    let mut found = std::collections::BTreeMap::<_, Vec<(u64, String)>>::new();
    let mut coverage = Coverage::default();
    let began = Instant::now();
    for seed in 0..count {
        let told = run(seed, None);
        coverage.add(&told.coverage);
        if let Some(violation) = told.violation {
            found
                .entry(violation.check)
                .or_default()
                .push((seed, violation.text));
        }
    }
    eprintln!("{coverage}{:.1} s", began.elapsed().as_secs_f64());
    for (check, seeds) in found {
        eprintln!(
            "{check:?}: {} times; {:?}",
            seeds.len(),
            seeds.iter().map(|seed| seed.0).take(12).collect::<Vec<_>>()
        );
        for (seed, text) in seeds.iter().take(3) {
            eprintln!("  {seed}: {}", text.chars().take(900).collect::<String>());
        }
    }
}
