//! The assigned partitions, and the one path of a record through them: decode, admit, step, publish.

use std::collections::BTreeMap;
use std::mem;

use crate::codec::{Decoded, Decoder, Message};
use crate::engine::Engine;
use crate::engine::snapshot::Anchor;
use crate::faults::{self, Mechanism, Point};
use crate::series::observation::{NextOffset, Offset};
use crate::worker::Config;
use crate::worker::ports::{Error, PartitionId, Record, Sink};
use crate::worker::publisher::{Publisher, Voice, as_u64};
use crate::worker::slot::{Cut, Slot};

/// A turn ends when so many bytes of messages are kept beside the engine: bounds memory where dead letters are many.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Partitions of one worker, and what steps them.
pub(crate) struct Crew<K> {
    pub(crate) engine: Engine,
    pub(crate) publisher: Publisher<K>,
    /// Ascending by id.
    pub(crate) slots: Vec<Slot>,
    /// By topic and partition: place in `slots`.
    index: Vec<Vec<Option<usize>>>,
    decoder: Decoder,
    drops: bool,
    /// Since the last turn's report.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) replayed: u64,
    kept: usize,
    /// Observations taken since everything in hand was settled, refused ones among them.
    observations: usize,
    observations_max: usize,
    /// Whose record is being decoded, stepped or published: to blame where that panics.
    pub(crate) busy: Option<PartitionId>,
    /// Up to where each partition's records are on the tape, also of those that were taken away: the trainer outlives a
    /// state.
    taped: BTreeMap<PartitionId, NextOffset>,
    /// Tape rows that went with an engine.
    pub(crate) tape_lost: u64,
}

impl<K: Sink> Crew<K> {
    pub(crate) fn new(config: &Config, sink: K) -> Self {
        Self {
            engine: Engine::new(config.engine.clone()),
            publisher: Publisher::new(config, sink),
            slots: Vec::new(),
            index: vec![Vec::new(); config.topics.len()],
            decoder: Decoder::new(config.input.clone()),
            drops: config.dead_letter_drops,
            records: 0,
            bytes: 0,
            replayed: 0,
            kept: 0,
            observations: 0,
            // What a record without an array holds is one: a turn of arrays does no more work than one of plain records.
            observations_max: config.turn_records_max,
            busy: None,
            taped: BTreeMap::new(),
            tape_lost: 0,
        }
    }

    /// Everything before it was put onto the tape by this process, of a log that ends at `end`: one that ends earlier than
    /// it did is another one, or has lost its newest records, and only what comes from now on is surely new.
    pub(crate) fn taped_until(&mut self, id: PartitionId, end: NextOffset) -> NextOffset {
        let Some(until) = self.taped.get_mut(&id) else {
            return NextOffset(0);
        };
        *until = end.min(*until);
        *until
    }

    /// After a panic: nothing that it may have left half-done is used again.
    pub(crate) fn renew(&mut self, config: &Config) {
        let tape = self.engine.tape();
        self.tape_lost += tape.dropped() + as_u64(tape.rows());
        self.engine = Engine::new(config.engine.clone());
        self.decoder = Decoder::new(config.input.clone());
    }

