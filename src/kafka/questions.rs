//! What is asked of the cluster beside a worker, and the threads that ask it.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, ConsumerGroupMetadata};

use crate::kafka::apart::{Apart, Begun, Missing};
use crate::kafka::asking::Asking;
use crate::kafka::client::{self, ASK_TIMEOUT};
use crate::kafka::errors::transient;
use crate::kafka::lookout::{Post, Rounds};
use crate::kafka::lookup::now;
use crate::kafka::rebalance::Context;
use crate::series::observation::NextOffset;
use crate::worker::ports::{Answer, Error, PartitionId, Question};

/// Longest that a question may take: some take several calls, each with a time-out of its own. One that takes longer
/// hangs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Time-out of a call for a partition that answered when it was asked last: a healthy broker answers within milliseconds,
/// and one that does not is asked again beside the others.
const QUICK: Duration = Duration::from_secs(3);

type Consumer = Arc<BaseConsumer<Context>>;

/// Questions of one worker. Two threads ask them, each in the order of asking: the second one about partitions whose last
/// question had no answer, so that they hold up none that has; it looks at the group, too.
pub(super) struct Questions {
    post: Post,
    lanes: [Lane; 2],
    /// Partitions whose last question had no answer.
    failing: BTreeSet<PartitionId>,
    /// The cluster's id, once asked: a client speaks with one cluster as long as it lives.
    cluster: Option<String>,
    /// Answers that are there already.
    ready: VecDeque<(For, Result<Answer, Error>)>,
    rounds: Rounds,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The worker, with its ticket.
    Worker(u64),
    /// The client itself: whether that partition is read up to its end.
    End(PartitionId),
}

/// One thread, and what it was asked and has not answered, in order.
struct Lane {
    name: &'static str,
    timeout: Duration,
    thread: Option<Apart<Asking>>,
    asked: VecDeque<Asked>,
    /// When an answer came last, or the oldest question was asked.
    heard: Instant,
}

struct Asked {
    by: For,
    question: Question,
    begun: Begun<Option<Result<Answer, Error>>>,
    /// Dropped with it: the thread passes over what nobody waits for.
    _wanted: Arc<()>,
}

/// What is being done, for an error.
const fn doing(question: &Question) -> &'static str {
    match question {
        Question::Cluster => "asking for the cluster's id",
        Question::Partitions(_) => "asking for the partitions of a topic",
        Question::Committed(_) => "asking for committed offsets",
        Question::Log(_) => "asking for the log's ends",
        Question::OffsetAt(..) => "asking for the offset of a time",
        Question::RecordBefore(..) => "reading the last record before an offset",
    }
}

/// Partitions that a question is about.
fn about(question: &Question) -> &[PartitionId] {
    match question {
        Question::Cluster | Question::Partitions(_) => &[],
        Question::Committed(ids) => ids,
        Question::Log(id) | Question::OffsetAt(id, _) | Question::RecordBefore(id, _) => {
            std::slice::from_ref(id)
        }
    }
}

impl Lane {
    fn new(name: &'static str, timeout: Duration) -> Self {
        Self {
            name,
            timeout,
            thread: None,
            asked: VecDeque::new(),
            heard: now(),
        }
    }

    /// The thread, which is started where there is none.
    fn thread(&mut self, post: &Post, consumer: &Consumer) -> Result<&Apart<Asking>, Error> {
        if self.thread.is_none() {
            let Post { pipeline, worker, .. } = post;
            let owner = format!(
                "{} {}",
                client::worker_id(&post.config, pipeline, *worker),
                self.name
            );
            let name = format!("{}{worker}.{pipeline}", &self.name[..1]);
            let asking = Asking::new(post, consumer, self.timeout);
            let started = Apart::start(&owner, &name, asking);
            self.thread = Some(started.map_err(|error| transient("asking the cluster", error))?);
        }
        Ok(self.thread.as_ref().expect("started above"))
    }

    fn ask(&mut self, post: &Post, consumer: &Consumer, by: For, question: Question) -> Result<(), Error> {
        let wanted = Arc::new(());
        let (token, asks) = (Arc::downgrade(&wanted), question.clone());
        let begun = self.thread(post, consumer)?.try_begin(move |asking| {
            let still_wanted = token.upgrade().is_some();
            still_wanted.then(|| asking.answer(asks))
        });
        let Some(begun) = begun else {
            if self.asked.is_empty() {
                self.thread = None; // what it is still busy with nobody waits for
            }
            return Err(transient(doing(&question), "too many questions are waiting"));
        };
        if self.asked.is_empty() {
            self.heard = now();
        }
        self.asked.push_back(Asked {
            by,
            question,
            begun,
            _wanted: wanted,
        });
        Ok(())
    }

