//! Places where a test kills the process or holds up a thread, and mechanisms that a test switches off to see that somebody notices.
//!
//! Without the feature `faults`, and outside of unit tests, every call here is a constant and compiles away: a release has
//! neither. With it, `TIDECAST_FAULT=after-poll:17` kills the process (`SIGKILL`, by itself) the 17th time it comes there;
//! `TIDECAST_FAULT=hang:before-offsets:FILE` holds up the first thread that comes there while `FILE` exists, for as long as
//! it does, and writes `hung` into it; and `TIDECAST_OFF=muted-replay` switches a mechanism off.

/// Declares an enum whose variants have names for the command line.
macro_rules! named {
    ($(#[$about:meta])* $enum:ident { $( $(#[$doc:meta])* $variant:ident = $name:literal; )* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum { $( $(#[$doc])* $variant, )* }

        impl $enum {
            /// All of them.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// As it is written in the environment.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The one of that name.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|each| each.name() == name)
            }
        }
    };
}

named! {
    /// Where a process may be killed, or a thread held up.
    Point {
        /// Records were taken, nothing is stepped.
        AfterPoll = "after-poll";
        /// Some of a turn's outcomes are published, others not.
        MidProduce = "mid-produce";
        /// Outcomes are delivered, the offsets are not in the transaction yet.
        BeforeOffsets = "before-offsets";
        /// The offsets are in the transaction.
        AfterOffsets = "after-offsets";
        /// The commit is not asked for yet.
        BeforeCommit = "before-commit";
        /// The commit was answered, nobody here knows yet.
        AfterCommit = "after-commit";
        /// Some rows of a snapshot are copied.
        SnapshotCopy = "snapshot-copy";
        /// Some blocks of a snapshot are written.
        SnapshotWrite = "snapshot-write";
        /// A snapshot is written and does not have its name yet.
        SnapshotRename = "snapshot-rename";
        /// A partition was given and is not restored.
        Restore = "restore";
        /// Another version of the weights serves, nothing of it is committed.
        ModelSwitch = "model-switch";
        /// The group takes partitions, nothing is answered.
        Revoke = "revoke";
        /// A snapshot is read, no state is made of it yet.
        SnapshotLoad = "snapshot-load";
        /// Some of what lies before the committed offset is stepped again.
        Replay = "replay";
    }
}

named! {
    /// What a promise rests on.
    Mechanism {
        /// Offsets travel in the transaction of their outcomes.
        OffsetsInTransaction = "offsets-in-transaction";
        /// A commit carries the group's generation as of now.
        GenerationCheck = "generation-check";
        /// State is dropped when its partition is taken away.
        DropOnRevoke = "drop-on-revoke";
        /// What is read before the committed offset publishes nothing.
        MutedReplay = "muted-replay";
        /// A snapshot is of a committed offset.
        SnapshotAfterCommit = "snapshot-after-commit";
        /// A snapshot's bytes are what was written.
        Checksum = "checksum";
        /// A dead letter's record counts in the committed offset.
        DeadLetterOffset = "dead-letter-offset";
        /// After a failed commit everything in memory is dropped.
        LossOnAbort = "loss-on-abort";
        /// Input is read `read_committed`.
        IsolationLevel = "isolation-level";
        /// A log that has another record where the last one was committed is another log.
        LogIdentity = "log-identity";
        /// Outcomes of a batch are published in its order.
        OrderInBatch = "order-in-batch";
        /// What is read again is not put onto the trainer's tape again.
        TapeOnce = "tape-once";
    }
}

#[cfg(not(any(test, feature = "faults")))]
mod disarmed {
    use super::{Mechanism, Point};

    /// Arms nothing in a release.
    ///
    /// # Errors
    /// None.
    pub fn arm(_variable: impl Fn(&'static str) -> String) -> Result<(), String> {
        Ok(())
    }

    /// Does nothing in a release.
    pub const fn point(_at: Point) {}

    /// Nothing is ever off in a release.
    #[must_use]
    pub const fn is_off(_mechanism: Mechanism) -> bool {
        false
    }
}

#[cfg(not(any(test, feature = "faults")))]
pub use disarmed::{arm, is_off, point};

/// The real thing in a binary made for the fault suite: armed once per process.
#[cfg(all(feature = "faults", not(test)))]
mod armed {
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use super::{Mechanism, Point};

    /// What happens at a point.
    enum Fault {
        /// The process is killed when the count has come down to one.
        Kill(AtomicU64),
        /// The first thread that comes while the file exists waits for as long as it does.
        Hang(PathBuf, AtomicBool),
    }

    static FAULT: OnceLock<(Point, Fault)> = OnceLock::new();
    static OFF: OnceLock<Mechanism> = OnceLock::new();

