//! Copying a partition's rows while it goes on.

use std::collections::VecDeque;

use crate::engine::index::{Index, VACANT};
use crate::engine::slab::Slab;
use crate::engine::snapshot::{BLOCK_ROWS, Block, Dims, Header};
use crate::engine::{Clock, PartitionState};
use crate::series::observation::{NextOffset, Partition};

/// Slots that a word of `left` stands for.
const WORD_SLOTS: usize = u64::BITS as usize;

/// Tests with few rows make several blocks of them.
#[cfg(test)]
pub(crate) mod tests_only {
    use std::cell::Cell;

    use super::BLOCK_ROWS;

    thread_local! {
        pub(crate) static ROWS_PER_BLOCK: Cell<usize> = const { Cell::new(BLOCK_ROWS) };
    }
}

/// Rows of a full block.
fn rows_per_block() -> usize {
    #[cfg(test)]
    return tests_only::ROWS_PER_BLOCK.get();
    #[cfg(not(test))]
    BLOCK_ROWS
}

/// Rows copied and still to be copied. At most every row of the partition waits here once, where nobody takes blocks.
#[derive(Debug)]
pub(crate) struct Capture {
    clock: Clock,
    streams: usize,
    /// (slots) when the capture began; those beyond began later.
    seen_ms: Vec<i64>,
    /// (slots) one bit each: not copied yet.
    left: Vec<u64>,
    left_count: usize,
    /// No slot before it is left.
    cursor: usize,
    filling: Option<Block>,
    full: VecDeque<Block>,
    empty: Vec<Block>,
}

impl Capture {
    fn new(index: &Index, clock: Clock) -> Self {
        let seen_ms = index.seen_ms().to_vec();
        let bits = |slots: &[i64]| {
            let set = |(bit, &seen_ms): (usize, &i64)| u64::from(seen_ms != VACANT) << bit;
            slots.iter().enumerate().map(set).fold(0, |all, one| all | one)
        };
        Self {
            clock,
            streams: index.len(),
            left: seen_ms.chunks(WORD_SLOTS).map(bits).collect(),
            left_count: index.len(),
            seen_ms,
            cursor: 0,
            filling: None,
            full: VecDeque::new(),
            empty: Vec::new(),
        }
    }

    /// Whether the row at `slot` is to be copied.
    pub(crate) fn is_left(&self, slot: usize) -> bool {
        let word = self.left.get(slot / WORD_SLOTS);
        word.is_some_and(|bits| (bits >> (slot % WORD_SLOTS)) & 1 == 1)
    }

    /// Copies the row at `slot`, which is left.
    fn copy(&mut self, slot: usize, index: &Index, slab: &Slab) {
        self.left[slot / WORD_SLOTS] &= !(1 << (slot % WORD_SLOTS));
        self.left_count -= 1;
        let row = slab.row(slot);
        let empty = &mut self.empty;
        let block = self
            .filling
            .get_or_insert_with(|| empty.pop().unwrap_or_else(|| Block::new(row.len())));
        block.push(index.id(slot), self.seen_ms[slot], row);
        if block.len() == rows_per_block() {
            self.full.extend(self.filling.take());
        }
    }

    /// The next slot that is left, from the cursor on.
    fn next_left(&mut self) -> Option<usize> {
        while self.cursor < self.seen_ms.len() {
            let word = self.cursor / WORD_SLOTS;
            let bits = self.left[word] >> (self.cursor % WORD_SLOTS);
            if bits != 0 {
                self.cursor += bits.trailing_zeros() as usize;
                return Some(self.cursor);
            }
            self.cursor = (word + 1) * WORD_SLOTS;
        }
        None
    }

    fn take_block(&mut self) -> Option<Block> {
        let last = || self.filling.take_if(|_| self.left_count == 0);
        self.full.pop_front().or_else(last)
    }

    fn is_done(&self) -> bool {
        self.left_count == 0 && self.full.is_empty() && self.filling.is_none()
    }
}

impl PartitionState {
    /// Begins to copy the state as it is now for a snapshot; one that was on is given up.
    ///
    /// # Panics
    /// Where observations are admitted but not stepped: the state would be that of no offset.
    pub fn begin_capture(&mut self) {
        assert_eq!(self.batch.waiting(), 0, "a capture begins between steps");
        self.capture = Some(Box::new(Capture::new(&self.index, self.clock)));
    }

    /// Whether a capture is on, complete or not.
    #[must_use]
    pub const fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    /// What the engine knows of the capture's header: `fingerprint`, `streams`, `dims` and `clock`; the rest is empty and
    /// for the caller to fill in.
    ///
    /// # Panics
    /// Where no capture is on.
    #[must_use]
    pub fn capture_header(&self) -> Header {
        let capture = self.capture.as_ref().expect("a header is of a capture");
        Header {
            cluster: String::new(),
            topic: String::new(),
            partition: Partition(0),
            next: NextOffset(0),
            switch_log: String::new(),
            anchor: None,
            fingerprint: self.setup.fingerprint,
            made_by: String::new(),
            streams: capture.streams as u64,
            dims: Dims::of(&self.setup.layout),
            clock: capture.clock,
        }
    }

    /// Copies up to `rows` further rows. Does nothing where no capture is on.
    pub fn capture(&mut self, rows: usize) {
        let Some(capture) = &mut self.capture else {
            return;
        };
        for _ in 0..rows {
            let Some(slot) = capture.next_left() else {
                return;
            };
            capture.copy(slot, &self.index, &self.slab);
        }
    }

    /// A full block, or the last one; `None` until there is one. Blocks that nobody takes stay in memory: at most a copy of
    /// the partition.
    pub fn take_block(&mut self) -> Option<Block> {
        self.capture.as_mut()?.take_block()
    }

    /// Whether every row of the capture is copied and every block taken.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.is_done())
    }

    /// Takes back the memory of a block; dropped where no capture is on.
    pub fn give_back(&mut self, mut empty: Block) {
        if let Some(capture) = &mut self.capture {
            empty.clear();
            capture.empty.push(empty);
        }
    }

    /// Ends the capture, complete or given up.
    pub fn end_capture(&mut self) {
        self.capture = None;
    }

    /// The row at `slot` is about to change: copies it first where a capture wants it as it is.
    pub(crate) fn copy_first(&mut self, slot: usize) {
        if let Some(capture) = &mut self.capture
            && capture.is_left(slot)
        {
            capture.copy(slot, &self.index, &self.slab);
        }
    }
}
