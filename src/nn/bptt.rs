//! Truncated back-propagation through time with carried state.

use super::{Batch, Loss, Params, Shape};

/// Buffers of one trainer for batches of up to `steps_max` x `rows_max`; allocates nothing after `new`.
#[derive(Debug)]
pub struct Bptt<F = f32> {
    state_after: Vec<F>,
}

impl Bptt<f32> {
    /// Buffers for that shape and size.
    #[must_use]
    pub fn new(_shape: &Shape, _steps_max: usize, _rows_max: usize) -> Self {
        unimplemented!()
    }

    /// Loss of the batch; its gradient is written to `gradient` (the arena's layout; what was there is overwritten).
    /// `dropout` is (rate, seed): one mask per segment on h towards the head and one on the skips.
    ///
    /// # Panics
    /// If a buffer of the batch or `gradient` has the wrong length, or the batch is larger than the buffers.
    pub fn gradient(
        &mut self,
        _params: &Params,
        _batch: &Batch,
        _dropout: Option<(f32, u64)>,
        _gradient: &mut [f32],
    ) -> Loss {
        unimplemented!()
    }

    /// Loss only, without dropout. `row_losses` (B): weighted mean of each segment, NaN where all its targets are masked.
    ///
    /// # Panics
    /// As [`Bptt::gradient`].
    pub fn loss(&mut self, _params: &Params, _batch: &Batch, _row_losses: &mut [f64]) -> Loss {
        unimplemented!()
    }

    /// (`B,state_len`) state after the last step of the newest batch.
    #[must_use]
    pub fn state_after(&self) -> &[f32] {
        &self.state_after
    }

    /// Norm of d loss(last step) / d state at lag 0..T-1 behind the last step.
    ///
    /// # Panics
    /// As [`Bptt::gradient`].
    pub fn gradient_norm_by_lag(&mut self, _params: &Params, _batch: &Batch) -> Vec<f32> {
        unimplemented!()
    }
}