    /// Adds and removes partitions.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Vec<Slot>)) {
        change(&mut self.slots);
        self.slots.sort_by_key(|slot| slot.id);
        self.slots.dedup_by_key(|slot| slot.id);
        self.index.iter_mut().for_each(Vec::clear);
        for (place, slot) in self.slots.iter().enumerate() {
            let row = &mut self.index[slot.id.topic];
            let column = usize::try_from(slot.id.partition.0).expect("a partition's number is not negative");
            if row.len() <= column {
                row.resize(column + 1, None);
            }
            row[column] = Some(place);
        }
    }

    pub(crate) fn place(&self, id: PartitionId) -> Option<usize> {
        let column = usize::try_from(id.partition.0).ok()?;
        *self.index.get(id.topic)?.get(column)?
    }

    pub(crate) fn ids(&self) -> Vec<PartitionId> {
        self.slots.iter().map(|slot| slot.id).collect()
    }

    /// Whether a turn should take no more. One message may overshoot: it is taken whole.
    pub(crate) const fn is_laden(&self) -> bool {
        self.kept > KEPT_BYTES_MAX || self.observations >= self.observations_max
    }

    /// Takes one record. Invariant (I1): a record of a partition without state is never stepped.
    ///
    /// # Errors
    /// Where a cut made it publish, and that failed.
    pub(crate) fn take(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let Some(place) = self.place(record.partition) else {
            return Ok(());
        };
        let Some(open) = self.slots[place].open() else {
            return Ok(());
        };
        match open.cut(record.offset) {
            Cut::Seen => return Ok(()),
            Cut::None => {}
            Cut::Before => self.cut(place, record.offset)?,
        }
        self.busy = Some(record.partition);
        self.admit(place, record);
        self.busy = None;
        Ok(())
    }

    fn cut(&mut self, place: usize, offset: Offset) -> Result<(), Error> {
        self.settle(place)?;
        if let Some(open) = self.slots[place].open_mut() {
            open.adopt_due(offset);
        }
        Ok(())
    }

    fn admit(&mut self, place: usize, record: &Record<'_>) {
        let Self {
            engine,
            publisher,
            slots,
            decoder,
            drops,
            ..
        } = self;
        let Some(open) = slots[place].open_mut() else {
            return;
        };
        let voice = open.voice(record.offset);
        let kept_before = open.batch.bytes();
        let observations_before = open.batch.observations();
        let admitted_before = open.batch.admitted;
        if *drops && voice == Voice::Speaking {
            open.batch.keep(record);
        }
        let message = Message {
            key: record.key,
            value: record.value,
            timestamp_ms: record.timestamp_ms,
            offset: record.offset,
        };
        decoder.decode(&message, &mut |decoded| match decoded {
            Decoded::Observation(observation) => {
                open.batch.admitted += 1;
                engine.admit(&mut open.state, observation);
            }
            Decoded::Refused {
                source,
                reason,
                message,
            } => open.batch.refuse(record, source, reason, message),
        });
        open.batch.records += 1;
        if open.batch.admitted > admitted_before || !faults::is_off(Mechanism::DeadLetterOffset) {
            open.position = record.offset.next();
        }
        open.anchor = Some(Anchor {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        });
        self.kept += open.batch.bytes() - kept_before;
        let observations = open.batch.observations() - observations_before;
        self.observations += observations;
        if voice == Voice::Warmup && slots[place].warm_up(record.offset) {
            // In no transaction, so it is final as it is read.
            publisher.outcomes.muted += as_u64(observations);
        }
        self.records += 1;
        self.replayed += u64::from(voice == Voice::Replay);
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.bytes += as_u64(bytes);
    }

    /// Steps what a partition has in hand and publishes the outcomes.
    fn settle(&mut self, place: usize) -> Result<(), Error> {
        let Self {
            engine,
            publisher,
            slots,
            taped,
            ..
        } = self;
        let slot = &mut slots[place];
        let id = slot.id;
        let Some(open) = slot.open_mut() else {
            return Ok(());
        };
        if open.batch.is_empty() {
            return Ok(());
        }
        self.busy = Some(id);
        let voice = open.batch_voice();
        let mut batch = mem::take(&mut open.batch);
        let is_new = open.batch_is_new_to_tape();
        engine.tape().suppress(!is_new);
        // What is not published need not be worked out.
        open.state.thin(open.thin || voice != Voice::Speaking);
        let published = if batch.admitted > 0 {
            let outcomes = engine.step(&mut open.state);
            if is_new {
                taped.insert(id, open.position);
            }
            if voice == Voice::Replay {
                faults::point(Point::Replay);
            }
            publisher.publish(id, voice, &batch, Some(&outcomes))
        } else {
            publisher.publish(id, voice, &batch, None)
        };
        batch.clear();
        open.batch = batch;
        self.busy = None;
        published
    }

    /// Steps and publishes everything in hand.
    ///
    /// # Errors
    /// As of the sink.
    pub(crate) fn settle_all(&mut self) -> Result<(), Error> {
        for place in 0..self.slots.len() {
            self.settle(place)?;
        }
        self.kept = 0;
        self.observations = 0;
        Ok(())
    }
}
