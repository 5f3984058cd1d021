//! The service manager: datagrams of the `sd_notify` protocol.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// A status line longer than this says nothing more to a person.
const STATUS_CHARACTERS_MAX: usize = 500;

/// Who started this process and wants to hear from it; without one every message goes nowhere.
#[derive(Debug, Default)]
pub struct Host {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    status: String,
}

impl Host {
    /// From `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    ///
    /// # Errors
    /// The socket is named but cannot be used.
    pub fn from_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
        let meant_for_us = number("WATCHDOG_PID").is_none_or(|pid: u64| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")
            .filter(|_| meant_for_us)
            .map(Duration::from_micros);
        Self::new(Path::new(&name), watchdog)
    }

    /// Notifies `socket` (a leading `@` is the abstract namespace) and feeds a watchdog of that period.
    ///
    /// # Errors
    /// The name is no socket's.
    pub fn new(socket: &Path, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match socket.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        Ok(Self {
            socket: Some((UnixDatagram::unbound()?, address)),
            watchdog,
            status: String::new(),
        })
    }

    /// Period within which the watchdog must be fed; `None` where nobody watches.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Started.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// Alive.
    pub fn feed(&self) {
        self.send("WATCHDOG=1");
    }

    /// Going down, and why.
    pub fn stopping(&mut self, status: &str) {
        self.send("STOPPING=1");
        self.say(status);
    }

    /// One line for people; sent where it changed.
    pub fn say(&mut self, status: &str) {
        // A newline would begin another assignment.
        let line: String = status
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(STATUS_CHARACTERS_MAX)
            .collect();
        if line != self.status {
            self.send(&format!("STATUS={line}"));
            self.status = line;
        }
    }

    fn send(&self, assignment: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(assignment.as_bytes(), address) {
            tracing::warn!(%error, assignment, "the service manager cannot be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut all = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    fn tell_everything(host: &mut Host) {
        host.ready();
        host.say("plant: 12 records/s");
        host.say("plant: 12 records/s");
        host.say("two\nlines");
        host.feed();
        host.stopping("stopping");
    }

    const EVERYTHING: [&str; 6] = [
        "READY=1",
        "STATUS=plant: 12 records/s",
        "STATUS=two lines",
        "WATCHDOG=1",
        "STOPPING=1",
        "STATUS=stopping",
    ];

    #[test]
    fn host_speaks_to_a_socket_of_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut host = Host::new(&path, Some(Duration::from_secs(60))).unwrap();
        tell_everything(&mut host);
        assert_eq!(heard(&manager), EVERYTHING);
    }

    #[test]
    fn host_speaks_to_an_abstract_socket() {
        let name = format!("tidecast-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let mut host = Host::new(Path::new(&format!("@{name}")), None).unwrap();
        tell_everything(&mut host);
        assert_eq!(heard(&manager), EVERYTHING);
    }

    #[test]
    fn host_without_a_manager_is_silent() {
        tell_everything(&mut Host::default());
    }
}
