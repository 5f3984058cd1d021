//! A producer that makes up ids without an end.

use super::oracle::{Allowance, Violation};
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;

/// Bytes that a daemon may grow by while the ids come: each as a stream would take 11 KB.
const GROWTH_MAX: u64 = 100 << 20;

/// Nine of ten records are of an id that never comes back: each has its outcome, the streams that were there first are served,
/// and memory stays as it was.
pub(super) fn bomb(broker: &Broker, seed: u64, records: usize) -> Result<Summary, Violation> {
    let mut settings = Settings::new(seed);
    settings.recipe.rate = 3000;
    settings.recipe.strangers_percent = 90;
    let rig = Rig::start(broker, "bomb", settings);
    let daemon = rig.daemon("a");
    let served = |records: usize| {
        rig.wait(&format!("{records} outcomes"), || {
            (rig.observer.outcomes() >= records).then_some(())
        })
    };
    served(records / 5)?;
    let before = daemon.resident_bytes();
    served(records)?;
    rig.settle(&Allowance::default())?;
    let grown = daemon.resident_bytes().saturating_sub(before);
    println!(
        "bomb: {records} records, {} MB, grown by {} MB",
        before >> 20,
        grown >> 20
    );
    assert!(grown < GROWTH_MAX, "grown by {grown} bytes");
    rig.finish(vec![daemon])
}

#[test]
fn faults_bomb_of_ids_is_bounded_in_memory_and_others_are_served() {
    held(bomb(Broker::shared(), 91, 150_000));
}
