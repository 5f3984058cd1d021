//! State of one partition: its streams, the model that serves them, the batch in hand.

use std::sync::Arc;

use crate::engine::{Model, PartitionStats, Status};

/// State of one partition.
#[derive(Debug)]
pub struct PartitionState {}

/// A stream as people see it; original units.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamView {
    /// Newest reading; `None` before the first one.
    pub last: Option<f64>,
    /// Event time of the newest step (its tick), milliseconds since 1970.
    pub time_ms: i64,
    /// 0 while unknown.
    pub interval_ms: i64,
    /// Steps of the main season; 1 = none.
    pub season: u32,
    /// How far it is.
    pub status: Status,
    /// Name and weight at horizon 1; sums to 1.
    pub experts: Vec<(&'static str, f64)>,
    /// Share of matured one-step forecasts whose band held, exponentially weighted; `None` before the first.
    pub coverage: Option<f64>,
    /// 1 − (error of the published median / error of last value) at horizon 1, exponentially weighted.
    pub skill: Option<f64>,
    /// The stream's scale σ.
    pub scale: f64,
}

impl PartitionState {
    /// The version that serves.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        unimplemented!("signature first")
    }

    /// Serves `model` from the next step on. Same lineage: states are carried on. Another: a stream's state is made
    /// anew from its ring at its next observation.
    ///
    /// # Panics
    /// Where the model does not fit the pipeline's shape ([`Model::fits`]), or observations are admitted but not stepped.
    pub fn adopt(&mut self, _model: Arc<Model>) {
        unimplemented!("signature first")
    }

    /// Streams held.
    #[must_use]
    pub fn streams(&self) -> usize {
        unimplemented!("signature first")
    }

    /// Ids in the order of their first observation.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// A stream as people see it.
    #[must_use]
    pub fn stream(&self, _id: &str) -> Option<StreamView> {
        unimplemented!("signature first")
    }

    /// Observations admitted and not yet stepped.
    #[must_use]
    pub fn admitted(&self) -> usize {
        unimplemented!("signature first")
    }

    /// For metrics.
    #[must_use]
    pub fn stats(&self) -> &PartitionStats {
        unimplemented!("signature first")
    }

    /// Memory of the slab, the index and the ids.
    #[must_use]
    pub fn bytes(&self) -> usize {
        unimplemented!("signature first")
    }

    /// A hash of every stream's id and state, in order of first observation: equal where the state is bitwise equal.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        unimplemented!("signature first")
    }
}
