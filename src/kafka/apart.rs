//! Blocking calls on a thread of their own, so that whoever waits for one can leave it.
//!
//! librdkafka's calls keep to their time-outs, except where one does not: `send_offsets_to_transaction` waits without an
//! end for an answer that can get lost with a coordinator (librdkafka#5456, #5511). No time-out within the call mends
//! that. So a client's blocking calls are made by a thread that holds the client, and the worker waits with a deadline
//! of its own. A call that overstays it is left with its client: the next client fences the old one, and the old thread
//! ends by itself once its call comes back. It is joined where that happens in time; how many may be left is bounded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::kafka::rebalance::lock;

/// Threads of one owner that may be there at once: the one in use, and three that were left. Fewer: a slow name server,
/// which holds up a client's end, counts as a hang. More: memory and connections for clients that nobody uses.
const THREADS_MAX: usize = 4;
/// Calls that may wait for the one under way. A worker asks one question for each of its partitions at a time; beyond it,
/// it asks again later.
const JOBS_MAX: usize = 256;
/// How soon a deadline that has moved is seen.
const LOOK: Duration = Duration::from_millis(100);
/// Linux keeps 15 bytes of a thread's name.
const NAME_MAX: usize = 15;

/// Threads that are there, by owner.
static THREADS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// The deadline has passed, and the call goes on.
    #[error("the client's call did not come back in time")]
    Overstayed,
    /// The thread is gone: an earlier call panicked.
    #[error("the client's call panicked")]
    Panicked,
}

/// Why no thread was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    /// Too many are left in calls that do not come back.
    #[error("{} clients before this one are still in calls that do not come back", THREADS_MAX - 1)]
    Crowded,
    /// The system refused.
    #[error("its thread cannot be started: {0}")]
    System(std::io::Error),
}

/// A call, made on the thread.
type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread that holds a `T` and makes calls on it, one at a time. Dropped, it ends after the call it is in.
pub(crate) struct Apart<T> {
    jobs: SyncSender<Job<T>>,
    thread: JoinHandle<()>,
    /// Nothing is ever sent: it is disconnected when the thread has dropped what it holds.
    ended: Receiver<Infallible>,
    /// A call was left: the thread takes no further one.
    overstayed: Cell<bool>,
}

/// A call that nobody waits for.
pub(crate) struct Begun<R>(Receiver<R>);

impl<R> Begun<R> {
    /// Its answer, or that it goes on, or that there will be none.
    pub(crate) fn answer(&self) -> Result<R, TryRecvError> {
        self.0.try_recv()
    }
}

/// A thread of an owner, counted for as long as it holds anything.
struct Stay(String);

impl Stay {
    fn begin(owner: &str) -> Option<Self> {
        let mut threads = lock(&THREADS);
        let count = threads.entry(owner.to_owned()).or_default();
        if *count >= THREADS_MAX {
            return None;
        }
        *count += 1;
        Some(Self(owner.to_owned()))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut threads = lock(&THREADS);
        if let Some(count) = threads.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                threads.remove(&self.0);
            }
        }
    }
}

