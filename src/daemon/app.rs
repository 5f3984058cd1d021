//! The process as a whole: starts everything, watches it once a second, and joins it within the grace.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config;
use crate::daemon::board::{Board, PipelineBoard, Stage, lock};
use crate::daemon::clock::Clock;
use crate::daemon::error::Error;
use crate::daemon::gauges::TrainerTotals;
use crate::daemon::host::Host;
use crate::daemon::http::{self, Sources};
use crate::daemon::pipeline::{PipelineThread, SharedStore, spawn};
use crate::daemon::signals::Signals;
use crate::daemon::stop::Stop;
use crate::daemon::{readiness, watchdog};
use crate::nn;
use crate::telemetry::Metrics;

/// How often the app looks at its parts. The watchdog's period must be several times this.
const TICK: Duration = Duration::from_secs(1);
/// What a worker may wait for Kafka at a stop, if the grace has four times as much: a commit takes some tens of
/// milliseconds where the cluster answers, and what is not committed is read again.
const CLOSING_MAX: Duration = Duration::from_secs(5);
/// How often threads that are to end are looked at.
const JOIN_TICK: Duration = Duration::from_millis(20);

/// Takes the address of HTTP; port 0 takes any free one.
///
/// # Errors
/// [`Error::Bind`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?; // as tokio wants it
        Ok(listener)
    });
    bound.map_err(|source| Error::Bind { address, source })
}

/// Runs every pipeline until `stop` is requested and everything is committed, closed and joined. Takes no signals: for who
/// runs the daemon as a part of something else.
///
/// # Errors
/// See [`Error`]. After [`Error::Grace`] and [`Error::Stuck`] threads still run: the caller ends the process.
pub fn run(config: config::Config, listener: TcpListener, stop: Stop) -> Result<(), Error> {
    run_with(config, listener, stop, false)
}

/// As [`run`], as a process of its own: SIGTERM and SIGINT stop it, a second one ends it at once, SIGHUP is answered.
///
/// # Errors
/// As of [`run`].
pub fn run_until_signal(config: config::Config, listener: TcpListener) -> Result<(), Error> {
    run_with(config, listener, Stop::new(), true)
}

fn run_with(config: config::Config, listener: TcpListener, stop: Stop, signals: bool) -> Result<(), Error> {
    nn::blas::single_thread();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1) // HTTP and timers: everything that computes has its own thread
        .thread_name("shell")
        .enable_all()
        .build()
        .map_err(|source| Error::Start {
            what: "runtime".to_owned(),
            source,
        })?;
    let app = App::new(config, stop);
    let result = runtime.block_on(app.run(listener, signals));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

struct App {
    config: config::Config,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    clock: Clock,
    stop: Stop,
    in_use: Arc<Mutex<Option<String>>>,
}

impl App {
    fn new(config: config::Config, stop: Stop) -> Self {
        let pipelines = config.pipelines.iter().map(|pipeline| {
            let worker = &pipeline.worker;
            Arc::new(PipelineBoard::new(
                &worker.pipeline,
                &worker.topics,
                worker.workers,
            ))
        });
        let board = Board {
            pipelines: pipelines.collect(),
            stopping: AtomicBool::new(false),
        };
        Self {
            config,
            board: Arc::new(board),
            metrics: Arc::new(Metrics::new()),
            clock: Clock::start(),
            stop,
            in_use: Arc::default(),
        }
    }

