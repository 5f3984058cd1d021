//! Histories that were wrong once, by their steps: what a seed makes of them changes with the generator.

use std::time::Duration;

use super::run::run;
use super::step::Fate::*;
use super::step::Stage::*;
use super::step::Step::{self, *};
use crate::faults::Point::*;

#[rustfmt::skip] // a step a line
const SNAPSHOT_OF_A_PAST_THAT_WAS_NEVER_COMMITTED: &[Step] = &[
    Start { instance: 0 },
    Start { instance: 0 },
    Turn { process: 0, seed: 152975833, fate: SuspendAtCall(13, 22) },
    Pass { time: Duration::from_millis(3000) },
    Turn { process: 2, seed: 1463769777, fate: CrashAtCall(10) },
    Turn { process: 1, seed: 2248109001, fate: FailCall(22) },
    Turn { process: 3, seed: 462939899, fate: Whole },
    Write { seed: 2351722425 },
    Turn { process: 3, seed: 2640059103, fate: SuspendCommit(Answer, 9) },
    Turn { process: 2, seed: 4076730053, fate: Whole },
    Turn { process: 2, seed: 1701550519, fate: Whole },
    Turn { process: 1, seed: 1284292617, fate: Whole },
    Turn { process: 3, seed: 3085954208, fate: Whole },
    Turn { process: 1, seed: 2552679555, fate: SuspendAtCall(6, 19) },
    Pass { time: Duration::from_millis(1000) },
    LoseVersion { back: 0 },
    Rebalance { seed: 3616480313 },
    Write { seed: 1041766405 },
    Turn { process: 1, seed: 1116299926, fate: Whole },
    Turn { process: 0, seed: 1545425675, fate: SuspendAtCall(22, 12) },
    Turn { process: 2, seed: 188416723, fate: Whole },
    Turn { process: 2, seed: 1766979315, fate: Whole },
    Turn { process: 3, seed: 3973170163, fate: Whole },
    Turn { process: 2, seed: 1266394699, fate: CrashAtPoint(Restore, 1) },
    Turn { process: 3, seed: 3373094873, fate: Whole },
    Pass { time: Duration::from_millis(60000) },
    Write { seed: 664021146 },
    Turn { process: 0, seed: 3011670193, fate: SuspendAtCall(25, 1) },
    Turn { process: 2, seed: 825074533, fate: Whole },
    Write { seed: 1997600847 },
    Write { seed: 2756749148 },
    Turn { process: 0, seed: 2062573347, fate: Whole },
    Turn { process: 2, seed: 3529150137, fate: Whole },
    Turn { process: 2, seed: 825208318, fate: Whole },
    Start { instance: 1 },
    Turn { process: 3, seed: 2571741124, fate: FailCall(27) },
    Turn { process: 3, seed: 1061592574, fate: Whole },
    Write { seed: 3392569302 },
    Turn { process: 2, seed: 2646393975, fate: Whole },
    Turn { process: 3, seed: 657971260, fate: FailCommit(End) },
    Turn { process: 3, seed: 573058767, fate: Whole },
    Turn { process: 3, seed: 2300254487, fate: Whole },
    Turn { process: 0, seed: 3834899679, fate: Whole },
    Train { by: 3 },
    Write { seed: 1713707671 },
    Write { seed: 2526099137 },
    Turn { process: 1, seed: 1364124527, fate: Whole },
    Turn { process: 3, seed: 3033334915, fate: Whole },
    Write { seed: 1093472876 },
    Turn { process: 3, seed: 2487459012, fate: Whole },
    Turn { process: 0, seed: 1011533371, fate: CrashAtPoint(MidProduce, 2) },
    Rebalance { seed: 1632364161 },
    Turn { process: 3, seed: 1839243589, fate: Whole },
    Turn { process: 0, seed: 1277703168, fate: Whole },
    Write { seed: 3728921327 },
    Turn { process: 0, seed: 1730759095, fate: CrashAtCall(21) },
    Turn { process: 2, seed: 4046926150, fate: Whole },
    Turn { process: 2, seed: 17253521, fate: Whole },
    Turn { process: 0, seed: 1369513162, fate: Whole },
    Turn { process: 2, seed: 3185315829, fate: Whole },
    Turn { process: 0, seed: 867051156, fate: Whole },
    Turn { process: 0, seed: 2026313698, fate: CrashAtPoint(SnapshotRename, 1) },
    Write { seed: 595763610 },
    Turn { process: 3, seed: 1733431450, fate: CrashAtCall(10) },
    Start { instance: 1 },
    Turn { process: 2, seed: 171076659, fate: Whole },
    Turn { process: 2, seed: 1051228516, fate: CrashAtCall(18) },
    Turn { process: 0, seed: 2381470628, fate: Whole },
    EndInput { commits: false },
    Turn { process: 3, seed: 1391386434, fate: Whole },
    Turn { process: 0, seed: 2469856342, fate: SuspendCommit(Deliver, 5) },
    Write { seed: 2013919505 },
    Pass { time: Duration::from_millis(16000) },
    Turn { process: 1, seed: 857351207, fate: Whole },
    Write { seed: 1678094268 },
    Turn { process: 3, seed: 2621832738, fate: SuspendAtCall(25, 21) },
    Turn { process: 0, seed: 2714963513, fate: SuspendCommit(Offsets, 1) },
    Turn { process: 3, seed: 1825496097, fate: SuspendCommit(Deliver, 7) },
    Turn { process: 0, seed: 2697637842, fate: Whole },
    Turn { process: 2, seed: 667315880, fate: Whole },
    Poison { seed: 1199167127 },
    Turn { process: 3, seed: 484969845, fate: Whole },
    Pass { time: Duration::from_millis(20) },
];

