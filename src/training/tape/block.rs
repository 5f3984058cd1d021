//! A block of the tape: at most T consecutive steps of one stream, as served.

use std::ops::Range;

use crate::engine::{TapeChunk, TapeDims};
use crate::nn::Batch;

/// Errors beyond this many units are outliers or a unit that was far too small; the recipe's clip.
const TARGET_MAX: f64 = 15.0;

/// What every block of a tape shares.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Widths: D, K, S, state.
    pub(crate) dims: TapeDims,
    /// T, the rows of a full block.
    pub(crate) steps: usize,
    /// Rows between stored states. Invariant: divides `steps`. Every state would cost a quarter of the tape, and a
    /// start every eighth row gives segments enough variety.
    pub(crate) stride: usize,
    /// (K) scored horizons in steps, ascending.
    pub(crate) horizons: Vec<u32>,
}

impl Layout {
    pub(crate) fn new(dims: TapeDims, steps: usize, horizons: &[u32]) -> Self {
        let stride = [8, 4, 2]
            .into_iter()
            .find(|s| steps.is_multiple_of(*s))
            .unwrap_or(1);
        Self {
            dims,
            steps,
            stride,
            horizons: horizons.to_vec(),
        }
    }

    /// Steps after which nothing of a row is awaited any more.
    pub(crate) fn horizon_max(&self) -> i64 {
        i64::from(self.horizons.last().copied().unwrap_or(0))
    }

    /// Steps after which a block is scored and drawn from: by the farthest horizon of at most T steps, or by the nearest one
    /// where all are farther. Waiting for the farthest of all would leave out the newest days where horizons are long.
    pub(crate) fn near_max(&self) -> i64 {
        let near = |h: &&u32| **h as usize <= self.steps;
        let farthest = self.horizons.iter().rfind(near).or(self.horizons.first());
        i64::from(farthest.copied().unwrap_or(0))
    }

    /// Bytes of a block's buffers and of the block itself.
    pub(crate) fn block_bytes(&self) -> usize {
        let TapeDims {
            inputs,
            horizons,
            skips,
            state,
        } = self.dims;
        let f32s = self.steps * (inputs + horizons * skips + 3 * horizons) + self.steps / self.stride * state;
        4 * f32s + 8 * self.steps * horizons + size_of::<Block>()
    }
}

/// At most T consecutive steps of one stream. Buffers are full-size from the start; rows at or past `rows` are stale.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Step index of row 0.
    pub(crate) first_step: i64,
    /// Rows filled.
    pub(crate) rows: usize,
    /// Whether row 0 is the step after the last row of the stream's block before this one.
    pub(crate) continues: bool,
    /// Whether it takes no further row.
    pub(crate) closed: bool,
    /// Whether targets may still be revealed. False once the grid was restarted: steps mean something else then.
    pub(crate) open: bool,
    /// (T,D).
    inputs: Vec<f32>,
    /// (T,K,S).
    skips: Vec<f32>,
    /// (T,K) in units; NaN = not (yet) revealed, missing, or not in service.
    targets: Vec<f32>,
    /// (T,K) loss weights.
    weights: Vec<f32>,
    /// (T/stride, state) before the step.
    states: Vec<f32>,
    /// (T,K) original units; NaN = no target will be revealed.
    centre: Vec<f64>,
    /// (T,K) original units.
    unit: Vec<f32>,
}

impl Block {
    pub(crate) fn new(layout: &Layout) -> Self {
        let TapeDims {
            inputs,
            horizons,
            skips,
            state,
        } = layout.dims;
        let steps = layout.steps;
        Self {
            first_step: 0,
            rows: 0,
            continues: false,
            closed: false,
            open: true,
            inputs: vec![0.0; steps * inputs],
            skips: vec![0.0; steps * horizons * skips],
            targets: vec![f32::NAN; steps * horizons],
            weights: vec![0.0; steps * horizons],
            states: vec![0.0; steps / layout.stride * state],
            centre: vec![f64::NAN; steps * horizons],
            unit: vec![1.0; steps * horizons],
        }
    }