    /// The next answer; a thread that hangs or is gone has none any more.
    fn answered(&mut self) -> Option<(Asked, Result<Answer, Error>)> {
        let missing = match self.asked.front()?.begun.answer() {
            Ok(answer) => {
                let asked = self.asked.pop_front()?;
                self.heard = now();
                let unasked = || transient(doing(&asked.question), "it was not asked");
                let answer = answer.unwrap_or_else(|| Err(unasked()));
                return Some((asked, answer));
            }
            Err(TryRecvError::Empty) if now() - self.heard < ANSWERED_WITHIN => return None,
            Err(TryRecvError::Empty) => Missing::Overstayed,
            Err(TryRecvError::Disconnected) => Missing::Panicked,
        };
        self.thread = None; // it ends by itself, once its call comes back
        let asked = self.asked.pop_front()?;
        self.heard = now();
        let error = transient(doing(&asked.question), missing);
        Some((asked, Err(error)))
    }
}

impl Questions {
    pub(super) fn new(post: Post) -> Self {
        Self {
            post,
            lanes: [Lane::new("consumer", QUICK), Lane::new("retry", ASK_TIMEOUT)],
            failing: BTreeSet::new(),
            cluster: None,
            ready: VecDeque::new(),
            rounds: Rounds::new(),
        }
    }

    /// Begins to ask.
    ///
    /// # Errors
    /// Transient: it was not begun. Nobody needs an answer once it is time to leave.
    pub(super) fn ask(&mut self, consumer: &Consumer, by: For, question: Question) -> Result<(), Error> {
        self.post.leaving.stay(doing(&question))?;
        if let (Question::Cluster, Some(id)) = (&question, &self.cluster) {
            self.ready.push_back((by, Ok(Answer::Cluster(id.clone()))));
            return Ok(());
        }
        let fails = about(&question).iter().any(|id| self.failing.contains(id));
        self.lanes[usize::from(fails)].ask(&self.post, consumer, by, question)
    }

    /// An answer that has come.
    pub(super) fn answered(&mut self) -> Option<(For, Result<Answer, Error>)> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        let (asked, answer) = self.lanes.iter_mut().find_map(Lane::answered)?;
        for id in about(&asked.question) {
            if answer.is_err() {
                self.failing.insert(*id);
            } else {
                self.failing.remove(id);
            }
        }
        if let Ok(Answer::Cluster(id)) = &answer {
            self.cluster = Some(id.clone());
        }
        Some((asked.by, answer))
    }

    /// Nobody waits for an answer to what was asked so far.
    pub(super) fn forget(&mut self) {
        self.ready.clear();
        for lane in &mut self.lanes {
            lane.asked.clear();
        }
    }

    /// Begins a look at the group where one is due, with a poll of this time-out.
    pub(super) fn look_around(&mut self, consumer: &Consumer, timeout: Duration) {
        if !self.rounds.is_due(timeout) || self.post.leaving.is_asked() {
            return;
        }
        let thread = self.lanes[1].thread(&self.post, consumer).ok(); // else with the next round
        self.rounds.note(thread.map(|thread| thread.begin(Asking::look)));
    }

    /// What a client without a membership would send with a commit; waits for it: for tests that switch the fence off.
    ///
    /// # Errors
    /// As of the question.
    pub(super) fn stranger(&mut self, consumer: &Consumer) -> Result<Arc<ConsumerGroupMetadata>, Error> {
        let thread = self.lanes[0].thread(&self.post, consumer)?;
        thread
            .call(|| ASK_TIMEOUT, Asking::stranger)
            .map_err(|missing| transient("reading the membership", missing))?
    }

    /// Drops `consumer`, which closes it, on a thread that is left where that takes longer than `left`.
    pub(super) fn close(mut self, consumer: Consumer, left: impl Fn() -> Duration) {
        self.forget();
        if self.lanes.iter().all(|lane| lane.thread.is_none()) {
            let _ = self.lanes[0].thread(&self.post, &consumer); // without a thread it is closed here
        }
        // This one first: a thread's is the last one then, and the consumer is closed there.
        drop(consumer);
        for lane in &mut self.lanes {
            if let Some(thread) = mem::take(&mut lane.thread) {
                thread.end(&left);
            }
        }
    }
}

