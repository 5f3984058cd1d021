//! The trainer: one network's weights, learning along the tape.

use std::sync::Arc;

use crate::engine::{Model, TapeChunk};
use crate::training::{Config, Offer, Stats, Step};

/// Learns one pipeline's weights.
#[derive(Debug)]
pub struct Trainer {}

impl Trainer {
    /// Starts from `model`, the newest version.
    ///
    /// `horizons` (K) are the steps ahead that the network is scored at, ascending.
    ///
    /// # Panics
    /// If `horizons` does not have K entries, or `chunk` or `batch` is 0.
    #[must_use]
    pub fn new(_config: Config, _horizons: &[u32], _model: Arc<Model>, _seed: u64) -> Self {
        unimplemented!("signature first")
    }

    /// Takes the rows of `chunk` onto the tape and returns it empty.
    pub fn absorb(&mut self, _chunk: TapeChunk) -> TapeChunk {
        unimplemented!("signature first")
    }

    /// Scores or trains one mini-batch at most.
    pub fn work(&mut self) -> Step {
        unimplemented!("signature first")
    }

    /// Weights that pass the gate, at most once per publish interval; `now_ms` is any clock that never goes back.
    ///
    /// The caller stores the model and answers with [`published`](Self::published) or [`adopt`](Self::adopt); without
    /// an answer (the store is away) nothing has changed and the next interval offers again.
    pub fn offer(&mut self, _now_ms: i64) -> Option<Offer> {
        unimplemented!("signature first")
    }

    /// The offered model is stored and will be served: the gate measures against it from now on.
    pub fn published(&mut self, _model: Arc<Model>) {
        unimplemented!("signature first")
    }

    /// Another version than the one offered is the newest (another trainer, an import): trains from it.
    pub fn adopt(&mut self, _model: Arc<Model>) {
        unimplemented!("signature first")
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        unimplemented!("signature first")
    }
}
