//! What the trainer learns from: rows of the network's inputs, exactly as they were served.

use crate::nn::Shape;

/// Widths of a tape's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapeDims {
    /// D.
    pub inputs: usize,
    /// K.
    pub horizons: usize,
    /// S, per horizon.
    pub skips: usize,
    /// `Shape::state_len`.
    pub state: usize,
}

impl TapeDims {
    /// Of the rows that a network of this shape learns from.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        Self {
            inputs: shape.inputs,
            horizons: shape.horizons,
            skips: shape.skips,
            state: shape.state_len(),
        }
    }
}

/// Rows of many streams in the order they were served. N is [`TapeChunk::len`]; every buffer is allocated once.
#[derive(Clone, Debug)]
pub struct TapeChunk {
    /// Widths.
    pub dims: TapeDims,
    /// (N) key of the stream: a hash of pipeline topic, partition and id.
    pub stream: Vec<u64>,
    /// (N) step index of the stream's grid. A jump of more than 1 is a gap (advanced in one masked step); a step that
    /// is not above the one before means that the stream's grid was restarted.
    pub step: Vec<i64>,
    /// (N) version that served the row.
    pub model_version: Vec<u64>,
    /// (N) original units; NaN = missing.
    pub observed: Vec<f64>,
    /// (N,D) recurrent inputs of the step.
    pub inputs: Vec<f32>,
    /// (N,K,S) skip inputs of the step.
    pub skips: Vec<f32>,
    /// (N,state) hidden state **before** the step.
    pub state: Vec<f32>,
    /// (N,K) the classical mix m1 of this origin, original units: the target of horizon b is
    /// (observed at step + b − centre) / unit.
    pub centre: Vec<f64>,
    /// (N,K) the classical scale s, original units, above 0.
    pub unit: Vec<f32>,
    /// (N,K) loss weight s/vL, clipped to .25..=3.
    pub weight: Vec<f32>,
    /// (N) false in a stream's first min(2m, 100) steps: such rows are no targets' origin.
    pub in_service: Vec<bool>,
    /// What some of the streams have learnt, one after the other ([`crate::engine::priors`]).
    pub learnt: Vec<f32>,
    /// How many streams' that is; at most [`LEARNT_MAX`].
    pub learnt_count: usize,
    /// What these values are of.
    pub learnt_form: u64,
    capacity: usize,
}

/// A row to be put on the tape, borrowed from a wave.
#[derive(Clone, Copy, Debug)]
pub struct TapeRow<'a> {
    /// As the fields of [`TapeChunk`], one row.
    pub stream: u64,
    /// Step index.
    pub step: i64,
    /// Version that served it.
    pub model_version: u64,
    /// Original units; NaN = missing.
    pub observed: f64,
    /// (D).
    pub inputs: &'a [f32],
    /// (K,S).
    pub skips: &'a [f32],
    /// (state) before the step.
    pub state: &'a [f32],
    /// (K).
    pub centre: &'a [f64],
    /// (K).
    pub unit: &'a [f32],
    /// (K).
    pub weight: &'a [f32],
    /// Past the stream's first steps.
    pub in_service: bool,
}

impl TapeChunk {
    /// An empty chunk with room for `rows_max` rows.
    #[must_use]
    pub fn new(dims: TapeDims, rows_max: usize) -> Self {
        Self {
            dims,
            stream: Vec::with_capacity(rows_max),
            step: Vec::with_capacity(rows_max),
            model_version: Vec::with_capacity(rows_max),
            observed: Vec::with_capacity(rows_max),
            inputs: Vec::with_capacity(rows_max * dims.inputs),
            skips: Vec::with_capacity(rows_max * dims.horizons * dims.skips),
            state: Vec::with_capacity(rows_max * dims.state),
            centre: Vec::with_capacity(rows_max * dims.horizons),
            unit: Vec::with_capacity(rows_max * dims.horizons),
            weight: Vec::with_capacity(rows_max * dims.horizons),
            in_service: Vec::with_capacity(rows_max),
            learnt: Vec::new(),
            learnt_count: 0,
            learnt_form: 0,
            capacity: rows_max,
        }
    }

    /// Rows it holds (N).
    #[must_use]
    pub const fn len(&self) -> usize {
        self.stream.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.stream.is_empty()
    }

