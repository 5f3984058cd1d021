//! `tidecast backtest`: how good is a configuration on a file? Judged by the daemon's own engine and trainer, prequentially:
//! each row is forecast before it is seen, and what learns from it comes after.
//!
//! ```text
//! extent (first pass: usable? how long?) -> course (engine, trainer) -> judge (sums) -> figures -> table | json | report
//!                                                \-> files (--forecasts, --anomalies)
//! ```

mod compare;
mod course;
mod extent;
mod figures;
mod files;
mod json;
mod judge;
mod past;
mod progress;
mod report;
mod table;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::cli::ConfigArgs;
use crate::cli::demo::reading::Reading;
use crate::cli::demo::{clock, text};
use crate::cli::exit::BadData;
use crate::cli::output::line;
use crate::config::{self, Pipeline, Resolved};
use crate::engine::Forecast;
use crate::kafka;
use crate::nn;
use course::{Plan, Run, Watch};
use extent::Extent;
use files::{Anomalies, Forecasts};
use progress::Progress;
use report::Gallery;

/// Judge a configuration on a file, by the daemon's own engine and trainer, before it goes live.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = help())]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// May be left out where the configuration has one pipeline only
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Readings: CSV, wide or long, gzip by name
    #[arg(long, value_name = "CSV")]
    input: PathBuf,
    /// Rows of each stream that only warm it up: forecasts are issued and judged from row W - 1 on. Default: a fifth of each
    /// stream
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u64).range(1..))]
    start_index: Option<u64>,
    /// Write every forecast: stream,issued_at,target,horizon,q…,mean
    #[arg(long, value_name = "OUT.csv")]
    forecasts: Option<PathBuf>,
    /// Write every row's anomaly score, 0 where it is below another of the same event: file,index,score, where the file is
    /// the stream
    #[arg(long, value_name = "OUT.csv")]
    anomalies: Option<PathBuf>,
    /// Write one page that a browser opens offline
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Run a second configuration too, and say which is better
    #[arg(long, value_name = "B.toml")]
    compare: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Keys of a pipeline that a backtest has no use for: a configuration may leave them out.
const BENEATH: &str = r#"
[pipeline."*".input]
topics = ["backtest.in"]
values = ["value"]
[pipeline."*".output]
topic = "backtest.out"
[pipeline."*".dead_letter]
topic = "backtest.dead"
"#;

const EXAMPLES: &str = "\
Examples:
  tidecast backtest --config plant.toml --input history.csv
  tidecast backtest --config plant.toml --input history.csv.gz --report plant.html
  tidecast backtest --config plant.toml --input history.csv --compare other.toml
  tidecast backtest --config plant.toml --input history.csv --set training.cpu_share=0 --forecasts out.csv";

/// What is refused, and what is met with a rule.
pub(super) const RULES: &str = "\
Input, wide: [index,]time,STREAM,… or long: stream,time,value. The time column may also be called timestamp, date or
datetime; times without a zone are UTC. A blank value is a missing reading: it takes its step.
  text in a value, a time that is none, too few or too many cells: refused, with line and column
  rows out of order: met as in the daemon, `late`, while they are at most 1 in 100; more, and the file is refused: a forecast
    must not have seen later rows (of a long file too, where streams follow each other)
  a second row of one stream and time: `duplicate`, the first stands
  rows left out: the grid has gaps, as in the daemon; a forecast whose target has no row is not judged
  an interval that changes: the stream's grid begins anew, as in the daemon
All are counted in the result. Duplicate and late rows count as rows (issued_at, index), but take no step.

Forecasts: issued_at is the row, from 0, of the stream; target = issued_at + horizon, which is the row of the truth where no
row is left out. A missing reading has a forecast too, from what is known then.";

const TRAINING: &str = "\
Training runs between rows, at fixed counts of them, so that the same file gives the same bytes: every chunk × batch /
rows_per_observation readings the trainer takes what was served and makes the mini-batches that are owed for it. Its clock is
the readings' time: training.publish_interval_s are seconds of that, so that a new version follows once 12 mini-batches and
that long have passed. training.cpu_share caps nothing here, but 0 means never. Weights begin as the daemon's do.";

fn help() -> String {
    format!(
        "{EXAMPLES}\n\n{RULES}\n\n{TRAINING}\n\nNo broker and no store is touched; topics, input.values and dead_letter may be left out of the configuration.\n\
         Exit codes: 0 done, 1 a file cannot be written, 2 bad command line, 65 bad data, 78 bad configuration."
    )
}

/// # Errors
/// [`BadData`], [`BadTable`](crate::cli::table::BadTable), [`Errors`](crate::config::Errors), or a file that cannot be
/// written.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    nn::blas::single_thread();
    let resolved = load(&args.config)?;
    let pipeline = chosen(&resolved, args.pipeline.as_deref())?;
    let other = args.compare.as_ref().map(|file| {
        let config = ConfigArgs {
            config: vec![file.clone()],
            set: args.config.set.clone(),
        };
        load(&config)
    });
    let other = other.transpose()?;
    let extent = Extent::of(&args.input)?;
    let plan = |pipeline, resolved: &'_ Resolved| OwnedPlan {
        pipeline,
        group: resolved.config.kafka.group.clone(),
        start: args.start_index,
    };
    let first = plan(pipeline.clone(), &resolved);
    let label = if other.is_some() { "A " } else { "" };
    let outputs = Outputs::of(args, &extent, &pipeline)?;
    let second = other.as_ref().map(|other| -> anyhow::Result<OwnedPlan> {
        let second = plan(chosen(other, args.pipeline.as_deref())?, other);
        compare::check(&first.pipeline, &second.pipeline)?;
        Ok(second)
    });
    let second = second.transpose()?;
    let (run, gallery) = first.run(args, &extent, outputs, label)?;
    if let Some(path) = &args.report {
        let page = report::Page {
            pipeline: &pipeline.worker.pipeline,
            run: &run,
            extent: &extent,
            gallery: &gallery,
            input: &args.input,
            config: &resolved.to_string(),
        };
        report::write(path, &page)?;
    }
    match second {
        None => show(args, &run, &extent),
        Some(second) => {
            let (other, _) = second.run(args, &extent, Outputs::default(), "B ")?;
            compare::show(args.json, (&run, &other), &extent)
        }
    }
}

