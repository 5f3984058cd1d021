//! One pipeline: waits for store and Kafka, then runs workers and trainer; begins again where a worker ends.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config;
use crate::daemon::board::{PipelineBoard, Stage, WorkerView, lock};
use crate::daemon::clock::Clock;
use crate::daemon::models::{Catalogue, SlotModels};
use crate::daemon::observer::Watch;
use crate::daemon::stop::Stop;
use crate::daemon::tape::{self, TapePort};
use crate::daemon::trainer::TrainerThread;
use crate::engine::{HorizonPlan, ModelVersion};
use crate::kafka;
use crate::store::{self, ModelStore, SnapshotPort, SnapshotStore, Store, chain};
use crate::telemetry::Metrics;
use crate::worker::ports::{Activity, Error as WorkerError, Observer as _};
use crate::worker::{Ports, Worker, panic_text};

/// First and last pause before something that may pass by itself is tried again.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Pause before a pipeline whose worker ended begins again, while others run. Its cause does not pass by itself.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// Pause before a pipeline that was fenced by its own late request joins again: what else is on its way arrives meanwhile.
const FENCED_PAUSE: Duration = Duration::from_secs(5);
/// How often the workers' threads are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Linux keeps 15 bytes of a thread's name.
const THREAD_NAME_MAX: usize = 15;

/// What the process keeps things in.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    models: Arc<Store>,
    snapshots: Arc<SnapshotStore>,
}

/// The stores of the process, opened by the first pipeline that can.
pub(crate) type SharedStore = Mutex<Option<Stores>>;

/// What a pipeline's thread needs.
pub(crate) struct PipelineThread {
    pub config: config::Pipeline,
    pub kafka: kafka::Config,
    pub store_config: store::Config,
    pub store: Arc<SharedStore>,
    pub board: Arc<PipelineBoard>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// What a worker's calls to Kafka may take from the stop on, all together.
    pub closing_max: Duration,
    /// Of the whole process.
    pub stop: Stop,
    /// Of the whole process: the name that is in use elsewhere.
    pub in_use: Arc<Mutex<Option<String>>>,
}

/// Why a pipeline does not run.
#[derive(Debug)]
enum Failure {
    InstanceInUse(String),
    Cause(String),
}

/// Starts a named thread; the name is cut to what the system keeps.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let cut = (0..=name.len().min(THREAD_NAME_MAX))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    thread::Builder::new()
        .name(name[..cut.unwrap_or(0)].to_owned())
        .spawn(body)
}

impl PipelineThread {
    /// Until the stop of the process.
    pub(crate) fn run(self) {
        let pipeline = self.board.name.clone();
        while !self.stop.is_requested() {
            match self.serve() {
                Ok(()) => break,
                Err(Failure::InstanceInUse(_)) if self.is_held_here() => {
                    let again_in_s = FENCED_PAUSE.as_secs();
                    tracing::warn!(
                        pipeline,
                        again_in_s,
                        "the group took a late request of this process for another process; the pipeline begins again"
                    );
                    if self.stop.wait(FENCED_PAUSE) {
                        break;
                    }
                }
                Err(Failure::InstanceInUse(instance)) => {
                    self.fail(&format!(
                        "`service.instance` `{instance}` is in use by another process"
                    ));
                    lock(&self.in_use).get_or_insert(instance);
                    self.stop.request();
                }
                Err(Failure::Cause(cause)) => {
                    self.fail(&cause);
                    let again_in_s = FAILED_PAUSE.as_secs();
                    tracing::error!(pipeline, cause, again_in_s, "pipeline failed, the others go on");
                    if self.stop.wait(FAILED_PAUSE) {
                        break;
                    }
                }
            }
        }
        if !matches!(self.board.stage(), Stage::Failed(_)) {
            self.board.set_stage(Stage::Stopped);
        }
    }

    /// Whether no other process has this one's name: a broker that hung may fence a process by its own late request. Asked
    /// until there is an answer: what hung may be away still. On a stop nobody needs to know.
    fn is_held_here(&self) -> bool {
        let asked = self.patiently("the group, to say who has this process's name", || {
            let (config, worker) = (self.kafka.clone(), self.config.worker.clone());
            self.leaving(&self.stop)
                .ask(&format!("holder {}", self.board.name), move || {
                    kafka::held_elsewhere(&config, &worker)
                })
                .map_err(|error| Trouble::Passing(error.to_string()))
        });
        !matches!(asked, Ok(Some(true)))
    }

    /// What calls to Kafka may take once `stop` is requested.
    fn leaving(&self, stop: &Stop) -> kafka::Leaving {
        let stop = stop.clone();
        kafka::Leaving::new(move || stop.is_requested(), self.closing_max)
    }

    fn fail(&self, cause: &str) {
        self.board.set_stage(Stage::Failed(cause.to_owned()));
    }

