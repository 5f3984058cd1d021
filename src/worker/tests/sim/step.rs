//! What can happen, and how a history comes to be made of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::rng::Rng;
use crate::faults::Point;

/// What becomes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing fails.
    Whole,
    /// The process is killed at its so many-th call.
    CrashAtCall(usize),
    /// The process is killed when it comes to a point the so many-th time.
    CrashAtPoint(Point, usize),
    /// Its so many-th call fails.
    FailCall(usize),
    /// The process is stopped in its so many-th call while so many other steps happen.
    SuspendAtCall(usize, usize),
    /// Its next commit fails at a stage.
    FailCommit(Stage),
    /// The process is stopped at a stage of its next commit while so many other steps happen.
    SuspendCommit(Stage, usize),
}

/// What happens in a call.
pub(super) enum Blow {
    None,
    Fail,
    Kill,
    Suspend(usize),
}

impl Fate {
    /// In the so many-th call of a turn, which may be a stage of a commit.
    pub(super) fn blow(self, call: usize, stage: Option<Stage>) -> Blow {
        match self {
            Self::CrashAtCall(at) if at == call => Blow::Kill,
            Self::FailCall(at) if at == call => Blow::Fail,
            Self::SuspendAtCall(at, steps) if at == call => Blow::Suspend(steps),
            Self::FailCommit(at) if Some(at) == stage => Blow::Fail,
            Self::SuspendCommit(at, steps) if Some(at) == stage => Blow::Suspend(steps),
            _ => Blow::None,
        }
    }
}

/// How far a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Outcomes are being delivered.
    Deliver,
    /// The offsets are in the transaction.
    Offsets,
    /// The request to end the transaction is sent: it may arrive later, or never.
    End,
    /// The transaction is committed, the answer is on its way.
    Answer,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Deliver, Self::Offsets, Self::End, Self::Answer];
}

/// One thing that happens. Each makes sense at any time, or does nothing: a history stays one if steps are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The so many-th living process turns.
    Turn { process: usize, seed: u32, fate: Fate },
    /// A process of an instance is started, beside another one or not.
    Start { instance: usize },
    /// The so many-th living process is asked to stop, and does.
    Stop { process: usize, fate: Fate },
    /// The so many-th living process is killed between two turns.
    Kill { process: usize },
    /// Nothing happens for so long.
    Pass { time: Duration },
    /// The group assigns anew.
    Rebalance { seed: u32 },
    /// Records come in.
    Write { seed: u32 },
    /// A transaction of the input side ends.
    EndInput { commits: bool },
    /// Markers and late requests arrive at the transaction coordinator.
    Arrive,
    /// A newer version of the weights.
    Train { by: u64 },
    /// The file of a version is lost, or found again.
    LoseVersion { back: u64 },
    /// A snapshot is damaged.
    Damage { seed: u32 },
    /// The disk is full or slow, the store away, or all is well again.
    Disk { full: bool, slow: bool, away: bool },
    /// The coordinator may know of no offset, for so long.
    Blind { time: Duration },
    /// Old records are deleted.
    Retain { seed: u32 },
    /// With nobody in the group: an operator sets offsets.
    Reset { seed: u32 },
    /// With nobody in the group: a topic is deleted and created anew.
    Recreate { seed: u32 },
    /// While some run: a topic is deleted and created anew.
    RecreateLive { seed: u32 },
    /// A replica that was behind leads: a partition's newest records are lost, and others take their offsets.
    LoseTail { seed: u32 },
    /// A partition is added.
    AddPartition,
    /// An outcome of a record to come will not be published.
    Poison { seed: u32 },
}

/// Where steps come from.
pub(super) enum Feed {
    /// Made as they are needed.
    Fresh { rng: Rng, left: usize, made: Vec<Step> },
    /// As they were.
    Recorded(VecDeque<Step>),
}

impl Feed {
    pub(super) fn next(&mut self, instances: usize) -> Option<Step> {
        match self {
            Self::Recorded(steps) => steps.pop_front(),
            Self::Fresh { rng, left, made } => {
                *left = left.checked_sub(1)?;
                let step = make(rng, instances);
                made.push(step);
                Some(step)
            }
        }
    }
}

fn fate(rng: &mut Rng) -> Fate {
    match rng.below(23) {
        0 => Fate::CrashAtCall(1 + rng.below(30)),
        1 | 6..9 => Fate::CrashAtPoint(rng.pick(Point::ALL), 1 + usize::from(rng.once_in(4))),
        2 => Fate::FailCall(1 + rng.below(30)),
        3 => Fate::SuspendAtCall(1 + rng.below(25), 1 + rng.below(24)),
        4 => Fate::FailCommit(rng.pick(&Stage::ALL)),
        5 => Fate::SuspendCommit(rng.pick(&Stage::ALL), 1 + rng.below(24)),
        _ => Fate::Whole,
    }
}

fn make(rng: &mut Rng, instances: usize) -> Step {
    const WEIGHTS: [usize; 21] = [150, 10, 2, 3, 12, 6, 12, 4, 4, 6, 2, 4, 3, 1, 1, 1, 1, 1, 3, 1, 1];
    let seed = rng.seed();
    let process = rng.below(4);
    match rng.weighted(&WEIGHTS) {
        0 => Step::Turn {
            process,
            seed,
            fate: fate(rng),
        },
        1 => Step::Start {
            instance: rng.below(instances),
        },
        2 => Step::Stop {
            process,
            fate: fate(rng),
        },
        3 => Step::Kill { process },
        4 => Step::Pass {
            time: Duration::from_millis(
                rng.pick(&[20, 200, 1_000, 1_000, 3_000, 3_000, 9_000, 16_000, 60_000]),
            ),
        },
        5 => Step::Rebalance { seed },
        6 => Step::Write { seed },
        7 => Step::EndInput {
            commits: rng.once_in(2),
        },
        8 => Step::Arrive,
        9 => Step::Train {
            by: rng.pick(&[1, 1, 1, 3]),
        },
        10 => Step::LoseVersion {
            back: rng.below(3) as u64,
        },
        11 => Step::Damage { seed },
        12 => Step::Disk {
            full: rng.once_in(3),
            slow: rng.once_in(3),
            away: rng.once_in(4),
        },
        13 => Step::Blind {
            time: Duration::from_millis(rng.pick(&[100, 1_000, 5_000])),
        },
        14 => Step::Retain { seed },
        15 => Step::Reset { seed },
        16 => Step::Recreate { seed },
        17 => Step::AddPartition,
        18 => Step::Poison { seed },
        19 => Step::RecreateLive { seed },
        _ => Step::LoseTail { seed },
    }
}
