//! Why the daemon ended, and with which exit code.

use std::net::SocketAddr;
use std::time::Duration;

/// Why the daemon did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP address cannot be had.
    #[error("`service.http` `{address}` cannot be used: stop what listens there, or name another port")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or the runtime could not be made.
    #[error("cannot start `{what}`: look at the limits of processes and memory")]
    Start {
        /// Thread or runtime.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process joined with this instance's name.
    #[error(
        "`service.instance` `{instance}` is in use by another process: give each process its own, or stop the other one"
    )]
    InstanceInUse {
        /// `service.instance`.
        instance: String,
    },
    /// No pipeline can go on.
    #[error("no pipeline can go on: {causes}")]
    NoPipelineLeft {
        /// `pipeline: cause` each.
        causes: String,
    },
    /// A worker did not come back from a blocking call.
    #[error("{what} for {after:?}: ending the process, so that it is started anew from what is committed")]
    Stuck {
        /// Which worker, and in what.
        what: String,
        /// Since its last sign of life.
        after: Duration,
    },
    /// The stop took longer than it may.
    #[error(
        "after `service.shutdown_grace` ({grace:?}) still running: {hung}; what was not committed is read again"
    )]
    Grace {
        /// As configured.
        grace: Duration,
        /// Names and last activities.
        hung: String,
    },
}

impl Error {
    /// Exit code of the process: 76 keeps the service manager from starting it again.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::InstanceInUse { .. } => 76,
            Self::Bind { .. }
            | Self::Start { .. }
            | Self::NoPipelineLeft { .. }
            | Self::Stuck { .. }
            | Self::Grace { .. } => 1,
        }
    }
}
