//! The run itself: the daemon's engine and trainer along the file, on this thread, test then train.

use std::path::Path;
use std::sync::Arc;

use super::extent::Extent;
use super::judge::{Judge, Rules};
use crate::cli::demo::reading::Reading;
use crate::cli::table::{BadTable, Rows};
use crate::config::Pipeline;
use crate::daemon::models;
use crate::engine::{
    self, Engine, Forecast, HorizonPlan, Model, Outcome, OutcomeCounts, PartitionState, PartitionStats,
};
use crate::series::observation::{Observation, Offset, Partition, Source};
use crate::training::{self, Step, Trainer};

/// Readings that are stepped at once at most: enough for a dense wave, few enough that a long gap fits the tape.
const BATCH: usize = 64;

/// Who looks on while it runs.
pub(super) trait Watch {
    /// A forecast issued at row `row` of a stream, from row W − 1 on.
    ///
    /// # Errors
    /// It cannot be written.
    fn forecast(&mut self, stream: usize, row: u64, forecast: &Forecast<'_>) -> anyhow::Result<()>;
    /// What became of a reading, at row `row` of its stream; without a forecast none is judged.
    ///
    /// # Errors
    /// It cannot be written.
    fn reading(&mut self, reading: &Reading, row: u64, forecast: Option<&Forecast<'_>>)
    -> anyhow::Result<()>;
    /// So many readings are behind it.
    fn progress(&mut self, readings: u64);
}

/// What is run.
pub(super) struct Plan<'a> {
    pub(super) pipeline: &'a Pipeline,
    /// Of the configuration, for the seed of the first weights.
    pub(super) group: &'a str,
    pub(super) input: &'a Path,
    pub(super) extent: &'a Extent,
    /// W, where it is asked for.
    pub(super) start: Option<u64>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) judge: Judge,
    pub(super) stats: PartitionStats,
    /// `None` where nothing was trained.
    pub(super) training: Option<training::Stats>,
    /// (streams) steps of the main season, at the end.
    pub(super) seasons: Vec<u32>,
    /// (readings behind it, version) of each version but the first.
    pub(super) versions: Vec<(u64, u64)>,
}

/// What the engine's configuration says is judged.
pub(super) fn rules(config: &engine::Config) -> Rules {
    let plan = HorizonPlan::of(config);
    let names = engine::experts(config);
    Rules::new((&plan.published, &plan.scored), &config.quantiles, names)
}

/// Readings between two looks at the trainer: those that pay for one mini-batch.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds are validated, and it saturates"
)]
pub(super) fn readings_per_round(config: &training::Config) -> u64 {
    ((config.chunk * config.batch) as f64 / config.rows_per_observation)
        .ceil()
        .max(1.0) as u64
}

/// Runs the plan from the first row to the last.
///
/// # Errors
/// The file changed since it was looked at, or the watch's.
pub(super) fn run(plan: &Plan<'_>, watch: &mut dyn Watch) -> anyhow::Result<Run> {
    let mut course = Course::new(plan);
    let mut rows = Rows::open(plan.input)?;
    let mut bad = BadTable::new(plan.input);
    let mut row = Vec::new();
    while rows.next(&mut row, &mut bad) {
        for reading in &row {
            if plan.extent.rows.len() <= reading.stream {
                anyhow::bail!(
                    "`{}` has changed while it was read: run it again",
                    plan.input.display()
                );
            }
            course.admit(reading, &rows.names()[reading.stream]);
            if course.is_due() {
                course.step(watch)?;
            }
        }
    }
    course.step(watch)?;
    if bad.found() {
        return Err(bad.into());
    }
    Ok(course.finish())
}

struct Course {
    engine: Engine,
    state: PartitionState,
    trainer: Option<Trainer>,
    /// Readings between two rounds of training.
    round: u64,
    judge: Judge,
    batch: Vec<Reading>,
    /// Readings admitted so far.
    readings: u64,
    /// Newest event time: the trainer's clock.
    now_ms: i64,
    names: Vec<String>,
    seasons: Vec<u32>,
    /// Streams whose grid is new, so that their season is to be asked for.
    regridded: Vec<usize>,
    versions: Vec<(u64, u64)>,
}

