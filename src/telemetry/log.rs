//! Where log lines go.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::LogFormat;
use crate::telemetry::journal;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("`service.log` `{filter}` is no filter: write a level (`info`) or `target=level,…`")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The journal's socket does not answer.
    #[error("the journal cannot be reached at `{}`: set `service.log_format` to `json`", path.display())]
    Journal {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another subscriber is in place.
    #[error("logs were set up twice")]
    Twice(#[source] TryInitError),
}

/// Sends the process's log lines to where `format` says, to stderr where that is no journal. Once per process.
///
/// # Errors
/// See [`Error`].
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    let filter = filter_of(filter)?;
    let output: Box<dyn Layer<Registry> + Send + Sync> = match resolve(format) {
        LogFormat::Journald => {
            let journal = journal::Journal::connect(journal::SOCKET).map_err(|source| Error::Journal {
                path: journal::SOCKET.into(),
                source,
            })?;
            Box::new(journal)
        }
        LogFormat::Json => Box::new(fmt::layer().json().flatten_event(true).with_writer(io::stderr)),
        LogFormat::Text | LogFormat::Auto => {
            let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            Box::new(fmt::layer().with_ansi(colours).with_writer(io::stderr))
        }
    };
    tracing_subscriber::registry()
        .with(output.with_filter(filter))
        .try_init()
        .map_err(Error::Twice)
}

/// The filter as configured, less one line that is no news: where an instance is in use, or a member was fenced, the
/// client cannot close its consumer, and says so as an error after the reason has been told. Who names that client's own
/// targets in the filter decides alone.
fn filter_of(text: &str) -> Result<EnvFilter, Error> {
    let filter = EnvFilter::try_new(text).map_err(|source| Error::Filter {
        filter: text.to_owned(),
        source,
    })?;
    if text.split(',').any(|directive| directive.starts_with("rdkafka")) {
        return Ok(filter);
    }
    let quiet = "rdkafka::consumer::base_consumer=off";
    Ok(filter.add_directive(quiet.parse().expect("a target and a level")))
}

/// `Auto` made definite: the journal where stderr is connected to it, text on a terminal, JSON otherwise.
fn resolve(format: LogFormat) -> LogFormat {
    match format {
        LogFormat::Auto if journal_is_stderr() => LogFormat::Journald,
        LogFormat::Auto if io::stderr().is_terminal() => LogFormat::Text,
        LogFormat::Auto => LogFormat::Json,
        definite => definite,
    }
}

/// Whether `$JOURNAL_STREAM` names the very socket behind stderr: the variable alone is inherited by children whose
/// output goes elsewhere.
fn journal_is_stderr() -> bool {
    let Some(named) = env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| is_stream(&named, stat.st_dev, stat.st_ino))
}

fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(named_device, named_inode)| {
        named_device.parse() == Ok(device) && named_inode.parse() == Ok(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_stream_matches_its_own_socket_only() {
        assert!(is_stream("8:1234", 8, 1234));
        assert!(!is_stream("8:1234", 8, 1235));
        assert!(!is_stream("8:1234", 9, 1234));
        assert!(!is_stream("", 0, 0));
        assert!(!is_stream("8", 8, 0));
    }

    #[test]
    fn filter_leaves_out_what_the_client_says_while_it_closes_unless_it_is_named() {
        let closing = "rdkafka::consumer::base_consumer=off";
        let filter = |text| filter_of(text).unwrap().to_string();
        assert!(filter("info").contains(closing) && filter("info").contains("info"));
        assert!(filter("info,librdkafka=debug").contains(closing));
        assert!(!filter("info,rdkafka=debug").contains(closing));
    }

    #[test]
    fn init_refuses_a_filter_that_is_none() {
        let error = init(LogFormat::Json, "tidecast=loud").unwrap_err();
        assert!(
            error.to_string().contains("`service.log` `tidecast=loud`"),
            "{error}"
        );
    }
}
