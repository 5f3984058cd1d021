//! Lines to the systemd journal in its native protocol: one datagram per line.
//!
//! `MESSAGE` holds the sentence **and** the fields, since that is all that `journalctl -u` shows; the fields are sent as
//! journal fields of their own too (`PIPELINE=plant`), so that they can be filtered by.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// A value is cut here: a datagram beyond the socket's buffer (about 200 KiB) is refused, and then the whole line is lost.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// A layer that writes to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// Connects to the journal's `socket`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(socket: impl AsRef<Path>) -> io::Result<Self> {
        let journal = Self {
            socket: UnixDatagram::unbound()?,
        };
        journal.socket.connect(socket)?;
        // A journal that does not read must not stop a worker's turn: the line is lost instead.
        journal.socket.set_nonblocking(true)?;
        Ok(journal)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut datagram = Vec::with_capacity(512);
        put(
            &mut datagram,
            "MESSAGE",
            &format!("{}{}", fields.message, fields.text),
        );
        put(&mut datagram, "PRIORITY", priority(*metadata.level()));
        put(&mut datagram, "SYSLOG_IDENTIFIER", "tidecast");
        put(&mut datagram, "TARGET", metadata.target());
        for (name, value) in &fields.named {
            put(&mut datagram, name, value);
        }
        // Nobody is left to be told that the journal does not take it.
        let _ = self.socket.send(&datagram);
    }
}

/// syslog's levels: a tracing `INFO` is informational, so that `journalctl -p notice` shows what needs a look.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// `NAME`, newline, length (64 bits, little-endian), value, newline: the form that allows any byte.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let whole = (0..=value.len().min(VALUE_BYTES_MAX))
        .rev()
        .find(|&end| value.is_char_boundary(end));
    let value = &value[..whole.unwrap_or(0)];
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[derive(Default)]
struct Fields {
    message: String,
    /// ` name=value` each.
    text: String,
    /// Journal name and value.
    named: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        let spaced = value.contains(char::is_whitespace);
        let _ = match spaced {
            true => write!(self.text, " {}={value:?}", field.name()),
            false => write!(self.text, " {}={value}", field.name()),
        };
        self.named.push((journal_name(field.name()), value.to_owned()));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Upper case, letters, digits and `_`, no leading `_` or digit, at most 64: others are dropped by the journal.
fn journal_name(field: &str) -> String {
    let upper = field
        .trim_start_matches(|c: char| !c.is_ascii_alphabetic())
        .chars()
        .take(64);
    upper
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn journal_line_holds_the_fields_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::connect(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                pipeline = "plant",
                offset = 7,
                cause = "broker away",
                "commit failed"
            );
        });
        let mut buffer = [0; 2048];
        let length = journal.recv(&mut buffer).unwrap();
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        for part in [
            "commit failed pipeline=plant offset=7 cause=\"broker away\"\n",
            "PRIORITY\n\u{1}\0\0\0\0\0\0\u{0}4\n",
            "SYSLOG_IDENTIFIER\n\u{8}\0\0\0\0\0\0\0tidecast\n",
            "PIPELINE\n\u{5}\0\0\0\0\0\0\0plant\n",
            "CAUSE\n\u{b}\0\0\0\0\0\0\0broker away\n",
        ] {
            assert!(line.contains(part), "{part:?} is missing in {line:?}");
        }
    }

    #[test]
    fn journal_value_beyond_the_bound_is_cut_at_a_character() {
        let mut datagram = Vec::new();
        put(
            &mut datagram,
            "MESSAGE",
            &format!("a{}", "ü".repeat(VALUE_BYTES_MAX)),
        );
        assert_eq!(datagram.len(), "MESSAGE\n".len() + 8 + VALUE_BYTES_MAX - 1 + 1);
    }

    #[test]
    fn journal_name_is_one_that_the_journal_keeps() {
        assert_eq!(journal_name("log.target"), "LOG_TARGET");
        assert_eq!(journal_name("_1x"), "X");
    }
}
