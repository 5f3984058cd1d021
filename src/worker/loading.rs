//! Searches for snapshots that do not come further: a partition waits for no file for ever.

use std::time::Duration;

use crate::series::observation::NextOffset;
use crate::worker::inquiry::Wish;
use crate::worker::ports::{Clock, Models, Observer, Sink, Snapshots, Source, Tape};
use crate::worker::run::Worker;
use crate::worker::slot::Phase;

/// A search of which nothing is heard for so long hangs. Disks give a megabyte in milliseconds; a mount whose server
/// restarts may take some tens of seconds, and less would make a partition read history instead.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Notes how far searches are, and gives those up that hang.
    pub(super) fn watch_searches(&mut self) {
        let now = self.clock.now();
        while let Some((ticket, next)) = self.snapshots.reading() {
            self.heard = now;
            for slot in &mut self.crew.slots {
                if let Some(asking) = slot.asking(ticket) {
                    (asking.reading, asking.moved) = (Some(next), now);
                }
            }
        }
        for place in 0..self.crew.slots.len() {
            if let Phase::Asking(asking) = &self.crew.slots[place].phase
                && matches!(asking.wish, Wish::Snapshot(_))
            {
                // One that has not begun waits for others: it hangs where they do.
                let (reading, moved) = (asking.reading, asking.moved);
                let since = reading.map_or(moved.max(self.heard), |_| moved);
                if now.saturating_sub(since) > PATIENCE {
                    self.give_up_search(place, reading);
                }
            }
        }
    }

    /// Goes on to the next older snapshot where one hangs. Where the store has not got as far as one it is away, as one that
    /// answers with an error.
    fn give_up_search(&mut self, place: usize, reading: Option<NextOffset>) {
        let waited_s = PATIENCE.as_secs();
        let Some(next) = reading else {
            self.wait(
                place,
                format!(
                    "the store has said nothing about its snapshots for {waited_s} s: look at the disk or mount behind it"
                ),
            );
            return;
        };
        let slot = &mut self.crew.slots[place];
        let topic = &self.config.topics[slot.id.topic];
        self.snapshots_refused.push(format!(
            "snapshot of topic `{topic}` partition {} at {next}: nothing more of it could be read for {waited_s} s, what is \
             older stands in; look at the disk or mount behind it",
            slot.id.partition
        ));
        if let Phase::Asking(asking) = &mut slot.phase {
            asking.facts.refuse_snapshots(next);
        }
        self.advance(place);
    }
}
