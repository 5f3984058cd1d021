//! The worker's real code in a simulated world: seeded histories in which everything fails, judged by a model that is
//! independent of the worker.

mod consumer;
mod control;
mod coverage;
mod events;
mod group;
mod input;
mod oracle;
mod ports;
mod process;
mod records;
mod reference;
mod regressions;
mod rng;
mod run;
mod scenario;
mod shrink;
mod sink;
mod source;
mod step;
mod store;
mod tape;
mod transactions;
mod versions;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Instant;

use coverage::{Cover, Coverage};
use run::{play, run};
use shrink::shrink;

use crate::faults::{self, Mechanism};

/// Histories of `make test`.
const HISTORIES: u64 = 20_000;
/// One per core of the smallest machine that this is run on.
const THREADS: u64 = 2;

/// Runs a range of seeds; the first that is wrong ends the test with its shortest history.
fn run_all(seeds: Range<u64>, is_over: &dyn Fn() -> bool) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        if is_over() {
            break;
        }
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
    text.replace("PartitionId { topic: ", "")
        .replace(", partition: Partition(", ":")
        .replace(") }", "")
}

/// Runs ranges of seeds on all threads until `seconds` are over, or one range each; what happened in them.
fn run_on_threads(first: u64, per_thread: u64, is_over: &(dyn Fn() -> bool + Sync)) -> Coverage {
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let begin = first + thread * per_thread;
                scope.spawn(move || run_all(begin..begin + per_thread, is_over))
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(done) => coverage.add(&done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    coverage
}

fn tell(coverage: &Coverage, seconds: f64) {
    eprintln!(
        "{coverage}sim: {} histories, {} events, {seconds:.1} s, {:.0}/s",
        coverage.runs,
        coverage.times(Cover::Event),
        coverage.runs as f64 / seconds
    );
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}=`{text}` is no number")),
    )
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long histories take, not what they do"
)]
fn now() -> Instant {
    Instant::now()
}

/// `TIDECAST_SIM_SEED` runs one history instead, `TIDECAST_SIM_HISTORIES` so many.
#[test]
fn sim() {
    if let Some(seed) = number_of("TIDECAST_SIM_SEED") {
        let fails = run(seed, None).violation.is_some();
        assert!(!fails, "{}", tell_failure(seed));
        return;
    }
    let histories = number_of("TIDECAST_SIM_HISTORIES").unwrap_or(HISTORIES);
    let began = now();
    let coverage = run_on_threads(0, histories / THREADS, &|| false);
    tell(&coverage, began.elapsed().as_secs_f64());
    let missing = coverage.missing();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Other seeds each time, for `TIDECAST_SOAK_SECONDS`.
#[test]
#[ignore = "runs for as long as it is asked to: make soak"]
fn sim_soak() {
    let began = now();
    let seconds = number_of("TIDECAST_SOAK_SECONDS").unwrap_or(60);
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let first = since_epoch.map_or(0, |elapsed| elapsed.as_secs()) << 24;
    eprintln!("sim: seeds from {first} on");
    let coverage = run_on_threads(first, 1 << 22, &|| began.elapsed().as_secs() >= seconds);
    tell(&coverage, began.elapsed().as_secs_f64());
}

/// For development: what is wrong in how many of `TIDECAST_SIM_HISTORIES`, with the mechanism `TIDECAST_OFF` switched off.
#[test]
#[ignore = "a survey, no test: tells all violations where `sim` ends at the first"]
fn sim_survey() {
    let mut found = BTreeMap::<_, Vec<(u64, String)>>::new();
    let mut coverage = Coverage::default();
    let began = now();
    let off = std::env::var("TIDECAST_OFF").unwrap_or_default();
    faults::switch_off(Mechanism::of_name(&off));
    for seed in 0..number_of("TIDECAST_SIM_HISTORIES").unwrap_or(1000) {
        let told = run(seed, None);
        coverage.add(&told.coverage);
        if let Some(violation) = told.violation {
            found
                .entry(violation.check)
                .or_default()
                .push((seed, violation.text));
        }
    }
    faults::switch_off(None);
    tell(&coverage, began.elapsed().as_secs_f64());
    for (check, seeds) in found {
        let numbers: Vec<_> = seeds.iter().map(|entry| entry.0).take(20).collect();
        eprintln!(
            "{check:?} {} times, by seeds {numbers:?}: {}",
            seeds.len(),
            seeds[0].1
        );
    }
}
