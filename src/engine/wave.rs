//! Rows of a wave on their way through the network, and the buffers they lie in.

use crate::engine::work::Work;
use crate::nn::{Network, Scratch, Shape};

/// Rows of a wave that go through the network together: what a step touches of them (about 15 KB each) stays in the
/// second-level cache between what comes before the network and what comes after it.
pub(crate) const WAVE_ROWS: usize = 32;

/// What a stream has to do for an observation: masked steps for what was left out, then the observation's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Place in the batch.
    pub(crate) entry: u32,
    /// Row of the stream.
    pub(crate) slot: u32,
    /// Index of the next step to run.
    pub(crate) step: u64,
    /// Masked steps still to run before the observation's own.
    pub(crate) masked: u32,
    /// Empty steps to pass over before the first masked one (a long gap).
    pub(crate) skipped: u64,
    /// Steps of the stream's past that its hidden state is to be made anew from; `None` where it is of the model's lineage.
    pub(crate) remake: Option<u32>,
    /// Whether a long gap ends here.
    pub(crate) stale: bool,
    /// Event time of the observation's tick.
    pub(crate) time_ms: i64,
    /// 0 = not known.
    pub(crate) interval_ms: i64,
    /// NaN = missing.
    pub(crate) value: f64,
}

impl Job {
    /// Event time and reading of the next step to run.
    pub(crate) fn next(&self) -> (i64, f64) {
        let back = self.interval_ms.saturating_mul(i64::from(self.masked));
        (
            self.time_ms.saturating_sub(back),
            if self.masked == 0 { self.value } else { f64::NAN },
        )
    }

    /// A step was run: whether another is left.
    pub(crate) const fn pass(&mut self) -> bool {
        if self.masked == 0 {
            return false;
        }
        self.masked -= 1;
        self.step += 1;
        self.skipped = 0;
        true
    }
}

/// What a row writes before the network.
#[derive(Debug)]
pub(crate) struct RowBuffers<'a> {
    /// (D).
    pub(crate) inputs: &'a mut [f32],
    /// (K,S).
    pub(crate) skips: &'a mut [f32],
    pub(crate) work: &'a mut Work,
}

/// What a row reads after the network.
#[derive(Debug)]
pub(crate) struct RowResults<'a> {
    /// (D).
    pub(crate) inputs: &'a [f32],
    /// (K,S).
    pub(crate) skips: &'a [f32],
    /// (`state_len`) after the step.
    pub(crate) state: &'a [f32],
    /// (K,Q) of the head.
    pub(crate) quantiles: &'a [f32],
    pub(crate) work: &'a mut Work,
}

/// Buffers of up to [`WAVE_ROWS`] rows; nothing in them outlives a step.
#[derive(Debug)]
pub(crate) struct Wave {
    /// Jobs still to run, in order of admission.
    pub(crate) jobs: Vec<Job>,
    /// (B,D).
    pub(crate) inputs: Vec<f32>,
    /// (`B,state_len`).
    pub(crate) state: Vec<f32>,
    /// (B,K,S).
    pub(crate) skips: Vec<f32>,
    /// (B,K,Q) of the head.
    pub(crate) quantiles: Vec<f32>,
    /// (B).
    pub(crate) work: Vec<Work>,
    pub(crate) scratch: Scratch,
    inputs_len: usize,
    state_len: usize,
    skips_len: usize,
    quantiles_len: usize,
}

impl Wave {
    pub(crate) fn new(shape: &Shape) -> Self {
        let inputs_len = shape.inputs;
        let state_len = shape.state_len();
        let skips_len = shape.horizons * shape.skips;
        let quantiles_len = shape.horizons * shape.quantiles.len();
        Self {
            jobs: Vec::with_capacity(WAVE_ROWS),
            inputs: vec![0.0; WAVE_ROWS * inputs_len],
            state: vec![0.0; WAVE_ROWS * state_len],
            skips: vec![0.0; WAVE_ROWS * skips_len],
            quantiles: vec![0.0; WAVE_ROWS * quantiles_len],
            work: vec![Work::default(); WAVE_ROWS],
            scratch: Scratch::new(shape, WAVE_ROWS),
            inputs_len,
            state_len,
            skips_len,
            quantiles_len,
        }
    }

    pub(crate) fn inputs_of(&mut self, row: usize) -> &mut [f32] {
        &mut self.inputs[row * self.inputs_len..(row + 1) * self.inputs_len]
    }

    pub(crate) fn state_of(&mut self, row: usize) -> &mut [f32] {
        &mut self.state[row * self.state_len..(row + 1) * self.state_len]
    }

    /// What a row writes before the network.
    pub(crate) fn buffers(&mut self, row: usize) -> RowBuffers<'_> {
        RowBuffers {
            inputs: &mut self.inputs[row * self.inputs_len..(row + 1) * self.inputs_len],
            skips: &mut self.skips[row * self.skips_len..(row + 1) * self.skips_len],
            work: &mut self.work[row],
        }
    }

    /// What a row reads after the network.
    pub(crate) fn results(&mut self, row: usize) -> RowResults<'_> {
        RowResults {
            inputs: &self.inputs[row * self.inputs_len..(row + 1) * self.inputs_len],
            skips: &self.skips[row * self.skips_len..(row + 1) * self.skips_len],
            state: &self.state[row * self.state_len..(row + 1) * self.state_len],
            quantiles: &self.quantiles[row * self.quantiles_len..(row + 1) * self.quantiles_len],
            work: &mut self.work[row],
        }
    }

    /// One step of the cell for the first `rows` rows.
    pub(crate) fn step(&mut self, network: &Network, rows: usize) {
        let inputs = &self.inputs[..rows * self.inputs_len];
        let state = &mut self.state[..rows * self.state_len];
        network.step(rows, inputs, state, &mut self.scratch);
    }

    /// The head for the first `rows` rows.
    pub(crate) fn head(&mut self, network: &Network, rows: usize) {
        let state = &self.state[..rows * self.state_len];
        let skips = &self.skips[..rows * self.skips_len];
        let quantiles = &mut self.quantiles[..rows * self.quantiles_len];
        network.head(rows, state, skips, quantiles, &mut self.scratch);
    }
}
