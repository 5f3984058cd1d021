//! What must be kept of a partition's batch beside the engine's own rows: refused observations, and the bytes of their
//! messages. Buffers are reused: nothing is allocated once they have grown.

use std::ops::Range;

use crate::codec::Reason;
use crate::series::observation::{Offset, Source};
use crate::worker::ports::Record;

/// A message's bytes in the arena.
#[derive(Clone, Debug)]
struct Kept {
    offset: Offset,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    /// Into `Batch::headers`.
    headers: Range<usize>,
}

/// A refused observation.
#[derive(Clone, Debug)]
struct Refused {
    source: Source,
    reason: Reason,
    sentence: Range<usize>,
    /// Observations of the batch admitted before it: its place in the batch's order.
    after: usize,
    message: usize,
}

/// A kept message, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    batch: &'a Batch,
    kept: &'a Kept,
}

/// A refused observation, borrowed.
pub(crate) struct Refusal<'a> {
    pub(crate) source: Source,
    pub(crate) reason: Reason,
    pub(crate) sentence: &'a str,
    pub(crate) message: Message<'a>,
}

/// One partition's batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    sentences: String,
    headers: Vec<(Range<usize>, Option<Range<usize>>)>,
    messages: Vec<Kept>,
    refused: Vec<Refused>,
    /// Observations handed to the engine.
    pub(crate) admitted: usize,
    /// Records in hand, whether they held an observation or not.
    pub(crate) records: u64,
}

impl Batch {
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes held: a turn ends when they become many.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sentences.clear();
        self.headers.clear();
        self.messages.clear();
        self.refused.clear();
        self.admitted = 0;
        self.records = 0;
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Keeps a message's bytes, once however often it is asked for.
    pub(crate) fn keep(&mut self, record: &Record<'_>) {
        if self
            .messages
            .last()
            .is_some_and(|kept| kept.offset == record.offset)
        {
            return;
        }
        let key = record.key.map(|bytes| self.copy(bytes));
        let value = record.value.map(|bytes| self.copy(bytes));
        let first = self.headers.len();
        for index in 0..record.headers.count() {
            let (name, bytes) = record.headers.get(index);
            let name = self.copy(name.as_bytes());
            let bytes = bytes.map(|bytes| self.copy(bytes));
            self.headers.push((name, bytes));
        }
        self.messages.push(Kept {
            offset: record.offset,
            key,
            value,
            headers: first..self.headers.len(),
        });
    }

    /// Notes a refused observation of `record`.
    pub(crate) fn refuse(&mut self, record: &Record<'_>, source: Source, reason: Reason, sentence: &str) {
        self.keep(record);
        let start = self.sentences.len();
        self.sentences.push_str(sentence);
        self.refused.push(Refused {
            source,
            reason,
            sentence: start..self.sentences.len(),
            after: self.admitted,
            message: self.messages.len() - 1,
        });
    }

    /// Admitted and refused ones.
    pub(crate) const fn observations(&self) -> usize {
        self.admitted + self.refused.len()
    }

    /// Refused observations in order.
    pub(crate) fn refusal(&self, index: usize) -> Option<(usize, Refusal<'_>)> {
        let refused = self.refused.get(index)?;
        let refusal = Refusal {
            source: refused.source,
            reason: refused.reason,
            sentence: &self.sentences[refused.sentence.clone()],
            message: Message {
                batch: self,
                kept: &self.messages[refused.message],
            },
        };
        Some((refused.after, refusal))
    }

    /// The kept message at `offset`.
    pub(crate) fn message(&self, offset: Offset) -> Option<Message<'_>> {
        let index = self
            .messages
            .binary_search_by_key(&offset, |kept| kept.offset)
            .ok()?;
        Some(Message {
            batch: self,
            kept: &self.messages[index],
        })
    }
}

impl<'a> Message<'a> {
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        Some(&self.batch.bytes[self.kept.key.clone()?])
    }

    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        Some(&self.batch.bytes[self.kept.value.clone()?])
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let batch = self.batch;
        batch.headers[self.kept.headers.clone()]
            .iter()
            .map(|(name, value)| {
                let name = std::str::from_utf8(&batch.bytes[name.clone()]).expect("copied from a str");
                let value = value.clone().map(|value| &batch.bytes[value]);
                (name, value)
            })
    }
}
