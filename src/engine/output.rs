//! Forecasts of a batch in flat buffers, and the outcomes that borrow them.

use crate::engine::batch::{Batch, Verdict};
use crate::engine::index::Index;
use crate::engine::setup::Setup;
use crate::engine::{Anomaly, Forecast, Judged, ModelVersion, Outcome, Status};

/// The part of a forecast that is no array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issue {
    pub(crate) slot: u32,
    pub(crate) origin_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) observed: f64,
    pub(crate) status: Status,
    pub(crate) anomaly: Option<Anomaly>,
    pub(crate) scale: f64,
    pub(crate) model_version: ModelVersion,
}

/// Forecasts of a batch; the buffers keep their memory from batch to batch.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// Published, ascending.
    horizons: Vec<u32>,
    /// Those of them that are published under load.
    few: Vec<u32>,
    /// Whether only those are: then they are H.
    thin: bool,
    /// Configured, ascending (Q).
    levels: Vec<f64>,
    /// Experts of a record, the network included (E).
    experts_count: usize,
    issues: Vec<Issue>,
    /// (N,H).
    mean: Vec<f64>,
    /// (N,Q,H).
    quantiles: Vec<f64>,
    /// (N,E).
    experts: Vec<(&'static str, f64)>,
    /// Whether missing readings have a forecast too, and experts their own; the next two are empty otherwise.
    pub(crate) watched: bool,
    /// (N,K,E+1) original units: each expert, then the mix of the classical ones.
    each: Vec<f64>,
    /// Entries of the batch whose reading is missing, and the numbers of their forecasts.
    unpublished: Vec<(u32, u32)>,
}

/// Room for one forecast in the buffers.
#[derive(Debug)]
pub(crate) struct OutputSlot<'a> {
    /// (H).
    pub(crate) mean: &'a mut [f64],
    /// (Q,H).
    pub(crate) quantiles: &'a mut [f64],
    /// (E).
    pub(crate) experts: &'a mut [(&'static str, f64)],
}

impl Outputs {
    pub(crate) fn new(setup: &Setup) -> Self {
        let published = &setup.plan.published;
        Self {
            horizons: published.clone(),
            few: setup.few.iter().map(|&place| published[place]).collect(),
            thin: false,
            levels: setup.config.quantiles.clone(),
            experts_count: setup.experts().len(),
            issues: Vec::new(),
            mean: Vec::new(),
            quantiles: Vec::new(),
            experts: Vec::new(),
            watched: false,
            each: Vec::new(),
            unpublished: Vec::new(),
        }
    }

    /// Forgets the forecasts, keeps the memory. `thin`: those to come have few of their horizons, where that leaves any out.
    pub(crate) fn clear(&mut self, thin: bool) {
        self.thin = thin && self.few.len() < self.horizons.len();
        self.issues.clear();
        self.mean.clear();
        self.quantiles.clear();
        self.experts.clear();
        self.each.clear();
        self.unpublished.clear();
    }

    /// Notes what each expert and the classical mix say at each scored horizon of the newest forecast.
    pub(crate) fn note_each(&mut self, forecasts: impl Iterator<Item = f64>) {
        self.each.extend(forecasts);
    }

    /// Notes that the newest forecast is of an entry whose reading is missing.
    pub(crate) fn note_unpublished(&mut self, entry: u32) {
        self.unpublished.push((entry, self.issues.len() as u32 - 1));
    }

    /// Whether forecasts have few of their horizons.
    pub(crate) const fn is_thin(&self) -> bool {
        self.thin
    }

    /// Published, ascending (H).
    fn horizons(&self) -> &[u32] {
        if self.thin { &self.few } else { &self.horizons }
    }

