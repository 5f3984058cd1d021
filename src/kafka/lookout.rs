//! A member's look at its group, now and then: on the thread that asks, so that no poll waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::apart::{Apart, Begun};
use crate::kafka::leaving::Leaving;
use crate::kafka::lookup::{Lookup, now};
use crate::kafka::owners::{Counts, Named, View, Watch};
use crate::kafka::{Config, client, guest};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest it becomes where looks fail: rdkafka frees nothing of an answer that one of the brokers is missing from.
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Longest that a look may take: a question of the worker may wait behind it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Partitions named in a line of the log.
const NAMED_MAX: usize = 8;

/// Who looks, and at what.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) config: Config,
    pub(super) pipeline: String,
    pub(super) worker: usize,
    /// Those of the input.
    pub(super) topics: Vec<String>,
    /// One that no member of the group reads.
    pub(super) other_topic: String,
    pub(super) leaving: Leaving,
}

/// When the next look is due.
pub(super) struct Rounds {
    polls: u8,
    next: Instant,
    begun: Option<Begun<Duration>>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            polls: 0,
            next: now() + INTERVAL,
            begun: None,
        }
    }

    /// Whether to begin a look, with a poll of this time-out. Of polls that do not wait only some look at the clock.
    pub(super) fn is_due(&mut self, timeout: Duration) -> bool {
        self.polls = self.polls.wrapping_add(1);
        if timeout.is_zero() && self.polls != 0 {
            return false;
        }
        let now = now();
        match self.begun.as_ref().map(Begun::answer) {
            Some(Err(TryRecvError::Empty)) => return false,
            Some(Ok(interval)) => self.next = now + interval,
            Some(Err(TryRecvError::Disconnected)) => self.next = now + INTERVAL_MAX,
            None => {}
        }
        self.begun = None;
        now >= self.next
    }

    /// A look was begun, or could not be.
    pub(super) fn note(&mut self, begun: Option<Begun<Duration>>) {
        self.next = now() + INTERVAL;
        self.begun = begun;
    }
}

/// What the looks of a member have shown.
pub(super) struct Lookout {
    post: Post,
    watch: Watch,
    counts: Counts,
    /// Looks that failed in a row.
    failed: u32,
}

impl Lookout {
    pub(super) fn new(post: Post) -> Self {
        Self {
            watch: Watch::default(),
            counts: Counts::default(),
            failed: 0,
            post,
        }
    }

    /// Looks, and makes the group rebalance where that is this member's turn. `me` is its member id and generation, if it is one.
    /// Says how long to wait before the next look.
    pub(super) fn look(&mut self, lookup: &Lookup, me: Option<(String, i32)>) -> Duration {
        let Some(me) = me else {
            let _ = self.watch.look(None, &[], now()); // forgets what it has seen
            return INTERVAL;
        };
        match self.ask(lookup, me) {
            Ok(view) => {
                self.failed = 0;
                if let Some(without_owner) = self.watch.look(view, self.counts.settled(), now()) {
                    self.make_rebalance(&without_owner);
                }
                INTERVAL
            }
            Err(error) => {
                tracing::debug!(%error, pipeline = self.post.pipeline, "could not look at the group");
                let _ = self.watch.look(None, &[], now());
                let interval = INTERVAL.saturating_mul(1 << self.failed.min(8));
                self.failed += 1;
                interval.min(INTERVAL_MAX)
            }
        }
    }

    fn ask(&mut self, lookup: &Lookup, me: (String, i32)) -> Result<Option<View>, KafkaError> {
        let deadline = now() + LOOK_TIMEOUT;
        let left = || deadline.saturating_duration_since(now());
        let client = lookup.consumer().client();
        if self.counts.are_due(now()) {
            let mut counts = Vec::with_capacity(self.post.topics.len());
            for topic in &self.post.topics {
                let metadata = client.fetch_metadata(Some(topic), left())?;
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let count = found.map_or(0, |found| found.partitions().len());
                counts.push((topic.clone(), i32::try_from(count).unwrap_or(i32::MAX)));
            }
            self.counts.take(counts, now());
        }
        let name = client::group_id(&self.post.config, &self.post.pipeline);
        let list = client.fetch_group_list(Some(&name), left())?;
        let read = || {
            let group = list.groups().iter().find(|group| group.name() == name)?;
            View::of(group, me)
        };
        // rdkafka panics on names that are not UTF-8; a foreign member may have one.
        catch_unwind(AssertUnwindSafe(read))
            .map_err(|_| KafkaError::GroupListFetch(RDKafkaErrorCode::BadMessage))
    }

    /// Without waiting for it: the others join anew within seconds.
    fn make_rebalance(&self, without_owner: &[Named]) {
        let Post {
            config,
            pipeline,
            worker,
            ..
        } = &self.post;
        let mut partitions: Vec<String> = without_owner
            .iter()
            .take(NAMED_MAX)
            .map(|(topic, partition)| format!("{topic}/{partition}"))
            .collect();
        if without_owner.len() > NAMED_MAX {
            partitions.push(format!("{} more", without_owner.len() - NAMED_MAX));
        }
        tracing::warn!(
            pipeline,
            partitions = partitions.join(", "),
            "no member of the group has these partitions, though the group is stable; a member that was killed while it \
             gave them back leaves them so; the group is made to rebalance"
        );
        let owner = format!("{} guest", client::worker_id(config, pipeline, *worker));
        match Apart::start(&owner, &format!("g{worker}.{pipeline}"), self.post.clone()) {
            Ok(apart) => drop(apart.begin(|post| visit(post))),
            Err(error) => tracing::warn!(pipeline, %error, "the group could not be made to rebalance"),
        }
    }
}

fn visit(post: &Post) {
    let visited = guest::visit(
        &post.config,
        &post.pipeline,
        post.worker,
        &post.other_topic,
        &post.leaving,
    );
    if let Err(error) = visited
        && !post.leaving.is_asked()
    {
        tracing::warn!(pipeline = post.pipeline, %error, "the group could not be made to rebalance; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_is_due_only_after_the_one_before_has_ended() {
        let mut rounds = Rounds::new();
        let wait = Duration::from_millis(1);
        assert!(!rounds.is_due(wait), "not at once");
        rounds.next = now();
        assert!(rounds.is_due(wait));
        let apart = Apart::start("rounds", "test", ()).unwrap();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        rounds.note(Some(apart.begin(move |()| {
            let _ = stuck.recv();
            Duration::ZERO
        })));
        rounds.next = now();
        assert!(!rounds.is_due(wait), "one is under way");
        drop(release);
        apart.call(|| Duration::from_secs(10), |()| ()).unwrap();
        assert!(rounds.is_due(wait), "it has ended and said: at once");
    }

    #[test]
    fn look_is_due_within_some_polls_that_do_not_wait() {
        let mut rounds = Rounds::new();
        rounds.next = now();
        let due = (0..256).filter(|_| rounds.is_due(Duration::ZERO)).count();
        assert_eq!(due, 1);
    }
}
