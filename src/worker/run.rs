//! The loop of a worker.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::engine::ModelVersion;
use crate::engine::snapshot::{self, Form};
use crate::faults::{self, Point};
use crate::worker::Config;
use crate::worker::blame::Trial;
use crate::worker::capture::{Capture, Finishing};
use crate::worker::commit::is_uncommitted;
use crate::worker::crew::Crew;
use crate::worker::ports::{
    Activity, Clock, Error, Event, Models, Observer, PartitionId, Sink, Snapshots, Source, Tape,
};
use crate::worker::publisher::as_u64;
use crate::worker::report::{CommitReport, PartitionReport, SnapshotReport, TurnReport};

/// Longest wait for a first record: bounds how late a stop, a due commit or a due retry is seen.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Longest that a turn gathers while records come without a pause: bounds how late the watchdog is fed.
const GATHER_MAX: Duration = Duration::from_millis(200);
/// First and last pause before something is tried again. Shorter would hammer a broker that is starting; longer would
/// be noticed as silence after it came back.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A chunk of the tape that is not full goes to the trainer after this time: a slow pipeline learns all the same.
pub(super) const TAPE_CUT: Duration = Duration::from_secs(2);
/// How long a passing error of the client is shown.
const TROUBLE_SHOWN: Duration = Duration::from_secs(10);

/// What a turn was doing that panicked.
pub(super) const STEPPING: &str = "turn";

/// Everything a worker asks of the world.
pub struct Ports<S, K, M, N, T, C, O> {
    /// Consumer.
    pub source: S,
    /// Producer.
    pub sink: K,
    /// Versions of the weights.
    pub models: M,
    /// Snapshots at rest.
    pub snapshots: N,
    /// Way to the trainer.
    pub tape: T,
    /// Monotonic time.
    pub clock: C,
    /// Who watches.
    pub observer: O,
}

/// Whether there is a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Down { due: Duration },
}

/// One worker. See the [module](crate::worker).
pub struct Worker<S, K, M, N, T, C, O> {
    pub(super) config: Config,
    pub(super) source: S,
    pub(super) models: M,
    pub(super) snapshots: N,
    pub(super) tape: T,
    pub(super) clock: C,
    pub(super) observer: O,
    pub(super) crew: Crew<K>,
    pub(super) link: Link,
    /// What the group said and still waits for an answer to.
    pub(super) pending: Option<Event>,
    /// Failures since the last commit or calm time, for the back-off.
    pub(super) failures: u32,
    /// When the producer was made.
    pub(super) connected: Duration,
    pub(super) last_commit: Duration,
    /// When the record of the oldest outcome since the last commit was taken: no transaction is older.
    pub(super) oldest: Option<Duration>,
    pub(super) last_cut: Duration,
    pub(super) trouble: Option<(String, Duration)>,
    pub(super) restarts: u64,
    pub(super) models_missing: u64,
    pub(super) records_lost: u64,
    pub(super) tape_dropped: u64,
    pub(super) commit: Option<CommitReport>,
    pub(super) reports: Vec<PartitionReport>,
    /// Id of the cluster, once it is known.
    pub(super) cluster: Option<String>,
    /// How rows are laid out, and a hash of what shapes state.
    pub(super) form: Arc<Form>,
    pub(super) fingerprint: u64,
    /// Of what was asked for last.
    pub(super) ticket: u64,
    /// Versions of the weights that are being loaded.
    pub(super) models_asked: BTreeSet<ModelVersion>,
    pub(super) capture: Option<Capture>,
    /// The snapshot that is complete and not durable yet.
    pub(super) finishing: Option<Finishing>,
    /// When anything was heard of a search last.
    pub(super) heard: Duration,
    pub(super) snapshot_report: Option<SnapshotReport>,
    pub(super) snapshots_refused: Vec<String>,
    /// Who is to blame is found out partition by partition.
    pub(super) trial: Trial,
}

