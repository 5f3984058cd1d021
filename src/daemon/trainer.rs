//! The trainer's thread: paces the pure [`Trainer`], carries chunks in and versions out; where another process trains, it
//! follows the store's versions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::board::{PipelineBoard, lock};
use crate::daemon::clock::{Clock, thread_cpu};
use crate::daemon::keeper::Keeper;
use crate::daemon::models::{Catalogue, Standing};
use crate::daemon::pacing::{CpuCap, paused_by_lag};
use crate::daemon::pruning::Pruning;
use crate::daemon::stop::Stop;
use crate::daemon::tape::{Intake, NobodyLeft};
use crate::engine::ModelVersion;
use crate::kafka;
use crate::store::{self, Put, SnapshotStore, chain};
use crate::training::{self, Offer, Step, Trainer};
use crate::worker;

/// How often the store is asked for versions that others made.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Wait where nothing is due; also bounds how late a stop or a change of owner is seen.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Background work: the workers go first where cores are short.
const NICENESS: i32 = 10;
/// Pause after a panic of training, so that one that comes back does not fill the log.
const PANIC_PAUSE: Duration = Duration::from_secs(60);
/// Versions published between two prunings. Each asks the group for its offsets, which takes milliseconds.
const PRUNE_EVERY: u32 = 16;
/// How often, and at what pause, a store that is away is asked where training stopped. What comes meanwhile is not trained
/// on; afterwards it begins from the served weights.
const RESUME_TRIES: u32 = 5;
const RESUME_PAUSE: Duration = Duration::from_secs(2);
/// A store that is away is logged this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Everything that the thread owns.
pub(crate) struct TrainerThread {
    pub config: training::Config,
    /// For the question which versions are still needed.
    pub kafka: kafka::Config,
    pub worker: worker::Config,
    /// Steps ahead that the network is scored at (K).
    pub horizons: Vec<u32>,
    /// Of the trainer's own randomness.
    pub seed: u64,
    /// Largest lag at which it trains, records.
    pub lag_pause: i64,
    pub board: Arc<PipelineBoard>,
    pub catalogue: Arc<Catalogue>,
    pub snapshots: Arc<SnapshotStore>,
    pub intake: Intake,
    pub clock: Clock,
    pub stop: Stop,
}