    async fn run(self, listener: TcpListener, signals: bool) -> Result<(), Error> {
        let start = |what: &str| {
            let what = what.to_owned();
            move |source| Error::Start { what, source }
        };
        let mut host = Host::from_environment().map_err(start("notifications to the service manager"))?;
        let mut tasks = JoinSet::new();
        if signals {
            let signals = Signals::take().map_err(start("signal handlers"))?;
            tasks.spawn(signals.answer(self.stop.clone()));
        }
        let served_until = Stop::new(); // HTTP says why a stop takes its time, so it ends last
        let address = listener.local_addr().map_err(start("http"))?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(start("http"))?;
        let sources = Arc::new(Sources {
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            totals: TrainerTotals::default(),
            clock: self.clock,
        });
        let (http_stop, app_stop) = (served_until.clone(), self.stop.clone());
        tasks.spawn(async move {
            if let Err(error) = http::serve(listener, sources, http_stop).await {
                tracing::error!(%error, "http failed: stopping");
                app_stop.request();
            }
        });
        let threads = self.start_pipelines()?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %address,
            instance = self.config.kafka.instance,
            brokers = self.config.kafka.brokers.join(","),
            store = self.config.store.url,
            pipelines = threads.len(),
            "started"
        );
        host.ready();
        let watched = self.watch(&mut host).await;
        self.board.stopping.store(true, Ordering::Relaxed);
        self.stop.request();
        host.stopping("stopping: workers commit and leave");
        let joined = match watched {
            Err(Error::Stuck { .. }) => Ok(()), // it does not come back; what the others did is safe without a good-bye
            _ => self.join(threads, self.config.shutdown_grace, &host).await,
        };
        served_until.request();
        tasks.shutdown().await;
        let in_use = lock(&self.in_use).take();
        match in_use {
            Some(instance) => Err(Error::InstanceInUse { instance }),
            None => {
                watched.and(joined)?;
                tracing::info!("stopped");
                Ok(())
            }
        }
    }

    fn start_pipelines(&self) -> Result<Vec<JoinHandle<()>>, Error> {
        let store: Arc<SharedStore> = Arc::default();
        let mut threads = Vec::new();
        for (pipeline, board) in self.config.pipelines.iter().zip(&self.board.pipelines) {
            let thread = PipelineThread {
                config: pipeline.clone(),
                kafka: self.config.kafka.clone(),
                store_config: self.config.store.clone(),
                store: Arc::clone(&store),
                board: Arc::clone(board),
                metrics: Arc::clone(&self.metrics),
                clock: self.clock,
                closing_max: CLOSING_MAX.min(self.config.shutdown_grace / 4),
                stop: self.stop.clone(),
                in_use: Arc::clone(&self.in_use),
            };
            match spawn(&board.name, move || thread.run()) {
                Ok(handle) => threads.push(handle),
                Err(source) => {
                    self.stop.request(); // those that run end by themselves; the process ends with the error
                    return Err(Error::Start {
                        what: format!("thread of pipeline {}", board.name),
                        source,
                    });
                }
            }
        }
        Ok(threads)
    }

    /// Until the stop, or until something is wrong that only a new process mends.
    async fn watch(&self, host: &mut Host) -> Result<(), Error> {
        let mut records = vec![0_u64; self.board.pipelines.len()];
        let mut fed = self.clock.elapsed();
        let mut warned = false;
        loop {
            tokio::select! {
                () = self.stop.requested() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
            let now = self.clock.elapsed();
            let stalls = watchdog::stalls(&self.board, now);
            if let Some(stall) = stalls.iter().find(|stall| stall.hopeless) {
                return Err(Error::Stuck {
                    what: stall.what.clone(),
                    after: stall.silence,
                });
            }
            if let Some(stall) = stalls.first().filter(|_| !warned) {
                tracing::error!(silence_s = stall.silence.as_secs(), "{}", stall.what);
            }
            warned = !stalls.is_empty();
            if stalls.is_empty()
                && host
                    .watchdog()
                    .is_some_and(|period| now.saturating_sub(fed) >= period / 4)
            {
                host.feed();
                fed = now;
            }
            host.say(&self.status(&mut records, now));
            self.check_failures()?;
        }
    }

    fn status(&self, records: &mut [u64], now: Duration) -> String {
        let mut rates = Vec::new();
        for (pipeline, before) in self.board.pipelines.iter().zip(records) {
            let total = pipeline.records.load(Ordering::Relaxed);
            #[allow(clippy::cast_precision_loss, reason = "records of one second")]
            let fresh = total.saturating_sub(*before) as f64;
            rates.push(fresh / TICK.as_secs_f64());
            *before = total;
        }
        readiness::status_line(&readiness::look(&self.board, now), &rates)
    }

    /// While one pipeline goes on, failed ones are tried again beside it; without any, the service manager does that.
    fn check_failures(&self) -> Result<(), Error> {
        let mut causes = Vec::new();
        for pipeline in &self.board.pipelines {
            let Stage::Failed(cause) = pipeline.stage() else {
                return Ok(());
            };
            causes.push(format!("{}: {cause}", pipeline.name));
        }
        Err(Error::NoPipelineLeft {
            causes: causes.join("; "),
        })
    }

    /// Joins the pipelines' threads, which join theirs.
    async fn join(&self, threads: Vec<JoinHandle<()>>, grace: Duration, host: &Host) -> Result<(), Error> {
        let begun = self.clock.elapsed();
        let deadline = begun + grace;
        while !threads.iter().all(JoinHandle::is_finished) {
            let now = self.clock.elapsed();
            if now >= deadline {
                let mut hung = watchdog::running(&self.board, now);
                if hung.is_empty() {
                    hung.push("a pipeline's own thread or its trainer".to_owned());
                }
                return Err(Error::Grace {
                    grace,
                    hung: hung.join(", "),
                });
            }
            host.feed(); // the grace is the limit now
            tokio::time::sleep(JOIN_TICK).await;
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a pipeline's thread panicked");
            }
        }
        let took_ms = u64::try_from((self.clock.elapsed() - begun).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, "every thread has ended");
        Ok(())
    }
}
