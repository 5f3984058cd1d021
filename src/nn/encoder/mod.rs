//! What turns a sequence of inputs into a sequence of features for the heads.

mod pointwise;
mod recurrent;

use super::element::Element;

pub(super) use recurrent::Recurrent;

/// A segment's size; at most what the buffers were made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// T
    pub(super) steps: usize,
    /// B
    pub(super) rows: usize,
}

impl Extent {
    /// R = T·B
    pub(super) fn cells(self) -> usize {
        self.steps * self.rows
    }
}

/// An encoder in training: owns the trace of the newest forward pass, which backward consumes.
///
/// Everything behind it (heads, loss, optimizer) sees only `outputs`, so another encoder needs nothing but this.
pub(super) trait Encoder<F: Element> {
    /// Runs over `inputs` (T,B,D) from `state` (`B,state_len`) with the arena `weights`.
    fn forward(&mut self, extent: Extent, weights: &[F], inputs: &[F], state: &[F]);

    /// (T,B,H) features of the newest forward pass.
    fn outputs(&self, extent: Extent) -> &[F];

    /// (`B,state_len`) state after the last step of the newest forward pass, to be written to `state`.
    fn write_state(&self, extent: Extent, state: &mut [F]);

    /// Adds d weights of the newest forward pass to the arena `d_weights`. Consumes the trace and `d_outputs` (T,B,H).
    /// The gradient stops at the first step: that is the truncation. `norms` (T), if any, gets the square norm of the
    /// gradient at the state after each step added.
    fn backward(
        &mut self,
        pass: Backward<'_, F>,
        d_outputs: &mut [F],
        d_weights: &mut [F],
        norms: Option<&mut [f64]>,
    );
}

/// What backward reads again.
pub(super) struct Backward<'a, F> {
    /// As in forward.
    pub(super) extent: Extent,
    /// The arena.
    pub(super) weights: &'a [F],
    /// (T,B,D)
    pub(super) inputs: &'a [F],
}
