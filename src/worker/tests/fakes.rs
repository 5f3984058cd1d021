//! The other ports in memory: models, time, an observer; and a worker over all of them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::{FakeSource, Shared, call, failure};
use super::producer::FakeSink;
use crate::codec;
use crate::engine::snapshot::{Block, Header};
use crate::engine::{self, Model, ModelVersion, Origin};
use crate::nn::Cell as CellKind;
use crate::series::observation::{NextOffset, Partition};
use crate::worker::config::Start;
use crate::worker::ports::{
    Activity, Clock, Error, Loaded, Models, NoTape, Observer, PartitionId, Snapshots,
};
use crate::worker::report::{CommitReport, PartitionReport, SnapshotReport};
use crate::worker::snapshots::{Ended, Wanted};
use crate::worker::{Config, Ports, TurnReport, Worker};

pub(super) type TestWorker =
    Worker<FakeSource, FakeSink, FakeModels, FakeSnapshots, NoTape, FakeClock, FakeObserver>;

pub(super) struct FakeModels(Shared, VecDeque<Loaded>);

thread_local! {
    /// Made once: a test asks for the newest in every turn.
    static MODELS: RefCell<BTreeMap<u64, Arc<Model>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Versions from this number on are rollbacks.
pub(super) const ROLLBACKS: u64 = 1_000_000;

/// A version with weights of its own.
pub(super) fn model(version: u64) -> Arc<Model> {
    let make = || {
        let origin = Origin {
            version: ModelVersion(version),
            parent: None,
            lineage: 7,
            made: if version < ROLLBACKS { "online" } else { "rollback" }.into(),
        };
        let shape = engine::shape(&config().engine);
        Arc::new(Model::from_params(
            origin,
            crate::nn::Params::init(&shape, version),
        ))
    };
    MODELS.with_borrow_mut(|models| Arc::clone(models.entry(version).or_insert_with(make)))
}

impl Models for FakeModels {
    fn newest(&mut self) -> Arc<Model> {
        model(self.0.borrow().newest)
    }

    fn load(&mut self, version: ModelVersion) -> Result<(), Error> {
        let failed = call(&self.0).is_some();
        let cluster = self.0.borrow();
        if cluster.silent_versions.contains(&version.0) {
            return Ok(());
        }
        let missing = cluster.missing_versions.contains(&version.0);
        let found = (!missing).then(|| model(version.0));
        let found = if failed {
            Err(failure("loading"))
        } else {
            Ok(found)
        };
        self.1.push_back(Loaded { version, found });
        Ok(())
    }

    fn loaded(&mut self) -> Option<Loaded> {
        self.1.pop_front()
    }
}

/// An empty store that hangs, is busy, and answers late as it is told: what snapshots hold is the simulation's business.
#[derive(Default)]
pub(super) struct FakeSnapshots {
    /// Searches that are not answered: their tickets, and up to which offset.
    pub(super) searches: VecDeque<(u64, NextOffset)>,
    /// Whether searches are left unanswered.
    pub(super) hangs: bool,
    pub(super) signs: VecDeque<(u64, NextOffset)>,
    /// Whether snapshots can be begun.
    pub(super) takes: bool,
    pub(super) busy: bool,
    /// What was begun, with its offset; and whether it was finished.
    pub(super) begun: Vec<(u64, PartitionId, NextOffset)>,
    pub(super) finished: bool,
    pub(super) ends: VecDeque<Ended>,
    empties: VecDeque<Block>,
}

impl Snapshots for FakeSnapshots {
    fn load(&mut self, wanted: Wanted) -> Result<(), Error> {
        self.searches.push_back((wanted.ticket, wanted.at_most));
        Ok(())
    }

    fn reading(&mut self) -> Option<(u64, NextOffset)> {
        self.signs.pop_front()
    }

    fn is_busy(&mut self) -> bool {
        self.busy
    }

    fn begin(&mut self, ticket: u64, id: PartitionId, header: Header) -> Result<(), Error> {
        assert!(!self.busy, "the worker asks before");
        if !self.takes {
            return Err(failure("beginning a snapshot"));
        }
        self.begun.push((ticket, id, header.next));
        self.finished = false;
        Ok(())
    }

    fn write(&mut self, block: Block) {
        self.empties.push_back(block);
    }

    fn empty(&mut self, _wait: Duration) -> Option<Block> {
        self.empties.pop_front()
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn abandon(&mut self) {}

    fn ended(&mut self) -> Option<Ended> {
        if let Some(ended) = self.ends.pop_front() {
            return Some(ended);
        }
        if self.hangs {
            return None;
        }
        let (ticket, _) = self.searches.pop_front()?;
        Some(Ended::Loaded {
            ticket,
            found: Ok(None),
            refused: Vec::new(),
        })
    }
}

#[derive(Clone, Default)]
pub(super) struct FakeClock(Rc<Cell<Duration>>);

impl FakeClock {
    pub(super) fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// What the observer has heard so far.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) total: u64,
    /// By turn.
    pub(super) records: Vec<u64>,
    pub(super) commits: Vec<CommitReport>,
    pub(super) muted: u64,
    pub(super) replayed: u64,
    pub(super) restarts: u64,
    pub(super) models_missing: u64,
    pub(super) troubles: Vec<String>,
    pub(super) partitions: Vec<PartitionReport>,
    pub(super) snapshots: Vec<SnapshotReport>,
    pub(super) refused: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct FakeObserver(pub(super) Rc<RefCell<Heard>>);

impl Observer for FakeObserver {
    fn activity(&mut self, _activity: Activity) {}

    fn turn(&mut self, report: &TurnReport<'_>) {
        let mut heard = self.0.borrow_mut();
        heard.records.push(report.records);
        heard.total += report.outcomes.total();
        heard.commits.extend(report.commit);
        heard.muted += report.outcomes.muted;
        heard.replayed += report.replayed;
        heard.restarts = report.restarts;
        heard.models_missing = report.models_missing;
        if let Some(trouble) = report.trouble
            && heard.troubles.last().is_none_or(|last| last != trouble)
        {
            heard.troubles.push(trouble.to_owned());
        }
        heard.partitions = report.partitions.to_vec();
        heard.snapshots.extend(report.snapshot.cloned());
        heard.refused.extend_from_slice(report.snapshots_refused);
    }
}

pub(super) fn id(partition: i32) -> PartitionId {
    PartitionId {
        topic: 0,
        partition: Partition(partition),
    }
}

pub(super) fn config() -> Config {
    Config {
        pipeline: "plant".into(),
        workers: 1,
        topics: vec!["sensors".into()],
        start: Start::Earliest,
        warmup: Duration::ZERO,
        rebuild: Duration::from_secs(7 * 86400),
        output_topic: "forecasts".into(),
        dead_letter_topic: "dead".into(),
        dead_letter_drops: true,
        commit_interval: Duration::from_millis(100),
        transaction_age_max: Duration::from_secs(5),
        turn_records_max: 5,
        lag_pause_training: 1000,
        lag_thin: i64::MAX,
        snapshot_interval: Duration::from_secs(3600),
        snapshot_bytes_per_s: 1 << 20,
        input: codec::Config {
            id: Some("id".into()),
            time: Some("t".into()),
            time_unit: codec::config::TimeUnit::Milliseconds,
            values: vec!["v".into()],
            future_max_ms: i64::MAX / 4,
            stream_max_bytes: 256,
            value_max_bytes: 1 << 20,
        },
        engine: engine::Config {
            interval: engine::config::Interval::Given(1000),
            seasons: engine::config::Seasons::Auto,
            utc_offset_ms: 0,
            gap_max: 32,
            horizons: vec![1, 2, 3],
            quantiles: vec![0.1, 0.5, 0.9],
            model: engine::config::ModelConfig {
                cell: CellKind::Gru,
                hidden: 8,
                layers: 1,
            },
            experts: Vec::new(),
            streams_max: 100,
            profile: engine::Profile::Accurate,
            stream_ttl_ms: 30 * 86_400_000,
            publish_warming: true,
            tape_share: 0.0,
        },
    }
}

/// A worker over the cluster, as a process that has just started.
pub(super) fn worker(cluster: &Shared) -> (TestWorker, FakeObserver, FakeClock) {
    worker_with(cluster, config())
}

pub(super) fn worker_with(cluster: &Shared, config: Config) -> (TestWorker, FakeObserver, FakeClock) {
    let clock = FakeClock::default();
    let observer = FakeObserver::default();
    let source = FakeSource::new(Rc::clone(cluster), clock.clone());
    let ports = Ports {
        source,
        sink: FakeSink::new(Rc::clone(cluster)),
        models: FakeModels(Rc::clone(cluster), VecDeque::new()),
        snapshots: FakeSnapshots::default(),
        tape: NoTape,
        clock: clock.clone(),
        observer: observer.clone(),
    };
    (Worker::new(config, ports), observer, clock)
}
