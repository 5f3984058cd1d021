//! What happened in the histories and had an effect: a simulation that simulates nothing is green, too.

use std::fmt;

use crate::faults::Point;

macro_rules! covers {
    ($( $cover:ident = $least:literal; )*) => {
        /// Something that has to happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Cover { $( $cover, )* }

        /// With the number of histories of a thousand that must have it.
        const ALL: &[(Cover, u64)] = &[ $( (Cover::$cover, $least), )* ];
    };
}

covers! {
    Event = 1000;
    Record = 990;
    Replayed = 500;
    Outcome = 950;
    Letter = 900;
    Commit = 950;
    Crash = 400;
    CrashWithOpenTransaction = 100;
    CrashAtPoint = 60;
    CallFailed = 150;
    AnswerLost = 20;
    CommitArrivedLate = 4;
    TransactionTimedOut = 60;
    AbortedByNextProducer = 150;
    UnstableOffset = 60;
    CommitRefusedByGeneration = 8;
    CommitRefusedByEpoch = 12;
    InstanceInUse = 100;
    SessionExpired = 300;
    Lost = 250;
    Revoked = 300;
    RevokedMidTurn = 200;
    Suspended = 150;
    SnapshotWritten = 300;
    SnapshotRestored = 100;
    SnapshotRefused = 25;
    SnapshotDamaged = 45;
    SnapshotFailed = 20;
    SnapshotOfBlocks = 50;
    GivenUpBetweenBlocks = 1;
    KilledBetweenBlocks = 1;
    SnapshotPoisoned = 15;
    SnapshotDistrusted = 2;
    LoadTooLate = 200;
    StoreAway = 30;
    AnswerLate = 15;
    Parked = 15;
    ParkedWhileOthersCommit = 5;
    BlindRead = 30;
    OffsetsReset = 100;
    RecordsLost = 40;
    LogRecreated = 90;
    LogRecreatedLive = 60;
    LogTailLost = 80;
    CommittedTailLost = 20;
    AnotherLogParked = 20;
    AnotherLogUnknown = 1;
    PartitionAdded = 60;
    Switched = 300;
    LineageSwitched = 150;
    VersionMissing = 2;
    StateRebuilt = 70;
    Degraded = 250;
    OverCapacity = 200;
    StreamForgotten = 30;
    AbortedInputSkipped = 40;
    Stopped = 140;
    StateCompared = 600;
    Taped = 800;
    TapeComplete = 500;
    TapeRefused = 100;
    TapeDropped = 100;
}

/// Kills at each point in four thousand histories at least.
const KILLS_MIN: u64 = 1;

/// How often each happened, and in how many histories.
#[derive(Clone, Debug)]
pub(super) struct Coverage {
    times: Vec<u64>,
    histories: Vec<u64>,
    /// Processes killed at each point, in the order of `Point::ALL`.
    kills: Vec<u64>,
    pub(super) runs: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            times: vec![0; ALL.len()],
            histories: vec![0; ALL.len()],
            kills: vec![0; Point::ALL.len()],
            runs: 0,
        }
    }
}

impl Coverage {
    pub(super) fn note(&mut self, cover: Cover) {
        self.times[cover as usize] += 1;
    }

    pub(super) fn note_kill(&mut self, at: Point) {
        self.kills[at as usize] += 1;
    }

    pub(super) fn times(&self, cover: Cover) -> u64 {
        self.times[cover as usize]
    }

    /// Adds what one history, or many, had.
    pub(super) fn add(&mut self, other: &Self) {
        let single = other.runs == 0;
        for place in 0..ALL.len() {
            self.times[place] += other.times[place];
            self.histories[place] += if single {
                u64::from(other.times[place] > 0)
            } else {
                other.histories[place]
            };
        }
        for (sum, kills) in self.kills.iter_mut().zip(&other.kills) {
            *sum += kills;
        }
        self.runs += if single { 1 } else { other.runs };
    }

    /// What happened too rarely.
    pub(super) fn missing(&self) -> Vec<String> {
        let rare =
            |&&(cover, least): &&(Cover, u64)| self.histories[cover as usize] * 1000 < least * self.runs;
        let tell = |&(cover, least): &(Cover, u64)| {
            let found = self.histories[cover as usize];
            format!(
                "{cover:?}: in {found} of {} histories, wanted {least} of a thousand",
                self.runs
            )
        };
        let spared = Point::ALL
            .iter()
            .filter(|&&at| self.kills[at as usize] * 4000 < KILLS_MIN * self.runs);
        ALL.iter()
            .filter(rare)
            .map(tell)
            .chain(spared.map(|at| format!("kills at `{}`: {}", at.name(), self.kills[*at as usize])))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &(cover, _) in ALL {
            let place = cover as usize;
            writeln!(
                f,
                "  {:28} {:>10} times, in {:>7} histories",
                format!("{cover:?}"),
                self.times[place],
                self.histories[place]
            )?;
        }
        for &at in Point::ALL {
            writeln!(
                f,
                "  killed at {:18} {:>10} times",
                at.name(),
                self.kills[at as usize]
            )?;
        }
        Ok(())
    }
}
