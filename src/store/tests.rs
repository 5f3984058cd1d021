use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use crate::engine::ModelVersion;
use crate::store::directory::path_of;
use crate::store::error::way_out;
use crate::store::{Config, Error, Mark, ModelStore, Numbered, Put, Store};

fn open(directory: &Path) -> Result<Store, Error> {
    Store::open(&Config {
        url: format!("file://{}", directory.display()),
        keep: 3,
    })
}

#[test]
fn put_get_list_delete_round_trip_and_survive_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.get("g/p/models/a").unwrap(), None);
    assert_eq!(
        store.put_if_absent("g/p/models/b", vec![2; 3]).unwrap(),
        Put::Stored
    );
    assert_eq!(store.put_if_absent("g/p/models/a", vec![1]).unwrap(), Put::Stored);
    assert_eq!(store.put_if_absent("g/p/models/a", vec![9]).unwrap(), Put::Exists);
    drop(store);
    let store = open(directory.path()).unwrap();
    assert_eq!(
        store.get("g/p/models/a").unwrap(),
        Some(vec![1]),
        "the second put changed nothing"
    );
    store.replace("g/p/models/b", vec![7; 5]).unwrap();
    assert_eq!(store.get("g/p/models/b").unwrap(), Some(vec![7; 5]));
    store.replace("g/p/models/c", vec![8]).unwrap();
    assert_eq!(store.get("g/p/models/c").unwrap(), Some(vec![8]));
    store.delete("g/p/models/a").unwrap();
    store.delete("g/p/models/a").unwrap();
    assert_eq!(store.get("g/p/models/a").unwrap(), None);
    assert_eq!(store.list("nothing/here", ".x", 9).unwrap(), Numbered::default());
}

#[test]
fn of_two_stores_at_once_one_put_wins_each_path() {
    let directory = tempfile::tempdir().unwrap();
    let paths = 40;
    let barrier = Barrier::new(2);
    let race = |writer: u8| {
        let store = open(directory.path());
        barrier.wait(); // before any panic: a waiting twin would hang
        let store = store.unwrap();
        (0..paths)
            .map(|i| {
                store
                    .put_if_absent(&format!("g/p/{i}"), vec![writer; 4096])
                    .unwrap()
            })
            .collect::<Vec<_>>()
    };
    let (a, b) = std::thread::scope(|scope| {
        let first = scope.spawn(|| race(1));
        let second = scope.spawn(|| race(2));
        (first.join().unwrap(), second.join().unwrap())
    });
    let store = open(directory.path()).unwrap();
    for i in 0..paths {
        assert_ne!(a[i], b[i], "path {i}: exactly one is told `Stored`");
        let winner = if a[i] == Put::Stored { 1 } else { 2 };
        assert_eq!(
            store.get(&format!("g/p/{i}")).unwrap(),
            Some(vec![winner; 4096]),
            "path {i}"
        );
    }
}

#[test]
fn open_removes_abandoned_temporaries_only() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("g/p/models");
    fs::create_dir_all(&deep).unwrap();
    let old = SystemTime::UNIX_EPOCH;
    for (name, is_old) in [
        ("00000001.safetensors#1", true),
        ("00000002.safetensors#1", false),
        ("kept", true),
    ] {
        let file = fs::File::create(deep.join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    open(directory.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(&deep)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["00000002.safetensors#1", "kept"],
        "a living writer's temporary stays"
    );
}

#[test]
fn a_missing_directory_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("not/there/yet");
    open(&below).unwrap();
    assert!(below.is_dir());
}

#[test]
fn urls_that_cannot_be_used_are_refused_with_the_way_out() {
    for url in [
        "s3://bucket/x",
        "/var/lib/tidecast",
        "file://host/x",
        "file:///a?b",
        "file:///a/../b",
        "",
    ] {
        let text = path_of(url).unwrap_err().to_string();
        assert!(text.starts_with(&format!("`store.url` `{url}` ")), "{text}");
        assert!(text.contains("give `file:///absolute/path`"), "{text}");
    }
    assert_eq!(
        path_of("file:///var/lib/tide cast").unwrap(),
        Path::new("/var/lib/tide cast")
    );
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let is_root = fs::write(directory.path().join("x"), b"").is_ok(); // root writes everywhere
    if !is_root {
        let text = open(directory.path()).unwrap_err().to_string();
        assert!(
            text.contains("permission denied: give the directory to the service's user"),
            "{text}"
        );
    }
    // What nobody can write, root included: a directory below a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("store");
    let text = open(&below).unwrap_err().to_string();
    let (url, path) = (
        format!("`file://{}`", below.display()),
        format!("`{}`", below.display()),
    );
    assert!(
        text.contains(&url) && text.contains(&path) && text.contains("a file is in the way"),
        "{text}"
    );
}

