//! What happened in the histories and had an effect: a simulation that simulates nothing is green, too.

use std::fmt;

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
    Record = 1000;
    Replayed = 300;
    Outcome = 900;
    Letter = 300;
    Commit = 900;
    Crash = 300;
    CrashWithOpenTransaction = 100;
    CrashAtPoint = 100;
    CallFailed = 200;
    AnswerLost = 20;
    CommitArrivedLate = 3;
    TransactionTimedOut = 5;
    AbortedByNextProducer = 50;
    UnstableOffset = 20;
    CommitRefusedByGeneration = 10;
    CommitRefusedByEpoch = 5;
    InstanceInUse = 5;
    SessionExpired = 30;
    Lost = 10;
    Revoked = 100;
    RevokedMidTurn = 20;
    Suspended = 50;
    SnapshotWritten = 100;
    SnapshotRestored = 50;
    SnapshotRefused = 10;
    SnapshotDamaged = 20;
    SnapshotFailed = 5;
    LoadTooLate = 1;
    StoreAway = 5;
    Parked = 5;
    ParkedWhileOthersCommit = 3;
    BlindRead = 5;
    OffsetsReset = 2;
    RecordsLost = 2;
    LogRecreated = 1;
    PartitionAdded = 2;
    Switched = 100;
    LineageSwitched = 20;
    VersionMissing = 3;
    StateRebuilt = 2;
    Degraded = 10;
    OverCapacity = 20;
    StreamForgotten = 10;
    AbortedInputSkipped = 50;
    Stopped = 20;
}

/// How often each happened, and in how many histories.
#[derive(Clone, Debug)]
pub(super) struct Coverage {
    times: Vec<u64>,
    histories: Vec<u64>,
    pub(super) runs: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            times: vec![0; ALL.len()],
            histories: vec![0; ALL.len()],
            runs: 0,
        }
    }
}

impl Coverage {
    pub(super) fn note(&mut self, cover: Cover) {
        self.times[cover as usize] += 1;
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
        ALL.iter().filter(rare).map(tell).collect()
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
        Ok(())
    }
}
