//! What is left out of the output under lag, and when it comes back.

use crate::worker::ports::{Clock, Models, Observer, Sink, Snapshots, Source, Tape};
use crate::worker::run::Worker;

impl<S, K, M, N, T, C, O> Worker<S, K, M, N, T, C, O>
where
    S: Source,
    K: Sink<Membership = S::Membership>,
    M: Models,
    N: Snapshots,
    T: Tape,
    C: Clock,
    O: Observer,
{
    /// Leaves horizons out where a partition lags, until it lags half as much. Output only, never state.
    pub(super) fn degrade(&mut self) {
        for slot in &mut self.crew.slots {
            let id = slot.id;
            let Some(open) = slot.open_mut() else { continue };
            let Some(end) = self.source.end_heard(id) else {
                continue;
            };
            let lag = end.0 - open.position.0;
            let limit = if open.thin {
                self.config.lag_thin / 2
            } else {
                self.config.lag_thin
            };
            // A replay publishes nothing; how far it is behind says nothing yet.
            let thin = open.speaks() && lag > limit;
            open.thin = thin;
        }
    }
}
