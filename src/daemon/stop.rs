//! The one way to ask everything to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    /// Guards nothing: a condition variable wants one.
    gate: Mutex<()>,
    bell: Condvar,
    notify: Notify,
}

/// A stop that is requested once and never taken back; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

impl Stop {
    /// Not requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds a clone to end.
    pub fn request(&self) {
        // Under the gate, so that a waiter cannot look before it and sleep after it.
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.flag.store(true, Ordering::Release);
        self.0.bell.notify_all();
        drop(gate);
        self.0.notify.notify_waiters();
    }

    /// Whether it was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.flag.load(Ordering::Acquire)
    }

    /// For workers, which look at it between turns.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// Waits for `timeout` or the request, whichever comes first; true if it was requested. For threads.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .bell
            .wait_timeout_while(gate, timeout, |()| !self.is_requested());
        drop(waited);
        self.is_requested()
    }

    /// Ends when it is requested. For tasks.
    pub async fn requested(&self) {
        loop {
            let notified = self.0.notify.notified();
            if self.is_requested() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_requested_ends_waits_at_once() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        stop.clone().request();
        assert!(stop.wait(Duration::from_secs(3600)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(stop.requested());
    }

    #[test]
    fn stop_requested_wakes_a_waiting_thread() {
        let stop = Stop::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| stop.wait(Duration::from_secs(3600)));
            stop.request();
            assert!(waiter.join().unwrap());
        });
    }
}
