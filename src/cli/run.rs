//! `tidecast run`: the daemon in the foreground.

use anyhow::Context as _;

use crate::config::{self, Sources};
use crate::{daemon, faults, kafka, telemetry};

/// Runs until SIGTERM or SIGINT, and returns once everything is committed and closed.
///
/// # Errors
/// [`config::Errors`] (exit code 78), [`daemon::Error`] (its own exit codes), or a log that cannot be written.
pub fn run(sources: &Sources) -> anyhow::Result<()> {
    let config = config::load_with(sources, kafka::refused)?.config;
    telemetry::init(config.log_format, &config.log).context("the log cannot be set up")?;
    faults::arm(|name| std::env::var(name).unwrap_or_default()).map_err(anyhow::Error::msg)?;
    let listener = daemon::bind(config.http)?;
    daemon::run_until_signal(config, listener)?;
    Ok(())
}
