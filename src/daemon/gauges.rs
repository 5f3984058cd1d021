//! The gauges of a scrape and the trainer's counters, read from the board.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::daemon::board::{Board, PipelineBoard, TrainingView, lock};
use crate::daemon::readiness;
use crate::engine::{PartitionStats, Skill};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Gauges, Labels, Total};
use crate::training::Stats;
use crate::worker::report::{PartitionPhase, PartitionReport};

/// Totals that the trainers keep, as counters. By metric and pipeline.
#[derive(Debug, Default)]
pub(crate) struct TrainerTotals(Mutex<BTreeMap<(&'static str, String), Total>>);

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge beyond 2^53 is off by less than a part in 10^15"
)]
const fn of_count(count: u64) -> f64 {
    count as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge beyond 2^53 is off by less than a part in 10^15"
)]
const fn of_size(size: usize) -> f64 {
    size as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge beyond 2^53 is off by less than a part in 10^15"
)]
const fn of_records(records: i64) -> f64 {
    records as f64
}

/// The exposition of everything at `now`.
pub(crate) fn exposition(board: &Board, metrics: &Metrics, totals: &TrainerTotals, now: Duration) -> String {
    for pipeline in &board.pipelines {
        let view = lock(&pipeline.training).clone();
        raise(metrics, totals, &pipeline.name, &view);
    }
    metrics.text(|gauges| {
        gauges.set("tidecast_up", &Labels::new(), 1.0);
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        gauges.set("tidecast_build_info", &version, 1.0);
        let ready = readiness::look(board, now).ready;
        gauges.set("tidecast_ready", &Labels::new(), f64::from(u8::from(ready)));
        for pipeline in &board.pipelines {
            let training = lock(&pipeline.training).clone();
            of_training(gauges, &pipeline.name, &training);
            of_pipeline(gauges, pipeline, now);
        }
    })
}