#[test]
fn full_and_read_only_disks_have_their_own_sentences() {
    use std::io::ErrorKind;
    assert!(way_out(ErrorKind::StorageFull).contains("disk is full"));
    assert!(way_out(ErrorKind::ReadOnlyFilesystem).contains("read-only"));
}

#[test]
fn the_systems_reason_is_found_under_the_layers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    fs::write(directory.path().join("g"), b"in the way").unwrap();
    let text = store
        .put_if_absent("g/p/models/a", vec![1])
        .unwrap_err()
        .to_string();
    assert!(text.contains("cannot write `g/p/models/a`"), "{text}");
    assert!(text.contains("a file is in the way of a directory"), "{text}");
}

#[test]
fn paths_that_leave_the_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    for path in ["../x", "a/../b", "a//b", "a b", "a#1"] {
        assert!(matches!(store.get(path), Err(Error::Path { .. })), "{path}");
    }
}

#[test]
fn a_call_that_takes_too_long_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap().with_deadline(Duration::ZERO);
    let text = store
        .put_if_absent("a", vec![0; 1 << 20])
        .unwrap_err()
        .to_string();
    assert!(text.contains("did not answer about `a` within 0ns"), "{text}");
}

#[test]
fn writes_are_synced() {
    let directory = tempfile::tempdir().unwrap();
    let files = super::disk::open_files("file:///x", directory.path()).unwrap();
    assert!(format!("{files:?}").contains("fsync: true"), "{files:?}");
}

mod models {
    use super::*;
    use crate::engine::{Model, Origin};
    use crate::nn::{Cell, Params, Shape};

    fn model(version: u64, seed: u64) -> Model {
        let shape = Shape {
            cell: Cell::Gru,
            inputs: 3,
            hidden: 4,
            layers: 1,
            horizons: 2,
            skips: 2,
            head_hidden: 4,
            quantiles: vec![0.1, 0.5, 0.9],
        };
        let parent = (version > 1).then(|| ModelVersion(version - 1));
        let origin = Origin {
            version: ModelVersion(version),
            parent,
            lineage: 7,
            made: "online".into(),
        };
        Model::from_params(origin, Params::init(&shape, seed))
    }