impl<T: Send + 'static> Apart<T> {
    /// A thread for `owner`, whose earlier ones are counted.
    ///
    /// # Errors
    /// [`NotStarted`]; `subject` is dropped.
    pub(crate) fn start(owner: &str, name: &str, subject: T) -> Result<Self, NotStarted> {
        let stay = Stay::begin(owner).ok_or(NotStarted::Crowded)?;
        let (jobs, taken) = sync_channel::<Job<T>>(JOBS_MAX);
        let (ending, ended) = sync_channel(0);
        let body = move || {
            // Dropped in reverse: what is held, then the count, then the sign that it is over.
            let _ending = ending;
            let _stay = stay;
            let mut subject = subject;
            for job in taken {
                job(&mut subject);
            }
        };
        let cut = (0..=name.len().min(NAME_MAX))
            .rev()
            .find(|&end| name.is_char_boundary(end));
        let thread = Builder::new()
            .name(name[..cut.unwrap_or(0)].to_owned())
            .spawn(body)
            .map_err(NotStarted::System)?;
        Ok(Self {
            jobs,
            thread,
            ended,
            overstayed: Cell::new(false),
        })
    }

    /// Makes `call` on the thread and waits for its answer while `left` leaves time for it. After [`Missing`] there is
    /// nothing to be asked of this thread any more.
    ///
    /// # Errors
    /// [`Missing`].
    pub(crate) fn call<R: Send + 'static>(
        &self,
        left: impl Fn() -> Duration,
        call: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, Missing> {
        if self.overstayed.get() {
            return Err(Missing::Overstayed);
        }
        let (answer, heard) = sync_channel(1);
        let job = Box::new(move |subject: &mut T| {
            // Nobody hears it where the deadline has passed.
            let _ = answer.send(call(subject));
        });
        self.jobs.send(job).map_err(|_| Missing::Panicked)?;
        loop {
            let time = left();
            match heard.recv_timeout(time.min(LOOK)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Missing::Panicked),
                Err(RecvTimeoutError::Timeout) if time.is_zero() => {
                    self.overstayed.set(true);
                    return Err(Missing::Overstayed);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Makes `call` on the thread, after those before it, without waiting for it. `None` where the thread is gone, or has
    /// enough to do.
    pub(crate) fn try_begin<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Option<Begun<R>> {
        let (answer, heard) = sync_channel(1);
        let job = Box::new(move |subject: &mut T| {
            // Nobody hears it where the beginner has gone.
            let _ = answer.send(call(subject));
        });
        self.jobs.try_send(job).ok().map(|()| Begun(heard))
    }

    /// The same, where what cannot be begun has ended.
    pub(crate) fn begin<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Begun<R> {
        self.try_begin(call).unwrap_or_else(|| Begun(sync_channel(1).1))
    }

    /// Ends the thread and drops what it holds, there: waits for that while `left` leaves time for it. Whether it has
    /// ended; otherwise it ends by itself, later.
    pub(crate) fn end(self, left: impl Fn() -> Duration) -> bool {
        let Self {
            jobs, thread, ended, ..
        } = self;
        drop(jobs);
        let has_ended = !self.overstayed.get() && has_ended(&ended, left);
        if has_ended {
            // At once: there is nothing left to do for it. A panic of a call was told to its caller.
            let _ = thread.join();
        }
        has_ended
    }
}

fn has_ended(ended: &Receiver<Infallible>, left: impl Fn() -> Duration) -> bool {
    loop {
        let time = left();
        match ended.recv_timeout(time.min(LOOK)) {
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) if time.is_zero() => return false,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::Sender;

    use super::*;
    use crate::kafka::lookup::now;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Says when it is dropped.
    struct Held(Arc<AtomicBool>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn held(owner: &str) -> (Apart<Held>, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        let apart = Apart::start(owner, "test", Held(Arc::clone(&dropped))).unwrap();
        (apart, dropped)
    }

    /// Leaves the thread in a call that comes back when the sender is dropped.
    fn hang(apart: &Apart<Held>) -> Sender<()> {
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let call = move |_: &mut Held| stuck.recv().is_err();
        assert_eq!(apart.call(|| Duration::ZERO, call), Err(Missing::Overstayed));
        release
    }

    fn until(what: impl Fn() -> bool) {
        let deadline = now() + PATIENCE;
        while !what() {
            assert!(now() < deadline, "it does not come to that");
            std::thread::yield_now();
        }
    }

    #[test]
    fn call_is_made_on_its_own_thread_and_answered() {
        let apart = Apart::start("answered", "a name that is longer", 1_u32).unwrap();
        let here = std::thread::current().id();
        let call = move |count: &mut u32| {
            *count += 1;
            (*count, std::thread::current().id() == here)
        };
        assert_eq!(apart.call(|| PATIENCE, call), Ok((2, false)));
        assert_eq!(apart.call(|| PATIENCE, |count| *count), Ok(2));
        assert!(apart.end(|| PATIENCE));
    }

    #[test]
    fn call_that_is_begun_is_not_waited_for() {
        let apart = Apart::start("begun", "test", 1_u32).unwrap();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let begun = apart.begin(move |count: &mut u32| {
            let _ = stuck.recv();
            *count += 1;
            *count
        });
        assert_eq!(begun.answer(), Err(TryRecvError::Empty));
        drop(release);
        assert_eq!(
            apart.call(|| PATIENCE, |count| *count),
            Ok(2),
            "later calls come after it"
        );
        assert_eq!(begun.answer(), Ok(2));
        let panicked = apart.begin(|_| panic!("in a call"));
        until(|| panicked.answer() == Err::<(), _>(TryRecvError::Disconnected));
    }

    #[test]
    fn end_drops_what_is_held_on_the_thread_and_joins_it() {
        let (apart, dropped) = held("ended");
        assert!(apart.end(|| PATIENCE) && dropped.load(Ordering::SeqCst));
        assert!(!lock(&THREADS).contains_key("ended"));
    }

    #[test]
    fn call_that_does_not_come_back_is_left_when_its_deadline_has_passed() {
        let (apart, dropped) = held("left");
        let release = hang(&apart);
        assert_eq!(
            apart.call(|| PATIENCE, |_| ()),
            Err(Missing::Overstayed),
            "no further call waits behind it"
        );
        assert!(!apart.end(|| PATIENCE), "and nobody waits for its end");
        assert!(!dropped.load(Ordering::SeqCst), "its client is not torn away");
        drop(release);
        until(|| dropped.load(Ordering::SeqCst) && !lock(&THREADS).contains_key("left"));
    }

    #[test]
    fn deadline_that_moves_nearer_ends_the_wait() {
        let (apart, _) = held("moved");
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let looks = Cell::new(0);
        let left = || {
            looks.set(looks.get() + 1);
            if looks.get() > 2 { Duration::ZERO } else { PATIENCE }
        };
        assert_eq!(
            apart.call(left, move |_| stuck.recv().is_err()),
            Err(Missing::Overstayed)
        );
        drop(release);
    }

    #[test]
    fn threads_that_are_left_are_bounded_until_one_ends() {
        let mut releases: Vec<_> = (0..THREADS_MAX)
            .map(|_| {
                let (apart, _) = held("bounded");
                hang(&apart)
            })
            .collect();
        let again = || Apart::start("bounded", "test", ());
        assert!(matches!(again(), Err(NotStarted::Crowded)));
        assert!(Apart::start("another owner", "test", ()).is_ok());
        releases.pop();
        until(|| again().is_ok());
    }

    #[test]
    fn call_that_panics_is_told_and_its_thread_is_gone() {
        let (apart, dropped) = held("panicked");
        assert_eq!(
            apart.call(|| PATIENCE, |_| panic!("in a call")),
            Err::<(), _>(Missing::Panicked)
        );
        until(|| dropped.load(Ordering::SeqCst));
        assert_eq!(apart.call(|| PATIENCE, |_| ()), Err(Missing::Panicked));
        assert!(apart.end(|| PATIENCE));
    }
}
