//! Snapshots on a disk that fails in every way a disk can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
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
    empties: Receiver<Block>,
    ended: Receiver<Ended>,
    generation: u64,
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

/// Where answers go, and they.
fn home() -> (Arc<Home>, Receiver<Block>, Receiver<Ended>) {
    let (empties, blocks) = sync_channel(EMPTIES_MAX);
    let (ended, answers) = sync_channel(16);
    let home = Home {
        generation: AtomicU64::new(0),
        gone: AtomicBool::new(false),
        tickets: Mutex::new(BTreeMap::from([(ID, 1)])),
        empties,
        ended,
    };
    (Arc::new(home), blocks, answers)
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(&store_config(directory.path())).unwrap());
        let engine = Engine::new(engine_config());
        let model = Arc::new(Model::first(&engine_config(), 7));
        let (home, empties, ended) = home();
        Self {
            state: engine.partition("sensors", Partition(0), model),
            engine,
            writer: Writer::new(Arc::clone(&disk)).unwrap(),
            loader: Loader::new(Arc::clone(&disk)).unwrap(),
            disk,
            directory,
            home,
            empties,
            ended,
            generation: 0,
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
        self.generation += 1;
        self.home.generation.store(self.generation, Ordering::Relaxed);
        self.writer.answer(Request::Begin(Box::new(Begin {
            home: Arc::clone(&self.home),
            generation: self.generation,
            id: ID,
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
            let request = Request::Block(Arc::clone(&self.home), self.generation, block);
            self.writer.answer(request);
        }
        self.state.end_capture();
    }

    fn finish(&mut self) {
        let finish = Request::Finish(Arc::clone(&self.home), self.generation);
        self.writer.answer(finish);
    }

    fn write_as(&mut self, next: i64, change: impl FnOnce(&mut Header)) -> Ended {
        self.write_some(next, change, usize::MAX);
        self.finish();
        self.ended.try_recv().unwrap()
    }

    /// The oldest one kept.
    fn write(&mut self, next: i64) -> i64 {
        match self.write_as(next, |_| ()) {
            Ended::Written {
                id,
                next: written,
                bytes,
                oldest,
            } => {
                let file = self.file(next);
                assert_eq!((id, written.0), (ID, next));
                assert_eq!(fs::metadata(file).unwrap().len(), bytes);
                oldest.0
            }
            other => panic!("{other:?}"),
        }
    }

    fn failure(&mut self, next: i64) -> String {
        match self.write_as(next, |_| ()) {
            Ended::Failed { id: ID, reason } => reason,
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

#[test]
fn a_snapshot_is_read_back_as_it_was_and_leaves_no_temporary() {
    let mut house = House::new();
    (0..20).for_each(|offset| house.feed(offset));
    let then = house.state.fingerprint();
    assert_eq!(house.write(20), 20);
    house.feed(20);
    assert_eq!(house.names(), BTreeSet::from(["00000000000000000020".to_owned()]));
    let (found, refused) = house.load(25);
    let (header, content) = *found.unwrap();
    assert_eq!((header.next.0, refused), (20, vec![]));
    assert_eq!(content.streams(), 150);
    assert_eq!(house.fingerprint_of(content), then);
    assert_eq!(house.empties.try_iter().count(), 3, "blocks come back");
    assert!(house.load(19).0.is_none(), "a later one is of another history");
}

#[test]
fn a_damaged_one_is_refused_with_the_reason_and_the_next_older_one_is_read() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, &str); 7] = [
        (|bytes| bytes.truncate(bytes.len() / 2), "cut off"),
        (|bytes| bytes.truncate(bytes.len() - 1), "cut off"),
        (Vec::clear, "the file ends within the header"),
        (|bytes| bytes[40] ^= 1, "checksum of the header"),
        (
            |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            },
            "checksum of block",
        ),
        (|bytes| bytes.push(0), "bytes follow"),
        (|bytes| bytes.fill(0xff), "a snapshot with `TIDECAST`"),
    ];
    for (damage, reason) in damages {
        let mut house = House::new();
        (0..3).for_each(|offset| house.feed(offset));
        let then = house.state.fingerprint();
        house.write(3);
        house.feed(3);
        house.write(4);
        let mut bytes = fs::read(house.file(4)).unwrap();
        damage(&mut bytes);
        fs::write(house.file(4), bytes).unwrap();
        let (found, refused) = house.load(9);
        let [sentence] = &refused[..] else {
            panic!("{refused:?}")
        };
        let path = format!("{FOLDER}/{:020}", 4);
        assert!(
            sentence.contains(reason) && sentence.contains(&path),
            "{sentence}"
        );
        let (header, content) = *found.unwrap();
        assert_eq!((header.next.0, house.fingerprint_of(content)), (3, then));
    }
}

#[test]
fn a_damaged_one_does_not_count_as_kept_and_is_replaced_when_written_again() {
    let mut house = House::new();
    house.feed(0);
    for next in 1..=3 {
        house.write(next);
    }
    fs::write(house.file(3), b"damaged").unwrap();
    assert_eq!(house.load(9).0.unwrap().0.next.0, 2);
    house.write(3);
    assert_eq!(house.load(9).0.unwrap().0.next.0, 3, "whole again");
    fs::write(house.file(2), b"damaged").unwrap();
    assert_eq!(
        house.write(4),
        1,
        "4, 3 and 1 are three valid ones, and 2 is none"
    );
    assert_eq!(house.offsets(), [1, 2, 3, 4]);
    assert_eq!(house.write(5), 3);
    assert_eq!(house.offsets(), [3, 4, 5]);
}

#[test]
fn the_newest_three_stay_and_newer_ones_are_left_alone() {
    let mut house = House::new();
    house.feed(0);
    for (next, oldest) in [(10, 10), (20, 10), (90, 10), (30, 10), (40, 20), (50, 30)] {
        assert_eq!(house.write(next), oldest, "{next}");
    }
    assert_eq!(house.offsets(), [30, 40, 50, 90]);
}

#[test]
fn what_is_of_another_past_does_not_count_and_goes_with_time() {
    type Change = fn(&mut Header);
    let mut house = House::new();
    house.feed(0);
    let changes: [(i64, Change, &str); 4] = [
        (10, |header| header.cluster = "other".into(), "cluster"),
        (11, |header| header.fingerprint ^= 1, "configuration"),
        (12, |header| header.switch_log = "1;0;0:2".into(), "switch log"),
        (13, |header| header.topic = "other".into(), "topic"),
    ];
    for (next, change, _) in changes {
        assert!(matches!(house.write_as(next, change), Ended::Written { .. }));
    }
    let (found, refused) = house.load(99);
    assert!(found.is_none());
    for (sentence, (_, _, reason)) in refused.iter().zip(changes.iter().rev()) {
        assert!(sentence.contains(reason), "{sentence}");
    }
    assert_eq!(house.write(20), 20);
    assert_eq!(house.write(30), 20);
    assert_eq!(house.offsets(), [10, 11, 12, 13, 20, 30]);
    assert_eq!(house.write(40), 20);
    assert_eq!(house.offsets(), [20, 30, 40]);
}

#[test]
fn of_two_writers_of_one_offset_both_are_done_and_one_file_is_there() {
    let mut house = House::new();
    house.feed(0);
    house.write(1);
    let first = fs::read(house.file(1)).unwrap();
    assert_eq!(house.write(1), 1);
    assert_eq!(fs::read(house.file(1)).unwrap(), first);
    assert_eq!(house.names().len(), 1);
    // One that only has the same name is no past of this partition.
    house.write_as(2, |header| header.cluster = "other".into());
    house.write(2);
    assert_eq!(house.load(2).0.unwrap().0.cluster, "c");
}

#[test]
fn one_that_is_given_up_leaves_no_file() {
    let mut house = House::new();
    house.feed(0);
    house.write_some(1, |_| (), 2);
    assert_eq!(house.names().len(), 1);
    house
        .home
        .generation
        .store(house.generation + 1, Ordering::Relaxed);
    house.writer.drop_given_up();
    assert_eq!(house.names(), BTreeSet::new());
    house.finish();
    assert!(house.ended.try_recv().is_err(), "nobody asked for an answer");
    house.generation += 1;
    house.write(2);
    assert_eq!(house.offsets(), [2]);
}

#[test]
fn a_kill_before_the_name_leaves_what_the_next_start_sweeps() {
    let mut house = House::new();
    house.feed(0);
    house.write_some(1, |_| (), usize::MAX);
    visit(Some(Box::new(|at| {
        assert_ne!(at, Point::SnapshotRename, "killed")
    })));
    let killed = catch_unwind(AssertUnwindSafe(|| house.finish()));
    visit(None);
    assert!(killed.is_err());
    let names = house.names();
    let [part] = &names.iter().collect::<Vec<_>>()[..] else {
        panic!("{names:?}")
    };
    assert!(part.ends_with(".part"), "{part}");
    assert!(house.load(9).0.is_none());

    let config = store_config(house.directory.path());
    drop(crate::store::Store::open(&config).unwrap());
    assert_eq!(house.names().len(), 1, "its writer may be alive");
    let file = fs::File::options()
        .write(true)
        .open(house.directory.path().join(FOLDER).join(part))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(crate::store::Store::open(&config).unwrap());
    assert_eq!(house.names(), BTreeSet::new());
}

#[test]
fn a_write_sweeps_what_an_earlier_crash_left_in_its_folder() {
    let mut house = House::new();
    house.feed(0);
    house.write(1);
    let folder = house.directory.path().join(FOLDER);
    for name in [
        "00000000000000000007.41-0.part",
        "00000000000000000007.41-0.part#1",
        "notes.part",
    ] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    house.write(2);
    assert_eq!(house.names().len(), 3, "{:?}", house.names());
    assert!(house.names().contains("notes.part"), "not ours");
}

#[test]
fn a_full_disk_fails_the_snapshot_with_a_way_out_and_leaves_nothing_there() {
    let mut house = House::new();
    (0..3).for_each(|offset| house.feed(offset));
    house.write(3);
    let size = fs::metadata(house.file(3)).unwrap().len();
    for room in [0, size / 2, size - 1] {
        *lock(&house.disk.room) = Some(room);
        let reason = house.failure(4);
        assert!(
            reason.contains("the disk is full: free space there"),
            "{room}: {reason}"
        );
        assert_eq!(house.offsets(), [3], "{room}");
    }
    *lock(&house.disk.room) = None;
    house.write(4);
    assert_eq!(house.load(9).0.unwrap().0.next.0, 4, "and it works again");
}

#[test]
fn a_file_in_the_way_fails_the_snapshot_with_a_way_out() {
    let mut house = House::new();
    house.feed(0);
    fs::write(house.directory.path().join("tidecast"), b"in the way").unwrap();
    let reason = house.failure(1);
    assert!(reason.contains("a file is in the way of a directory"), "{reason}");
    let listed = house.search(house.wanted(9));
    assert!(
        matches!(&listed, Some(Ended::Loaded { found: Err(_), .. })),
        "the store is away, which is not that there is no snapshot: {listed:?}"
    );
}

#[test]
fn a_directory_that_is_deleted_meanwhile_fails_one_snapshot_only() {
    let mut house = House::new();
    house.feed(0);
    house.write_some(1, |_| (), 2);
    fs::remove_dir_all(house.directory.path().join("tidecast")).unwrap();
    house.finish();
    let ended = house.ended.try_recv().unwrap();
    assert!(matches!(&ended, Ended::Failed { .. }), "{ended:?}");
    house.write(2);
    assert_eq!(house.offsets(), [2]);
}

#[test]
fn names_that_are_no_offsets_are_passed_over() {
    let mut house = House::new();
    house.feed(0);
    house.write(5);
    let folder = house.directory.path().join(FOLDER);
    for name in [
        "5",
        "0000000000000000006",
        "000000000000000000007",
        "+0000000000000000008",
        "99999999999999999999",
        "00000000000000000009.bak",
    ] {
        fs::copy(house.file(5), folder.join(name)).unwrap();
    }
    fs::copy(house.file(5), house.file(6)).unwrap();
    let (found, refused) = house.load(99);
    assert_eq!(found.unwrap().0.next.0, 5);
    let [renamed] = &refused[..] else {
        panic!("{refused:?}")
    };
    assert!(renamed.contains("says that it is of offset 5"), "{renamed}");
}

#[test]
fn a_search_that_was_replaced_is_not_answered() {
    let mut house = House::new();
    house.feed(0);
    house.write(5);
    let wanted = Wanted {
        ticket: 0,
        ..house.wanted(9)
    };
    assert!(house.search(wanted).is_none());
}

#[test]
fn topics_that_are_no_names_reach_no_folder() {
    assert!(folder("g/p/snapshots", "a.b_c-D9", 3).is_ok());
    for topic in ["", ".", "..", "a/b", "a b", "ä", "a#1", "a%2f"] {
        assert!(
            matches!(folder("g/p/snapshots", topic, 0), Err(Error::Path { .. })),
            "{topic}"
        );
    }
}

/// Hands a whole snapshot over and waits for its end.
fn through(port: &mut SnapshotPort, house: &mut House, next: i64) -> Ended {
    house.state.begin_capture();
    port.begin(ID, house.header(next)).unwrap();
    house.state.capture(usize::MAX);
    while let Some(block) = house.state.take_block() {
        port.write(block);
    }
    house.state.end_capture();
    port.finish();
    port.wait()
}

#[test]
fn ports_of_several_workers_write_and_read_beside_each_other() {
    let mut houses = [House::new(), House::new()];
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SnapshotStore::open(&store_config(directory.path())).unwrap());
    let mut ports = ["plant", "fleet"].map(|pipeline| store.port("tidecast", pipeline));
    let mut states = Vec::new();
    for (port, house) in ports.iter_mut().zip(&mut houses) {
        house.feed(0);
        states.push(house.state.fingerprint());
        let ended = through(port, house, 1);
        assert!(matches!(ended, Ended::Written { .. }), "{ended:?}");
        assert!(port.empty(Duration::ZERO).is_some());
    }
    for (port, (house, then)) in ports.iter_mut().zip(houses.iter().zip(states)) {
        port.load(house.wanted(1)).unwrap();
        let Ended::Loaded {
            found: Ok(Some(found)),
            ..
        } = port.wait()
        else {
            panic!("it was written")
        };
        assert_eq!(house.fingerprint_of(found.1), then);
    }
}

#[test]
fn a_port_that_is_dropped_leaves_no_temporary() {
    let mut house = House::new();
    house.feed(0);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SnapshotStore::open(&store_config(directory.path())).unwrap());
    let mut port = store.port("tidecast", "plant");
    house.state.begin_capture();
    port.begin(ID, house.header(1)).unwrap();
    house.state.capture(usize::MAX);
    port.write(house.state.take_block().unwrap());
    assert!(port.empty(Duration::from_secs(30)).is_some(), "it was written");
    let folder = directory.path().join(FOLDER);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    drop(port);
    drop(store);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