/// The last record of a partition, whatever its offset.
pub(super) const fn last_record(id: PartitionId) -> Question {
    Question::RecordBefore(id, NextOffset(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kafka::Config;
    use crate::kafka::embedded::EmbeddedBroker;
    use crate::kafka::leaving::Leaving;
    use crate::series::observation::Partition;
    use crate::worker::ports::Log;

    const PATIENCE: Duration = Duration::from_secs(20);

    const fn id(partition: i32) -> PartitionId {
        PartitionId {
            topic: 0,
            partition: Partition(partition),
        }
    }

    fn questions(broker: &EmbeddedBroker) -> (Questions, Consumer) {
        let config = Config {
            brokers: vec![broker.bootstrap().to_owned()],
            group: "g".to_owned(),
            instance: "i".to_owned(),
            client: BTreeMap::new(),
        };
        let context = Context::new(vec!["a".to_owned()]);
        let consumer = client::consumer(&config, "p", 0).create_with_context(context);
        let post = Post {
            config,
            pipeline: "p".to_owned(),
            worker: 0,
            topics: vec!["a".to_owned()],
            other_topic: "b".to_owned(),
            leaving: Leaving::new(|| false, PATIENCE),
        };
        (Questions::new(post), Arc::new(consumer.unwrap()))
    }

    fn wait(questions: &mut Questions) -> (For, Result<Answer, Error>) {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(answered) = questions.answered() {
                return answered;
            }
            assert!(now() < deadline, "no answer");
            std::thread::yield_now();
        }
    }

    #[test]
    fn question_about_a_partition_is_answered_while_another_one_hangs() {
        let broker = EmbeddedBroker::start(&[("a", 2)]).unwrap();
        let (mut questions, consumer) = questions(&broker);
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let hangs = move |_: &mut Asking| stuck.recv().is_err();
        let post = questions.post.clone();
        let begun = questions.lanes[0].thread(&post, &consumer).unwrap().begin(hangs);
        questions
            .ask(&consumer, For::Worker(1), Question::Log(id(0)))
            .unwrap();
        // As after a first question that had no answer.
        questions.failing.insert(id(1));
        questions
            .ask(&consumer, For::Worker(2), Question::Log(id(1)))
            .unwrap();
        let empty = Log {
            start: NextOffset(0),
            end: NextOffset(0),
        };
        assert_eq!(wait(&mut questions), (For::Worker(2), Ok(Answer::Log(empty))));
        assert!(
            questions.failing.is_empty(),
            "one that answers is asked by the first again"
        );
        assert_eq!(questions.answered(), None);
        drop(release);
        assert_eq!(wait(&mut questions), (For::Worker(1), Ok(Answer::Log(empty))));
        assert_eq!(begun.answer(), Ok(true));
        questions.close(consumer, || PATIENCE);
    }

    #[test]
    fn question_that_nobody_waits_for_is_passed_over() {
        let broker = EmbeddedBroker::start(&[("a", 1)]).unwrap();
        let (mut questions, consumer) = questions(&broker);
        questions
            .ask(&consumer, For::Worker(1), Question::Log(id(0)))
            .unwrap();
        questions.forget();
        questions
            .ask(&consumer, For::Worker(2), Question::Committed(vec![id(0)]))
            .unwrap();
        let (by, answer) = wait(&mut questions);
        assert_eq!(by, For::Worker(2));
        let Ok(Answer::Committed(committed)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((committed[0].partition, committed[0].next), (id(0), None));
        questions.close(consumer, || PATIENCE);
    }

    #[test]
    fn thread_that_hangs_is_left_with_what_it_was_asked() {
        let broker = EmbeddedBroker::start(&[("a", 1)]).unwrap();
        let (mut questions, consumer) = questions(&broker);
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let hangs = move |_: &mut Asking| stuck.recv().is_err();
        let post = questions.post.clone();
        drop(questions.lanes[0].thread(&post, &consumer).unwrap().begin(hangs));
        questions
            .ask(&consumer, For::Worker(1), Question::Log(id(0)))
            .unwrap();
        questions.lanes[0].heard = now() - ANSWERED_WITHIN;
        let (_, answer) = wait(&mut questions);
        assert!(matches!(answer, Err(Error::Transient { .. })), "{answer:?}");
        questions
            .ask(&consumer, For::Worker(2), Question::Log(id(0)))
            .unwrap();
        assert!(wait(&mut questions).1.is_ok(), "a new one asks, the next time");
        drop(release);
        questions.close(consumer, || PATIENCE);
    }
}