impl TrainerThread {
    /// Until the stop, or until every worker has left.
    pub(crate) fn run(mut self) {
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            tracing::warn!(pipeline = self.board.name, %error, "the trainer's thread keeps its priority");
        }
        let mut resumes = true;
        while !self.stop.is_requested() {
            let mut state = State::new(self.clock.elapsed(), resumes);
            resumes = false; // what was kept may be what panics
            // Serving must not suffer from training: what panics here begins again from the served version.
            match catch_unwind(AssertUnwindSafe(|| self.rounds(&mut state))) {
                Ok(()) => {
                    self.keep(&mut state);
                    break;
                }
                Err(_) => {
                    self.intake.open(false);
                    let again_in_s = PANIC_PAUSE.as_secs();
                    tracing::error!(
                        pipeline = self.board.name,
                        again_in_s,
                        "training panicked; it begins again from the served version"
                    );
                    let _ = self.stop.wait(PANIC_PAUSE);
                }
            }
        }
        self.intake.open(false);
        lock(&self.board.training).owner = false;
    }

    /// Until the stop, or until every worker has left.
    fn rounds(&mut self, state: &mut State) {
        while !self.stop.is_requested() {
            let owner = self.config.cpu_share > 0.0 && self.board.owns_first();
            self.change_role(state, owner);
            self.look_for_versions(state);
            let carry_on = match state.trainer.take() {
                Some(mut trainer) => {
                    let carry_on = self.train(state, &mut trainer);
                    state.trainer = Some(trainer);
                    carry_on
                }
                None => !self.stop.wait(IDLE_WAIT),
            };
            let now = self.clock.elapsed();
            if std::mem::take(&mut state.is_new)
                || state.keeper.as_ref().is_some_and(|keeper| keeper.is_due(now))
            {
                self.keep(state);
            }
            self.publish_view(state);
            if !carry_on {
                break;
            }
        }
    }

    fn change_role(&self, state: &mut State, owner: bool) {
        if owner == state.trainer.is_some() {
            return;
        }
        let pipeline = &self.board.name;
        if owner {
            if self.clock.elapsed() < state.begins {
                return;
            }
            // What another process published last, before training begins from anything older.
            if let Err(error) = self.catalogue.refresh() {
                self.complain(state, "the store cannot be asked for versions", &error);
            }
            let newest = self.catalogue.newest();
            let Some(kept) = self.look_for_kept(state, newest.version) else {
                return;
            };
            tracing::info!(
                pipeline,
                version = newest.version.0,
                "this process trains: it owns partition 0 of the first topic"
            );
            let mut trainer = Trainer::new(self.config.clone(), &self.horizons, newest, self.seed);
            if let Some(kept) = kept {
                self.resume(&mut trainer, kept);
            }
            state.trainer = Some(trainer);
            state.cap = CpuCap::new(self.config.cpu_share, thread_cpu(), self.clock.elapsed());
            state.looked = None;
        } else {
            tracing::info!(
                pipeline,
                "this process does not train any more: it follows the store's versions"
            );
            self.keep(state);
            (state.trainer, state.keeper) = (None, None);
        }
        self.intake.open(owner);
    }

    /// What was kept beside the version, if anything was that can be used; `None` where the store is to be asked again.
    fn look_for_kept(&self, state: &mut State, version: ModelVersion) -> Option<Option<Standing>> {
        let now = self.clock.elapsed();
        let (kept, found) = match self.catalogue.load_state(version) {
            Ok((kept, found)) => (kept, Some(found)),
            Err(error) => {
                self.complain(state, "the store cannot be asked where training stopped", &error);
                state.tries += 1;
                if state.tries < RESUME_TRIES {
                    state.begins = now + RESUME_PAUSE;
                    return None;
                }
                (None, None)
            }
        };
        state.tries = 0;
        state.keeper = Some(Keeper::leading(version, found, now));
        Some(kept.filter(|_| state.resumes))
    }

    /// Goes on from what was kept beside the version.
    fn resume(&self, trainer: &mut Trainer, (kept, ancestor): Standing) {
        let pipeline = &self.board.name;
        let version = trainer.stats().served_version;
        match trainer.resume(kept, ancestor) {
            Ok(()) => tracing::info!(pipeline, version, "training goes on from where it stopped"),
            Err(error) => tracing::warn!(
                pipeline,
                version,
                error = chain(&error),
                "what was kept of the trainer cannot be used: training begins from the served weights"
            ),
        }
    }

    /// Keeps where training stands beside the version that it trains from. Where that fails a restart goes on from what was
    /// kept before, or begins from the served weights.
    fn keep(&self, state: &mut State) {
        let Some(trainer) = &state.trainer else { return };
        let now = self.clock.elapsed();
        let version = ModelVersion(trainer.stats().served_version);
        let keeper = state
            .keeper
            .take_if(|keeper| keeper.version() == version)
            .unwrap_or_else(|| Keeper::following(version, now));
        let kept = state.keeper.insert(keeper).keep(&self.catalogue, trainer, now);
        match kept {
            Ok(true) => self.note_stored(Ok(())),
            Ok(false) => tracing::warn!(
                pipeline = self.board.name,
                version = version.0,
                "another trainer has kept where it stands beside this version: this one's standing is not written over it"
            ),
            Err(error) => {
                self.note_stored(Err(&error));
                self.complain(state, "where training stands cannot be kept", &error);
            }
        }
    }

    /// For readiness and metrics: whether what was to be stored last could be.
    fn note_stored(&self, stored: Result<(), &store::Error>) {
        let mut view = lock(&self.board.training);
        view.failures += u64::from(stored.is_err());
        view.failure = stored.err().map(|error| chain(error));
    }

    /// Versions of another process: followed, and trained from.
    fn look_for_versions(&self, state: &mut State) {
        let now = self.clock.elapsed();
        if state
            .looked
            .is_some_and(|looked| now.saturating_sub(looked) < LOOK_INTERVAL)
        {
            return;
        }
        state.looked = Some(now);
        match self.catalogue.refresh() {
            Ok(None) => {}
            Ok(Some(model)) => {
                tracing::info!(
                    pipeline = self.board.name,
                    version = model.version.0,
                    made = model.made,
                    "a version from the store is served"
                );
                if let Some(trainer) = &mut state.trainer {
                    let version = model.version;
                    trainer.adopt(model);
                    state.keeper = Some(Keeper::following(version, now));
                }
            }
            Err(error) => self.complain(state, "the store cannot be asked for versions", &error),
        }
    }

    /// One round: chunks, an offer, a mini-batch. False where every worker has left.
    fn train(&mut self, state: &mut State, trainer: &mut Trainer) -> bool {
        let mut wait = std::mem::take(&mut state.pause);
        loop {
            match self.intake.take(wait) {
                Err(NobodyLeft) => return false,
                Ok(None) => break,
                Ok(Some((worker, chunk))) => self.intake.give_back(worker, trainer.absorb(chunk)),
            }
            // All that is there before the next mini-batch: workers that catch up would drop rows otherwise. What is left
            // of the pause is found anew below, since the cap knows clocks and not pauses.
            wait = Duration::ZERO;
        }
        let now = self.clock.elapsed();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if let Some(offer) = trainer.offer(now_ms) {
            self.publish(state, trainer, offer);
        }
        state.paused = paused_by_lag(state.paused, self.board.lag_max(), self.lag_pause);
        let owed = state.cap.pause(thread_cpu(), self.clock.elapsed());
        state.pause = if state.paused {
            IDLE_WAIT
        } else if !owed.is_zero() {
            owed
        } else {
            match trainer.work() {
                Step::Idle => IDLE_WAIT,
                Step::Scored { .. } | Step::Trained { .. } | Step::NonFinite => Duration::ZERO,
            }
        };
        true
    }

    fn publish(&self, state: &mut State, trainer: &mut Trainer, offer: Offer) {
        let pipeline = &self.board.name;
        let version = offer.model.version.0;
        match self.catalogue.put(&offer.model) {
            Ok(Put::Stored) => {
                match offer.reason {
                    training::report::Reason::Update => match offer.model.fit {
                        Some(fit) => tracing::info!(pipeline, version, capacity = %fit, "new version"),
                        None => tracing::info!(pipeline, version, "new version"),
                    },
                    training::report::Reason::Rollback { to } => {
                        tracing::warn!(
                            pipeline,
                            version,
                            to = to.0,
                            "rolled back: an ancestor is significantly better than the served weights"
                        );
                    }
                }
                self.note_stored(Ok(()));
                self.catalogue.serve(Arc::clone(&offer.model));
                let version = offer.model.version;
                trainer.published(offer.model);
                // Whatever lies there is of weights that had the number before.
                let found = self.catalogue.kept(version).ok();
                state.keeper = Some(Keeper::leading(version, found, self.clock.elapsed()));
                state.is_new = true;
                state.published += 1;
                if state.published.is_multiple_of(PRUNE_EVERY) {
                    self.prune(&mut state.pruning);
                }
            }
            Ok(Put::Exists) => {
                tracing::warn!(
                    pipeline,
                    version,
                    "this version is in the store already: training goes on from there"
                );
                state.looked = None;
            }
            Err(error) => {
                self.note_stored(Err(&error));
                self.complain(
                    state,
                    "a version cannot be stored; training goes on, it is offered again",
                    &error,
                );
            }
        }
    }

    fn complain(&self, state: &mut State, what: &str, error: &store::Error) {
        let now = self.clock.elapsed();
        if state
            .complained
            .is_none_or(|at| now.saturating_sub(at) >= COMPLAINT_INTERVAL)
        {
            state.complained = Some(now);
            tracing::warn!(pipeline = self.board.name, error = chain(error), "{what}");
        }
    }

    fn publish_view(&self, state: &mut State) {
        let now = self.clock.elapsed();
        if now.saturating_sub(state.shown) < IDLE_WAIT {
            return;
        }
        state.shown = now;
        let mut view = lock(&self.board.training);
        view.owner = state.trainer.is_some();
        view.paused = state.paused;
        view.cpu_seconds = thread_cpu().as_secs_f64();
        if let Some(trainer) = &state.trainer {
            view.stats = Some(trainer.stats());
        }
    }
}

