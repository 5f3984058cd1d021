//! What is known of a partition while it is restored, and what has to be asked next.
//!
//! Deciding how a partition is restored is a function of facts. One that is not known yet is asked for, and the function
//! is run again with the answer: nothing waits, and there is no order of answers to be kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::snapshot::{Anchor, Content, Header};
use crate::engine::{Model, ModelVersion};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Answer, Committed, Log, PartitionId, Question};

/// What has to be asked next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Of the cluster.
    Cluster(Question),
    /// The newest snapshot at an offset or before.
    Snapshot(NextOffset),
    /// Versions of the weights.
    Models(Vec<ModelVersion>),
}

/// The answer to a search for a snapshot.
pub(crate) type Found = Option<Box<(Header, Content)>>;

/// What is known.
#[derive(Default)]
pub(crate) struct Facts {
    answers: Vec<(Question, Answer)>,
    /// Snapshots from there on are not asked for: what came before was refused.
    refused_from: Option<NextOffset>,
    snapshot: Option<Found>,
    models: BTreeMap<ModelVersion, Option<Arc<Model>>>,
}

impl Facts {
    /// Whether nothing has been heard of the cluster yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    pub(crate) fn learn(&mut self, question: Question, answer: Answer) {
        self.answers.push((question, answer));
    }

    pub(crate) fn learn_snapshot(&mut self, found: Found) {
        self.snapshot = Some(found);
    }

    pub(crate) fn learn_model(&mut self, version: ModelVersion, found: Option<Arc<Model>>) {
        self.models.insert(version, found);
    }

    /// Offset of the snapshot that was found.
    pub(crate) fn snapshot_found(&self) -> Option<NextOffset> {
        let found = self.snapshot.as_ref()?.as_ref()?;
        Some(found.0.next)
    }

    /// The snapshot at `next` does not do: an older one is to be looked for.
    pub(crate) fn refuse_snapshots(&mut self, next: NextOffset) {
        self.refused_from = Some(next);
        self.snapshot = None;
    }

    /// The snapshot's state, once it is decided that it is restored from.
    pub(crate) fn into_content(self) -> Option<Content> {
        Some(self.snapshot??.1)
    }

    fn answer(&self, question: Question) -> Result<&Answer, Wish> {
        self.answers
            .iter()
            .find(|(asked, _)| *asked == question)
            .map(|(_, answer)| answer)
            .ok_or(Wish::Cluster(question))
    }

    /// What is committed for `partitions`, in their order.
    pub(crate) fn committed(&self, partitions: Vec<PartitionId>) -> Result<&[Committed], Wish> {
        match self.answer(Question::Committed(partitions))? {
            Answer::Committed(committed) => Ok(committed),
            other => unreachable!("an answer is of its question's kind, not {other:?}"),
        }
    }

    /// Ends of a log.
    pub(crate) fn log(&self, id: PartitionId) -> Result<Log, Wish> {
        match self.answer(Question::Log(id))? {
            Answer::Log(log) => Ok(*log),
            other => unreachable!("an answer is of its question's kind, not {other:?}"),
        }
    }

    /// Every partition of a topic.
    pub(crate) fn partitions(&self, topic: usize) -> Result<&[PartitionId], Wish> {
        match self.answer(Question::Partitions(topic))? {
            Answer::Partitions(partitions) => Ok(partitions),
            other => unreachable!("an answer is of its question's kind, not {other:?}"),
        }
    }

    /// The first offset at or after a Kafka time.
    pub(crate) fn offset_at(&self, id: PartitionId, timestamp_ms: i64) -> Result<Option<NextOffset>, Wish> {
        match self.answer(Question::OffsetAt(id, timestamp_ms))? {
            Answer::OffsetAt(found) => Ok(*found),
            other => unreachable!("an answer is of its question's kind, not {other:?}"),
        }
    }

    /// The last record before an offset.
    pub(crate) fn record_before(&self, id: PartitionId, next: NextOffset) -> Result<Option<Anchor>, Wish> {
        match self.answer(Question::RecordBefore(id, next))? {
            Answer::RecordBefore(found) => Ok(*found),
            other => unreachable!("an answer is of its question's kind, not {other:?}"),
        }
    }

    /// Header of the newest snapshot at `at_most` or before that was not refused.
    pub(crate) fn snapshot(&self, at_most: NextOffset) -> Result<Option<&Header>, Wish> {
        let at_most = match self.refused_from {
            Some(refused) => at_most.min(NextOffset(refused.0 - 1)),
            None => at_most,
        };
        match &self.snapshot {
            Some(found) => Ok(found.as_ref().map(|found| &found.0)),
            None => Err(Wish::Snapshot(at_most)),
        }
    }

    /// Versions of the weights, all at once; `None` each that is not there.
    pub(crate) fn models(&self, versions: &[ModelVersion]) -> Result<Vec<Option<Arc<Model>>>, Wish> {
        let unknown: Vec<_> = versions
            .iter()
            .copied()
            .filter(|version| !self.models.contains_key(version))
            .collect();
        if unknown.is_empty() {
            Ok(versions
                .iter()
                .map(|version| self.models[version].clone())
                .collect())
        } else {
            Err(Wish::Models(unknown))
        }
    }
}
