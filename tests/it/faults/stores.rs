//! Stores that vanish, fill up, and lie.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tidecast::engine::{self, row_table};

use super::oracle::{Allowance, Oracle, Violation};
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::daemon::{Daemon, Stopwatch, Surroundings};
use crate::broker::{Broker, skipped};

/// Snapshots of each partition, the newest last.
pub(super) fn snapshots(rig: &Rig<'_>) -> Vec<Vec<PathBuf>> {
    let topic = rig.folder().join("snapshots").join(&rig.names.input);
    let of = |partition: i32| {
        let files = fs::read_dir(topic.join(partition.to_string()));
        let mut files: Vec<_> = files
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path())
            .filter(|path| is_snapshot(path))
            .collect();
        files.sort();
        files
    };
    (0..rig.settings.partitions).map(of).collect()
}

/// Twenty digits and nothing else: what is being written has another name.
fn is_snapshot(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Waits until each partition has `count` snapshots.
pub(super) fn await_snapshots(rig: &Rig<'_>, count: usize) -> Result<(), Violation> {
    rig.wait("snapshots of every partition", || {
        snapshots(rig)
            .iter()
            .all(|files| files.len() >= count)
            .then_some(())
    })
}

/// Copies the versions of the weights that are in the store to where the oracle looks too.
fn keep_models(rig: &Rig<'_>) {
    let (from, to) = (rig.folder().join("models"), rig.kept().join("models"));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).into_iter().flatten().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Deleted under a running process, and before a start.
pub(super) fn deleted(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "deleted", Settings::new(seed));
    let store = rig.dir.path().join("store");
    let daemon = rig.daemon("a");
    await_snapshots(&rig, 2)?;
    // What served is judged by it.
    keep_models(&rig);
    fs::remove_dir_all(&store).unwrap();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.recover("the store is deleted while running", since, &mark)?;
    // Service went on, and snapshots come again.
    await_snapshots(&rig, 1)?;
    daemon.kill();
    keep_models(&rig);
    fs::remove_dir_all(&store).unwrap();
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon("a");
    rig.recover("the store is deleted before a start", since, &mark)?;
    await_snapshots(&rig, 1)?;
    rig.finish(vec![daemon])
}

type Damage = fn(&mut Vec<u8>);

/// What a disk may do to the newest snapshot.
const DAMAGES: [(&str, Damage); 4] = [
    ("overwritten", |bytes| bytes.fill(0xa5)),
    ("truncated", |bytes| bytes.truncate(bytes.len() * 2 / 3)),
    ("emptied", Vec::clear),
    ("bit-flipped", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    }),
];

/// The newest snapshot of every partition is damaged: the one before is read, and the log says why.
pub(super) fn damaged(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "damaged", Settings::new(seed));
    let mut daemon = rig.daemon("a");
    let mut newest = Vec::new();
    for (name, damage) in DAMAGES {
        rig.progress()?;
        // Two that are whole: the damaged ones stay for a while.
        rig.wait("two newer snapshots of every partition", || {
            let all = snapshots(&rig);
            let newer = |(index, files): (usize, &Vec<PathBuf>)| {
                files
                    .iter()
                    .filter(|file| newest.get(index).is_none_or(|old| *file > old))
                    .count()
            };
            all.iter().enumerate().all(|pair| newer(pair) >= 2).then_some(())
        })?;
        daemon.kill();
        newest = snapshots(&rig)
            .iter()
            .map(|files| files.last().unwrap().clone())
            .collect();
        for file in &newest {
            let mut bytes = fs::read(file).unwrap();
            damage(&mut bytes);
            fs::write(file, bytes).unwrap();
        }
        let (since, mark) = (Stopwatch::start(), rig.mark());
        daemon = rig.daemon("a");
        rig.recover(&format!("the newest snapshots are {name}"), since, &mark)?;
        rig.wait("the refusals are counted", || {
            let refused = daemon.metric("tidecast_snapshots_refused_total", "")?;
            (refused as usize == newest.len()).then_some(())
        })?;
        let log = daemon.log();
        for file in &newest {
            let name = file.strip_prefix(rig.dir.path().join("store")).unwrap();
            let refusal = format!("snapshot `{}` is refused", name.display());
            assert!(log.contains(&refusal), "no `{refusal}` in\n{log}");
        }
    }
    rig.finish(vec![daemon])
}

/// Lengths and bytes of a block's packed part, by where it begins.
struct Packed {
    rows: usize,
    raw_len: usize,
    /// Of the number that says how long the packed part is.
    len_at: usize,
    range: std::ops::Range<usize>,
}

