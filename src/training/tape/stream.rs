//! One stream's blocks on the tape.

use std::collections::VecDeque;

use crate::engine::TapeChunk;
use crate::nn::Batch;
use crate::training::tape::block::{Block, Layout};

/// One stream's blocks, oldest first: `material`, then fresh ones up to `ready`, then those that wait for targets. Targets
/// of far horizons are revealed later, where the block is by then.
#[derive(Debug)]
pub(crate) struct Stream {
    key: u64,
    /// The tape's time of its newest row.
    seen_at: u64,
    /// Step of its newest row, taken or not.
    newest_step: Option<i64>,
    blocks: VecDeque<Block>,
    /// Leading blocks that are material. Invariant: at most `ready`.
    material: usize,
    /// Leading blocks whose targets of near horizons are settled. Invariant: at most `blocks.len()`, all of them closed.
    ready: usize,
    /// Leading blocks whose every target is settled. Invariant: at most `ready`.
    settled: usize,
}

impl Stream {
    pub(crate) fn new(key: u64, now: u64) -> Self {
        Self {
            key,
            seen_at: now,
            newest_step: None,
            blocks: VecDeque::new(),
            material: 0,
            ready: 0,
            settled: 0,
        }
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn seen_at(&self) -> u64 {
        self.seen_at
    }

    pub(crate) fn rows(&self) -> usize {
        self.blocks.iter().map(|block| block.rows).sum()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn into_blocks(self) -> impl Iterator<Item = Block> {
        self.blocks.into_iter()
    }

    /// Blocks of material.
    pub(crate) fn material(&self) -> usize {
        self.material
    }

    pub(crate) fn material_rows(&self) -> usize {
        self.blocks.range(..self.material).map(|block| block.rows).sum()
    }

    /// Blocks that wait to be scored.
    pub(crate) fn fresh(&self) -> usize {
        self.ready - self.material
    }

    /// A reading at `step`: reveals the targets it is the truth of, ends the run where `step` does not follow.
    pub(crate) fn observe(&mut self, layout: &Layout, step: i64, observed: f64, now: u64) {
        self.seen_at = now;
        let is_restart = self.newest_step.is_some_and(|newest| step <= newest);
        self.newest_step = Some(step);
        if is_restart {
            for block in self.blocks.range_mut(self.settled..) {
                block.closed = true;
                block.open = false;
            }
        } else {
            if !self.is_followed_by(step) {
                self.close();
            }
            for (k, &horizon) in layout.horizons.iter().enumerate() {
                self.reveal(layout, step - i64::from(horizon), k, observed);
            }
        }
        self.ready = self.settled_after(self.ready, layout.near_max(), step);
        self.settled = self.settled_after(self.settled, layout.horizon_max(), step);
    }

    fn reveal(&mut self, layout: &Layout, origin: i64, k: usize, observed: f64) {
        // Blocks of this grid are in the order of their steps; those of an earlier one are settled.
        for block in self.blocks.range_mut(self.settled..).rev() {
            if !block.open || origin >= block.next_step() {
                return; // an earlier grid, or a step that was never served
            }
            if origin >= block.first_step {
                block.reveal(layout, origin, k, observed);
                return;
            }
        }
    }

    /// Leading blocks of which nothing is awaited any more up to `horizon`; at least `from`.
    fn settled_after(&self, from: usize, horizon: i64, newest_step: i64) -> usize {
        let is_settled =
            |block: &&Block| block.closed && (!block.open || block.next_step() - 1 + horizon <= newest_step);
        from + self.blocks.range(from..).take_while(is_settled).count()
    }

    /// Ends the run: the next row begins a block of its own.
    pub(crate) fn close(&mut self) {
        if let Some(block) = self.blocks.back_mut() {
            block.closed = true;
        }
    }

    /// Whether a row at `step` is the one after the newest row kept.
    pub(crate) fn is_followed_by(&self, step: i64) -> bool {
        self.blocks
            .back()
            .is_some_and(|block| block.open && block.next_step() == step)
    }

    /// Whether a row at `step` has no place in the last block.
    pub(crate) fn needs_block(&self, step: i64) -> bool {
        !self.is_followed_by(step) || self.blocks.back().is_none_or(|block| block.closed)
    }

    pub(crate) fn begin(&mut self, block: Block) {
        self.blocks.push_back(block);
    }

    pub(crate) fn push(&mut self, layout: &Layout, chunk: &TapeChunk, n: usize) {
        let block = self.blocks.back_mut().expect("a block was begun for the row");
        block.push(layout, chunk, n);
    }

    /// Gives its oldest block away, but never its last.
    pub(crate) fn forget_oldest(&mut self) -> Option<Block> {
        if self.blocks.len() < 2 {
            return None;
        }
        self.material = self.material.saturating_sub(1);
        self.ready = self.ready.saturating_sub(1);
        self.settled = self.settled.saturating_sub(1);
        let oldest = self.blocks.pop_front();
        if let Some(next) = self.blocks.front_mut() {
            next.continues = false;
        }
        oldest
    }

    /// The oldest fresh block (index, rows), material from now on.
    pub(crate) fn take_fresh(&mut self) -> Option<(usize, usize)> {
        if self.material == self.ready {
            return None;
        }
        self.material += 1;
        Some((self.material - 1, self.blocks[self.material - 1].rows))
    }

    /// A segment of material that starts in `block` at `from` or before: (from, rows).
    pub(crate) fn segment(&self, layout: &Layout, block: usize, from: usize) -> (usize, usize) {
        let has_next = block + 1 < self.material && self.blocks[block + 1].continues;
        let rows = self.blocks[block].rows;
        if !has_next || from >= rows {
            return (0, rows);
        }
        let rest = self.blocks[block + 1].rows;
        (from, (rows - from + rest).min(layout.steps))
    }

    /// Copies the segment (block, from, rows) to column `b`.
    pub(crate) fn copy(&self, layout: &Layout, segment: (usize, usize, usize), batch: &mut Batch, b: usize) {
        let (index, from, rows) = segment;
        let block = &self.blocks[index];
        let here = rows.min(block.rows - from);
        block.copy_state(layout, from, batch, b);
        block.copy_rows(layout, from..from + here, batch, (0, b));
        if rows > here {
            self.blocks[index + 1].copy_rows(layout, 0..rows - here, batch, (here, b));
        }
    }

    pub(crate) fn forget_states(&mut self) {
        self.blocks.iter_mut().for_each(Block::forget_states);
    }
}
