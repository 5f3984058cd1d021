//! `tidecast check`: is a configuration valid, what does it cost, and does the cluster fit?

use crate::cli::exit::Unfit;
use crate::cli::output::{counted, line};
use crate::cli::surroundings::Tally;
use crate::cli::{ConfigArgs, memory, surroundings};
use crate::config::{Config, Pipeline};

/// Validate a configuration, print what results from its layers, and say what it costs in memory.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also look at the cluster and the store: topics, partitions, replication, retention, rights, ids in two partitions
    #[arg(long)]
    connect: bool,
    /// Streams of each pipeline in this process, for the memory table
    #[arg(long, value_name = "N", default_value_t = memory::STREAMS)]
    streams: usize,
}

const EXAMPLES: &str = "\
Examples:
  tidecast check --config plant.toml                     every error at once, or what results and what it costs
  tidecast check --config plant.toml --streams 1000000   memory for a million streams
  tidecast check --config plant.toml --connect           will it run on this cluster?
  tidecast check --config plant.toml --set pipeline.plant.model.hidden=96

It joins no group and changes nothing, except that --connect makes the store's folder where it is missing.
Exit codes: 0 valid (warnings too), 1 its output cannot be written, 2 bad command line, 69 the cluster or the store does
not fit or cannot be reached, 78 bad configuration.";

/// # Errors
/// [`Errors`](crate::config::Errors), [`Unfit`], or a closed output.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let resolved = args.config.load()?;
    line(&verdict(&resolved.config, args.streams))?;
    line(&format_args!("\n{resolved}"))?;
    costs(&resolved.config, args.streams)?;
    if !args.connect {
        return Ok(());
    }
    let Tally { errors, warnings } = surroundings::look(&resolved.config)?;
    if errors > 0 {
        return Err(Unfit { errors }.into());
    }
    if warnings > 0 {
        line(&format_args!(
            "The cluster and the store fit, with {}.",
            counted(warnings, "warning")
        ))?;
    } else {
        line(&"The cluster and the store fit.")?;
    }
    Ok(())
}

/// What results, in a line.
pub(super) fn verdict(config: &Config, streams: usize) -> String {
    let rows = |pipeline| memory::per_stream(pipeline).iter().map(|part| part.bytes).sum();
    let largest: usize = config.pipelines.iter().map(rows).max().unwrap_or(0);
    let whole = |pipeline| memory::sum("", &memory::of_pipeline(config, pipeline, streams)).bytes;
    let all = config.pipelines.iter().map(whole).fold(0, usize::saturating_add);
    let (most, each) = if config.pipelines.len() == 1 {
        ("", "")
    } else {
        ("at most ", " each")
    };
    format!(
        "The configuration is good: {}, {most}{} per stream, {} for {}{each}.",
        counted(config.pipelines.len(), "pipeline"),
        memory::human(largest),
        memory::human(all),
        counted(streams, "stream")
    )
}

/// How often snapshots are made of so many streams of `row` bytes each.
pub(super) fn snapshots(pipeline: &Pipeline, streams: usize, row: usize) -> String {
    let worker = &pipeline.worker;
    let bytes = row.saturating_mul(streams);
    let writers = worker.workers.max(1) as f64;
    let rate = worker.snapshot_bytes_per_s as f64;
    let interval_s = worker.snapshot_interval.as_secs_f64();
    let at_rate_s = bytes as f64 / writers / rate;
    let why = if at_rate_s > interval_s {
        "stretched by store.snapshot_mb_per_s"
    } else {
        "store.snapshot_interval_s"
    };
    format!(
        "  Snapshots of {}: {} before packing, each partition's every {:.0} s ({why}), at most {:.0} MB/s.\n",
        counted(streams, "stream"),
        memory::human(bytes),
        at_rate_s.max(interval_s),
        writers * rate / 1e6
    )
}

fn costs(config: &Config, streams: usize) -> anyhow::Result<()> {
    let mut process = Vec::new();
    for pipeline in &config.pipelines {
        let name = &pipeline.worker.pipeline;
        line(&format_args!("Pipeline {name}, bytes per stream:"))?;
        line(&memory::table(&memory::per_stream(pipeline), "a stream"))?;
        line(&format_args!(
            "Pipeline {name}, memory with {} in this process:",
            counted(streams, "stream")
        ))?;
        let whole = memory::of_pipeline(config, pipeline, streams);
        line(&memory::table(&whole, "the pipeline"))?;
        process.push(memory::sum(name, &whole));
        let full: usize = memory::per_stream(pipeline).iter().map(|part| part.bytes).sum();
        let bound = full.saturating_mul(pipeline.worker.engine.streams_max);
        line(&format_args!(
            "  streams_max = {} bounds a partition's streams to {:.1} GB; beyond it, new ids are over_capacity.\n",
            pipeline.worker.engine.streams_max,
            bound as f64 / 1e9
        ))?;
        line(&snapshots(pipeline, streams, full))?;
    }
    if process.len() > 1 {
        line(&format_args!(
            "All pipelines, each with {}:",
            counted(streams, "stream")
        ))?;
        line(&memory::table(&process, "the process"))?;
    }
    Ok(())
}