    /// Empties a used block for a run of its own.
    pub(crate) fn restart(&mut self, first_step: i64, continues: bool) {
        self.first_step = first_step;
        self.rows = 0;
        self.continues = continues;
        self.closed = false;
        self.open = true;
    }

    /// The step after its last row.
    pub(crate) fn next_step(&self) -> i64 {
        self.first_step + self.rows as i64
    }

    /// Appends row `n` of `chunk`, without targets.
    pub(crate) fn push(&mut self, layout: &Layout, chunk: &TapeChunk, n: usize) {
        assert!(!self.closed, "a closed block takes no row");
        let TapeDims {
            inputs,
            horizons,
            skips,
            state,
        } = layout.dims;
        let row = self.rows;
        put(&mut self.inputs, row, &chunk.inputs, n, inputs);
        put(&mut self.skips, row, &chunk.skips, n, horizons * skips);
        put(&mut self.weights, row, &chunk.weight, n, horizons);
        put(&mut self.centre, row, &chunk.centre, n, horizons);
        put(&mut self.unit, row, &chunk.unit, n, horizons);
        if row.is_multiple_of(layout.stride) {
            put(&mut self.states, row / layout.stride, &chunk.state, n, state);
        }
        let (from, to) = (row * horizons, (row + 1) * horizons);
        self.targets[from..to].fill(f32::NAN);
        if !chunk.in_service[n] {
            self.centre[from..to].fill(f64::NAN);
        }
        self.rows += 1;
        self.closed = self.rows == layout.steps;
    }

    /// `observed` is the truth of horizon `k` of the row at `step`.
    pub(crate) fn reveal(&mut self, layout: &Layout, step: i64, k: usize, observed: f64) {
        let row = (step - self.first_step) as usize;
        assert!(row < self.rows, "only rows that were served have targets");
        let at = row * layout.dims.horizons + k;
        let target = (observed - self.centre[at]) / f64::from(self.unit[at]);
        // NaN stays NaN: missing readings, rows that were not in service.
        self.targets[at] = target.clamp(-TARGET_MAX, TARGET_MAX) as f32;
    }

    /// Zeroes the stored states: they came from weights of another lineage.
    pub(crate) fn forget_states(&mut self) {
        self.states.fill(0.0);
    }

    /// Copies `rows` to the steps from `at.0` on of column `at.1`.
    pub(crate) fn copy_rows(
        &self,
        layout: &Layout,
        rows: Range<usize>,
        batch: &mut Batch,
        at: (usize, usize),
    ) {
        let TapeDims {
            inputs,
            horizons,
            skips,
            ..
        } = layout.dims;
        let (first, column) = at;
        for (t, row) in rows.enumerate() {
            let place = (first + t) * batch.rows + column;
            put(&mut batch.inputs, place, &self.inputs, row, inputs);
            put(&mut batch.skips, place, &self.skips, row, horizons * skips);
            put(&mut batch.targets, place, &self.targets, row, horizons);
            put(&mut batch.weights, place, &self.weights, row, horizons);
        }
    }

    /// Copies the state before row `from`, a multiple of the stride, to column `b`.
    pub(crate) fn copy_state(&self, layout: &Layout, from: usize, batch: &mut Batch, b: usize) {
        assert!(
            from.is_multiple_of(layout.stride),
            "states are stored every stride"
        );
        put(
            &mut batch.state,
            b,
            &self.states,
            from / layout.stride,
            layout.dims.state,
        );
    }
}

/// Copies element `n` of `from` to element `to_n` of `to`, elements of `width`.
fn put<T: Copy>(to: &mut [T], to_n: usize, from: &[T], n: usize, width: usize) {
    to[to_n * width..(to_n + 1) * width].copy_from_slice(&from[n * width..(n + 1) * width]);
}
