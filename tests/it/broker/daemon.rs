//! A daemon process under test.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Polls until `ready` gives a value; the only waiting that tests do.
#[allow(
    clippy::disallowed_methods,
    reason = "processes under test have no clock that we could own"
)]
pub(crate) fn await_until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lets time pass for the processes under test.
#[allow(
    clippy::disallowed_methods,
    reason = "processes under test have no clock that we could own"
)]
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Time since something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        reason = "processes under test have no clock that we could own"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What a process finds beside its config.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings<'a> {
    /// Environment variables.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// Blocks of 512 bytes that a file may have; a write beyond fails.
    pub(crate) file_blocks_max: Option<u32>,
}

/// Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) http: String,
    /// Its config file.
    pub(crate) config: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts `tidecast run` on a config text; `{http}` in it becomes its address, `{dir}` its folder.
    pub(crate) fn start(dir: &Path, config: &str) -> Self {
        Self::start_in(dir, config, Surroundings::default())
    }

    /// The same, in other surroundings.
    pub(crate) fn start_in(dir: &Path, config: &str, surroundings: Surroundings<'_>) -> Self {
        let http = format!("127.0.0.1:{}", super::free_port());
        let text = config
            .replace("{http}", &http)
            .replace("{dir}", dir.to_str().unwrap());
        let port = http.rsplit(':').next().unwrap();
        let file = dir.join(format!("config-{port}.toml"));
        std::fs::write(&file, text).unwrap();
        let log = dir.join(format!("log-{port}"));
        let program = env!("CARGO_BIN_EXE_tidecast");
        let mut command = match surroundings.file_blocks_max {
            None => Command::new(program),
            Some(blocks) => {
                // Without the trap a write beyond the limit would end the process, as no full disk does.
                let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, program]);
                shell
            }
        };
        let child = command
            .args(["run", "--config"])
            .arg(&file)
            .envs(surroundings.variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            http,
            config: file,
            log,
        }
    }

    /// One HTTP exchange: status and body, or `None` while nobody listens.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = std::net::TcpStream::connect(&self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.http
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Sum of a metric over the samples whose labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                let series = line.split(' ').next().unwrap_or_default();
                series.split('{').next() == Some(name) && series.contains(labels)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Waits for `/readyz` to answer 200.
    pub(crate) fn await_ready(&mut self) {
        await_until("the daemon is ready", Duration::from_secs(90), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            self.get("/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// Most bytes that were ever resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() << 10
    }

    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: a bare system has no program of that name.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(status.unwrap().success());
    }

    /// Ends it without a chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.await_exit(Duration::from_secs(60))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn await_exit(&mut self, limit: Duration) -> ExitStatus {
        await_until("the daemon ends", limit, || self.child.try_wait().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            println!("--- log of the daemon at {} (its last lines)", self.http);
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}
