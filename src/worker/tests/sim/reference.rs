//! What should have come out: an engine that is fed a partition's log by itself, record by record.

use std::rc::Rc;

use super::input::{Fate, Input, Log};
use super::scenario::{PIPELINE, Scenario};
use super::versions::model;
use crate::codec::{Decoded, Decoder, ForecastEncoder, Message, Place, Reason};
use crate::engine::{Engine, Forecast, Outcome, PartitionState};
use crate::series::observation::{Offset, Source};
use crate::worker::ports::PartitionId;

/// What a state hangs on: which records entered it, and under which versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) incarnation: u32,
    pub(super) base: i64,
    /// From which offset on which version served; ascending, the first from the base on.
    pub(super) versions: Vec<(i64, u64)>,
    pub(super) gaps: Vec<(i64, i64)>,
}

impl Past {
    pub(super) fn version_at(&self, offset: i64) -> u64 {
        let behind = self.versions.partition_point(|entry| entry.0 <= offset);
        self.versions
            .get(behind.saturating_sub(1))
            .map_or(1, |entry| entry.1)
    }

    fn holds(&self, offset: i64) -> bool {
        offset >= self.base && !self.gaps.iter().any(|gap| (gap.0..gap.1).contains(&offset))
    }

    /// Whether both say the same of every offset in `from..until`.
    pub(super) fn agrees(&self, other: &Self, from: i64, until: i64) -> bool {
        self.incarnation == other.incarnation
            && self.base == other.base
            && self.gaps == other.gaps
            && (from.max(self.base)..until).all(|offset| self.version_at(offset) == other.version_at(offset))
    }
}

/// An outcome that has to be there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) offset: i64,
    pub(super) index: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// Stream, bytes of the record, version.
    Forecast(String, Vec<u8>, u64),
    /// With its reason.
    Letter(&'static str),
}

/// What an engine may borrow while it steps.
pub(super) struct Tools<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) engine: &'a mut Engine,
    pub(super) log: &'a Log,
    pub(super) fates: &'a [Fate],
}

/// State of a partition as it should be.
pub(super) struct Reference {
    pub(super) id: PartitionId,
    pub(super) past: Past,
    /// Everything before it is in the state.
    pub(super) position: i64,
    pub(super) state: PartitionState,
    decoder: Decoder,
    encoder: ForecastEncoder,
    /// Observations that had an outcome aloud so far.
    pub(super) spoken: u64,
    /// The first thing that was wrong with a number.
    pub(super) wrong: Option<String>,
}

impl Reference {
    /// State as of the base.
    pub(super) fn new(tools: &Tools<'_>, id: PartitionId, past: Past) -> Self {
        let first = model(past.version_at(past.base));
        Self {
            state: tools
                .engine
                .partition(tools.scenario.topic(id), id.partition, first),
            position: past.base,
            past,
            id,
            decoder: Decoder::new(tools.scenario.config.input.clone()),
            encoder: ForecastEncoder::new(PIPELINE),
            spoken: 0,
            wrong: None,
        }
    }

    /// Steps every record before `until`; what has to come out of those from `speaks_from` on.
    pub(super) fn advance(&mut self, tools: &mut Tools<'_>, until: i64, speaks_from: i64) -> Vec<Expected> {
        let mut expected = Vec::new();
        for offset in self.position..until {
            let Some(input) = tools.log.visible(offset, tools.fates) else {
                continue;
            };
            if self.past.holds(offset) {
                let input = Rc::clone(input);
                let speaks = offset >= speaks_from;
                self.step(tools, offset, &input, speaks.then_some(&mut expected));
            }
        }
        self.position = self.position.max(until);
        expected
    }

    fn step(
        &mut self,
        tools: &mut Tools<'_>,
        offset: i64,
        input: &Input,
        expected: Option<&mut Vec<Expected>>,
    ) {
        let version = self.past.version_at(offset);
        if self.state.model().version.0 != version {
            self.state.adopt(model(version));
        }
        let message = Message {
            key: input.key.as_deref(),
            value: input.value.as_deref(),
            timestamp_ms: input.timestamp_ms,
            offset: Offset(offset),
        };
        let mut refused = Vec::new();
        let Self { decoder, state, .. } = self;
        decoder.decode(&message, &mut |decoded| match decoded {
            Decoded::Observation(observation) => {
                refused.push(None);
                tools.engine.admit(state, observation);
            }
            Decoded::Refused { reason, .. } => refused.push(Some(reason.as_str())),
        });
        if refused.len() != input.observations {
            self.wrong = Some(format!("{} observations at {offset}", refused.len()));
        }
        let stepped = refused.iter().any(Option::is_none);
        let outcomes = stepped.then(|| tools.engine.step(&mut self.state));
        let Some(expected) = expected else {
            return;
        };
        self.spoken += refused.len() as u64;
        let drops = tools.scenario.config.dead_letter_drops;
        let place = |source: Source| Place {
            topic: tools.scenario.topic(self.id),
            partition: self.id.partition,
            source,
        };
        let mut admitted = 0..;
        for (index, refused) in refused.into_iter().enumerate() {
            let what = if let Some(reason) = refused {
                Some(What::Letter(reason))
            } else {
                let place_in_batch = admitted.next().expect("endless");
                let judged = outcomes
                    .as_ref()
                    .expect("something was admitted")
                    .get(place_in_batch);
                match judged.outcome {
                    Outcome::Forecast(forecast) => {
                        self.wrong = self.wrong.take().or_else(|| wrong_number(&forecast));
                        let mut bytes = Vec::new();
                        self.encoder.encode(&forecast, &place(judged.source), &mut bytes);
                        let version = forecast.model_version.0;
                        Some(What::Forecast(forecast.stream.to_owned(), bytes, version))
                    }
                    dropped => drops
                        .then(|| Reason::of_outcome(&dropped).map(|reason| What::Letter(reason.as_str())))
                        .flatten(),
                }
            };
            expected.extend(what.map(|what| Expected { offset, index, what }));
        }
    }
}

/// Numbers are finite, and quantiles do not cross.
fn wrong_number(forecast: &Forecast<'_>) -> Option<String> {
    let horizons = forecast.horizons.len();
    let numbers = || forecast.mean.iter().chain(forecast.quantiles);
    if numbers().any(|number| !number.is_finite()) {
        return Some(format!("a forecast of `{}` is not finite", forecast.stream));
    }
    let crossed = forecast
        .quantiles
        .windows(horizons + 1)
        .any(|window| window[0] > window[horizons]);
    crossed.then(|| format!("quantiles of `{}` cross", forecast.stream))
}
