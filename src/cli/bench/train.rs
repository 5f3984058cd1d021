//! `bench train`.

use serde::Serialize;

use super::time::rates;
use super::{Sizes, shape};
use crate::nn::{Batch, Bptt, Isa, Params, blas, fused_operations};

/// Command line of `bench train`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sizes: Sizes,
    /// T, steps that are trained back through
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    steps: u16,
}

/// The line.
#[derive(Debug, Serialize)]
pub(super) struct Result {
    bench: &'static str,
    cell: &'static str,
    hidden: u16,
    inputs: u16,
    batch: u16,
    steps: u16,
    rows_per_second: f64,
    gflops: f64,
    peak_gflops: f64,
    share_of_peak: f64,
}

/// Measures.
pub(super) fn run(args: &Args) -> Result {
    blas::single_thread();
    let sizes = &args.sizes;
    let shape = shape(sizes);
    let (steps, rows) = (usize::from(args.steps), usize::from(sizes.batch));
    let cells = steps * rows;
    let noise = |len: usize| (0..len).map(|i| (i as f32 * 12.9898).sin()).collect::<Vec<_>>();
    let batch = Batch {
        steps,
        rows,
        inputs: noise(cells * shape.inputs),
        skips: noise(cells * shape.horizons * shape.skips),
        targets: noise(cells * shape.horizons),
        weights: vec![1.; cells * shape.horizons],
        state: noise(rows * shape.state_len()),
    };
    let params = Params::init(&shape, 1);
    let mut bptt = Bptt::new(&shape, steps, rows);
    let mut gradient = vec![0.; shape.param_count()];
    let mut train = || {
        bptt.gradient(&params, &batch, None, &mut gradient);
        cells as u64
    };
    let mut peak = || fused_operations(Isa::best(), 20_000);
    let rates = rates(sizes.seconds, &mut [&mut train, &mut peak]);
    let (hidden, inputs) = (f64::from(sizes.hidden), f64::from(sizes.inputs));
    // Forward once, backward twice as much.
    let operations = 3.0 * 2.0 * sizes.cell.gates() as f64 * hidden * (inputs + hidden);
    let gflops = rates[0] * operations / 1e9;
    Result {
        bench: "train",
        cell: sizes.cell.as_str(),
        hidden: sizes.hidden,
        inputs: sizes.inputs,
        batch: sizes.batch,
        steps: args.steps,
        rows_per_second: rates[0].round(),
        gflops,
        peak_gflops: rates[1] / 1e9,
        share_of_peak: gflops * 1e9 / rates[1],
    }
}
