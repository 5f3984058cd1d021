//! The network alone: serving steps, heads, training batches. Sizes of RECIPE §8 (H 48, D 20, 4 horizons).

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use tidecast::nn::{Adam, Batch, Bptt, Cell, Network, Params, Scratch, Shape, blas};

fn shape(cell: Cell) -> Shape {
    Shape {
        cell,
        inputs: 20,
        hidden: 48,
        layers: 1,
        horizons: 4,
        skips: 29,
        head_hidden: 32,
        quantiles: vec![0.025, 0.1, 0.5, 0.9, 0.975],
    }
}

/// Values of order 1, the same in every run.
fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898).sin()).collect()
}

fn serving(criterion: &mut Criterion, cell: Cell) {
    let shape = shape(cell);
    let network = Network::new(&Params::init(&shape, 1));
    let mut group = criterion.benchmark_group(format!("nn_serving_{}", cell.as_str()));
    for rows in [1, 128] {
        let mut scratch = Scratch::new(&shape, rows);
        let inputs = noise(rows * shape.inputs);
        let skips = noise(rows * shape.horizons * shape.skips);
        let mut state = noise(rows * shape.state_len());
        let mut quantiles = vec![0.; rows * shape.horizons * shape.levels()];
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(format!("step_b{rows}"), |bencher| {
            bencher.iter(|| network.step(rows, black_box(&inputs), &mut state, &mut scratch));
        });
        group.bench_function(format!("head_b{rows}"), |bencher| {
            bencher.iter(|| network.head(rows, &state, black_box(&skips), &mut quantiles, &mut scratch));
        });
    }
}

fn training(criterion: &mut Criterion, cell: Cell) {
    let (shape, steps, rows) = (shape(cell), 32, 64);
    let cells = steps * rows;
    let mut params = Params::init(&shape, 1);
    let batch = Batch {
        steps,
        rows,
        inputs: noise(cells * shape.inputs),
        skips: noise(cells * shape.horizons * shape.skips),
        targets: noise(cells * shape.horizons),
        weights: vec![1.; cells * shape.horizons],
        state: noise(rows * shape.state_len()),
    };
    let mut bptt = Bptt::new(&shape, steps, rows);
    let mut adam = Adam::new(shape.param_count());
    let mut gradient = vec![0.; shape.param_count()];
    let mut row_losses = vec![0.; rows];
    let mut group = criterion.benchmark_group(format!("nn_training_{}", cell.as_str()));
    group.throughput(Throughput::Elements(cells as u64));
    group.bench_function("gradient_t32_b64", |bencher| {
        bencher.iter(|| bptt.gradient(&params, black_box(&batch), Some((0.2, 1)), &mut gradient));
    });
    group.bench_function("loss_t32_b64", |bencher| {
        bencher.iter(|| bptt.loss(&params, black_box(&batch), &mut row_losses));
    });
    group.bench_function("adam", |bencher| {
        bencher.iter(|| adam.step(params.as_mut_slice(), black_box(&gradient), 1e-6));
    });
}

/// All cells.
pub(crate) fn benches(criterion: &mut Criterion) {
    blas::single_thread();
    for cell in [Cell::Elman, Cell::Lstm, Cell::Gru] {
        serving(criterion, cell);
        training(criterion, cell);
    }
}
