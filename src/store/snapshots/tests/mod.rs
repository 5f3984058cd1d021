//! Snapshots on a disk that fails in every way a disk can.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::disk::Disk;
use super::loader::{Loader, Search};
use super::writer::{Begin, Request, Writer};
use super::*;
use crate::engine::config::{Interval, ModelConfig, Seasons};
use crate::engine::snapshot::{Content, Header, form};
use crate::engine::{Config as EngineConfig, Engine, Model, PartitionState};
use crate::faults::{Point, visit};
use crate::nn::Cell;
use crate::series::observation::{NextOffset, Observation, Offset, Partition, Source};
use crate::worker::ports::Snapshots as _;
use crate::worker::snapshots::Wanted;

mod failing;
mod pasts;
mod ports;

const ID: PartitionId = PartitionId {
    topic: 0,
    partition: Partition(0),
};
const FOLDER: &str = "tidecast/plant/snapshots/sensors/0";
const LOG: &str = "1;0;0:1";

/// A partition whose state grows with its offset, a directory, and the threads' bodies on this thread.
struct House {
    engine: Engine,
    state: PartitionState,
    directory: tempfile::TempDir,
    disk: Arc<Disk>,
    writer: Writer,
    loader: Loader,
    home: Arc<Home>,
    answers: Answers,
    /// Of the newest snapshot.
    ticket: u64,
}

fn engine_config() -> EngineConfig {
    EngineConfig {
        interval: Interval::Given(60_000),
        seasons: Seasons::Steps(Vec::new()),
        utc_offset_ms: 0,
        gap_max: 4,
        horizons: vec![1, 2],
        quantiles: vec![0.1, 0.5, 0.9],
        model: ModelConfig {
            cell: Cell::Gru,
            hidden: 4,
            layers: 1,
        },
        experts: Vec::new(),
        streams_max: 1000,
        profile: crate::engine::Profile::Accurate,
        stream_ttl_ms: 86_400_000,
        publish_warming: true,
        tape_share: 0.0,
    }
}

fn store_config(directory: &FilePath) -> Config {
    Config {
        url: format!("file://{}", directory.display()),
        keep: 3,
    }
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(&store_config(directory.path())).unwrap());
        let engine = Engine::new(engine_config());
        let model = Arc::new(Model::first(&engine_config(), 7));
        let (home, answers) = Home::new();
        lock(&home.tickets).insert(ID, 1);
        Self {
            state: engine.partition("sensors", Partition(0), model),
            engine,
            writer: Writer::new(Arc::clone(&disk), Arc::clone(&home)).unwrap(),
            loader: Loader::new(Arc::clone(&disk)).unwrap(),
            disk,
            directory,
            home,
            answers,
            ticket: 0,
        }
    }

    /// 150 streams, three blocks, see another reading.
    fn feed(&mut self, offset: i64) {
        for stream in 0..150_u32 {
            let id = format!("s{stream}");
            let time_ms = offset * 60_000;
            let source = Source {
                offset: Offset(offset),
                index: stream,
                timestamp_ms: time_ms,
            };
            let observation = Observation {
                stream: &id,
                time_ms,
                value: Some(f64::from(stream) + 0.5),
                source,
            };
            self.engine.admit(&mut self.state, observation);
        }
        let _ = self.engine.step(&mut self.state);
    }

    fn header(&self, next: i64) -> Header {
        Header {
            cluster: "c".into(),
            topic: "sensors".into(),
            partition: Partition(0),
            next: NextOffset(next),
            switch_log: LOG.into(),
            made_by: "test".into(),
            ..self.state.capture_header()
        }
    }

    fn begin(&mut self, header: Header) {
        self.ticket += 1;
        self.home.writes.store(self.ticket, Ordering::Relaxed);
        self.writer.answer(Request::Begin(Box::new(Begin {
            ticket: self.ticket,
            folder: folder("tidecast/plant/snapshots", "sensors", 0).unwrap(),
            header,
        })));
    }

    /// Begins a snapshot and hands over `blocks` of it.
    fn write_some(&mut self, next: i64, change: impl FnOnce(&mut Header), blocks: usize) {
        self.state.begin_capture();
        let mut header = self.header(next);
        change(&mut header);
        self.begin(header);
        self.state.capture(usize::MAX);
        let taken = std::iter::from_fn(|| self.state.take_block()).take(blocks);
        for block in taken.collect::<Vec<_>>() {
            self.writer.answer(Request::Block(self.ticket, block));
        }
        self.state.end_capture();
    }

    fn finish(&mut self) {
        self.writer.answer(Request::Finish(self.ticket));
    }

    fn write_as(&mut self, next: i64, change: impl FnOnce(&mut Header)) -> Ended {
        self.write_some(next, change, usize::MAX);
        self.finish();
        self.answers.ended.try_recv().unwrap()
    }

    /// The oldest one kept.
    fn write(&mut self, next: i64) -> i64 {
        match self.write_as(next, |_| ()) {
            Ended::Written {
                ticket,
                next: written,
                bytes,
                oldest,
            } => {
                let file = self.file(next);
                assert_eq!((ticket, written.0), (self.ticket, next));
                assert_eq!(fs::metadata(file).unwrap().len(), bytes);
                oldest.unwrap().0
            }
            other => panic!("{other:?}"),
        }
    }

    fn failure(&mut self, next: i64) -> String {
        match self.write_as(next, |_| ()) {
            Ended::Failed { ticket, reason } if ticket == self.ticket => reason,
            other => panic!("{other:?}"),
        }
    }

    fn wanted(&self, at_most: i64) -> Wanted {
        Wanted {
            ticket: 1,
            id: ID,
            at_most: NextOffset(at_most),
            cluster: "c".into(),
            topic: "sensors".into(),
            fingerprint: crate::engine::snapshot::fingerprint(&engine_config()),
            log: Some(LOG.parse().unwrap()),
            form: form(&self.engine),
            progress: Arc::default(),
        }
    }

    fn search(&self, wanted: Wanted) -> Option<Ended> {
        self.loader.search(&Search {
            home: Arc::clone(&self.home),
            folder: folder("tidecast/plant/snapshots", "sensors", 0).unwrap(),
            wanted,
        })
    }

    fn load(&self, at_most: i64) -> (Option<Box<(Header, Content)>>, Vec<String>) {
        match self.search(self.wanted(at_most)) {
            Some(Ended::Loaded {
                ticket: 1,
                found,
                refused,
            }) => (found.unwrap(), refused),
            other => panic!("{other:?}"),
        }
    }

    fn fingerprint_of(&self, content: Content) -> u64 {
        let model = Arc::new(Model::first(&engine_config(), 7));
        self.engine
            .restore("sensors", Partition(0), model, content)
            .fingerprint()
    }

    fn file(&self, next: i64) -> PathBuf {
        self.directory.path().join(FOLDER).join(format!("{next:020}"))
    }

    /// Names of everything in the partition's folder.
    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.directory.path().join(FOLDER));
        entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn offsets(&self) -> Vec<i64> {
        self.names().iter().map(|name| name.parse().unwrap()).collect()
    }
}