#[rustfmt::skip] // a step a line
const SNAPSHOT_TAKEN_FOR_ONE_OF_ANOTHER_PAST: &[Step] = &[
    Arrive,
    Turn { process: 3, seed: 3148476417, fate: Whole },
    Damage { seed: 4271777584 },
    Turn { process: 1, seed: 74575342, fate: Whole },
    Turn { process: 3, seed: 1243495431, fate: Whole },
    Turn { process: 3, seed: 696180120, fate: Whole },
    Kill { process: 1 },
    Turn { process: 3, seed: 613546771, fate: SuspendAtCall(5, 9) },
    Turn { process: 2, seed: 3032710878, fate: FailCall(13) },
    Turn { process: 2, seed: 1633188337, fate: Whole },
    Turn { process: 3, seed: 4048881606, fate: SuspendCommit(Offsets, 5) },
    Rebalance { seed: 3877236686 },
    Turn { process: 1, seed: 4066691546, fate: FailCommit(Answer) },
    Turn { process: 2, seed: 3175562216, fate: Whole },
    Turn { process: 0, seed: 2395585393, fate: Whole },
    Turn { process: 2, seed: 1382972468, fate: FailCommit(Offsets) },
    Turn { process: 2, seed: 3297847722, fate: FailCall(18) },
    Turn { process: 0, seed: 2991038781, fate: Whole },
    Train { by: 3 },
    Turn { process: 3, seed: 3585735216, fate: Whole },
    Turn { process: 2, seed: 237772150, fate: Whole },
    Turn { process: 3, seed: 2065791553, fate: SuspendAtCall(15, 14) },
    Turn { process: 0, seed: 1702492460, fate: Whole },
    Turn { process: 0, seed: 2755829896, fate: Whole },
    Start { instance: 0 },
    Turn { process: 3, seed: 2256596534, fate: Whole },
    Turn { process: 3, seed: 3796553699, fate: Whole },
    Turn { process: 0, seed: 2384401389, fate: Whole },
    Turn { process: 0, seed: 245957416, fate: Whole },
    Turn { process: 1, seed: 2824792133, fate: Whole },
    Turn { process: 0, seed: 1692233280, fate: Whole },
    Turn { process: 3, seed: 3792781160, fate: Whole },
    Turn { process: 0, seed: 1916070547, fate: Whole },
];

#[test]
fn sim_histories_that_were_wrong_once() {
    assert_eq!(
        run(
            30124076085288157,
            Some(SNAPSHOT_OF_A_PAST_THAT_WAS_NEVER_COMMITTED.to_vec())
        )
        .violation,
        None
    );
    assert_eq!(
        run(
            30124076081136724,
            Some(SNAPSHOT_TAKEN_FOR_ONE_OF_ANOTHER_PAST.to_vec())
        )
        .violation,
        None
    );
}
