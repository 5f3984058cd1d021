//! The whole process, validated.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{kafka, store, training, worker};

/// Where log lines go, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Journal under systemd, text on a terminal, JSON otherwise.
    Auto,
    /// Native fields in the journal.
    Journald,
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// One pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its workers, decoder and engine.
    pub worker: worker::Config,
    /// Its trainer.
    pub training: training::Config,
}

/// Everything `tidecast run` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address of `/metrics`, `/livez`, `/readyz`.
    pub http: SocketAddr,
    /// tracing filter.
    pub log: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Time a stop may take before the process ends anyway.
    pub shutdown_grace: Duration,
    /// Cluster and identity.
    pub kafka: kafka::Config,
    /// Store.
    pub store: store::Config,
    /// By name, ascending.
    pub pipelines: Vec<Pipeline>,
}
