//! What is read back, refused, kept and replaced.

use super::*;
use crate::worker::report::Loading;

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
    assert_eq!(house.answers.empties.try_iter().count(), 3, "blocks come back");
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
fn what_cannot_be_read_just_now_is_not_forgotten() {
    let mut house = House::new();
    house.feed(0);
    for next in 1..=3 {
        house.write(next);
    }
    lock(&house.disk.unreadable).insert(format!("{FOLDER}/{:020}", 2));
    assert_eq!(
        house.write(4),
        1,
        "2 may be read back tomorrow, and does not count as kept today"
    );
    assert_eq!(house.offsets(), [1, 2, 3, 4]);
    lock(&house.disk.unreadable).insert(format!("{FOLDER}/{:020}", 1));
    assert_eq!(house.write(5), 3, "three are kept again");
    lock(&house.disk.unreadable).extend([3, 4].map(|next| format!("{FOLDER}/{next:020}")));
    assert_eq!(house.write(6), 3, "known once more");
    assert_eq!(house.offsets(), [3, 4, 5, 6], "and nothing is deleted in doubt");
    lock(&house.disk.unreadable).clear();
    assert_eq!((house.write(7), house.offsets()), (5, vec![5, 6, 7]));
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
fn a_search_says_how_far_it_is() {
    let mut house = House::new();
    house.feed(0);
    house.write(5);
    let wanted = house.wanted(9);
    let progress = Arc::clone(&wanted.progress);
    assert_eq!(progress.loading(), Loading::default());
    assert!(house.search(wanted).is_some());
    let file = house.directory.path().join(FOLDER).join(format!("{:020}", 5));
    let whole = fs::metadata(file).unwrap().len();
    assert_eq!(progress.loading(), Loading { read: whole, whole });
    progress.begin(whole);
    assert_eq!(
        progress.loading(),
        Loading { read: 0, whole },
        "an older one is read"
    );
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

#[test]
fn versions_that_only_headers_name_are_found_and_what_is_newer_is_counted() {
    let mut house = House::new();
    house.feed(0);
    house.write_as(1, |header| header.switch_log = "1;0;0:1,1:4".into());
    house.write_as(2, |header| header.switch_log = "1;0;0:1,1:5".into());
    house.write_as(3, |header| header.switch_log = "2;0;0:7".into());
    let store = SnapshotStore::open(&store_config(house.directory.path())).unwrap();
    let among = (1..=4).map(ModelVersion).collect();
    let named = |pipeline| store.versions_named("tidecast", pipeline, &among);
    let found = named("plant").unwrap();
    assert_eq!(found.versions, [1, 4].map(ModelVersion).into());
    assert_eq!(found.newer, 1);
    // One that would be refused for good names nothing; one of a format to come may name anything.
    fs::write(house.file(1), b"damaged").unwrap();
    let mut bytes = fs::read(house.file(2)).unwrap();
    bytes[8] = 9;
    fs::write(house.file(2), bytes).unwrap();
    let found = named("plant").unwrap();
    assert_eq!((found.versions.len(), found.newer), (0, 2));
    assert_eq!(named("other").unwrap(), NamedVersions::default());
    lock(&store.disk.unreadable).insert(format!("{FOLDER}/{:020}", 1));
    assert!(named("plant").is_err(), "nothing may be concluded");
}
