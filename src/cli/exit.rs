//! From an error to an exit code.

use std::process::ExitCode;

use crate::cli::output::counted;
use crate::{config, daemon};

/// What a command was given cannot be used (`EX_DATAERR`).
const DATA: u8 = 65;
/// The cluster does not fit, or cannot be reached (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// The configuration cannot be used (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// The surroundings do not fit; the findings were printed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the cluster or the store does not fit this configuration: {}, above", counted(*errors, "error"))]
pub(super) struct Unfit {
    pub(super) errors: usize,
}

/// A file or version that a command was given cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadData(pub(super) String);

/// Prints what went wrong, once, with its causes; the exit code.
pub(super) fn code(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS; // `tidecast check | head`
    }
    if let Some(errors) = error.downcast_ref::<config::Errors>() {
        eprintln!(
            "{errors}\ntidecast: the configuration cannot be used: {}, above",
            counted(errors.0.len(), "error")
        );
    } else {
        eprintln!("tidecast: {error:#}");
    }
    ExitCode::from(number(&error))
}

pub(super) fn number(error: &anyhow::Error) -> u8 {
    if error.is::<config::Errors>() {
        CONFIG
    } else if error.is::<Unfit>() {
        UNAVAILABLE
    } else if error.is::<BadData>() || error.is::<super::table::BadTable>() {
        DATA
    } else {
        error
            .downcast_ref::<daemon::Error>()
            .map_or(1, daemon::Error::exit_code)
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error
        .downcast_ref::<super::output::Closed>()
        .is_some_and(|output| closed(&output.0))
}
