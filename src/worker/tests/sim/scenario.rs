//! What a seed says of a history before anything happens.

use std::time::Duration;

use super::rng::Rng;
use crate::engine;
use crate::nn::Cell;
use crate::series::observation::Partition;
use crate::worker::Config;
use crate::worker::ports::PartitionId;

/// Name of the pipeline, in every published record.
pub(super) const PIPELINE: &str = "plant";

/// The start of a history.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    /// Workers, each a process of its own.
    pub(super) instances: usize,
    pub(super) partitions: Vec<PartitionId>,
    pub(super) config: Config,
    /// Records that each partition holds at first.
    pub(super) records: usize,
    /// Steps until everything heals.
    pub(super) steps: usize,
    /// Whether history before the start is read muted.
    pub(super) warms_up: bool,
    /// States are compared after one of so many turns.
    pub(super) states_each: usize,
}

pub(super) fn engine(streams_max: usize) -> engine::Config {
    engine::Config {
        streams_max,
        profile: engine::Profile::Accurate,
        // Eight readings, since each moves the partition's time by an eighth at most.
        stream_ttl_ms: 4_000,
        tape_share: 1.0,
        model: engine::config::ModelConfig {
            cell: Cell::Gru,
            hidden: 4,
            layers: 1,
        },
        ..super::super::fakes::config().engine
    }
}

impl Scenario {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let topics = if rng.once_in(4) { 2 } else { 1 };
        let count = 2 + rng.below(2);
        let partitions = (0..count).map(|number| PartitionId {
            topic: if topics == 2 && number + 1 == count { 1 } else { 0 },
            partition: Partition(if topics == 2 && number + 1 == count {
                0
            } else {
                i32::try_from(number).expect("three at most")
            }),
        });
        let mut config = super::super::fakes::config();
        config.topics = vec!["sensors".to_owned(), "meters".to_owned()];
        config.topics.truncate(topics);
        config.pipeline = PIPELINE.to_owned();
        config.dead_letter_drops = rng.once_in(2);
        config.commit_interval = Duration::from_millis(rng.pick(&[0, 30, 100, 400]));
        config.transaction_age_max = Duration::from_secs(2);
        config.turn_records_max = 2 + rng.below(7);
        config.lag_thin = rng.pick(&[4, 8, i64::MAX / 2]);
        config.snapshot_interval = Duration::from_millis(rng.pick(&[10, 50, 200, 5_000, 3_600_000]));
        config.snapshot_bytes_per_s = 1 << 30;
        config.engine = engine(rng.pick(&[3, 4, 5]));
        Self {
            seed,
            instances: 1 + rng.below(3),
            partitions: partitions.collect(),
            config,
            records: 4 + rng.below(12),
            steps: 25 + rng.below(60),
            warms_up: rng.once_in(6),
            states_each: rng.pick(&[3, 10, 30]),
        }
    }

    pub(super) fn topic(&self, id: PartitionId) -> &str {
        &self.config.topics[id.topic]
    }
}