/// Changes every value of the streams' history in the first block, and leaves the checksums as they were: what only
/// they can see. The file stays one that can be read.
fn tamper(bytes: &mut Vec<u8>, config: &engine::Config) {
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let header_len = number(bytes, 12);
    let header: serde_json::Value = serde_json::from_slice(&bytes[16..16 + header_len]).unwrap();
    let words = header["dims"]["words"].as_u64().unwrap() as usize;
    // 'BLOK', number, rows, raw length, packed length.
    let block = 16 + header_len + 4;
    let packed = Packed {
        rows: number(bytes, block + 8),
        raw_len: number(bytes, block + 12),
        len_at: block + 16,
        range: block + 20..block + 20 + number(bytes, block + 16),
    };
    let mut raw = vec![0; packed.raw_len];
    lz4_flex::block::decompress_into(&bytes[packed.range.clone()], &mut raw).unwrap();
    let table = row_table(config);
    let at = table
        .iter()
        .position(|field| field.name == "ring_values")
        .unwrap();
    let first: usize = table[..at].iter().map(|field| field.bytes / 4).sum();
    let values = first..first + table[at].bytes / 4;
    // Lengths of ids and times of the last readings lie before the words, which are in planes of their bytes.
    let planes = packed.rows * (4 + 8);
    for plane in [1, 3] {
        for word in values.clone() {
            let at = planes + (plane * words + word) * packed.rows;
            // A high bit of the value, whether it has two bytes or four.
            raw[at..at + packed.rows].iter_mut().for_each(|byte| *byte ^= 2);
        }
    }
    let mut again = vec![0; lz4_flex::block::get_maximum_output_size(raw.len())];
    let len = lz4_flex::block::compress_into(&raw, &mut again).unwrap();
    again.truncate(len);
    bytes[packed.len_at..packed.len_at + 4].copy_from_slice(&(again.len() as u32).to_le_bytes());
    bytes.splice(packed.range, again);
}

/// The newest snapshot of every partition is another state under the old checksums.
pub(super) fn tampered(broker: &Broker, seed: u64, off: Option<&str>) -> Result<Summary, Violation> {
    let settings = Settings {
        off: off.map(str::to_owned),
        ..Settings::new(seed)
    };
    let rig = Rig::start(broker, "tampered", settings);
    let daemon = rig.daemon("a");
    await_snapshots(&rig, 2)?;
    let config = Oracle::new(&rig.names, &daemon.config, rig.dir.path());
    daemon.kill();
    for files in snapshots(&rig) {
        let newest = files.last().unwrap();
        let mut bytes = fs::read(newest).unwrap();
        tamper(&mut bytes, config.engine());
        fs::write(newest, bytes).unwrap();
    }
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon("a");
    rig.recover("the newest snapshots hold another state", since, &mark)?;
    rig.finish(vec![daemon])
}

/// No room: a file may not grow beyond 4 KB, then a file is where the folder of the snapshots should be. Both stop
/// snapshots, not service, and both end.
pub(super) fn full(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let rig = Rig::start(broker, "full", Settings::new(seed));
    // Version 1 of the weights is larger than what will be allowed.
    let daemon = rig.daemon("a");
    rig.progress()?;
    daemon.kill();
    let cramped = Surroundings {
        file_blocks_max: Some(8),
        ..Surroundings::default()
    };
    let (since, mark) = (Stopwatch::start(), rig.mark());
    let daemon = rig.daemon_in("a", cramped);
    rig.wait("snapshots fail", || {
        daemon
            .metric("tidecast_snapshot_failures_total", "")
            .filter(|count| *count > 0.0)
    })?;
    rig.recover("the disk has no room", since, &mark)?;
    daemon.kill();

    let daemon = rig.daemon("a");
    await_snapshots(&rig, 1)?;
    let folder = rig.folder().join("snapshots");
    // Whatever is being written meanwhile has to go too.
    rig.wait("a file is where the folder was", || {
        let _ = fs::remove_dir_all(&folder);
        fs::write(&folder, b"in the way").ok()
    })?;
    let (since, mark) = (Stopwatch::start(), rig.mark());
    rig.wait("snapshots fail", || {
        daemon
            .metric("tidecast_snapshot_failures_total", "")
            .filter(|count| *count > 0.0)
    })?;
    rig.recover("snapshots cannot be written", since, &mark)?;
    rig.wait("readiness says so", || {
        daemon
            .get("/readyz")
            .filter(|(_, body)| body.contains("snapshots fail"))
    })?;
    fs::remove_file(&folder).unwrap();
    await_snapshots(&rig, 1)?;
    rig.finish(vec![daemon])
}

/// A file system of its own, of so many megabytes; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it and makes `link` lead there: a folder that is mounted cannot be removed with those around it. `None` where
    /// this process may not mount: only root may.
    fn mount(link: &Path, megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tidecast-test"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return None;
        }
        std::os::unix::fs::symlink(folder.path(), link).unwrap();
        Some(Self(folder))
    }

    /// Whether it could be made read-only, or writable again: not while a file is open for writing.
    fn remount(&self, mode: &str) -> bool {
        let remounted = Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(self.0.path())
            .output();
        remounted.is_ok_and(|output| output.status.success())
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.path().join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        for size in [1 << 16, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A daemon that is still there keeps it until it ends.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// Files below a folder that no snapshot, version, or standing of the trainer has the name of.
fn strangers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(strangers(&path));
        } else if !is_snapshot(&path) && !name.ends_with(".safetensors") && !name.ends_with(".trainer") {
            found.push(path);
        }
    }
    found
}