fn raise(metrics: &Metrics, totals: &TrainerTotals, pipeline: &str, view: &TrainingView) {
    let none = Stats::default();
    let stats = view.stats.as_ref().unwrap_or(&none);
    let now: [(&'static str, f64); 9] = [
        ("tidecast_model_failures_total", of_count(view.failures)),
        ("tidecast_training_cpu_seconds_total", view.cpu_seconds),
        ("tidecast_training_batches_total", of_count(stats.batches)),
        ("tidecast_training_rows_total", of_count(stats.rows_trained)),
        ("tidecast_training_versions_total", of_count(stats.versions)),
        ("tidecast_training_refused_total", of_count(stats.refused)),
        ("tidecast_training_rollbacks_total", of_count(stats.rollbacks)),
        ("tidecast_training_resets_total", of_count(stats.resets)),
        ("tidecast_training_non_finite_total", of_count(stats.non_finite)),
    ];
    let refused = ("tidecast_tape_rows_refused_total", of_count(stats.rows_refused));
    let mut totals = lock(&totals.0);
    for (name, total) in now.into_iter().chain([refused]) {
        let of_pipeline = totals
            .entry((name, pipeline.to_owned()))
            .or_insert_with(|| Total::new(metrics.counter(name, &vec![("pipeline", pipeline.to_owned())])));
        of_pipeline.raise(total);
    }
}

fn of_training(gauges: &Gauges<'_>, pipeline: &str, view: &TrainingView) {
    let labels: Labels = vec![("pipeline", pipeline.to_owned())];
    let active = view.owner && !view.paused;
    gauges.set("tidecast_training_active", &labels, f64::from(u8::from(active)));
    gauges.set(
        "tidecast_training_paused",
        &labels,
        f64::from(u8::from(view.owner && view.paused)),
    );
    gauges.set("tidecast_model_names_unknown", &labels, of_size(view.unnamed));
    let Some(stats) = view.stats.as_ref().filter(|_| view.owner) else {
        return;
    };
    let values = [
        ("tidecast_training_batches_owed", stats.batches_owed),
        ("tidecast_training_loss", stats.loss_mean),
        ("tidecast_training_loss_served", stats.fresh_loss),
        ("tidecast_training_paired_difference", stats.paired_difference),
        ("tidecast_training_paired_error", stats.paired_error),
        ("tidecast_training_gradient_norm", f64::from(stats.gradient_norm)),
        ("tidecast_training_learning_rate", stats.learning_rate),
        ("tidecast_tape_rows", of_size(stats.tape_rows)),
        ("tidecast_tape_streams", of_size(stats.tape_streams)),
        ("tidecast_tape_bytes", of_size(stats.tape_bytes)),
    ];
    for (name, value) in values {
        gauges.set(name, &labels, value);
    }
    for (lag, norm) in &stats.gradient_norm_by_lag {
        let labels = vec![("pipeline", pipeline.to_owned()), ("lag", lag.to_string())];
        gauges.set(
            "tidecast_training_gradient_norm_by_lag",
            &labels,
            f64::from(*norm),
        );
    }
}

fn of_pipeline(gauges: &Gauges<'_>, pipeline: &PipelineBoard, now: Duration) {
    let labels: Labels = vec![("pipeline", pipeline.name.clone())];
    let version = pipeline.model_version.load(Ordering::Relaxed);
    if version > 0 {
        gauges.set("tidecast_model_version", &labels, of_count(version));
    }
    let mut partitions = Vec::new();
    for (index, worker) in pipeline.workers.iter().enumerate() {
        partitions.extend_from_slice(&lock(&worker.view).partitions);
        if let Some((_, silence)) = worker.pulse(now) {
            let labels = vec![("pipeline", pipeline.name.clone()), ("worker", index.to_string())];
            gauges.set("tidecast_worker_silence_seconds", &labels, silence.as_secs_f64());
        }
    }
    for partition in &partitions {
        if let (Some(lag), Some(topic)) = (partition.lag(), pipeline.topics.get(partition.id.topic)) {
            let labels = vec![
                ("pipeline", pipeline.name.clone()),
                ("topic", topic.clone()),
                ("partition", partition.id.partition.to_string()),
            ];
            gauges.set("tidecast_lag_records", &labels, of_records(lag));
        }
    }
    of_phases(gauges, &pipeline.name, &partitions);
    of_snapshots(gauges, pipeline, now);
    let degraded = partitions.iter().filter(|partition| partition.degraded).count();
    gauges.set("tidecast_degraded", &labels, of_size(degraded));
    let rebuilt = partitions.iter().filter(|partition| partition.rebuilt).count();
    gauges.set("tidecast_rebuilt", &labels, of_size(rebuilt));
    let streams: usize = partitions.iter().map(|partition| partition.streams).sum();
    gauges.set("tidecast_streams", &labels, of_size(streams));
    if let Some(oldest) = partitions.iter().filter_map(|partition| partition.model).min() {
        gauges.set("tidecast_model_version_serving", &labels, of_count(oldest.0));
    }
    let entries = partitions.iter().map(|partition| partition.switches).max();
    gauges.set(
        "tidecast_switch_log_entries",
        &labels,
        of_size(entries.unwrap_or(0)),
    );
    of_quality(gauges, &labels, &partitions);
}

fn of_phases(gauges: &Gauges<'_>, pipeline: &str, partitions: &[PartitionReport]) {
    let mut counts = [
        ("waiting", 0_u64),
        ("loading", 0),
        ("restoring", 0),
        ("running", 0),
        ("parked", 0),
    ];
    for partition in partitions {
        let phase = match partition.phase {
            PartitionPhase::Waiting(_) => 0,
            PartitionPhase::Loading(_) => 1,
            PartitionPhase::Restoring => 2,
            PartitionPhase::Running => 3,
            PartitionPhase::Parked(_) => 4,
        };
        counts[phase].1 += 1;
    }
    for (phase, count) in counts {
        let labels = vec![("pipeline", pipeline.to_owned()), ("phase", phase.to_owned())];
        gauges.set("tidecast_partitions", &labels, of_count(count));
    }
}

fn of_snapshots(gauges: &Gauges<'_>, pipeline: &PipelineBoard, now: Duration) {
    let labels: Labels = vec![("pipeline", pipeline.name.clone())];
    let (mut oldest, mut newest) = (None, None);
    for worker in &pipeline.workers {
        let view = lock(&worker.view);
        oldest = view
            .snapshots
            .values()
            .map(|snapshot| snapshot.since)
            .chain(oldest)
            .min();
        newest = newest.max(view.snapshot);
    }
    if let Some(since) = oldest {
        let age = now.saturating_sub(since).as_secs_f64();
        gauges.set("tidecast_snapshot_age_seconds", &labels, age);
    }
    if let Some((_, bytes, took)) = newest {
        gauges.set("tidecast_snapshot_bytes", &labels, of_count(bytes));
        gauges.set("tidecast_snapshot_seconds", &labels, took.as_secs_f64());
    }
}

/// Means over partitions, weighted by what is behind each.
fn of_quality(gauges: &Gauges<'_>, labels: &Labels, partitions: &[PartitionReport]) {
    let stats = || partitions.iter().map(|partition| &partition.stats);
    let coverage = weighted(stats().map(|stats| (stats.coverage, stats.coverage_count)));
    gauges.set("tidecast_coverage", labels, coverage);
    if let Some(found) = stats().find(|stats| stats.coverage_count > 0) {
        let (low, high) = found.coverage_levels;
        gauges.set("tidecast_coverage_nominal", labels, high - low);
    }
    let network = weighted(stats().map(|stats| (stats.network_weight, stats.network_count)));
    gauges.set("tidecast_network_weight", labels, network);
    let picks: [fn(&PartitionStats) -> Skill; 2] = [|stats| stats.skill_near, |stats| stats.skill_far];
    for pick in picks {
        let all = stats()
            .map(pick)
            .filter(|skill| skill.count > 0)
            .reduce(|sum, skill| Skill {
                horizon: sum.horizon,
                count: sum.count + skill.count,
                error: sum.error + skill.error,
                naive_error: sum.naive_error + skill.naive_error,
            });
        if let Some(skill) = all {
            let mut labels = labels.clone();
            labels.push(("horizon", skill.horizon.to_string()));
            gauges.set("tidecast_skill", &labels, skill.skill());
        }
    }
}

/// NaN where nothing is behind any.
fn weighted(values: impl Iterator<Item = (f64, u64)>) -> f64 {
    let (sum, count) = values
        .filter(|(_, count)| *count > 0)
        .fold((0.0, 0.0), |(sum, all), (value, count)| {
            (value.mul_add(of_count(count), sum), all + of_count(count))
        });
    sum / count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::daemon::board::{SnapshotView, WorkerView};
    use crate::engine::ModelVersion;
    use crate::series::observation::{NextOffset, Partition};
    use crate::worker::ports::{Activity, PartitionId};

    fn partition(number: i32, streams: usize, coverage: f64, count: u64) -> PartitionReport {
        let skill = Skill {
            horizon: 1,
            count,
            error: 1.0,
            naive_error: 2.0,
        };
        PartitionReport {
            id: PartitionId {
                topic: 0,
                partition: Partition(number),
            },
            phase: PartitionPhase::Running,
            position: NextOffset(90),
            committed: NextOffset(80),
            end: Some(NextOffset(100)),
            base: NextOffset(0),
            model: Some(ModelVersion(3)),
            streams,
            stats: PartitionStats {
                coverage_levels: (0.1, 0.9),
                coverage,
                coverage_count: count,
                skill_near: skill,
                network_weight: 0.5,
                network_count: count,
                ..PartitionStats::default()
            },
            switches: 1,
            rebuilt: number == 2,
            lost: 2,
            snapshot: None,
            degraded: number == 1,
        }
    }

    /// Three partitions, two of which had their last snapshot at 1 s and 2 s.
    fn fill(view: &mut WorkerView) {
        view.partitions = vec![
            partition(0, 3, 0.75, 100),
            partition(1, 4, 0.875, 300),
            partition(2, 5, 0.0, 0),
        ];
        view.snapshot = Some((Duration::from_secs(2), 1000, Duration::from_millis(250)));
        for (partition, since_s) in [(0, 2), (1, 1)] {
            let snapshot = SnapshotView {
                since: Duration::from_secs(since_s),
                failure: None,
            };
            let id = view.partitions[partition].id;
            view.snapshots.insert(id, snapshot);
        }
    }

    #[test]
    fn gauges_add_up_a_pipelines_partitions() {
        let pipeline = PipelineBoard::new("plant", &["sensors".to_owned()], 1);
        pipeline.model_version.store(4, Ordering::Relaxed);
        pipeline.workers[0].sign(Activity::Turn, Duration::from_secs(1));
        fill(&mut lock(&pipeline.workers[0].view));
        let stats = Stats {
            rows_trained: 77,
            loss_mean: f64::NAN,
            gradient_norm_by_lag: vec![(16, 0.25)],
            ..Stats::default()
        };
        *lock(&pipeline.training) = TrainingView {
            owner: true,
            paused: true,
            cpu_seconds: 1.5,
            stats: Some(stats),
            failures: 3,
            unnamed: 2,
            ..TrainingView::default()
        };
        let board = Board {
            pipelines: vec![Arc::new(pipeline)],
            stopping: AtomicBool::new(false),
        };
        let text = exposition(
            &board,
            &Metrics::new(),
            &TrainerTotals::default(),
            Duration::from_secs(3),
        );
        for sample in [
            "tidecast_up{} 1.0\n",
            "tidecast_streams{pipeline=\"plant\"} 12.0\n",
            "tidecast_lag_records{pipeline=\"plant\",topic=\"sensors\",partition=\"1\"} 10.0\n",
            "tidecast_partitions{pipeline=\"plant\",phase=\"running\"} 3.0\n",
            "tidecast_partitions{pipeline=\"plant\",phase=\"parked\"} 0.0\n",
            "tidecast_degraded{pipeline=\"plant\"} 1.0\n",
            "tidecast_rebuilt{pipeline=\"plant\"} 1.0\n",
            "tidecast_snapshot_age_seconds{pipeline=\"plant\"} 2.0\n",
            "tidecast_snapshot_bytes{pipeline=\"plant\"} 1000.0\n",
            "tidecast_snapshot_seconds{pipeline=\"plant\"} 0.25\n",
            "tidecast_coverage{pipeline=\"plant\"} 0.84375\n",
            "tidecast_switch_log_entries{pipeline=\"plant\"} 1.0\n",
            "tidecast_coverage_nominal{pipeline=\"plant\"} 0.8\n",
            "tidecast_skill{pipeline=\"plant\",horizon=\"1\"} 0.5\n",
            "tidecast_network_weight{pipeline=\"plant\"} 0.5\n",
            "tidecast_model_version{pipeline=\"plant\"} 4.0\n",
            "tidecast_model_version_serving{pipeline=\"plant\"} 3.0\n",
            "tidecast_worker_silence_seconds{pipeline=\"plant\",worker=\"0\"} 2.0\n",
            "tidecast_training_active{pipeline=\"plant\"} 0.0\n",
            "tidecast_training_paused{pipeline=\"plant\"} 1.0\n",
            "tidecast_training_rows_total{pipeline=\"plant\"} 77.0\n",
            "tidecast_training_gradient_norm_by_lag{pipeline=\"plant\",lag=\"16\"} 0.25\n",
        ] {
            assert!(text.contains(sample), "{sample:?} is missing in\n{text}");
        }
        assert!(
            !text.contains("tidecast_training_loss{"),
            "what is not known yet is left out"
        );
    }
}
