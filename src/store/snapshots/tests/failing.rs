//! Writing that does not come to its end.

use super::*;

#[test]
fn one_that_is_given_up_leaves_no_file() {
    let mut house = House::new();
    house.feed(0);
    house.write_some(1, |_| (), 2);
    assert_eq!(house.names().len(), 1);
    house.home.writes.store(0, Ordering::Relaxed);
    house.writer.drop_given_up();
    assert_eq!(house.names(), BTreeSet::new());
    house.finish();
    assert!(
        house.answers.ended.try_recv().is_err(),
        "nobody asked for an answer"
    );
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
    let ended = house.answers.ended.try_recv().unwrap();
    assert!(matches!(&ended, Ended::Failed { .. }), "{ended:?}");
    house.write(2);
    assert_eq!(house.offsets(), [2]);
}