impl Course {
    fn new(plan: &Plan<'_>) -> Self {
        let worker = &plan.pipeline.worker;
        let training = &plan.pipeline.training;
        let trains = training.cpu_share > 0.0
            && training.rows_per_observation > 0.0
            && rules(&worker.engine).experts.contains(&"network");
        let mut config = worker.engine.clone();
        if !trains {
            config.tape_share = 0.0; // nobody would read it
        }
        let mut engine = Engine::new(config);
        engine.watch();
        let seed = models::seed(plan.group, &worker.pipeline);
        let model = Arc::new(Model::first(engine.config(), seed));
        let state = engine.partition(&worker.topics[0], Partition(0), Arc::clone(&model));
        let horizons = &engine.plan().scored;
        let trainer = trains.then(|| Trainer::new(training.clone(), horizons, model, seed));
        Self {
            judge: Judge::new(
                rules(&worker.engine),
                &plan.extent.rows,
                &plan.extent.starts(plan.start),
            ),
            engine,
            state,
            trainer,
            round: readings_per_round(training),
            batch: Vec::with_capacity(BATCH),
            readings: 0,
            now_ms: i64::MIN,
            names: plan.extent.names.clone(),
            seasons: vec![0; plan.extent.names.len()],
            regridded: Vec::new(),
            versions: Vec::new(),
        }
    }

    fn admit(&mut self, reading: &Reading, name: &str) {
        let source = Source {
            offset: Offset(i64::try_from(self.readings).unwrap_or(i64::MAX)),
            index: 0,
            timestamp_ms: reading.time_ms,
        };
        let observation = Observation {
            stream: name,
            time_ms: reading.time_ms,
            value: reading.value,
            source,
        };
        self.engine.admit(&mut self.state, observation);
        self.batch.push(*reading);
        self.readings += 1;
        self.now_ms = self.now_ms.max(reading.time_ms);
    }

    const fn is_due(&self) -> bool {
        self.batch.len() >= BATCH || (self.trainer.is_some() && self.readings.is_multiple_of(self.round))
    }

    /// Steps what was admitted, judges, and trains where a round is full.
    fn step(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let outcomes = self.engine.step(&mut self.state);
        for (index, reading) in self.batch.iter().enumerate() {
            let outcome = outcomes.get(index).outcome;
            let taken = !matches!(
                outcome,
                Outcome::Duplicate | Outcome::Late | Outcome::OverCapacity
            );
            self.judge.reading(reading, taken);
            let stream = &self.judge.streams[reading.stream];
            let (row, interval_ms) = (stream.rows - 1, stream.interval_ms);
            let is_judged = stream.rows >= stream.start;
            let forecast = match outcome {
                Outcome::Forecast(forecast) => Some(forecast),
                _ => outcomes.unpublished(index),
            };
            watch.reading(reading, row, forecast.as_ref())?;
            let Some(forecast) = forecast else { continue };
            let each = outcomes.each_expert(index).expect("the engine is watched");
            self.judge.forecast(reading.stream, &forecast, each);
            if forecast.interval_ms != interval_ms {
                self.regridded.push(reading.stream);
            }
            if is_judged {
                watch.forecast(reading.stream, row, &forecast)?;
            }
        }
        self.batch.clear();
        self.ask_seasons();
        if self.trainer.is_some() && self.readings.is_multiple_of(self.round) {
            self.train();
        }
        watch.progress(self.readings);
        Ok(())
    }

    fn ask_seasons(&mut self) {
        for stream in self.regridded.drain(..) {
            if let Some(view) = self.state.stream(&self.names[stream]) {
                self.judge.season(stream, view.season);
                self.seasons[stream] = view.season;
            }
        }
    }

    /// One round: rows onto the tape, then offers and mini-batches until nothing is due.
    fn train(&mut self) {
        let Some(trainer) = &mut self.trainer else { return };
        let tape = self.engine.tape();
        tape.cut();
        while let Some(chunk) = tape.take_full() {
            tape.give_back(trainer.absorb(chunk));
        }
        loop {
            if let Some(offer) = trainer.offer(self.now_ms) {
                self.state.adopt(Arc::clone(&offer.model));
                self.versions.push((self.readings, offer.model.version.0));
                trainer.published(offer.model);
            }
            if trainer.work() == Step::Idle {
                break;
            }
        }
    }

    fn finish(self) -> Run {
        Run {
            judge: self.judge,
            stats: *self.state.stats(),
            training: self.trainer.map(|trainer| trainer.stats()),
            seasons: self.seasons,
            versions: self.versions,
        }
    }
}

impl Run {
    /// Outcomes of all readings.
    pub(super) const fn outcomes(&self) -> &OutcomeCounts {
        &self.stats.outcomes
    }
}
