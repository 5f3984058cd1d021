//! The engine: observations in, forecasts out.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::engine::{Config, HorizonPlan, Judged, Model, PartitionState, TapeBuffer};
use crate::series::observation::{Observation, Partition};

/// One worker's engine: configuration, scratch, output buffers, tape. Holds no state of a stream.
#[derive(Debug)]
pub struct Engine {
    tape: TapeBuffer,
}

/// One outcome per observation, in the order of admission; borrowed from the engine's buffers.
#[derive(Debug)]
pub struct Outcomes<'a> {
    engine: PhantomData<&'a Engine>,
}

impl Engine {
    /// An engine with its scratch allocated.
    #[must_use]
    pub fn new(_config: Config) -> Self {
        unimplemented!("signature first")
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        unimplemented!("signature first")
    }

    /// Published and scored horizons.
    #[must_use]
    pub fn plan(&self) -> &HorizonPlan {
        unimplemented!("signature first")
    }

    /// The state of a partition without a stream. `topic` and `partition` seed what must differ between streams (phase
    /// of sampled forecasts, tape keys).
    ///
    /// # Panics
    /// Where the model does not fit the pipeline's shape ([`Model::fits`]).
    #[must_use]
    pub fn partition(&self, _topic: &str, _partition: Partition, _model: Arc<Model>) -> PartitionState {
        unimplemented!("signature first")
    }

    /// Appends to the partition's batch. Never fails: what cannot be stepped has its outcome all the same.
    pub fn admit(&mut self, _state: &mut PartitionState, _observation: Observation<'_>) {
        unimplemented!("signature first")
    }

    /// Steps everything admitted. The batch is cleared at the next admit after a step.
    pub fn step<'a>(&'a mut self, _state: &'a mut PartitionState) -> Outcomes<'a> {
        unimplemented!("signature first")
    }

    /// The tape.
    pub const fn tape(&mut self) -> &mut TapeBuffer {
        &mut self.tape
    }
}

impl<'a> Outcomes<'a> {
    /// Observations of the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!("signature first")
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Source and outcome of the observation at `index`, which is below [`Outcomes::len`].
    ///
    /// # Panics
    /// Where `index` is not below it.
    #[must_use]
    pub fn get(&self, _index: usize) -> Judged<'a> {
        unimplemented!("signature first")
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Judged<'a>> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}
