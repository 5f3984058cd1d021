//! What a row carries from before the network to after it.

use crate::engine::Anomaly;
use crate::experts::base::{Bases, Now};
use crate::experts::centre::Centre;
use crate::experts::linear::Vector;
use crate::experts::scale::FEATURES;

/// Most scored horizons: a list of eight and horizon 1.
pub(crate) const HORIZONS_MAX: usize = 9;
/// Most experts, the network included.
pub(crate) const EXPERTS_MAX: usize = 12;

/// One scored horizon of a row; normalised units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HorizonWork {
    /// Bases at the target.
    pub(crate) ahead: Bases,
    /// The experts' forecasts (E); the network's is added after it has spoken.
    pub(crate) forecasts: [f32; EXPERTS_MAX],
    /// The classical centre: what the network's residual is around.
    pub(crate) classical: Centre,
    /// s, 0 where there is none yet.
    pub(crate) scale: f32,
    /// The network's unit: s, or a stand-in while there is none; above 0.
    pub(crate) unit: f32,
    /// vL of the classical chain, 0 where nothing matured.
    pub(crate) long: f32,
    /// φ of the classical chain.
    pub(crate) features: [f32; FEATURES],
    /// f and its parts.
    pub(crate) served: Centre,
    /// s₂, 0 where there is none yet.
    pub(crate) served_scale: f32,
    /// φ of the served chain.
    pub(crate) served_features: [f32; FEATURES],
    /// Side above the median.
    pub(crate) side: f32,
    /// The network's median around the classical centre, in its unit.
    pub(crate) residual: f32,
}

impl Work {
    /// Begins a step with so many scored horizons (K).
    #[allow(clippy::too_many_arguments, reason = "the fields in their order")]
    pub(crate) fn begin(&mut self, local_ms: i64, step: u64, value: f64, sigma: f32, horizons: usize) {
        self.local_ms = local_ms;
        self.step = step;
        self.value = value;
        self.sigma = sigma;
        self.regressors = Vector::default();
        self.anomaly = None;
        self.horizons[..horizons].fill(HorizonWork::default());
    }
}

/// A row of a wave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Local time of the step.
    pub(crate) local_ms: i64,
    /// Index of the step.
    pub(crate) step: u64,
    /// NaN = missing; original units.
    pub(crate) value: f64,
    /// σ, normalised.
    pub(crate) sigma: f32,
    /// The origin's bases.
    pub(crate) now: Now,
    /// The origin's regressors.
    pub(crate) regressors: Vector,
    /// What is said of the reading.
    pub(crate) anomaly: Option<Anomaly>,
    /// (K).
    pub(crate) horizons: [HorizonWork; HORIZONS_MAX],
}