fn load(args: &ConfigArgs) -> Result<Resolved, config::Errors> {
    let mut sources = args.sources();
    sources.beneath = BENEATH;
    config::load_with(&sources, kafka::refused)
}

fn chosen(resolved: &Resolved, name: Option<&str>) -> Result<Pipeline, BadData> {
    super::models::chosen(&resolved.config, name).cloned()
}

struct OwnedPlan {
    pipeline: Pipeline,
    group: String,
    start: Option<u64>,
}

impl OwnedPlan {
    fn run(
        &self,
        args: &Args,
        extent: &Extent,
        mut outputs: Outputs,
        label: &str,
    ) -> anyhow::Result<(Run, Gallery)> {
        let what = format!("{label}{}", self.pipeline.worker.pipeline);
        outputs.progress = Some(Progress::new(&what, extent.readings));
        let plan = Plan {
            pipeline: &self.pipeline,
            group: &self.group,
            input: &args.input,
            extent,
            start: self.start,
        };
        let run = course::run(&plan, &mut outputs)?;
        Ok((run, outputs.finish()?))
    }
}

/// Where forecasts go while the run goes on.
#[derive(Default)]
struct Outputs {
    forecasts: Option<Forecasts>,
    anomalies: Option<Anomalies>,
    gallery: Option<Gallery>,
    progress: Option<Progress>,
}

impl Outputs {
    fn of(args: &Args, extent: &Extent, pipeline: &Pipeline) -> anyhow::Result<Self> {
        let engine = &pipeline.worker.engine;
        let forecasts = args.forecasts.as_ref();
        let anomalies = args.anomalies.as_ref();
        Ok(Self {
            forecasts: forecasts
                .map(|path| Forecasts::create(path, &extent.names, &engine.quantiles))
                .transpose()?,
            anomalies: anomalies
                .map(|path| Anomalies::create(path, &extent.names))
                .transpose()?,
            gallery: args
                .report
                .is_some()
                .then(|| Gallery::new(&extent.rows, &engine.horizons)),
            progress: None,
        })
    }

    fn finish(self) -> anyhow::Result<Gallery> {
        self.forecasts.map_or(Ok(()), Forecasts::finish)?;
        self.anomalies.map_or(Ok(()), Anomalies::finish)?;
        if let Some(mut progress) = self.progress {
            progress.finish();
        }
        Ok(self.gallery.unwrap_or_default())
    }
}

impl Watch for Outputs {
    fn forecast(&mut self, stream: usize, row: u64, forecast: &Forecast<'_>) -> anyhow::Result<()> {
        if let Some(gallery) = &mut self.gallery {
            gallery.forecast(stream, row, forecast);
        }
        self.forecasts
            .as_mut()
            .map_or(Ok(()), |file| file.write(stream, row, forecast))
    }

    fn reading(
        &mut self,
        reading: &Reading,
        row: u64,
        forecast: Option<&Forecast<'_>>,
    ) -> anyhow::Result<()> {
        if let Some(gallery) = &mut self.gallery {
            gallery.reading(reading, row, forecast);
        }
        let anomaly = forecast.and_then(|forecast| forecast.anomaly);
        let score = anomaly
            .filter(|anomaly| anomaly.peak)
            .map_or(0.0, |anomaly| anomaly.score);
        self.anomalies
            .as_mut()
            .map_or(Ok(()), |file| file.write(reading.stream, row, score))
    }

    fn progress(&mut self, readings: u64) {
        if let Some(progress) = &mut self.progress {
            progress.at(readings);
        }
    }
}

fn show(args: &Args, run: &Run, extent: &Extent) -> anyhow::Result<()> {
    let figures = figures::by_horizon(run);
    if args.json {
        return Ok(line(&json::run(run, extent, &figures))?);
    }
    let input = args.input.display().to_string();
    line(&headline(&input, args.start_index, extent))?;
    line(&format_args!("\n{}", table::text(&figures)))?;
    let experts = table::experts(&figures);
    if !experts.is_empty() {
        line(&experts)?;
    }
    line(&table::legend(run))?;
    let unmatched = run.judge.streams.iter().map(|stream| stream.unmatched).sum();
    line(&format_args!("\n{}", table::account(run, unmatched)))?;
    let unjudged = figures::unjudged(&run.judge);
    if unjudged > 0 {
        line(&format_args!(
            "{} without a part in the means: nothing judged, or a warm-up that never changes",
            text::plural(unjudged, "stream")
        ))?;
    }
    Ok(())
}

/// What was run, in two lines.
fn headline(input: &str, start: Option<u64>, extent: &Extent) -> String {
    let judged = start.map_or_else(
        || "after a fifth of each stream".to_owned(),
        |start| format!("from row {} on", start - 1),
    );
    format!(
        "{input}: {}, {} readings, {} to {}\nforecasts judged {judged} (--start-index)",
        text::plural(extent.names.len(), "stream"),
        text::count(extent.readings),
        clock::rfc3339(extent.first_ms),
        clock::rfc3339(extent.last_ms)
    )
}
