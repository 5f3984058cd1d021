//! The wall clock of a daemon's process is set back and ahead while it serves.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};

use super::oracle::Violation;
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::daemon::{Daemon, Stopwatch, Surroundings, pass};
use crate::broker::{Broker, skipped};

const HOUR_MS: i64 = 3_600_000;

/// A library that shows processes another wall clock than the machine's, and the file with the difference.
struct Wall {
    library: PathBuf,
    offset: PathBuf,
}

impl Wall {
    /// `None` where there is no C compiler.
    fn build(folder: &Path) -> Option<Self> {
        let (source, library) = (folder.join("wall.c"), folder.join("wall.so"));
        fs::write(&source, include_str!("wall.c")).unwrap();
        let output = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let wall = Self {
            library,
            offset: folder.join("wall-offset"),
        };
        fs::write(&wall.offset, 0_i64.to_ne_bytes()).unwrap();
        Some(wall)
    }

    /// Sets the clock to the machine's and so many milliseconds. In place: processes have the file mapped.
    fn set(&self, offset_ms: i64) {
        let mut file = fs::File::options().write(true).open(&self.offset).unwrap();
        file.write_all(&offset_ms.to_ne_bytes()).unwrap();
    }

    fn daemon(&self, rig: &Rig<'_>) -> Daemon {
        let variables = [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("WALL_OFFSET_FILE", self.offset.to_str().unwrap()),
        ];
        let surroundings = Surroundings {
            variables: &variables,
            ..Surroundings::default()
        };
        rig.daemon_in("a", surroundings)
    }
}

/// The time stamp of a log's last line that has one.
fn last_stamp(log: &str) -> Option<DateTime<FixedOffset>> {
    let stamp = |line: &str| DateTime::parse_from_rfc3339(line.split_whitespace().next()?).ok();
    log.lines().rev().find_map(stamp)
}

/// The daemon's own lines, of which a signal that it answers makes it write one, show the clock that was set.
#[allow(
    clippy::disallowed_methods,
    reason = "the machine's clock is what the daemon's is compared with"
)]
fn shown(rig: &Rig<'_>, daemon: &Daemon, offset_ms: i64) -> Result<(), Violation> {
    rig.wait(&format!("its log is stamped {offset_ms} ms off"), || {
        daemon.signal("HUP");
        let difference = last_stamp(&daemon.log())?.to_utc() - Utc::now();
        ((difference.num_milliseconds() - offset_ms).abs() < HOUR_MS / 4).then_some(())
    })
}

/// The clock is set back and ahead by an hour; the daemon sees it and goes on. `None` where there is no C compiler.
pub(super) fn stepped(broker: &Broker, seed: u64) -> Result<Option<Summary>, Violation> {
    let rig = Rig::start(broker, "wall", Settings::training(seed, 1));
    let Some(wall) = Wall::build(rig.dir.path()) else {
        skipped("there is no C compiler `cc` for the library that steps a process's wall clock");
        return Ok(None);
    };
    let daemon = wall.daemon(&rig);
    rig.progress()?;
    let steps = [
        (-HOUR_MS, "wall clock set back by an hour"),
        (0, "wall clock set ahead by an hour"),
        (HOUR_MS, "wall clock set ahead by another hour"),
        (0, "wall clock set back again"),
    ];
    for (offset_ms, fault) in steps {
        let (since, mark) = (Stopwatch::start(), rig.mark());
        wall.set(offset_ms);
        shown(&rig, &daemon, offset_ms)?;
        rig.recover(fault, since, &mark)?;
        // Longer than a session lasts: what waits by the clock is reached meanwhile.
        pass(Duration::from_secs(5));
        rig.progress()?;
    }
    rig.finish(vec![daemon]).map(Some)
}

#[test]
fn faults_wall_clock_stepped_by_an_hour() {
    if let Some(ran) = stepped(Broker::shared(), 77).transpose() {
        held(ran);
    }
}
