//! Through the threads.

use super::*;

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