/// Waits until both snapshots and weights fail, metrics and readiness say so, and service goes on.
fn suffers(rig: &Rig<'_>, daemon: &Daemon, what: &str) -> Result<(), Violation> {
    let (since, mark) = (Stopwatch::start(), rig.mark());
    for metric in [
        "tidecast_snapshot_failures_total",
        "tidecast_model_failures_total",
    ] {
        let before = daemon.metric(metric, "").unwrap_or(0.0);
        rig.wait(&format!("{metric} counts: {what}"), || {
            daemon.metric(metric, "").filter(|count| *count > before)
        })?;
    }
    rig.wait(&format!("readiness warns and stays: {what}"), || {
        let (status, body) = daemon.get("/readyz")?;
        let warns = body.contains("snapshots fail") && body.contains("weights cannot be stored");
        (status == 200 && warns).then_some(())
    })?;
    rig.recover(what, since, &mark)
}

/// Waits until newer snapshots and newer weights than now are there, and nothing is warned of.
fn recovers(rig: &Rig<'_>, daemon: &Daemon, what: &str) -> Result<(), Violation> {
    let before = snapshots(rig);
    rig.wait(&format!("newer snapshots: {what}"), || {
        let newer = snapshots(rig);
        let mut pairs = newer.iter().zip(&before);
        pairs
            .all(|(newer, before)| newer.last() > before.last())
            .then_some(())
    })?;
    let version = daemon.metric("tidecast_model_version", "").unwrap_or(0.0);
    rig.wait(&format!("newer weights: {what}"), || {
        daemon
            .metric("tidecast_model_version", "")
            .filter(|newest| *newest > version)
    })?;
    rig.wait(&format!("no warning any more: {what}"), || {
        let (status, body) = daemon.get("/readyz")?;
        (status == 200 && !body.contains("warnings")).then_some(())
    })
}

/// A disk that is full while it is served from and at a start, and read-only; `None` where nothing can be mounted.
pub(super) fn small(broker: &Broker, seed: u64) -> Result<Option<Summary>, Violation> {
    let rig = Rig::start(broker, "small", Settings::training(seed, 1));
    let Some(disk) = SmallDisk::mount(&rig.dir.path().join("store"), 64) else {
        skipped("a small file system can be mounted by root only; `faults_store_full` limits files instead");
        return Ok(None);
    };
    let daemon = rig.daemon("a");
    await_snapshots(&rig, 1)?;
    recovers(&rig, &daemon, "before anything")?;
    let ballast = disk.fill();
    suffers(&rig, &daemon, "the disk is full")?;
    assert!(daemon.log().contains("the disk is full"), "{}", daemon.log());
    daemon.kill();
    let left = strangers(disk.0.path());
    let daemon = rig.daemon("a");
    suffers(&rig, &daemon, "the disk is full at a start")?;
    fs::remove_file(&ballast).unwrap();
    recovers(&rig, &daemon, "there is room again")?;
    rig.wait("the disk is read-only", || disk.remount("ro").then_some(()))?;
    suffers(&rig, &daemon, "the disk is read-only")?;
    assert!(disk.remount("rw"));
    recovers(&rig, &daemon, "the disk is writable again")?;
    rig.settle(&Allowance::default())?;
    rig.wait(
        "no temporary is left but those of the one that was killed",
        || {
            let now = strangers(disk.0.path());
            now.iter().all(|file| left.contains(file)).then_some(())
        },
    )?;
    for file in strangers(disk.0.path()) {
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let log = daemon.log();
    let status = daemon.terminate();
    assert!(status.success(), "{status}:\n{log}");
    let mut daemon = rig.daemon("a");
    daemon.await_ready();
    rig.wait("they are swept once they are old", || {
        strangers(disk.0.path()).is_empty().then_some(())
    })?;
    let summary = rig.finish(vec![daemon])?;
    drop(disk);
    Ok(Some(summary))
}

#[test]
fn faults_disk_full_and_read_only() {
    if let Some(ran) = small(Broker::shared(), 85).transpose() {
        held(ran);
    }
}

#[test]
fn faults_store_deleted_while_running_and_before_a_start() {
    held(deleted(Broker::shared(), 81));
}

#[test]
fn faults_newest_snapshot_damaged() {
    held(damaged(Broker::shared(), 82));
}

#[test]
fn faults_store_full() {
    held(full(Broker::shared(), 83));
}

#[test]
fn faults_newest_snapshot_tampered_with() {
    held(tampered(Broker::shared(), 84, None));
}
