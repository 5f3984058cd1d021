//! The serving form of a network.

use super::{Params, Shape};

/// Immutable weights in the layout that serving wants, made once per version.
#[derive(Debug)]
pub struct Network {
    shape: Shape,
}

impl Network {
    /// Packs the weights.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            shape: params.shape().clone(),
        }
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One step of B rows: `inputs` (B,D), `state` (`B,state_len`) is replaced by the state after the step.
    /// The bits of a row depend on that row alone.
    ///
    /// # Panics
    /// If a slice has the wrong length or `scratch` is too small.
    pub fn step(&self, _rows: usize, _inputs: &[f32], _state: &mut [f32], _scratch: &mut Scratch) {
        unimplemented!()
    }

    /// Quantiles (B,K,Q) from the state after the step (`B,state_len`) and the skips (B,K,S), ascending in Q.
    ///
    /// # Panics
    /// If a slice has the wrong length or `scratch` is too small.
    pub fn head(
        &self,
        _rows: usize,
        _state: &[f32],
        _skips: &[f32],
        _quantiles: &mut [f32],
        _scratch: &mut Scratch,
    ) {
        unimplemented!()
    }
}

/// Work space of [`Network::step`] and [`Network::head`] for up to `rows_max` rows; not part of any state.
#[derive(Debug)]
pub struct Scratch {
    #[allow(dead_code, reason = "placeholder")]
    rows_max: usize,
}

impl Scratch {
    /// Space for that many rows of that shape.
    #[must_use]
    pub fn new(_shape: &Shape, rows_max: usize) -> Self {
        Self { rows_max }
    }
}
