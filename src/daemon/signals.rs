//! SIGTERM and SIGINT stop, a second one ends at once, SIGHUP is answered.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::daemon::stop::Stop;

/// Streams of the signals that the daemon answers.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals from their default actions; within a runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Answers signals for ever: to be dropped when everything has ended.
    pub async fn answer(mut self, stop: Stop) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hang_up.recv() => "SIGHUP",
            };
            if name == "SIGHUP" {
                tracing::warn!(
                    "SIGHUP: this version does not reload its config; restart the service to change it"
                );
            } else if stop.is_requested() {
                tracing::error!(signal = name, "second signal: ending at once, without a commit");
                std::process::exit(1);
            } else {
                tracing::info!(
                    signal = name,
                    "stopping: workers commit and leave; a second signal ends at once"
                );
                stop.request();
            }
        }
    }
}