    /// Whether no row fits any more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.stream.len() >= self.capacity
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        self.stream.clear();
        self.step.clear();
        self.model_version.clear();
        self.observed.clear();
        self.inputs.clear();
        self.skips.clear();
        self.state.clear();
        self.centre.clear();
        self.unit.clear();
        self.weight.clear();
        self.in_service.clear();
        self.learnt.clear();
        self.learnt_count = 0;
    }

    /// Appends a row.
    ///
    /// # Panics
    /// Where the chunk is full or a width differs from [`TapeChunk::dims`].
    pub fn push(&mut self, row: &TapeRow<'_>) {
        let TapeDims {
            inputs,
            horizons,
            skips,
            state,
        } = self.dims;
        assert!(!self.is_full(), "a full chunk takes no row");
        assert_eq!(
            (
                row.inputs.len(),
                row.skips.len(),
                row.state.len(),
                row.centre.len(),
                row.unit.len(),
                row.weight.len()
            ),
            (inputs, horizons * skips, state, horizons, horizons, horizons),
            "widths of a tape row"
        );
        self.stream.push(row.stream);
        self.step.push(row.step);
        self.model_version.push(row.model_version);
        self.observed.push(row.observed);
        self.inputs.extend_from_slice(row.inputs);
        self.skips.extend_from_slice(row.skips);
        self.state.extend_from_slice(row.state);
        self.centre.extend_from_slice(row.centre);
        self.unit.extend_from_slice(row.unit);
        self.weight.extend_from_slice(row.weight);
        self.in_service.push(row.in_service);
    }
}

/// Rows of a chunk: at 120 to 200 f32 a row some 600 KB; smaller ones cost hand-overs, larger ones delay learning.
pub const TAPE_CHUNK_ROWS: usize = 1024;
/// Learnt states in a chunk at most: of streams in step a 64th are due at once, more are left out.
pub const LEARNT_MAX: usize = 32;
/// Chunks that an engine starts with; with none left, rows are dropped and counted.
pub const TAPE_CHUNKS: usize = 3;

/// Tests with few rows make several chunks of them.
#[cfg(test)]
pub(crate) mod tests_only {
    use std::cell::Cell;

    use super::TAPE_CHUNK_ROWS;

    thread_local! {
        pub(crate) static ROWS_PER_CHUNK: Cell<usize> = const { Cell::new(TAPE_CHUNK_ROWS) };
    }
}

/// Rows of a full chunk.
pub(crate) fn rows_per_chunk() -> usize {
    #[cfg(test)]
    return tests_only::ROWS_PER_CHUNK.get();
    #[cfg(not(test))]
    TAPE_CHUNK_ROWS
}

/// The chunks of an engine: one is being filled, full ones wait to be taken, empty ones wait to be filled.
#[derive(Debug)]
pub struct TapeBuffer {
    filling: Option<TapeChunk>,
    full: Vec<TapeChunk>,
    empty: Vec<TapeChunk>,
    chunks: usize,
    dropped: u64,
    suppressed: bool,
}

impl TapeBuffer {
    /// `chunks` empty chunks of `rows_max` rows; 0 chunks = no tape.
    #[must_use]
    pub fn new(dims: TapeDims, rows_max: usize, chunks: usize) -> Self {
        let mut empty = Vec::with_capacity(chunks);
        empty.extend((0..chunks).map(|_| TapeChunk::new(dims, rows_max)));
        Self {
            filling: None,
            full: Vec::with_capacity(chunks),
            empty,
            chunks,
            dropped: 0,
            suppressed: false,
        }
    }

    /// Rows that nobody has taken yet.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.filling.iter().chain(&self.full).map(TapeChunk::len).sum()
    }

    /// The oldest full chunk.
    pub fn take_full(&mut self) -> Option<TapeChunk> {
        if self.full.is_empty() {
            None
        } else {
            Some(self.full.remove(0))
        }
    }

    /// Counts the chunk that is being filled as full, where it holds rows: a slow pipeline learns all the same.
    pub fn cut(&mut self) {
        if let Some(chunk) = self.filling.take_if(|chunk| !chunk.is_empty()) {
            self.full.push(chunk);
        }
    }

    /// Takes back a chunk; its rows are forgotten. One more than there were is of an engine before this one, and goes.
    pub fn give_back(&mut self, mut chunk: TapeChunk) {
        if self.empty.len() < self.chunks {
            chunk.clear();
            self.empty.push(chunk);
        }
    }

    /// While true no row is taken (and none is counted as dropped): what is read again.
    pub const fn suppress(&mut self, suppressed: bool) {
        self.suppressed = suppressed;
    }

    /// Rows dropped for want of an empty chunk.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether rows are taken at all.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.suppressed
    }

    /// Takes what a stream has learnt along with the chunk that is being filled, if one is and has room for it.
    pub(crate) fn note_learnt(&mut self, form: u64, gather: impl FnOnce(&mut Vec<f32>)) {
        if let Some(chunk) = &mut self.filling
            && chunk.learnt_count < LEARNT_MAX
        {
            chunk.learnt_form = form;
            chunk.learnt_count += 1;
            gather(&mut chunk.learnt);
        }
    }

    /// Takes a row, or drops and counts it.
    pub(crate) fn push(&mut self, row: &TapeRow<'_>) {
        if self.suppressed {
            return;
        }
        if self.filling.is_none() {
            self.filling = self.empty.pop();
        }
        let Some(chunk) = &mut self.filling else {
            self.dropped += 1;
            return;
        };
        chunk.push(row);
        if chunk.is_full() {
            self.cut();
        }
    }
}