    #[test]
    fn a_version_is_read_back_as_it_was_and_the_second_writer_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        let (first, second, rival) = (model(1, 1), model(2, 2), model(2, 3));
        assert_eq!(models.put(&first).unwrap(), Put::Stored);
        assert_eq!(models.put(&second).unwrap(), Put::Stored);
        assert_eq!(models.put(&rival).unwrap(), Put::Exists);
        assert_eq!(models.list().unwrap(), [ModelVersion(1), ModelVersion(2)]);
        let newest = models.newest().unwrap().unwrap();
        assert_eq!(newest.origin(), second.origin());
        assert_eq!(newest.params, second.params, "the rival changed nothing");
        assert!(
            directory
                .path()
                .join("tidecast/plant/models/00000001.safetensors")
                .is_file()
        );
    }

    #[test]
    fn a_file_that_is_damaged_or_renamed_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        models.put(&model(1, 1)).unwrap();
        let file = |version| directory.path().join(models.path(ModelVersion(version)));
        fs::copy(file(1), file(5)).unwrap();
        let text = models.load(ModelVersion(5)).unwrap_err().to_string();
        let path = models.path(ModelVersion(5));
        assert!(
            text.contains(&format!("`{path}`")) && text.contains("names version `1`"),
            "{text}"
        );
        assert!(text.contains("restore it from a copy or delete it"), "{text}");

        let whole = fs::read(file(1)).unwrap();
        fs::write(file(6), &whole[..whole.len() - 1]).unwrap();
        fs::write(file(7), b"").unwrap();
        fs::write(file(8), vec![0xff; 4096]).unwrap();
        for version in 6..=8 {
            let refused = models.load(ModelVersion(version));
            assert!(
                matches!(refused, Err(Error::Model { .. })),
                "{version}: {refused:?}"
            );
        }
        assert!(models.newest().is_err(), "never silently an older one");
    }

    fn store(directory: &Path) -> ModelStore {
        ModelStore::new(Arc::new(open(directory).unwrap()), "tidecast", "plant")
    }

    #[test]
    fn an_empty_store_has_no_versions() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        assert_eq!(models.list().unwrap(), []);
        assert!(models.newest().unwrap().is_none());
        assert!(models.load(ModelVersion(1)).unwrap().is_none());
    }

    #[test]
    fn names_other_than_versions_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        let place = directory.path().join("tidecast/plant/models");
        fs::create_dir_all(&place).unwrap();
        for name in [
            "00000002.safetensors",
            "00000010.safetensors",
            "123456789.safetensors",
        ] {
            fs::write(place.join(name), b"").unwrap();
        }
        for name in [
            "00000003.withdrawn",
            "4.safetensors",
            "+0000005.safetensors",
            "00000006.safetensors.bak",
        ] {
            fs::write(place.join(name), b"").unwrap();
        }
        let versions: Vec<_> = models.list().unwrap().into_iter().map(|v| v.0).collect();
        assert_eq!(versions, [2, 10, 123_456_789]);
    }

    #[test]
    fn the_newest_64_are_never_old_and_what_is_old_goes_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        let place = directory.path().join("tidecast/plant/models");
        fs::create_dir_all(&place).unwrap();
        for (before, version) in (1..=70).enumerate() {
            assert_eq!(models.old().unwrap().len(), before.saturating_sub(64));
            fs::write(directory.path().join(models.path(ModelVersion(version))), b"x").unwrap();
        }
        let mut old = models.old().unwrap();
        assert_eq!(old, (1..=6).map(ModelVersion).collect());
        old.remove(&ModelVersion(2));
        assert_eq!(models.delete(&old).unwrap(), 5);
        let left = models.list().unwrap();
        assert_eq!((left.len(), left[0]), (65, ModelVersion(2)));
        assert_eq!(models.newest_version().unwrap(), Some(ModelVersion(70)));
    }

    #[test]
    fn a_folder_of_any_size_is_listed_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path()).unwrap());
        let place = directory.path().join("g/p");
        fs::create_dir_all(place.join("00000009.x")).unwrap();
        fs::write(place.join("00000009.x/00000099.x"), b"").unwrap();
        for number in 0..3000 {
            fs::write(place.join(format!("{number:08}.x")), b"").ok();
            fs::write(place.join(format!("stranger-{number}")), b"").unwrap();
        }
        let listed = store.list("g/p", ".x", 3).unwrap();
        assert_eq!(listed.newest, [2997, 2998, 2999].into());
        assert_eq!(listed.oldest, [0, 1, 2].into());
        assert_eq!(listed.others, 3001);
    }

    #[test]
    fn what_goes_on_training_is_replaced_by_its_trainer_only() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        let version = ModelVersion(3);
        let put = |byte: u8, known: &[Mark]| models.put_state(version, vec![byte; 9], known).unwrap();
        assert_eq!(put(1, &[Mark::NOTHING]), Put::Stored);
        assert_eq!(put(2, &[Mark::NOTHING]), Put::Exists, "somebody else's");
        assert_eq!(put(3, &[Mark::NOTHING, Mark::of(&[1; 9])]), Put::Stored);
        assert_eq!(put(4, &[Mark::of(&[1; 9])]), Put::Exists);
        assert_eq!(models.load_state(version).unwrap(), Some(vec![3; 9]));
    }

    #[test]
    fn what_goes_on_training_is_kept_for_the_newest_versions() {
        let directory = tempfile::tempdir().unwrap();
        let models = store(directory.path());
        let nothing = [Mark::NOTHING];
        assert_eq!(models.load_state(ModelVersion(1)).unwrap(), None);
        for version in 1..=12 {
            fs::create_dir_all(directory.path().join("tidecast/plant/models")).unwrap();
            fs::write(directory.path().join(models.path(ModelVersion(version))), b"x").unwrap();
            let put = models.put_state(ModelVersion(version), vec![7, 7], &nothing);
            assert_eq!(put.unwrap(), Put::Stored);
        }
        assert_eq!(models.load_state(ModelVersion(12)).unwrap(), Some(vec![7, 7]));
        assert_eq!(models.list().unwrap().len(), 12, "a state is no version");
        assert_eq!(models.strangers().unwrap(), 0);
        models.put_state(ModelVersion(99), vec![9], &nothing).unwrap(); // of a version that is gone
        models.prune_states().unwrap();
        for version in 1..=12 {
            let state = models.load_state(ModelVersion(version)).unwrap();
            assert_eq!(state.is_some(), version > 4, "{version}");
        }
        assert_eq!(models.load_state(ModelVersion(99)).unwrap(), None);
    }
}
