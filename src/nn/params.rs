//! Parameters: one flat arena, and how it is first filled.

use super::Shape;

/// All weights of a network in one arena; the layout follows from the shape (per layer `weight_ih`, `weight_hh`,
/// `bias_ih`, `bias_hh`, then per horizon the head's tensors). Gradients and moments have the same layout.
///
/// F is f32 in the product and f64 in the gradient checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<F = f32> {
    shape: Shape,
    /// Invariant: `shape.param_count()` long.
    arena: Vec<F>,
}

impl Params<f32> {
    /// Fresh weights, the same for the same shape and seed.
    ///
    /// # Panics
    /// If the shape fails [`Shape::check`].
    #[must_use]
    pub fn init(shape: &Shape, _seed: u64) -> Self {
        if let Err(error) = shape.check() {
            panic!("{error}");
        }
        Self {
            shape: shape.clone(),
            arena: vec![0.; shape.param_count()],
        }
    }
}

impl<F: Copy> Params<F> {
    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The arena.
    #[must_use]
    pub fn as_slice(&self) -> &[F] {
        &self.arena
    }

    /// The arena, to be changed in place.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [F] {
        &mut self.arena
    }
}

impl Params<f32> {
    /// Whether every weight is a finite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.arena.iter().all(|weight| weight.is_finite())
    }
}