    /// Room for a forecast; its number.
    pub(crate) fn push(&mut self, issue: Issue) -> (u32, OutputSlot<'_>) {
        let number = self.issues.len();
        let (h, q) = (self.horizons().len(), self.levels.len());
        self.issues.push(issue);
        self.mean.resize((number + 1) * h, 0.0);
        self.quantiles.resize((number + 1) * q * h, 0.0);
        self.experts.resize((number + 1) * self.experts_count, ("", 0.0));
        let slot = OutputSlot {
            mean: &mut self.mean[number * h..],
            quantiles: &mut self.quantiles[number * q * h..],
            experts: &mut self.experts[number * self.experts_count..],
        };
        (number as u32, slot)
    }

    fn forecast<'a>(&'a self, number: u32, index: &'a Index) -> Forecast<'a> {
        let number = number as usize;
        let (h, q, e) = (self.horizons().len(), self.levels.len(), self.experts_count);
        let issue = &self.issues[number];
        Forecast {
            stream: index.id(issue.slot as usize),
            origin_ms: issue.origin_ms,
            interval_ms: issue.interval_ms,
            observed: issue.observed,
            horizons: self.horizons(),
            mean: &self.mean[number * h..(number + 1) * h],
            levels: &self.levels,
            quantiles: &self.quantiles[number * q * h..(number + 1) * q * h],
            status: issue.status,
            experts: &self.experts[number * e..(number + 1) * e],
            model_version: issue.model_version,
            anomaly: issue.anomaly,
            scale: issue.scale,
        }
    }
}

/// One outcome per observation, in the order of admission; borrowed from the engine's buffers.
#[derive(Debug)]
pub struct Outcomes<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) index: &'a Index,
    pub(crate) outputs: &'a Outputs,
}

impl<'a> Outcomes<'a> {
    /// Observations of the batch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batch.entries.len()
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Source and outcome of the observation at `index`, which is below [`Outcomes::len`].
    ///
    /// # Panics
    /// Where `index` is not below it.
    #[must_use]
    pub fn get(&self, index: usize) -> Judged<'a> {
        let outcome = match self.batch.verdicts[index] {
            Verdict::Forecast(number) => Outcome::Forecast(self.outputs.forecast(number, self.index)),
            Verdict::Duplicate => Outcome::Duplicate,
            Verdict::Late => Outcome::Late,
            Verdict::Missing => Outcome::Missing,
            Verdict::OverCapacity => Outcome::OverCapacity,
            Verdict::Muted => Outcome::Muted,
            Verdict::Open => unreachable!("a step closes every entry of its batch"),
        };
        Judged {
            source: self.batch.entries[index].source,
            outcome,
        }
    }

    /// The forecast at the missing reading at `index`, which is not published; only of an engine that is
    /// [watched](crate::engine::Engine::watch).
    #[must_use]
    pub fn unpublished(&self, index: usize) -> Option<Forecast<'a>> {
        Some(self.outputs.forecast(self.number(index)?, self.index)).filter(|_| self.is_missing(index))
    }

    /// (K,E+1), original units: what each expert said at each scored horizon, in the order of the record, and last the mix of
    /// those that are no network. `None` where there is no forecast, or the engine is not
    /// [watched](crate::engine::Engine::watch).
    #[must_use]
    pub fn each_expert(&self, index: usize) -> Option<&'a [f64]> {
        let number = self.number(index)? as usize;
        let width = self.outputs.each.len() / self.outputs.issues.len();
        let each = &self.outputs.each[number * width..(number + 1) * width];
        Some(each).filter(|each| !each.is_empty())
    }

    fn is_missing(&self, index: usize) -> bool {
        self.batch.verdicts[index] == Verdict::Missing
    }

    fn number(&self, index: usize) -> Option<u32> {
        match self.batch.verdicts[index] {
            Verdict::Forecast(number) => Some(number),
            Verdict::Missing => {
                let of_entry = |(entry, _): &&(u32, u32)| *entry as usize == index;
                self.outputs
                    .unpublished
                    .iter()
                    .find(of_entry)
                    .map(|&(_, number)| number)
            }
            _ => None,
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Judged<'a>> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}