    fn point_of(name: &str) -> Result<Point, String> {
        Point::of_name(name).ok_or_else(|| format!("no point is named `{name}`"))
    }

    fn fault_of(text: &str) -> Result<(Point, Fault), String> {
        if let Some(hang) = text.strip_prefix("hang:") {
            let (name, file) = hang
                .split_once(':')
                .ok_or_else(|| format!("`{hang}` names no file"))?;
            return Ok((point_of(name)?, Fault::Hang(file.into(), AtomicBool::new(false))));
        }
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count
            .parse()
            .map_err(|_| format!("`{count}` is no count of times"))?;
        Ok((point_of(name)?, Fault::Kill(AtomicU64::new(count))))
    }

    /// Reads the environment's `TIDECAST_FAULT` and `TIDECAST_OFF`, as the module says; either may be empty.
    ///
    /// # Errors
    /// A name that is none.
    pub fn arm(variable: impl Fn(&'static str) -> String) -> Result<(), String> {
        let (fault, off) = (variable("TIDECAST_FAULT"), variable("TIDECAST_OFF"));
        if !fault.is_empty() {
            let _ = FAULT.set(fault_of(&fault)?); // armed once
        }
        if !off.is_empty() {
            let mechanism =
                Mechanism::of_name(&off).ok_or_else(|| format!("no mechanism is named `{off}`"))?;
            let _ = OFF.set(mechanism); // as above
        }
        Ok(())
    }

    /// Kills the process where that is armed and the time has come, or holds up the thread.
    #[allow(
        clippy::disallowed_methods,
        reason = "holding up the thread is the fault: nothing may end it but the file"
    )]
    pub fn point(at: Point) {
        let Some((_, fault)) = FAULT.get().filter(|(armed, _)| *armed == at) else {
            return;
        };
        match fault {
            Fault::Kill(left) => {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    let _ = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                }
            }
            Fault::Hang(file, hung) => {
                if !file.exists() || hung.swap(true, Ordering::Relaxed) {
                    return;
                }
                // Not made anew where it has gone meanwhile.
                let told = std::fs::File::options().write(true).open(file);
                let _ = told.and_then(|mut told| told.write_all(b"hung")); // then nobody waits for it
                while file.exists() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// Whether a mechanism is off.
    #[must_use]
    pub fn is_off(mechanism: Mechanism) -> bool {
        OFF.get() == Some(&mechanism)
    }
}

#[cfg(all(feature = "faults", not(test)))]
pub use armed::{arm, is_off, point};

/// In unit tests: per thread, so that tests beside each other do not meet.
#[cfg(test)]
mod simulated {
    use std::cell::{Cell, RefCell};

    use super::{Mechanism, Point};

    type Visitor = Box<dyn FnMut(Point)>;

    thread_local! {
        static OFF: Cell<Option<Mechanism>> = const { Cell::new(None) };
        static VISIT: RefCell<Option<Visitor>> = const { RefCell::new(None) };
    }

    /// The environment arms nothing in unit tests.
    ///
    /// # Errors
    /// None.
    pub fn arm(_variable: impl Fn(&'static str) -> String) -> Result<(), String> {
        Ok(())
    }

    /// Switches a mechanism off on this thread, or none.
    pub(crate) fn switch_off(mechanism: Option<Mechanism>) {
        OFF.set(mechanism);
    }

    /// What is called at every point on this thread; it may unwind.
    pub(crate) fn visit(visitor: Option<Visitor>) {
        VISIT.with_borrow_mut(|visit| *visit = visitor);
    }

    /// Tells the visitor.
    pub fn point(at: Point) {
        // Taken out while it runs: it may unwind, and the cell must not stay borrowed.
        let visitor = VISIT.with_borrow_mut(Option::take);
        if let Some(mut visitor) = visitor {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| visitor(at)));
            VISIT.with_borrow_mut(|visit| *visit = Some(visitor));
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Whether a mechanism is off on this thread.
    #[must_use]
    pub fn is_off(mechanism: Mechanism) -> bool {
        OFF.get() == Some(mechanism)
    }
}

#[cfg(test)]
pub use simulated::{arm, is_off, point};
#[cfg(test)]
pub(crate) use simulated::{switch_off, visit};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for &at in Point::ALL {
            assert_eq!(Point::of_name(at.name()), Some(at));
        }
        for &mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::of_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!((Point::ALL.len(), Point::of_name("")), (14, None));
    }

    #[test]
    fn a_mechanism_is_off_on_its_thread_only() {
        switch_off(Some(Mechanism::Checksum));
        assert!(is_off(Mechanism::Checksum) && !is_off(Mechanism::MutedReplay));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_off(Mechanism::Checksum)));
        });
        switch_off(None);
    }
}