impl<S, K, M, N, T, C, O> Worker<S, K, M, N, T, C, O>
where
    S: Source,
    K: Sink<Membership = S::Membership>,
    M: Models,
    N: Snapshots,
    T: Tape,
    C: Clock,
    O: Observer,
{
    /// A worker that has asked nothing yet.
    #[must_use]
    pub fn new(config: Config, ports: Ports<S, K, M, N, T, C, O>) -> Self {
        let Ports {
            source,
            sink,
            models,
            snapshots,
            tape,
            clock,
            observer,
        } = ports;
        let now = clock.now();
        let crew = Crew::new(&config, sink);
        Self {
            form: snapshot::form(&crew.engine),
            fingerprint: snapshot::fingerprint(&config.engine),
            crew,
            config,
            source,
            models,
            snapshots,
            tape,
            clock,
            observer,
            link: Link::Down { due: now },
            pending: None,
            failures: 0,
            connected: now,
            last_commit: now,
            oldest: None,
            last_cut: now,
            trouble: None,
            restarts: 0,
            models_missing: 0,
            records_lost: 0,
            tape_dropped: 0,
            commit: None,
            reports: Vec::new(),
            cluster: None,
            ticket: 0,
            models_asked: BTreeSet::new(),
            capture: None,
            finishing: None,
            heard: now,
            snapshot_report: None,
            snapshots_refused: Vec::new(),
            trial: Trial::default(),
        }
    }

    /// Turns until `stop`, then commits and leaves the clients. Whatever fails, a panic of a turn included, the worker
    /// begins again from what is committed.
    ///
    /// # Errors
    /// [`Error::InstanceInUse`] and [`Error::Fatal`]: trying again makes no sense.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut ended = Ok(());
        while ended.is_ok() && !stop.load(Ordering::Acquire) {
            ended = self.guarded_turn();
        }
        self.observer.activity(Activity::Closing);
        if ended.is_ok()
            && self.link == Link::Up
            && let Err(error) = self.commit_now()
        {
            // What is not committed is done again by whoever comes next.
            self.crew.publisher.discard();
            self.note(&error);
        }
        // The last commit's outcomes, or why there was none.
        self.report(self.clock.now());
        self.crew.publisher.sink.discard();
        self.answer_leaving();
        ended
    }

    /// A turn whose failure, or panic, makes the worker begin again.
    ///
    /// # Errors
    /// As of [`Worker::run`].
    pub fn guarded_turn(&mut self) -> Result<(), Error> {
        let error = match catch_unwind(AssertUnwindSafe(|| self.turn())) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.ends_worker() => {
                self.crew.publisher.sink.discard();
                return Err(error);
            }
            Ok(Err(error)) => error,
            Err(panic) => {
                let partition = self.crew.busy.take();
                self.crew.renew(&self.config);
                Error::Refused {
                    doing: STEPPING,
                    reason: format!("panicked: {}", panic_text(panic.as_ref())),
                    partition,
                }
            }
        };
        self.begin_again(&error);
        self.report(self.clock.now());
        Ok(())
    }

    /// One turn: gather, step, publish, perhaps commit.
    ///
    /// # Errors
    /// Whatever makes the worker begin again, or end.
    pub fn turn(&mut self) -> Result<(), Error> {
        let began = self.clock.now();
        self.observer.activity(Activity::Turn);
        // What a turn that failed has left unanswered comes first: until then a partition may be ours no more.
        self.answer()?;
        self.connect_if_due(began)?;
        self.restore_due()?;
        self.pending = self.gather()?;
        faults::point(Point::AfterPoll);
        self.crew.settle_all()?;
        if self.crew.publisher.uncommitted() == 0 {
            // Only history was read: it is in no transaction.
            self.oldest = None;
        }
        if self.is_commit_due() {
            self.commit_now()?;
        }
        self.answer()?;
        self.adopt();
        self.degrade();
        self.snapshot();
        self.pass_tape();
        self.report(began);
        Ok(())
    }

    /// Takes records until there are enough, none waits, or an event comes.
    fn gather(&mut self) -> Result<Option<Event>, Error> {
        if self.is_pressed() {
            return Ok(None);
        }
        let before = self.crew.records;
        let began = self.clock.now();
        let records_max = as_u64(self.config.turn_records_max);
        loop {
            let taken = self.crew.records - before;
            if taken >= records_max || self.crew.is_laden() {
                return Ok(None);
            }
            let timeout = if taken == 0 {
                self.patience()
            } else {
                Duration::ZERO
            };
            let mut failure = None;
            let crew = &mut self.crew;
            let event = self
                .source
                .poll(timeout, &mut |record| failure = crew.take(record).err());
            if let Some(error) = failure {
                return Err(error);
            }
            match event {
                Ok(Event::Record) => {
                    if self.crew.records - before == 1 {
                        let now = self.clock.now();
                        self.oldest.get_or_insert(now);
                    }
                    // Reading the clock for each record would cost more than the record is worth.
                    if taken % 64 == 63 && self.clock.now() - began > GATHER_MAX {
                        return Ok(None);
                    }
                }
                Ok(Event::End(id)) => self.note_end(id),
                Ok(Event::Idle) => return Ok(None),
                Ok(event) => return Ok(Some(event)),
                Err(error) if error.ends_worker() => return Err(error),
                Err(error) => {
                    self.note(&error);
                    return Ok(None);
                }
            }
        }
    }

    /// How long to wait for a first record.
    fn patience(&self) -> Duration {
        let most = self.copying_patience().unwrap_or(WAIT_MAX);
        let most = self.asking_patience().map_or(most, |look| look.min(most));
        if !self.crew.slots.iter().any(is_uncommitted) {
            return most;
        }
        let due = self.last_commit + self.config.commit_interval;
        due.saturating_sub(self.clock.now()).min(most)
    }

    fn note_end(&mut self, id: PartitionId) {
        if let Some(place) = self.crew.place(id)
            && let Some(open) = self.crew.slots[place].open_mut()
        {
            open.end_seen = true;
        }
    }

    /// Serves the newest version from each partition's position on.
    pub(super) fn adopt(&mut self) {
        if self.link != Link::Up {
            return;
        }
        let newest = self.models.newest();
        let is_rollback = newest.is_rollback();
        let now = self.clock.now();
        for slot in &mut self.crew.slots {
            let Some(open) = slot.open_mut() else { continue };
            let speaking = open.speaks() && open.is_current();
            let newer = newest.version > open.state.model().version;
            // Weights that do harm go at once.
            let due = is_rollback || now >= open.next_switch;
            if speaking && newer && due && open.log.has_room(is_rollback) {
                open.switch(Arc::clone(&newest), now);
                faults::point(Point::ModelSwitch);
            }
        }
    }

    fn pass_tape(&mut self) {
        let now = self.clock.now();
        let tape = self.crew.engine.tape();
        if now.saturating_sub(self.last_cut) >= TAPE_CUT {
            tape.cut();
            self.last_cut = now;
        }
        while let Some(chunk) = tape.take_full() {
            if let Err(chunk) = self.tape.offer(chunk) {
                self.tape_dropped += as_u64(chunk.len());
                tape.give_back(chunk);
            }
        }
        while let Some(chunk) = self.tape.empty() {
            tape.give_back(chunk);
        }
    }

    pub(super) fn report(&mut self, began: Duration) {
        let now = self.clock.now();
        self.reports.clear();
        for slot in &self.crew.slots {
            self.reports.push(slot.report(self.source.end_heard(slot.id)));
        }
        if self.link == Link::Up
            && self
                .trouble
                .as_ref()
                .is_some_and(|(_, at)| now.saturating_sub(*at) > TROUBLE_SHOWN)
        {
            self.trouble = None;
        }
        let crew = &mut self.crew;
        let report = TurnReport {
            now,
            took: now.saturating_sub(began),
            records: std::mem::take(&mut crew.records),
            bytes: std::mem::take(&mut crew.bytes),
            replayed: std::mem::take(&mut crew.replayed),
            outcomes: &crew.publisher.outcomes,
            bytes_published: std::mem::take(&mut crew.publisher.bytes),
            commit: self.commit.take(),
            partitions: &self.reports,
            tape_rows_dropped: self.tape_dropped + crew.tape_lost + crew.engine.tape().dropped(),
            models_missing: self.models_missing,
            records_lost: self.records_lost,
            restarts: self.restarts,
            snapshot: self.snapshot_report.as_ref(),
            snapshots_refused: &self.snapshots_refused,
            trouble: self.trouble.as_ref().map(|(text, _)| text.as_str()),
        };
        self.observer.turn(&report);
        self.crew.publisher.outcomes.clear();
        self.snapshot_report = None;
        self.snapshots_refused.clear();
    }
}

/// Doubles from one second to thirty.
pub(super) fn back_off(attempts: u32) -> Duration {
    BACK_OFF_MIN
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(BACK_OFF_MAX)
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
