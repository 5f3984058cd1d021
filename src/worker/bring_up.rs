//! How a worker gets to where it can turn: a producer, and partitions with state.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Model, ModelVersion};
use crate::faults::{self, Point};
use crate::series::observation::NextOffset;
use crate::worker::inquiry::{Facts, Found, Wish};
use crate::worker::ports::{
    Activity, Answer, Clock, Error, Loaded, Models, Observer, Question, Sink, Snapshots, Source, Tape,
};
use crate::worker::restore::{self, Plan, Verdict};
use crate::worker::run::{Link, Worker, back_off};
use crate::worker::slot::{Asking, Phase, Slot};
use crate::worker::snapshots::{Progress, Wanted};

/// Restores begun between two turns at most: their committed offsets are one question, which all of them wait for.
const RESTORES_PER_TURN: usize = 64;
/// How long a turn waits for a record while an answer is waited for. Longer would make a restore of several questions
/// slow, shorter would only spin.
const ANSWER_LOOK: Duration = Duration::from_millis(2);
/// Versions of the weights that are loaded at once; what a further one is asked for with comes after these.
pub(super) const MODELS_MAX: usize = 8;
/// Longest pause before a partition's restore is tried again: what it waits for most is the transaction of a killed
/// member, 15 s.
const RETRY_MAX: Duration = Duration::from_secs(4);

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
    pub(super) fn connect_if_due(&mut self, now: Duration) -> Result<(), Error> {
        match self.link {
            Link::Down { due } if due <= now => {}
            _ => return Ok(()),
        }
        let observer = &mut self.observer;
        let mut alive = || observer.activity(Activity::Connecting);
        alive();
        self.crew.publisher.sink.connect(&mut alive)?;
        self.link = Link::Up;
        self.trouble = None;
        // Only now is C stable: what the old producer left has been ended.
        let now = self.clock.now();
        self.connected = now;
        self.last_commit = now;
        self.crew.slots.iter_mut().for_each(|slot| {
            if matches!(slot.phase, Phase::Waiting { .. }) {
                slot.close(now);
            }
        });
        Ok(())
    }

    /// Begins the restores that are due, and goes on with those that an answer has come for.
    pub(super) fn restore_due(&mut self) -> Result<(), Error> {
        if self.link != Link::Up {
            return Ok(());
        }
        self.choose_suspect();
        self.begin_restores();
        self.hear()
    }

    /// How long a turn may wait for a record where an answer is waited for beside it.
    pub(super) fn asking_patience(&self) -> Option<Duration> {
        let asks = |slot: &Slot| matches!(slot.phase, Phase::Asking(_));
        self.crew.slots.iter().any(asks).then_some(ANSWER_LOOK)
    }

    /// What is committed is asked for all together: one answer for many partitions.
    fn begin_restores(&mut self) {
        let now = self.clock.now();
        let is_due = |phase: &Phase| matches!(phase, Phase::Waiting { due, .. } if *due <= now);
        let due: Vec<usize> = (0..self.crew.slots.len())
            .filter(|place| is_due(&self.crew.slots[*place].phase))
            .filter(|place| self.trial.admits(self.crew.slots[*place].id))
            .take(RESTORES_PER_TURN)
            .collect();
        if due.is_empty() {
            return;
        }
        let ids = due.iter().map(|place| self.crew.slots[*place].id).collect();
        let question = Question::Committed(ids);
        let ticket = self.next_ticket();
        let asked = self.source.ask(ticket, question.clone());
        for place in due {
            faults::point(Point::Restore);
            let slot = &mut self.crew.slots[place];
            let Phase::Waiting {
                attempts, sentence, ..
            } = &mut slot.phase
            else {
                unreachable!("only what waits is due");
            };
            slot.phase = Phase::Asking(Box::new(Asking {
                ticket,
                wish: Wish::Cluster(question.clone()),
                reading: None,
                progress: Arc::default(),
                moved: now,
                attempts: *attempts,
                sentence: sentence.take(),
                facts: Facts::default(),
            }));
            if let Err(error) = &asked {
                self.wait(place, error.to_string());
            }
        }
    }

    const fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// Takes the answers that have come.
    ///
    /// # Errors
    /// What ends the worker.
    fn hear(&mut self) -> Result<(), Error> {
        while let Some((ticket, answer)) = self.source.answered() {
            let answer = match answer {
                Err(error) if error.ends_worker() => return Err(error),
                other => other,
            };
            if let Ok(Answer::Cluster(id)) = &answer {
                self.cluster = Some(id.clone());
            }
            for place in 0..self.crew.slots.len() {
                self.hear_answer(place, ticket, &answer);
            }
        }
        while let Some(Loaded { version, found }) = self.models.loaded() {
            self.models_asked.remove(&version);
            for place in 0..self.crew.slots.len() {
                self.hear_model(place, version, &found);
            }
            self.ask_for_left_out();
        }
        Ok(())
    }

    /// One load less is under way: there is room for what was wished for beyond [`MODELS_MAX`].
    fn ask_for_left_out(&mut self) {
        for place in 0..self.crew.slots.len() {
            let Phase::Asking(asking) = &self.crew.slots[place].phase else {
                continue;
            };
            let Wish::Models(versions) = &asking.wish else {
                continue;
            };
            let versions = versions.clone();
            if let Err(error) = self.ask_for_models(&versions) {
                self.wait(place, error.to_string());
            }
        }
    }

    fn hear_answer(&mut self, place: usize, ticket: u64, answer: &Result<Answer, Error>) {
        let slot = &mut self.crew.slots[place];
        let id = slot.id;
        let Some(asking) = slot.asking(ticket) else { return };
        let Wish::Cluster(question) = &asking.wish else {
            return;
        };
        match (question.clone(), answer) {
            (_, Err(error)) => return self.wait(place, error.to_string()),
            (Question::Committed(_), Ok(Answer::Committed(all))) if asking.facts.is_empty() => {
                // The first one, asked for many: it knows its own only, so that a look at the others is another question.
                let own = all.iter().filter(|entry| entry.partition == id).cloned();
                let own = Answer::Committed(own.collect());
                asking.facts.learn(Question::Committed(vec![id]), own);
            }
            (question, Ok(answer)) => asking.facts.learn(question, answer.clone()),
        }
        self.advance(place);
    }

    fn hear_model(&mut self, place: usize, version: ModelVersion, found: &Result<Option<Arc<Model>>, Error>) {
        let Phase::Asking(asking) = &mut self.crew.slots[place].phase else {
            return;
        };
        match (&asking.wish, found) {
            (Wish::Models(versions), Ok(model)) if versions.contains(&version) => {
                asking.facts.learn_model(version, model.clone());
                self.advance(place);
            }
            (Wish::Models(versions), Err(error)) if versions.contains(&version) => {
                self.wait(place, error.to_string());
            }
            _ => {}
        }
    }

    /// The answer to a search. One that was asked for before the partition was taken away, or began again, is dropped.
    pub(super) fn loaded(&mut self, ticket: u64, found: Result<Found, Error>) {
        let asks = |slot: &mut Slot| slot.asking(ticket).is_some();
        let Some(place) = self.crew.slots.iter_mut().position(asks) else {
            return;
        };
        match found {
            Ok(found) => {
                if found.is_some() {
                    faults::point(Point::SnapshotLoad);
                }
                if let Some(asking) = self.crew.slots[place].asking(ticket) {
                    asking.facts.learn_snapshot(found);
                }
                self.advance(place);
            }
            Err(error) => self.wait(place, error.to_string()),
        }
    }

    /// Goes on with a restore as far as what is known reaches.
    pub(super) fn advance(&mut self, place: usize) {
        let newest = self.models.newest();
        let slot = &mut self.crew.slots[place];
        let Phase::Asking(asking) = &mut slot.phase else {
            return;
        };
        let mut facts = mem::take(&mut asking.facts);
        self.crew.busy = Some(slot.id);
        let verdict = if self.cluster.is_none() {
            // A first snapshot needs it too, so not only where one is searched.
            Err(Wish::Cluster(Question::Cluster))
        } else {
            restore::consider(&self.config, slot, &facts, &newest)
        };
        match verdict {
            Err(wish) => self.ask_for(place, facts, wish),
            Ok(Verdict::Refuse(reason)) => {
                let topic = &self.config.topics[slot.id.topic];
                let partition = slot.id.partition;
                let sentence = format!("snapshot of topic `{topic}` partition {partition}: {reason}");
                self.snapshots_refused.push(sentence);
                if let Some(next) = facts.snapshot_found() {
                    facts.refuse_snapshots(next);
                }
                let Phase::Asking(asking) = &mut slot.phase else {
                    return;
                };
                asking.facts = facts;
                self.advance(place);
            }
            Ok(Verdict::Open(plan)) => {
                if let Err(error) = self.open(place, *plan, facts) {
                    self.wait(place, error.to_string());
                }
            }
            Ok(Verdict::Park(sentence)) => slot.phase = Phase::Parked(sentence),
            Ok(Verdict::Wait(sentence)) => self.wait(place, sentence),
        }
        self.crew.busy = None;
    }

    fn ask_for(&mut self, place: usize, facts: Facts, wish: Wish) {
        let ticket = self.next_ticket();
        let asked = match &wish {
            Wish::Cluster(question) => self.source.ask(ticket, question.clone()),
            Wish::Snapshot(at_most) => self.search(place, ticket, &facts, *at_most),
            Wish::Models(versions) => self.ask_for_models(versions),
        };
        if let Err(error) = asked {
            return self.wait(place, error.to_string());
        }
        if let Phase::Asking(asking) = &mut self.crew.slots[place].phase {
            asking.ticket = ticket;
            asking.wish = wish;
            (asking.reading, asking.moved) = (None, self.clock.now());
            asking.facts = facts;
        }
    }

    /// Each version is loaded once, however many partitions want it.
    fn ask_for_models(&mut self, versions: &[ModelVersion]) -> Result<(), Error> {
        for &version in versions {
            if self.models_asked.len() < MODELS_MAX && !self.models_asked.contains(&version) {
                self.models.load(version)?;
                self.models_asked.insert(version);
            }
        }
        Ok(())
    }

    /// Asks for the newest snapshot of a partition at `at_most` or before.
    fn search(&mut self, place: usize, ticket: u64, facts: &Facts, at_most: NextOffset) -> Result<(), Error> {
        let cluster = self.cluster.clone();
        let slot = &mut self.crew.slots[place];
        let id = slot.id;
        let progress = Arc::<Progress>::default();
        if let Phase::Asking(asking) = &mut slot.phase {
            asking.progress = Arc::clone(&progress);
        }
        self.snapshots.load(Wanted {
            ticket,
            id,
            topic: self.config.topics[id.topic].clone(),
            at_most,
            cluster: cluster.expect("asked for before anything else"),
            fingerprint: self.fingerprint,
            log: restore::committed_log(facts, id),
            form: Arc::clone(&self.form),
            progress,
        })
    }

    fn open(&mut self, place: usize, plan: Plan, facts: Facts) -> Result<(), Error> {
        let (from, missing) = (plan.from, plan.missing);
        let now = self.clock.now();
        let id = self.crew.slots[place].id;
        self.observer.activity(Activity::Restoring);
        self.crew.slots[place].made_of = plan.snapshot;
        let about = (&self.config, id);
        let end = facts.log(id).map_or(plan.from, |log| log.end);
        let mut opened = restore::open(&self.crew.engine, about, plan, facts.into_content(), now);
        opened.taped_until = self.crew.taped_until(id, end);
        self.source.start(id, from)?;
        self.models_missing += missing;
        let slot = &mut self.crew.slots[place];
        slot.phase = Phase::Open(Box::new(opened));
        Ok(())
    }

    /// Tries again later, from the beginning.
    pub(super) fn wait(&mut self, place: usize, reason: String) {
        let slot = &mut self.crew.slots[place];
        let Phase::Asking(asking) = &slot.phase else {
            return;
        };
        let attempts = asking.attempts + 1;
        slot.phase = Phase::Waiting {
            due: self.clock.now() + back_off(attempts).min(RETRY_MAX),
            attempts,
            sentence: Some(reason),
        };
    }
}