/// What changes from round to round.
struct State {
    /// Whether training goes on from what was kept.
    resumes: bool,
    trainer: Option<Trainer>,
    cap: CpuCap,
    pause: Duration,
    paused: bool,
    looked: Option<Duration>,
    complained: Option<Duration>,
    shown: Duration,
    /// Versions since this state was made.
    published: u32,
    /// `None` where nobody trains here, or before it is known beside which version.
    keeper: Option<Keeper>,
    /// A version was published and is not kept yet.
    is_new: bool,
    /// Not before it, and after how many tries, training begins.
    begins: Duration,
    tries: u32,
    pruning: Pruning,
}

impl State {
    const fn new(now: Duration, resumes: bool) -> Self {
        Self {
            resumes,
            trainer: None,
            cap: CpuCap::new(1.0, Duration::ZERO, Duration::ZERO),
            pause: Duration::ZERO,
            paused: false,
            looked: Some(now),
            complained: None,
            shown: Duration::ZERO,
            published: 0,
            keeper: None,
            is_new: false,
            begins: Duration::ZERO,
            tries: 0,
            pruning: Pruning::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::daemon::tape;
    use crate::engine::{self, HorizonPlan};
    use crate::series::observation::{Observation, Offset, Partition, Source};
    use crate::store::{ModelStore, Store};

    /// A trainer's thread over a store in `directory`, not started; its own randomness from `seed`.
    fn thread(directory: &std::path::Path, seed: u64) -> TrainerThread {
        let set = [
            "service.instance=test".to_owned(),
            format!("store.url=file://{}", directory.display()),
            "pipeline.plant.input.topics=sensors".to_owned(),
            "pipeline.plant.input.values=v".to_owned(),
            "pipeline.plant.output.topic=forecasts".to_owned(),
            "pipeline.plant.dead_letter.topic=dead".to_owned(),
            "pipeline.plant.model.hidden=4".to_owned(),
        ];
        let sources = config::Sources {
            set: set.to_vec(),
            ..config::Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        let worker = config.pipelines[0].worker.clone();
        let board = Arc::new(PipelineBoard::new("plant", &worker.topics, 1));
        let store = Arc::new(Store::open(&config.store).unwrap());
        let models = ModelStore::new(store, "tidecast", "plant");
        let catalogue =
            Catalogue::open(models, "tidecast", &worker.engine, Arc::clone(&board), None).unwrap();
        TrainerThread {
            config: config.pipelines[0].training.clone(),
            kafka: config.kafka,
            horizons: HorizonPlan::of(&worker.engine).scored,
            worker,
            seed,
            lag_pause: 1000,
            board,
            catalogue: Arc::new(catalogue),
            snapshots: Arc::new(SnapshotStore::open(&config.store).unwrap()),
            intake: tape::channel(1).1,
            clock: Clock::start(),
            stop: Stop::new(),
        }
    }

    /// What the thread trains with after it was given the first partition.
    fn standing(thread: &TrainerThread, state: &mut State) -> Vec<u8> {
        thread.change_role(state, true);
        let trainer = state.trainer.as_ref().expect("it trains");
        trainer.state().to_bytes()
    }

    #[test]
    fn training_goes_on_where_the_process_before_stopped_except_after_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let before = thread(directory.path(), 1);
        let mut state = State::new(Duration::ZERO, true);
        let stood = standing(&before, &mut state);
        before.change_role(&mut state, false);
        assert!(state.trainer.is_none());

        // Another process, with randomness of its own: what it goes on with is the first one's.
        let after = thread(directory.path(), 2);
        assert_eq!(standing(&after, &mut State::new(Duration::ZERO, true)), stood);
        assert_ne!(
            standing(&after, &mut State::new(Duration::ZERO, false)),
            stood,
            "what was kept may be what panicked"
        );
    }

    /// Rows of 16 streams over 160 steps, as the version in `thread` serves them.
    fn rows(thread: &TrainerThread) -> Vec<engine::TapeChunk> {
        let config = engine::Config {
            tape_share: 1.0,
            interval: engine::config::Interval::Given(60_000),
            ..thread.worker.engine.clone()
        };
        let mut engine = engine::Engine::new(config);
        let mut state = engine.partition("sensors", Partition(0), thread.catalogue.newest());
        for (offset, step) in (0..).zip(0..160_u32) {
            for stream in 0..16 {
                let time_ms = i64::from(step) * 60_000;
                let source = Source {
                    offset: Offset(offset),
                    index: stream,
                    timestamp_ms: time_ms,
                };
                let observation = Observation {
                    stream: &format!("s{stream}"),
                    time_ms,
                    value: Some(f64::from((step * (stream + 3)) % 17)),
                    source,
                };
                engine.admit(&mut state, observation);
            }
            let _ = engine.step(&mut state);
        }
        engine.tape().cut();
        std::iter::from_fn(|| engine.tape().take_full()).collect()
    }

    /// Trains some mini-batches.
    fn train(thread: &TrainerThread, state: &mut State) {
        let trainer = state.trainer.as_mut().expect("it trains");
        for chunk in rows(thread) {
            let _ = trainer.absorb(chunk);
        }
        let wanted = trainer.stats().batches + 3;
        let done = (0..100).any(|_| {
            let _ = trainer.work();
            trainer.stats().batches >= wanted
        });
        assert!(done, "{:?}", trainer.stats());
    }

    fn bytes_of(state: &State) -> Vec<u8> {
        state.trainer.as_ref().expect("it trains").state().to_bytes()
    }

    #[test]
    fn what_was_trained_since_the_version_is_kept_at_a_stop_and_gone_on_from() {
        let directory = tempfile::tempdir().unwrap();
        let first = thread(directory.path(), 1);
        let mut state = State::new(Duration::ZERO, true);
        let began = standing(&first, &mut state);
        first.keep(&mut state);
        train(&first, &mut state);
        first.keep(&mut state); // as every few minutes
        train(&first, &mut state);
        let stood = bytes_of(&state);
        assert_ne!(stood, began);
        first.keep(&mut state); // as at a stop
        drop(first);

        let second = thread(directory.path(), 2);
        let mut state = State::new(Duration::ZERO, true);
        assert_eq!(
            standing(&second, &mut state),
            stood,
            "weights, moments, counts and randomness"
        );
        train(&second, &mut state);
        second.keep(&mut state);
        let third = thread(directory.path(), 3);
        assert_eq!(
            standing(&third, &mut State::new(Duration::ZERO, true)),
            bytes_of(&state)
        );
    }

    #[test]
    fn what_another_trainer_keeps_beside_the_same_version_stays() {
        let directory = tempfile::tempdir().unwrap();
        let hung = thread(directory.path(), 1);
        let mut hung_state = State::new(Duration::ZERO, true);
        standing(&hung, &mut hung_state);
        hung.keep(&mut hung_state);
        train(&hung, &mut hung_state);

        // It hangs, and another process gets its partition.
        let leading = thread(directory.path(), 2);
        let mut state = State::new(Duration::ZERO, true);
        standing(&leading, &mut state);
        train(&leading, &mut state);
        train(&leading, &mut state);
        leading.keep(&mut state);

        hung.keep(&mut hung_state);
        hung.keep(&mut hung_state);
        assert_ne!(bytes_of(&hung_state), bytes_of(&state));
        let after = thread(directory.path(), 3);
        assert_eq!(
            standing(&after, &mut State::new(Duration::ZERO, true)),
            bytes_of(&state)
        );
    }

    #[test]
    fn a_standing_that_cannot_be_kept_is_told_and_kept_later() {
        let directory = tempfile::tempdir().unwrap();
        let thread = thread(directory.path(), 1);
        let mut state = State::new(Duration::ZERO, true);
        standing(&thread, &mut state);
        let folder = directory.path().join("tidecast/plant/models");
        let away = directory.path().join("away");
        std::fs::rename(&folder, &away).unwrap();
        std::fs::write(&folder, b"in the way").unwrap();
        thread.keep(&mut state);
        thread.keep(&mut state);
        {
            let view = lock(&thread.board.training);
            assert_eq!(view.failures, 2);
            assert!(view.failure.as_ref().unwrap().contains("in the way"), "{view:?}");
        }
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&away, &folder).unwrap();
        thread.keep(&mut state);
        assert_eq!(lock(&thread.board.training).failure, None);
        let kept = std::fs::read(folder.join("00000001.trainer")).unwrap();
        assert_eq!(kept, bytes_of(&state));
        let names = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(names, 2, "weights and standing, no temporary");
    }

    #[test]
    fn a_store_that_is_away_is_asked_again_where_training_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let before = thread(directory.path(), 1);
        let mut state = State::new(Duration::ZERO, true);
        standing(&before, &mut state);
        train(&before, &mut state);
        before.keep(&mut state);
        let stood = bytes_of(&state);
        let after = thread(directory.path(), 2);
        let folder = directory.path().join("tidecast/plant/models");
        let away = directory.path().join("away");
        std::fs::rename(&folder, &away).unwrap();
        std::fs::write(&folder, b"in the way").unwrap();
        let mut state = State::new(Duration::ZERO, true);
        after.change_role(&mut state, true);
        assert!(state.trainer.is_none(), "not from the served weights yet");
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&away, &folder).unwrap();
        state.begins = Duration::ZERO;
        assert_eq!(standing(&after, &mut state), stood);
    }

    #[test]
    fn training_that_was_kept_damaged_begins_from_the_served_weights() {
        let directory = tempfile::tempdir().unwrap();
        let before = thread(directory.path(), 1);
        let mut state = State::new(Duration::ZERO, true);
        let stood = standing(&before, &mut state);
        before.change_role(&mut state, false);
        let file = directory.path().join("tidecast/plant/models/00000001.trainer");
        std::fs::write(&file, b"damaged").unwrap();
        let after = thread(directory.path(), 2);
        let mut state = State::new(Duration::ZERO, true);
        let anew = standing(&after, &mut state);
        assert_ne!(anew, stood);
        after.keep(&mut state);
        assert_eq!(
            std::fs::read(&file).unwrap(),
            anew,
            "what cannot be used is replaced"
        );
    }
}
