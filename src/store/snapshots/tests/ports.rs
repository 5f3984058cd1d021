//! Through the threads.

use super::*;

/// Hands a whole snapshot over and waits for its end.
fn through(port: &mut SnapshotPort, house: &mut House, next: i64) -> Ended {
    house.state.begin_capture();
    port.begin(u64::try_from(next).unwrap(), ID, house.header(next))
        .unwrap();
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
    let mut ports = ["plant", "fleet"].map(|pipeline| store.port("tidecast", pipeline, 1).unwrap());
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
    let mut port = store.port("tidecast", "plant", 1).unwrap();
    house.state.begin_capture();
    port.begin(1, ID, house.header(1)).unwrap();
    house.state.capture(usize::MAX);
    port.write(house.state.take_block().unwrap());
    assert!(port.empty(Duration::from_secs(30)).is_some(), "it was written");
    let folder = directory.path().join(FOLDER);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    drop(port);
    drop(store);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_disk_that_hangs_under_one_worker_holds_up_no_other_and_is_busy_without_an_alarm() {
    let mut house = House::new();
    house.feed(0);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SnapshotStore::open(&store_config(directory.path())).unwrap());
    let mut hung = store.port("tidecast", "plant", 1).unwrap();
    let mut other = store.port("tidecast", "fleet", 1).unwrap();
    let gate = Gate::shut(&store.disk, "tidecast/plant");
    house.state.begin_capture();
    assert!(!hung.is_busy());
    hung.begin(1, ID, house.header(1)).unwrap();
    assert!(hung.is_busy(), "it hangs");
    house.state.end_capture();
    hung.abandon();
    assert!(hung.is_busy(), "given up, and it hangs all the same");
    assert!(matches!(
        through(&mut other, &mut house, 1),
        Ended::Written { ticket: 1, .. }
    ));
    assert!(hung.ended().is_none(), "being busy is no failure");
    drop(gate);
    while hung.is_busy() {
        std::thread::yield_now();
    }
    assert!(hung.ended().is_none(), "what was given up has no end");
    assert!(matches!(
        through(&mut hung, &mut house, 2),
        Ended::Written { ticket: 2, .. }
    ));
}

#[test]
fn a_search_past_a_file_that_hangs_finds_the_next_older_one() {
    let mut house = House::new();
    house.feed(0);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SnapshotStore::open(&store_config(directory.path())).unwrap());
    let mut port = store.port("tidecast", "plant", 1).unwrap();
    for next in 1..=2 {
        assert!(matches!(
            through(&mut port, &mut house, next),
            Ended::Written { .. }
        ));
    }
    let gate = Gate::shut(&store.disk, &format!("{FOLDER}/{:020}", 2));
    port.load(house.wanted(9)).unwrap();
    let hangs_at = loop {
        if let Some(sign) = port.reading() {
            break sign;
        }
        std::thread::yield_now();
    };
    assert_eq!(hangs_at, (1, NextOffset(2)));
    let older = Wanted {
        ticket: 2,
        ..house.wanted(1)
    };
    port.load(older).unwrap();
    let Ended::Loaded { ticket: 2, found, .. } = port.wait() else {
        panic!("the first one hangs")
    };
    assert_eq!(found.unwrap().unwrap().0.next.0, 1);
    drop(gate);
    drop(port);
    drop(store); // joins: the first search has ended, and was answered to nobody
}

/// Calls about what lies below a path hang until it is dropped.
struct Gate(Arc<Disk>);

impl Gate {
    fn shut(disk: &Arc<Disk>, below: &str) -> Self {
        *lock(&disk.hangs) = Some(below.to_owned());
        Self(Arc::clone(disk))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        *lock(&self.0.hangs) = None;
        self.0.moves.notify_all();
    }
}