    /// Prepares, runs, and joins everything it started.
    fn serve(&self) -> Result<(), Failure> {
        let Some(stores) = self.open_stores()? else {
            return Ok(());
        };
        let Some(named) = self.resolve_start()? else {
            return Ok(());
        };
        let Some(catalogue) = self.open_models(&stores, named)? else {
            return Ok(());
        };
        // Of this run of the pipeline: also requested where one worker ends, so that the others leave.
        let stop = Stop::new();
        let (ports, intake) = tape::channel(self.config.worker.workers);
        let mut workers = Vec::new();
        let mut failure = None;
        for (index, port) in ports.into_iter().enumerate() {
            let started = self
                .open_snapshots(&stores)
                .and_then(|snapshots| self.start_worker(index, (port, snapshots), &catalogue, &stop));
            match started {
                Ok(handle) => workers.push(Some(handle)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let trainer = self.start_trainer(intake, (&catalogue, &stores.snapshots), &stop);
        self.board.set_stage(Stage::Running);
        while failure.is_none() && !self.stop.wait(LOOK_INTERVAL) {
            failure = self.ended(&mut workers);
        }
        stop.request();
        for worker in workers.into_iter().flatten() {
            failure = failure.or(outcome(worker));
        }
        match trainer {
            Ok(handle) => failure = failure.or(outcome_of_trainer(handle)),
            Err(error) => failure = failure.or(Some(error)),
        }
        failure.map_or(Ok(()), Err)
    }

    /// The failure of a worker whose thread has ended.
    fn ended(&self, workers: &mut [Option<JoinHandle<Result<(), WorkerError>>>]) -> Option<Failure> {
        let ended = workers
            .iter_mut()
            .find(|worker| worker.as_ref().is_some_and(JoinHandle::is_finished))?;
        let failure = ended.take().and_then(outcome);
        Some(failure.unwrap_or_else(|| Failure::Cause("a worker left before it was told to".to_owned())))
    }

    fn start_worker(
        &self,
        index: usize,
        (tape, snapshots): (TapePort, SnapshotPort),
        catalogue: &Arc<Catalogue>,
        stop: &Stop,
    ) -> Result<JoinHandle<Result<(), WorkerError>>, Failure> {
        let now = self.clock.elapsed();
        *lock(&self.board.workers[index].view) = WorkerView {
            calm_since: now,
            ..WorkerView::default()
        };
        let mut observer = Watch::new(
            Arc::clone(&self.board),
            index,
            self.clock,
            Arc::clone(&self.metrics),
        );
        let (kafka, config, clock) = (self.kafka.clone(), self.config.worker.clone(), self.clock);
        let models = SlotModels::new(Arc::clone(catalogue));
        let (stop, board) = (stop.clone(), Arc::clone(&self.board));
        let leaving = self.leaving(&stop);
        let body = move || {
            observer.activity(Activity::Connecting);
            let run = || {
                let (source, sink) = kafka::open(&kafka, &config, index, leaving)?;
                let ports = Ports {
                    source,
                    sink,
                    models,
                    snapshots,
                    tape,
                    clock,
                    observer,
                };
                Worker::new(config, ports).run(stop.flag())
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            board.set_share(index, false, 0);
            board.workers[index].rest();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        spawn(&format!("{index}.{}", self.board.name), body)
            .map_err(|error| Failure::Cause(format!("the worker's thread cannot be started: {error}")))
    }

    fn start_trainer(
        &self,
        intake: tape::Intake,
        (catalogue, snapshots): (&Arc<Catalogue>, &Arc<SnapshotStore>),
        stop: &Stop,
    ) -> Result<JoinHandle<()>, Failure> {
        let trainer = TrainerThread {
            config: self.config.training.clone(),
            kafka: self.kafka.clone(),
            worker: self.config.worker.clone(),
            horizons: HorizonPlan::of(&self.config.worker.engine).scored,
            seed: catalogue.newest().lineage,
            lag_pause: self.config.worker.lag_pause_training,
            board: Arc::clone(&self.board),
            catalogue: Arc::clone(catalogue),
            snapshots: Arc::clone(snapshots),
            intake,
            clock: self.clock,
            stop: stop.clone(),
        };
        spawn(&format!("train.{}", self.board.name), move || trainer.run())
            .map_err(|error| Failure::Cause(format!("the trainer's thread cannot be started: {error}")))
    }

    /// Opens the stores; `None` on a stop.
    fn open_stores(&self) -> Result<Option<Stores>, Failure> {
        self.patiently("the store", || {
            let mut shared = lock(&self.store);
            if let Some(stores) = &*shared {
                return Ok(stores.clone());
            }
            let open = || -> Result<Stores, store::Error> {
                Ok(Stores {
                    models: Arc::new(Store::open(&self.store_config)?),
                    snapshots: Arc::new(SnapshotStore::open(&self.store_config)?),
                })
            };
            let stores = open().map_err(|error| Trouble::of_store(&error))?;
            if let Some(trouble) = stores.models.trouble() {
                tracing::warn!(
                    trouble,
                    "the store can be read and not written: no snapshot and no new weights until it can"
                );
            }
            *shared = Some(stores.clone());
            Ok(stores)
        })
    }

    /// A worker's way to the snapshots.
    fn open_snapshots(&self, stores: &Stores) -> Result<SnapshotPort, Failure> {
        let workers = self.config.worker.workers;
        let port = stores
            .snapshots
            .port(&self.kafka.group, &self.board.name, workers);
        port.map_err(|error| Failure::Cause(chain(&error)))
    }

    /// Opens the newest model, or makes the first one, above every version that is `named`; `None` on a stop.
    fn open_models(
        &self,
        stores: &Stores,
        named: Option<ModelVersion>,
    ) -> Result<Option<Arc<Catalogue>>, Failure> {
        self.patiently("the store", || {
            let group = &self.kafka.group;
            let models = ModelStore::new(Arc::clone(&stores.models), group, &self.board.name);
            let engine = &self.config.worker.engine;
            let catalogue = Catalogue::open(models, group, engine, Arc::clone(&self.board), named);
            catalogue.map(Arc::new).map_err(|error| Trouble::of_store(&error))
        })
    }

    /// Settles where the pipeline starts, and which version its offsets name last; `None` on a stop.
    fn resolve_start(&self) -> Result<Option<Option<ModelVersion>>, Failure> {
        let brokers = self.kafka.brokers.join(", ");
        self.patiently(&format!("Kafka at {brokers}"), || {
            let (config, worker) = (self.kafka.clone(), self.config.worker.clone());
            let question = move || {
                kafka::resolve_start(&config, &worker).and_then(|()| kafka::newest_named(&config, &worker))
            };
            self.leaving(&self.stop)
                .ask(&format!("start {}", self.board.name), question)
                .map_err(|error| match error {
                    WorkerError::InstanceInUse { instance } => {
                        Trouble::Final(Failure::InstanceInUse(instance))
                    }
                    fatal @ WorkerError::Fatal { .. } => Trouble::Final(Failure::Cause(fatal.to_string())),
                    passing => Trouble::Passing(passing.to_string()),
                })
        })
    }

    /// Tries until it succeeds, fails for good, or the process stops (`None`).
    fn patiently<T>(
        &self,
        whom: &str,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<Option<T>, Failure> {
        let pipeline = &self.board.name;
        let mut pause = BACK_OFF_MIN;
        let mut waited = false;
        // Said before the first answer or time-out, which may take ten seconds.
        self.board
            .set_stage(Stage::Waiting(format!("waiting for {whom}")));
        while !self.stop.is_requested() {
            match attempt() {
                Ok(done) => {
                    if waited {
                        tracing::info!(pipeline, "{whom} answers");
                    }
                    return Ok(Some(done));
                }
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Passing(cause)) => {
                    waited = true;
                    // Once per cause: the same one every half a minute tells nobody more.
                    if self
                        .board
                        .set_stage(Stage::Waiting(format!("waiting for {whom}: {cause}")))
                    {
                        tracing::warn!(pipeline, cause, "waiting for {whom}");
                    }
                    let _ = self.stop.wait(pause);
                    pause = (pause * 2).min(BACK_OFF_MAX);
                }
            }
        }
        Ok(None)
    }
}

/// Whether to try again.
#[derive(Debug)]
enum Trouble {
    Passing(String),
    Final(Failure),
}

impl Trouble {
    fn of_store(error: &store::Error) -> Self {
        match error {
            // Neither becomes right by waiting.
            store::Error::Url { .. } | store::Error::Model { .. } => {
                Self::Final(Failure::Cause(chain(error)))
            }
            _ => Self::Passing(chain(error)),
        }
    }
}

fn outcome(worker: JoinHandle<Result<(), WorkerError>>) -> Option<Failure> {
    match worker.join() {
        Ok(Ok(())) => None,
        Ok(Err(WorkerError::InstanceInUse { instance })) => Some(Failure::InstanceInUse(instance)),
        Ok(Err(error)) => Some(Failure::Cause(error.to_string())),
        Err(panic) => Some(Failure::Cause(format!(
            "a worker's thread panicked: {}",
            panic_text(panic.as_ref())
        ))),
    }
}

fn outcome_of_trainer(trainer: JoinHandle<()>) -> Option<Failure> {
    let panic = trainer.join().err()?;
    Some(Failure::Cause(format!(
        "the trainer's thread panicked: {}",
        panic_text(panic.as_ref())
    )))
}
