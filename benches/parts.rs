//! Benches of the parts. Compare two versions interleaved in one run: rates wander by a fifth over minutes.

mod nn;

fn main() {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    nn::benches(&mut criterion);
    criterion.final_summary();
}
