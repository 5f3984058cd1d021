//! A network that breaks: everything between the daemon and the broker goes through here.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::broker::daemon::pass;

/// What becomes of bytes and of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Weather {
    /// Passed on.
    Fair = 0,
    /// Connections end, new ones too.
    Cut = 1,
    /// Connections stay, and are accepted; nothing goes through until it is fair again.
    Stalled = 2,
    /// Each piece takes a fifth of a second.
    Slow = 3,
}

/// Passes connections to `127.0.0.1:<port>` on until it is dropped.
pub(crate) struct Proxy {
    weather: Arc<AtomicU8>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on `port`, which nobody else holds.
    pub(crate) fn start(port: u16, broker: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let weather = Arc::new(AtomicU8::new(Weather::Fair as u8));
        let ending = Arc::new(AtomicBool::new(false));
        let (outside, end) = (Arc::clone(&weather), Arc::clone(&ending));
        let body = move || {
            let mut connections = Vec::new();
            while !end.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((client, _)) => connections.extend(open(client, broker, &outside, &end)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => pass(Duration::from_millis(5)),
                    Err(error) => panic!("the proxy cannot accept: {error}"),
                }
                connections.retain(|thread: &JoinHandle<()>| !thread.is_finished());
            }
            for connection in connections {
                connection.join().unwrap();
            }
        };
        let thread = std::thread::Builder::new().name("proxy".to_owned());
        Self {
            weather,
            ending,
            thread: Some(thread.spawn(body).unwrap()),
        }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

/// A thread for each direction of a new connection.
fn open(
    client: TcpStream,
    broker: u16,
    weather: &Arc<AtomicU8>,
    ending: &Arc<AtomicBool>,
) -> Vec<JoinHandle<()>> {
    if weather.load(Ordering::Acquire) == Weather::Cut as u8 {
        cut(&client);
        return Vec::new();
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) else {
        return Vec::new();
    };
    let pairs = [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ];
    pairs
        .map(|(from, to)| {
            let (weather, ending) = (Arc::clone(weather), Arc::clone(ending));
            let thread = std::thread::Builder::new().name("connection".to_owned());
            thread.spawn(move || pipe(from, to, (&weather, &ending))).unwrap()
        })
        .into()
}

/// Ends it; what was in flight is gone.
fn cut(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn pipe(mut from: TcpStream, mut to: TcpStream, (weather, ending): (&AtomicU8, &AtomicBool)) {
    let _ = from.set_nodelay(true);
    let _ = to.set_nodelay(true);
    from.set_nonblocking(false).unwrap();
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // A side that is stopped must not hold this thread for ever.
    to.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    while !ending.load(Ordering::Acquire) {
        let now = weather.load(Ordering::Acquire);
        if now == Weather::Cut as u8 {
            break;
        }
        if now == Weather::Stalled as u8 {
            pass(Duration::from_millis(20));
            continue;
        }
        if now == Weather::Slow as u8 {
            pass(Duration::from_millis(200));
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    cut(&from);
    cut(&to);
}
