//! The wall clock of a daemon's process is set back and ahead while it serves.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::oracle::Violation;
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Daemon, Stopwatch, Surroundings, pass};

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

/// Hours of the time stamps in a log, as text that sorts.
fn hours(log: &str) -> Vec<&str> {
    let stamps = log.lines().filter_map(|line| line.get(..13));
    stamps.filter(|stamp| stamp.starts_with("20")).collect()
}

/// The clock is set back and ahead by an hour; the daemon sees it and goes on. `None` where there is no C compiler.
pub(super) fn stepped(broker: &Broker, seed: u64) -> Result<Option<Summary>, Violation> {
    let mut settings = Settings::new(seed);
    settings.recipe.nulls = false; // versions switch, and are logged
    settings.trains = true;
    let rig = Rig::start(broker, "wall", settings);
    let Some(wall) = Wall::build(rig.dir.path()) else {
        println!("SKIPPED: there is no C compiler `cc` for the library that steps a process's wall clock");
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
        rig.recover(fault, since, &mark)?;
        // Longer than a session lasts: what waits by the clock is reached meanwhile.
        pass(Duration::from_secs(5));
        rig.progress()?;
    }
    rig.wait("its log goes back twice", || {
        let log = daemon.log();
        let hours = hours(&log);
        let times = hours.windows(2).filter(|pair| pair[1] < pair[0]).count();
        (times >= 2).then_some(())
    })?;
    rig.finish(vec![daemon]).map(Some)
}

#[test]
fn faults_wall_clock_stepped_by_an_hour() {
    if let Some(ran) = stepped(Broker::shared(), 77).transpose() {
        held(ran);
    }
}
