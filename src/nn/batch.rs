//! What one training step looks at, and what it cost.

use super::Shape;

/// B segments of T steps, time-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<F = f32> {
    /// T: steps of each segment.
    pub steps: usize,
    /// B: segments.
    pub rows: usize,
    /// (T,B,D) recurrent inputs.
    pub inputs: Vec<F>,
    /// (T,B,K,S) skip inputs of each horizon.
    pub skips: Vec<F>,
    /// (T,B,K) targets; one that is not finite (NaN: not revealed, missing) is masked.
    pub targets: Vec<F>,
    /// (T,B,K) weights of the targets, finite and not negative.
    pub weights: Vec<F>,
    /// (`B,state_len`) carried state before the first step.
    pub state: Vec<F>,
}

impl<F> Batch<F> {
    /// Asserts that every buffer has the length that steps, rows and shape imply.
    ///
    /// # Panics
    /// If one has not.
    pub fn assert_shape(&self, shape: &Shape) {
        let cells = self.steps * self.rows;
        assert!(cells > 0, "a batch has at least one step and one row");
        assert_eq!(self.inputs.len(), cells * shape.inputs, "inputs (T,B,D)");
        assert_eq!(
            self.skips.len(),
            cells * shape.horizons * shape.skips,
            "skips (T,B,K,S)"
        );
        assert_eq!(self.targets.len(), cells * shape.horizons, "targets (T,B,K)");
        assert_eq!(self.weights.len(), cells * shape.horizons, "weights (T,B,K)");
        assert_eq!(
            self.state.len(),
            self.rows * shape.state_len(),
            "state (B,state_len)"
        );
    }
}

/// Weighted mean pinball loss of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Sum of weight x mean pinball over the levels, divided by max(`weight`, 1). Not finite if an input or a
    /// prediction was not.
    pub mean: f64,
    /// Sum of the weights of the targets that were not masked; 0 if all were.
    pub weight: f64,
}
