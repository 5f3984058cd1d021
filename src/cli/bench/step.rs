//! `bench step`.

use serde::Serialize;

use super::order::Order;
use super::time::rates;
use super::{Sizes, shape};
use crate::nn::{Isa, Network, Params, Scratch, fused_operations, prefetch};

/// Command line of `bench step`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sizes: Sizes,
}

/// The line.
#[derive(Debug, Serialize)]
pub(super) struct Result {
    bench: &'static str,
    cell: &'static str,
    hidden: u16,
    inputs: u16,
    batch: u16,
    streams: u32,
    order: &'static str,
    instructions: String,
    steps_per_second: f64,
    gflops: f64,
    peak_gflops: f64,
    share_of_peak: f64,
    state_bytes_per_stream: usize,
}

/// Rows of states, and one batch on its way through the network.
struct Bench {
    network: Network,
    scratch: Scratch,
    /// (streams, `state_len`), the lines of a row its own.
    slab: Vec<f32>,
    stride: usize,
    batch: usize,
    inputs: Vec<f32>,
    state: Vec<f32>,
    order: Order,
    now: Vec<usize>,
    next: Vec<usize>,
}

impl Bench {
    fn new(sizes: &Sizes) -> Self {
        let shape = shape(sizes);
        let batch = usize::from(sizes.batch);
        let stride = shape.state_len().next_multiple_of(16);
        let mut order = Order::new(sizes.streams);
        let next = (0..batch).map(|_| order.next()).collect();
        Self {
            network: Network::new(&Params::init(&shape, 1)),
            scratch: Scratch::new(&shape, batch),
            slab: vec![0.1; sizes.streams as usize * stride],
            stride,
            batch,
            inputs: (0..batch * shape.inputs).map(|i| (i as f32).sin()).collect(),
            state: vec![0.; batch * shape.state_len()],
            order,
            now: vec![0; batch],
            next,
        }
    }

    /// One batch, the rows of the following one asked for meanwhile; how many steps.
    fn turn(&mut self) -> u64 {
        std::mem::swap(&mut self.now, &mut self.next);
        let len = self.state.len() / self.batch;
        for (&slot, state) in self.now.iter().zip(self.state.chunks_exact_mut(len)) {
            state.copy_from_slice(&self.slab[slot * self.stride..][..len]);
        }
        for slot in &mut self.next {
            *slot = self.order.next();
            prefetch(&self.slab[*slot * self.stride..][..len]);
        }
        self.network
            .step(self.batch, &self.inputs, &mut self.state, &mut self.scratch);
        for (&slot, state) in self.now.iter().zip(self.state.chunks_exact(len)) {
            self.slab[slot * self.stride..][..len].copy_from_slice(state);
        }
        self.batch as u64
    }
}

/// Measures.
pub(super) fn run(args: &Args) -> Result {
    let sizes = &args.sizes;
    let mut bench = Bench::new(sizes);
    let mut step = || bench.turn();
    let mut peak = || fused_operations(Isa::best(), 20_000);
    let rates = rates(sizes.seconds, &mut [&mut step, &mut peak]);
    let (hidden, inputs) = (f64::from(sizes.hidden), f64::from(sizes.inputs));
    let operations = 2.0 * sizes.cell.gates() as f64 * hidden * (inputs + hidden);
    let gflops = rates[0] * operations / 1e9;
    Result {
        bench: "step",
        cell: sizes.cell.as_str(),
        hidden: sizes.hidden,
        inputs: sizes.inputs,
        batch: sizes.batch,
        streams: sizes.streams,
        order: "random",
        instructions: format!("{:?}", Isa::best()),
        steps_per_second: rates[0].round(),
        gflops,
        peak_gflops: rates[1] / 1e9,
        share_of_peak: gflops * 1e9 / rates[1],
        state_bytes_per_stream: bench.stride * size_of::<f32>(),
    }
}
