//! How fast the parts are on this machine: one line of JSON per result.

mod engine;
mod order;
mod pipeline;
mod step;
mod time;
mod train;

use serde::Serialize;

use super::output;
use crate::nn::{Cell, Shape};

const MEANING: &str = "\
What the numbers mean:
  share_of_peak   floating-point operations that the result needs (2 G H (D + H) a step, three times
                  that for a gradient), done per second, over what the
                  fused multiply-add units of this core do at most, measured in the same run, turn about
  us_per_observation  processor time of a reading: its stream is found, what is due matures, the forecast is made
  network_us      the network's share of that: step and heads of 32 rows, alone and with all it needs in the cache
  experts_us      the rest: experts, mixture, scale, quantiles, anomaly, and moving the stream's row
  bytes_per_stream    row, id and index
  order           in which rows the steps come; `random` is what a topic with many sensors looks like
  bare_over_whole CPU of this process per record, clients included: an exactly-once pass-through that reads the same records
                  and formats and writes as many numbers, over the worker with its engine; medians of runs, turn about
Rates are medians over short rounds. On a shared machine they wander by a fifth within minutes: compare shares and ratios.

Examples:
  tidecast bench step --cell lstm --streams 1000000
  tidecast bench engine --profile compact --streams 100000
  tidecast bench pipeline --brokers 127.0.0.1:19092 --set pipeline.bench.profile=compact    (make kafka starts one)";

/// Command line of `bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = MEANING)]
pub(super) struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Part {
    /// The network's step, its state gathered from and scattered to rows of many streams
    Step(step::Args),
    /// The engine: readings in, forecasts out, without Kafka and JSON
    Engine(engine::Args),
    /// Gradients by truncated back-propagation through time (without the heads' share)
    Train(train::Args),
    /// A record's way through a real Kafka, beside an exactly-once pass-through without a model
    Pipeline(pipeline::Args),
}

/// Sizes that the parts share.
#[derive(Clone, Debug, clap::Args)]
struct Sizes {
    /// elman, gru or lstm
    #[arg(long, default_value = "gru", value_parser = cell)]
    cell: Cell,
    /// H, hidden units
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    hidden: u16,
    /// D, inputs of the network
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    inputs: u16,
    /// B, rows that are stepped together
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Streams whose states lie in memory
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    streams: u32,
    /// Seconds to measure for
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

/// A network of one layer and one head as small as can be: what is measured is the layer.
fn shape(sizes: &Sizes) -> Shape {
    Shape {
        cell: sizes.cell,
        inputs: sizes.inputs.into(),
        hidden: sizes.hidden.into(),
        layers: 1,
        horizons: 1,
        skips: 1,
        head_hidden: 1,
        quantiles: vec![0.1, 0.5, 0.9],
    }
}

fn cell(name: &str) -> Result<Cell, String> {
    Cell::parse(name).ok_or_else(|| format!("no cell `{name}`; known are elman, gru, lstm"))
}

/// Runs a bench and prints its lines.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.part {
        Part::Step(args) => print(&step::run(args)),
        Part::Engine(args) => print(&engine::run(args)),
        Part::Train(args) => print(&train::run(args)),
        Part::Pipeline(args) => pipeline::run(args, &|line| Ok(output::line(&line)?)),
    }
}

fn print(result: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(result).expect("numbers and names are JSON");
    Ok(output::line(&line)?)
}
