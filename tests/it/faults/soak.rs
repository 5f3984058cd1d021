//! The scenarios again and again, with other seeds and longer, until the time is over.

use std::time::Duration;

#[cfg(feature = "faults")]
use tidecast::faults::Point;

use super::bomb::bomb;
use super::brokers::{cluster, hangs, killed};
use super::lag::lagging;
use super::network::network;
use super::oracle::Violation;
#[cfg(feature = "faults")]
use super::points::{in_revoke, of_state, of_transactions, overstaying, zombie};
use super::processes::{
    Comes, aborted_input, all_killed, churn, random_kills, refused_kills, stopped, twins,
};
use super::rig::Summary;
use super::stores::{damaged, deleted, full, small, tampered};
use super::topics::{
    clock_jumps, created_anew, created_anew_and_outgrown, created_anew_and_parked, offsets_reset,
    partitions_added, retention,
};
use super::wall::stepped;
use crate::broker::Broker;
use crate::broker::daemon::Stopwatch;

/// What all scenarios run on.
struct Grounds {
    shared: &'static Broker,
    three: Broker,
    proxied: Broker,
    /// Ports of the proxied listener and of the proxy.
    ports: (u16, u16),
}

/// `None` where something that it needs is not there.
type Ran = Result<Option<Summary>, Violation>;
type Scenario = fn(&Grounds, u64) -> Ran;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("random kills", |on, seed| {
        random_kills(on.shared, seed, 30).map(Some)
    }),
    ("all killed", |on, seed| all_killed(on.shared, seed).map(Some)),
    ("stopped, transaction open", |on, seed| {
        stopped(on.shared, seed, true).map(Some)
    }),
    ("stopped, none open", |on, seed| {
        stopped(on.shared, seed, false).map(Some)
    }),
    ("twins", |on, seed| twins(on.shared, seed).map(Some)),
    ("churn", |on, seed| {
        churn(on.shared, seed, (Comes::Back, 15)).map(Some)
    }),
    ("churn, new names", |on, seed| {
        churn(on.shared, seed, (Comes::Anew, 15)).map(Some)
    }),
    ("half refused", |on, seed| {
        refused_kills(on.shared, seed, None).map(Some)
    }),
    ("aborted input", |on, seed| {
        aborted_input(on.shared, seed, None).map(Some)
    }),
    #[cfg(feature = "faults")]
    ("points of a transaction", |on, seed| {
        of_transactions(on.shared, seed, None).map(Some)
    }),
    #[cfg(feature = "faults")]
    ("points of state", |on, seed| of_state(on.shared, seed).map(Some)),
    #[cfg(feature = "faults")]
    ("in a revoke", |on, seed| in_revoke(on.shared, seed).map(Some)),
    #[cfg(feature = "faults")]
    ("zombie before its offsets", |on, seed| {
        zombie(on.shared, seed, Point::BeforeOffsets, None).map(Some)
    }),
    #[cfg(feature = "faults")]
    ("zombie after its offsets", |on, seed| {
        zombie(on.shared, seed, Point::AfterOffsets, None).map(Some)
    }),
    #[cfg(feature = "faults")]
    ("client that overstays", |on, seed| {
        overstaying(on.shared, seed).map(Some)
    }),
    ("store deleted", |on, seed| deleted(on.shared, seed).map(Some)),
    ("snapshots damaged", |on, seed| damaged(on.shared, seed).map(Some)),
    ("snapshots tampered with", |on, seed| {
        tampered(on.shared, seed, None).map(Some)
    }),
    ("store full", |on, seed| full(on.shared, seed).map(Some)),
    ("small disk", |on, seed| small(on.shared, seed)),
    ("retention", |on, seed| retention(on.shared, seed).map(Some)),
    ("offsets reset", |on, seed| {
        offsets_reset(on.shared, seed).map(Some)
    }),
    ("partitions added", |on, seed| {
        partitions_added(on.shared, seed).map(Some)
    }),
    ("topic anew", |on, seed| created_anew(on.shared, seed).map(Some)),
    ("topic anew, parked", |on, seed| {
        created_anew_and_parked(on.shared, seed).map(Some)
    }),
    ("topic anew, outgrown", |on, seed| {
        created_anew_and_outgrown(on.shared, seed).map(Some)
    }),
    ("clocks jump", |on, seed| clock_jumps(on.shared, seed).map(Some)),
    ("wall clock stepped", |on, seed| stepped(on.shared, seed)),
    ("bomb of ids", |on, seed| bomb(on.shared, seed, 600_000).map(Some)),
    ("lagging", |on, seed| lagging(on.shared, seed).map(Some)),
    ("network", |on, seed| {
        network(&on.proxied, on.ports, seed).map(Some)
    }),
    ("the broker killed", |on, seed| {
        killed(&on.proxied, seed, 5).map(Some)
    }),
    ("the broker hangs", |on, seed| {
        hangs(&on.proxied, seed, 5).map(Some)
    }),
    ("cluster", |on, seed| {
        cluster(&on.three, seed, Duration::from_secs(60)).map(Some)
    }),
];

/// A soak of so many seconds or more runs each scenario at least once.
const ROUND_SECONDS: u64 = 1500;

/// How often a scenario ran, or was skipped, and for how long in all.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    runs: u32,
    skips: u32,
    time: Duration,
}

fn tell(tallies: &[Tally]) {
    println!("soak: {:<26} runs skips seconds", "scenario");
    for ((name, _), tally) in SCENARIOS.iter().zip(tallies) {
        let Tally { runs, skips, time } = tally;
        println!("soak: {name:<26} {runs:>4} {skips:>5} {:>7}", time.as_secs());
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// `TIDECAST_SOAK_SECONDS` (60) of scenarios, the first seed from `TIDECAST_SOAK_SEED` (else the process's number), which
/// also says with which scenario it begins. Ends with the scenario that is under way.
#[test]
#[ignore = "as long as asked: `make soak`"]
fn soak_faults() {
    let seconds = number("TIDECAST_SOAK_SECONDS", 60);
    let first = number("TIDECAST_SOAK_SEED", u64::from(std::process::id()));
    let clock = Stopwatch::start();
    let (proxied, listener, proxy) = Broker::start_proxied("soak-network");
    let grounds = Grounds {
        shared: Broker::shared(),
        three: Broker::reserve("soak-cluster", 3),
        proxied,
        ports: (listener, proxy),
    };
    grounds.three.launch();
    let count = SCENARIOS.len();
    let least = if seconds < ROUND_SECONDS { 0 } else { count };
    let mut tallies = vec![Tally::default(); count];
    for number in 0.. {
        if number >= least && clock.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        let seed = first + number as u64;
        let place = seed as usize % count;
        let (name, scenario) = SCENARIOS[place];
        println!("soak: {name}, TIDECAST_SOAK_SEED={seed}");
        let since = Stopwatch::start();
        let ran = scenario(&grounds, seed);
        let ran = ran.unwrap_or_else(|violation| panic!("{name}, TIDECAST_SOAK_SEED={seed}: {violation}"));
        println!("soak: {name}, seed {seed}: ok, {ran:?}");
        let tally = &mut tallies[place];
        tally.time += since.elapsed();
        *(if ran.is_some() {
            &mut tally.runs
        } else {
            &mut tally.skips
        }) += 1;
    }
    tell(&tallies);
    let done = |tally: &Tally| tally.runs + tally.skips > 0;
    assert!(least == 0 || tallies.iter().all(done), "a scenario never ran");
}
