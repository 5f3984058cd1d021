//! The centre of a chain's forecast: the mix m1 of its experts, the stack m2 around it, and the mix of the two, which is
//! served (RECIPE §4).

use crate::experts::mixture::{self, MixtureRates};
use crate::experts::{ExpertSet, stack};

/// Rates of a scored horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CentreRates {
    /// Of both mixes.
    pub mixture: MixtureRates,
    /// λ of the stack.
    pub forgetting: f32,
}

impl CentreRates {
    /// For scored horizon `b`, learnt at every `stride`-th origin.
    #[must_use]
    pub fn new(horizon: u32, stride: u32) -> Self {
        Self {
            mixture: MixtureRates::new(horizon, stride),
            forgetting: stack::forgetting(stride),
        }
    }
}

/// A chain's centre, value-like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Centre {
    /// m1, m2.
    pub parts: [f32; stack::CENTRES],
    /// What is served.
    pub served: f32,
}

/// Weights that make a centre; also those between scored horizons.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Of the mix (E).
    pub mix: &'a [f32],
    /// Of the stack (E); empty where there is none, and m1 is served.
    pub stack: &'a [f32],
    /// Of m1 and m2 (2), or empty.
    pub pair: &'a [f32],
}

impl Weights<'_> {
    /// The centre of the experts' forecasts (E).
    #[must_use]
    pub fn centre(&self, forecasts: &[f32]) -> Centre {
        let mixed = mixture::mix(self.mix, forecasts);
        if self.stack.is_empty() {
            return Centre {
                parts: [mixed; stack::CENTRES],
                served: mixed,
            };
        }
        let parts = [mixed, stack::forecast(self.stack, forecasts, mixed)];
        Centre {
            parts,
            served: mixture::mix(self.pair, &parts),
        }
    }
}

/// State of one chain at one scored horizon, as [`mixture`] and [`stack`] keep it.
#[derive(Debug)]
pub struct State<'a> {
    /// `mixture::len(E)`.
    pub mix: &'a mut [f32],
    /// `stack::len(E)`, or empty where there is none.
    pub stack: &'a mut [f32],
    /// `mixture::len(2)`, or empty.
    pub pair: &'a mut [f32],
}

impl State<'_> {
    /// Those experts of `set` that are among `new` say something else from now on: they get equal weights, and the stack,
    /// which is of what all of them said, begins again.
    pub fn renew(&mut self, set: ExpertSet, new: ExpertSet) {
        mixture::renew(self.mix, set, new);
        if !self.stack.is_empty() {
            stack::start(self.stack);
            mixture::start(self.pair);
        }
    }

    /// Learns a matured origin: its experts' forecasts (E), their centre as it was, the truth. `settled`: whether the
    /// stream's scale is, before which no least squares are learnt (RECIPE §2).
    pub fn learn(
        &mut self,
        forecasts: &[f32],
        issued: &Centre,
        y: f32,
        (rates, settled): (&CentreRates, bool),
    ) {
        if self.stack.is_empty() {
            mixture::learn(self.mix, forecasts, issued.served, y, &rates.mixture);
            return;
        }
        let mixed = issued.parts[0];
        mixture::learn(self.mix, forecasts, mixed, y, &rates.mixture);
        if settled {
            stack::learn(self.stack, forecasts, mixed, y, rates.forgetting);
        }
        mixture::learn(self.pair, &issued.parts, issued.served, y, &rates.mixture);
    }
}
