//! Command line: what a person types, and what the process answers with.
//!
//! Exit codes: 0 done · 1 fatal · 2 the command line cannot be read · 65 bad data · 69 the cluster or the store does not fit ·
//! 76 another process uses this instance · 78 bad configuration.

mod backtest;
mod bench;
mod check;
pub mod demo;
mod exit;
mod memory;
mod models;
mod output;
mod refusals;
pub mod run;
mod surroundings;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{self, Errors, Resolved, Sources};
use crate::kafka;

/// Forecasts sensor streams from Kafka, exactly once, with a network that learns while it serves.
#[derive(Clone, Debug, Parser)]
#[command(name = "tidecast", version, about, after_long_help = EXAMPLES, propagate_version = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(ConfigArgs),
    /// Validate a configuration, and say what it costs
    Check(check::Args),
    /// Watch forecasts being made: a broker, a simulated plant and the daemon in one process
    Demo(demo::Args),
    /// Judge a configuration on a file, by the daemon's own engine and trainer, before it goes live
    Backtest(backtest::Args),
    /// Versions of a pipeline's weights in the store
    Models(models::Args),
    /// How fast the parts are on this machine, as lines of JSON
    Bench(bench::Args),
}

const EXAMPLES: &str = "\
Examples:
  tidecast demo                                    see what it does
  tidecast backtest --config plant.toml --input history.csv   how good is it on your data?
  tidecast check --config plant.toml --connect     will it run, and what does it cost?
  tidecast run --config plant.toml                 the daemon
  tidecast models list --config plant.toml         its weights";

const RUN_EXAMPLES: &str = "\
Examples:
  tidecast run --config plant.toml
  tidecast run --config site.toml --config plant.toml --set service.log=debug
  TIDECAST__KAFKA__BROKERS=kafka-1:9092,kafka-2:9092 tidecast run --config plant.toml

SIGTERM and SIGINT commit, leave the group and end with 0. Kafka or the store away: it waits, and /readyz says so.
Exit codes: 0 stopped, 1 fatal, 76 another process uses this service.instance, 78 bad configuration.";

/// Where the configuration comes from.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// A TOML file; a later one lies over an earlier one (repeatable)
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One key, over all files and the environment (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// Validated, the properties of the client too.
    fn load(&self) -> Result<Resolved, Errors> {
        config::load_with(&self.sources(), kafka::refused)
    }

    /// With this process's environment and host.
    fn sources(&self) -> Sources {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            files: self.config.clone(),
            environment: std::env::vars_os().filter_map(text).collect(),
            set: self.set.clone(),
            host_name: gethostname::gethostname().to_string_lossy().into_owned(),
            beneath: "",
        }
    }
}

/// Reads the command line, does what it says, and answers with the process's exit code. Errors go to stderr.
#[must_use]
pub fn main() -> ExitCode {
    let line = Line::parse();
    let done = match &line.command {
        Command::Run(args) => run::run(&args.sources()),
        Command::Check(args) => check::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Backtest(args) => backtest::run(args),
        Command::Models(args) => models::run(args),
        Command::Bench(args) => bench::run(args),
    };
    exit::code(done)
}

#[cfg(test)]
mod tests;
