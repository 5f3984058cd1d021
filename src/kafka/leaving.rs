//! How long a call may still take once the worker is to leave.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::kafka::apart::{Apart, Missing};
use crate::kafka::errors::transient;
use crate::kafka::lookup::now;
use crate::worker::ports::Error;

/// Longest that questions of a pipeline are waited for: a few for each of its partitions, which take milliseconds each.
const ASK_MAX: Duration = Duration::from_secs(300);

/// Whether the worker is to leave, and what its calls may take from then on, all together. A cluster that does not
/// answer would hold up the whole stop otherwise; what is not committed is read again, so that nothing is lost.
#[derive(Clone)]
pub struct Leaving {
    asked: Arc<dyn Fn() -> bool + Send + Sync>,
    patience: Duration,
    /// Set when the request is first seen, by whichever clone.
    until: Arc<OnceLock<Instant>>,
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving")
            .field("patience", &self.patience)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Leaving {
    /// `asked` says whether to leave; once true it stays true. It is called often: must not block.
    pub fn new(asked: impl Fn() -> bool + Send + Sync + 'static, patience: Duration) -> Self {
        Self {
            asked: Arc::new(asked),
            patience,
            until: Arc::default(),
        }
    }

    /// Whether it is time to leave.
    pub(super) fn is_asked(&self) -> bool {
        (self.asked)()
    }

    /// What is left at `now` until `deadline`, or until the end of the patience where that comes first.
    pub(super) fn left(&self, deadline: Instant, now: Instant) -> Duration {
        let deadline = if self.is_asked() {
            deadline.min(*self.until.get_or_init(|| now + self.patience))
        } else {
            deadline
        };
        deadline.saturating_duration_since(now)
    }

    /// For questions that nobody needs an answer to any more.
    ///
    /// # Errors
    /// Transient, once it is time to leave.
    pub(super) fn stay(&self, doing: &'static str) -> Result<(), Error> {
        if self.is_asked() {
            return Err(transient(doing, "not asked any more: this process is stopping"));
        }
        Ok(())
    }

    /// Puts a question to the cluster that nobody needs an answer to once it is time to leave: on a thread of its own, so
    /// that a cluster that does not answer holds up no stop. `owner` is who asks: what it has left is bounded.
    ///
    /// # Errors
    /// As of the question; transient where it is time to leave.
    pub fn ask<R: Send + 'static>(
        &self,
        owner: &str,
        question: impl FnOnce() -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let doing = "asking the cluster";
        self.stay(doing)?;
        let apart = Apart::start(owner, owner, ()).map_err(|error| transient(doing, error))?;
        let deadline = now() + ASK_MAX;
        let left = || match self.stay(doing) {
            Ok(()) => deadline.saturating_duration_since(now()),
            Err(_) => Duration::ZERO,
        };
        let answer = apart
            .call(left, move |()| question())
            .map_err(|missing| self.missing(doing, missing))?;
        apart.end(left);
        answer
    }

    /// Why there is no answer to a question.
    pub(super) fn missing(&self, doing: &'static str, missing: Missing) -> Error {
        self.stay(doing)
            .err()
            .unwrap_or_else(|| transient(doing, missing))
    }

    /// For a call that may take `whole`, made in slices of at most `slice` so that the request is seen in between.
    pub(super) fn budget(&self, whole: Duration) -> Budget<'_> {
        Budget {
            leaving: self,
            deadline: now() + whole,
        }
    }
}

/// The time of one operation of several calls.
pub(super) struct Budget<'a> {
    leaving: &'a Leaving,
    deadline: Instant,
}

impl Budget<'_> {
    /// What is left of it.
    pub(super) fn left(&self) -> Duration {
        self.leaving.left(self.deadline, now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn leaving_cuts_what_is_left_to_the_patience_from_when_it_is_seen() {
        let flag = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&flag);
        let leaving = Leaving::new(move || asked.load(Ordering::Relaxed), s(5));
        let start = now();
        assert_eq!(leaving.left(start + s(15), start + s(1)), s(14));
        assert!(leaving.stay("testing").is_ok());
        flag.store(true, Ordering::Relaxed);
        assert!(leaving.stay("testing").is_err());
        assert_eq!(leaving.left(start + s(15), start + s(2)), s(5));
        assert_eq!(leaving.left(start + s(15), start + s(3)), s(4));
        assert_eq!(
            leaving.left(start + s(60), start + s(4)),
            s(3),
            "one patience for all that follows"
        );
        assert_eq!(leaving.left(start + s(4), start + s(4)), s(0));
        assert_eq!(leaving.left(start + s(60), start + s(100)), s(0));
    }

    #[test]
    fn question_is_left_when_it_is_time_to_leave() {
        let flag = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&flag);
        let leaving = Leaving::new(move || asked.load(Ordering::Relaxed), s(5));
        assert_eq!(leaving.ask("a question", || Ok(7)), Ok(7));
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let question = move || {
            flag.store(true, Ordering::Relaxed);
            let _ = stuck.recv();
            Ok(())
        };
        assert!(matches!(
            leaving.ask("a question", question),
            Err(Error::Transient { .. })
        ));
        drop(release);
    }
}
