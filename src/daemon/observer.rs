//! A worker's observer: counters to the metrics, the rest to the board, once per turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::daemon::board::{PipelineBoard, SnapshotView, WorkerView, lock};
use crate::daemon::clock::Clock;
use crate::daemon::transitions;
use crate::series::observation::Partition;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Counter, Labels, Total};
use crate::worker::ports::{Activity, Observer, PartitionId};
use crate::worker::report::{Outcomes, PartitionPhase, PartitionReport, SnapshotReport, TurnReport};

/// The board is rewritten at least this often apart, unless something other than numbers changed.
const BOARD_INTERVAL: Duration = Duration::from_millis(100);

/// While a trouble lasts, its changing causes are logged this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

/// Handles of one pipeline's counters. Cloned handles count together.
#[derive(Debug)]
struct Counters {
    records: Counter,
    replayed: Counter,
    received_bytes: Counter,
    published_bytes: Counter,
    outcomes: [Counter; 7],
    anomalies: Counter,
    forgotten: Counter,
    snapshots: Counter,
    snapshot_failures: Counter,
    snapshots_refused: Counter,
    // The worker keeps these as totals.
    tape_rows_dropped: Total,
    models_missing: Total,
    records_lost: Total,
    restarts: Total,
    turn_seconds: Histogram,
    commit_seconds: Histogram,
    outcome_age_seconds: Histogram,
}

const OUTCOMES: [&str; 7] = [
    "forecast",
    "dead_letter",
    "duplicate",
    "late",
    "missing",
    "over_capacity",
    "muted",
];

impl Counters {
    fn new(metrics: &Metrics, pipeline: &str) -> Self {
        let labels: Labels = vec![("pipeline", pipeline.to_owned())];
        let counter = |name| metrics.counter(name, &labels);
        let outcome = |outcome: &str| {
            let labels = vec![("pipeline", pipeline.to_owned()), ("outcome", outcome.to_owned())];
            metrics.counter("tidecast_observations_total", &labels)
        };
        Self {
            records: counter("tidecast_records_total"),
            replayed: counter("tidecast_records_replayed_total"),
            received_bytes: counter("tidecast_received_bytes_total"),
            published_bytes: counter("tidecast_published_bytes_total"),
            outcomes: OUTCOMES.map(outcome),
            anomalies: counter("tidecast_anomalies_total"),
            forgotten: counter("tidecast_streams_forgotten_total"),
            snapshots: counter("tidecast_snapshots_total"),
            snapshot_failures: counter("tidecast_snapshot_failures_total"),
            snapshots_refused: counter("tidecast_snapshots_refused_total"),
            tape_rows_dropped: Total::new(counter("tidecast_tape_rows_dropped_total")),
            models_missing: Total::new(counter("tidecast_models_missing_total")),
            records_lost: Total::new(counter("tidecast_records_lost_total")),
            restarts: Total::new(counter("tidecast_worker_restarts_total")),
            turn_seconds: metrics.histogram("tidecast_turn_seconds", &labels),
            commit_seconds: metrics.histogram("tidecast_commit_seconds", &labels),
            outcome_age_seconds: metrics.histogram("tidecast_outcome_age_seconds", &labels),
        }
    }

    fn count(&mut self, report: &TurnReport<'_>) {
        add(&self.records, report.records.saturating_sub(report.replayed));
        add(&self.replayed, report.replayed);
        add(&self.received_bytes, report.bytes);
        add(&self.published_bytes, report.bytes_published);
        for (counter, count) in self.outcomes.iter().zip(by_outcome(report.outcomes)) {
            add(counter, count);
        }
        self.tape_rows_dropped.raise(as_f64(report.tape_rows_dropped));
        self.models_missing.raise(as_f64(report.models_missing));
        self.records_lost.raise(as_f64(report.records_lost));
        self.restarts.raise(as_f64(report.restarts));
        match report.snapshot.map(|snapshot| snapshot.written.is_ok()) {
            Some(true) => add(&self.snapshots, 1),
            Some(false) => add(&self.snapshot_failures, 1),
            None => {}
        }
        add(
            &self.snapshots_refused,
            u64::try_from(report.snapshots_refused.len()).unwrap_or(u64::MAX),
        );
        self.turn_seconds.observe(report.took.as_secs_f64());
        if let Some(commit) = report.commit {
            self.commit_seconds.observe(commit.latency.as_secs_f64());
            if commit.observations > 0 {
                self.outcome_age_seconds.observe(commit.oldest.as_secs_f64());
            }
        }
    }
}

/// In the order of [`OUTCOMES`].
fn by_outcome(outcomes: &Outcomes) -> [u64; 7] {
    [
        outcomes.forecast,
        outcomes.dead_letter.iter().map(|(_, count)| count).sum(),
        outcomes.duplicate,
        outcomes.late,
        outcomes.missing,
        outcomes.over_capacity,
        outcomes.muted,
    ]
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a count beyond 2^53 is off by less than a part in 10^15"
)]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

fn add(counter: &Counter, count: u64) {
    if count > 0 {
        counter.inc_by(as_f64(count));
    }
}

/// Observer of one worker; see [`Observer`].
#[derive(Debug)]
pub struct Watch {
    pipeline: Arc<PipelineBoard>,
    worker: usize,
    clock: Clock,
    metrics: Arc<Metrics>,
    counters: Counters,
    /// By partition: flagged observations and forgotten streams of its state as last seen. Replay counts them again, so
    /// only a partition in service adds to the counters.
    counted: BTreeMap<PartitionId, (u64, u64)>,
    dead_letters: BTreeMap<&'static str, Counter>,
    written: Duration,
    /// When a trouble was logged last.
    complained: Duration,
}

impl Watch {
    /// Observer of worker `worker` of `pipeline`.
    #[must_use]
    pub fn new(pipeline: Arc<PipelineBoard>, worker: usize, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let counters = Counters::new(&metrics, &pipeline.name);
        Self {
            pipeline,
            worker,
            clock,
            metrics,
            counters,
            counted: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            written: Duration::ZERO,
            complained: Duration::ZERO,
        }
    }

    fn count_dead_letters(&mut self, outcomes: &Outcomes) {
        for &(reason, count) in &outcomes.dead_letter {
            let counter = self.dead_letters.entry(reason).or_insert_with(|| {
                let labels = vec![
                    ("pipeline", self.pipeline.name.clone()),
                    ("reason", reason.to_owned()),
                ];
                self.metrics.counter("tidecast_dead_letters_total", &labels)
            });
            add(counter, count);
        }
    }

    fn count_of_state(&mut self, partitions: &[PartitionReport]) {
        self.counted
            .retain(|id, _| partitions.iter().any(|partition| partition.id == *id));
        for partition in partitions {
            let now = (partition.stats.anomalies, partition.stats.forgotten);
            let before = self.counted.insert(partition.id, now).unwrap_or(now);
            if partition.phase == PartitionPhase::Running {
                add(&self.counters.anomalies, now.0.saturating_sub(before.0));
                add(&self.counters.forgotten, now.1.saturating_sub(before.1));
            }
        }
    }

    /// Snapshots that ended or were refused in this turn.
    fn note_snapshots(&self, report: &TurnReport<'_>, now: Duration) {
        for sentence in report.snapshots_refused {
            transitions::log_refused(&self.pipeline.name, self.worker, sentence);
        }
        let Some(SnapshotReport { id, written, took }) = report.snapshot else {
            return;
        };
        let mut view = lock(&self.pipeline.workers[self.worker].view);
        let failing = |view: &WorkerView| view.snapshots.values().any(|snapshot| snapshot.failure.is_some());
        let failed_before = failing(&view);
        if let Ok(bytes) = written {
            view.snapshot = Some((now, *bytes, *took));
        }
        let snapshot = view.snapshots.entry(*id).or_insert(SnapshotView {
            since: now,
            failure: None,
        });
        if written.is_ok() {
            snapshot.since = now;
        }
        snapshot.failure = written.as_ref().err().cloned();
        let fails = failing(&view);
        drop(view);
        transitions::log_snapshot(
            &self.pipeline,
            self.worker,
            (failed_before, fails),
            report.snapshot,
        );
    }

    fn write_board(&mut self, report: &TurnReport<'_>, now: Duration) {
        let lag = report
            .partitions
            .iter()
            .filter_map(PartitionReport::lag)
            .max()
            .unwrap_or(0);
        let first = PartitionId {
            topic: 0,
            partition: Partition(0),
        };
        let owns_first = report.partitions.iter().any(|partition| partition.id == first);
        self.pipeline.set_share(self.worker, owns_first, lag);
        let mut view = lock(&self.pipeline.workers[self.worker].view);
        view.turns += 1;
        let begins = view.partitions.is_empty() != report.partitions.is_empty();
        let calms = view.trouble.is_some() && report.trouble.is_none();
        if begins || calms {
            view.calm_since = now;
        }
        if view.trouble.as_deref() != report.trouble {
            // Its end always; another cause of the same trouble now and then: a broker that is away has several.
            let began = view.trouble.is_none();
            let due = now.saturating_sub(self.complained) >= COMPLAINT_INTERVAL;
            if began || due || report.trouble.is_none() {
                transitions::log_trouble(&self.pipeline.name, self.worker, report.trouble);
                self.complained = now;
            }
            view.trouble = report.trouble.map(str::to_owned);
        }
        if begins || now.saturating_sub(self.written) >= BOARD_INTERVAL {
            transitions::log(&self.pipeline, self.worker, &view.partitions, report.partitions);
            view.partitions.clear();
            view.partitions.extend_from_slice(report.partitions);
            keep_assigned(&mut view.snapshots, report.partitions, now);
            self.written = now;
        }
    }
}

/// One entry per assigned partition.
fn keep_assigned(
    snapshots: &mut BTreeMap<PartitionId, SnapshotView>,
    partitions: &[PartitionReport],
    now: Duration,
) {
    snapshots.retain(|id, _| partitions.iter().any(|partition| partition.id == *id));
    for partition in partitions {
        let snapshot = snapshots.entry(partition.id).or_insert(SnapshotView {
            since: now,
            failure: None,
        });
        if partition.snapshot == Some(partition.committed) {
            // A quiet partition's snapshot does not grow old: a restart would replay nothing.
            snapshot.since = now;
        }
    }
}

impl Observer for Watch {
    fn activity(&mut self, activity: Activity) {
        self.pipeline.workers[self.worker].sign(activity, self.clock.elapsed());
    }

    fn turn(&mut self, report: &TurnReport<'_>) {
        let now = self.clock.elapsed();
        self.counters.count(report);
        self.count_dead_letters(report.outcomes);
        self.count_of_state(report.partitions);
        self.note_snapshots(report, now);
        self.pipeline.records.fetch_add(report.records, Ordering::Relaxed);
        self.write_board(report, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PartitionStats;
    use crate::series::observation::NextOffset;
    use crate::worker::report::CommitReport;

    fn partition(phase: PartitionPhase, anomalies: u64) -> PartitionReport {
        PartitionReport {
            id: PartitionId {
                topic: 0,
                partition: Partition(0),
            },
            phase,
            position: NextOffset(10),
            committed: NextOffset(10),
            end: Some(NextOffset(15)),
            base: NextOffset(0),
            model: None,
            streams: 1,
            stats: PartitionStats {
                anomalies,
                ..PartitionStats::default()
            },
            switches: 0,
            rebuilt: false,
            lost: 0,
            snapshot: None,
            degraded: false,
        }
    }

    fn turn(watch: &mut Watch, outcomes: &Outcomes, partitions: &[PartitionReport], trouble: Option<&str>) {
        watch.turn(&TurnReport {
            now: Duration::ZERO,
            took: Duration::from_millis(2),
            records: 5,
            bytes: 100,
            replayed: 2,
            outcomes,
            bytes_published: 300,
            commit: Some(CommitReport {
                latency: Duration::from_millis(30),
                oldest: Duration::from_millis(400),
                observations: 5,
            }),
            partitions,
            tape_rows_dropped: 1,
            models_missing: 0,
            records_lost: 0,
            restarts: 1,
            snapshot: None,
            snapshots_refused: &[],
            trouble,
        });
    }

    /// A turn in which a snapshot has ended.
    fn snapshot(watch: &mut Watch, written: Result<u64, String>, refused: &[String]) {
        let partitions = [partition(PartitionPhase::Running, 0)];
        let report = SnapshotReport {
            id: partitions[0].id,
            written,
            took: Duration::from_secs(3),
        };
        watch.turn(&TurnReport {
            now: Duration::ZERO,
            took: Duration::from_millis(2),
            records: 0,
            bytes: 0,
            replayed: 0,
            outcomes: &Outcomes::default(),
            bytes_published: 0,
            commit: None,
            partitions: &partitions,
            tape_rows_dropped: 0,
            models_missing: 0,
            records_lost: 0,
            restarts: 0,
            snapshot: Some(&report),
            snapshots_refused: refused,
            trouble: None,
        });
    }

    #[test]
    fn observer_counts_snapshots_and_keeps_what_fails_until_it_is_written_or_given_back() {
        let pipeline = Arc::new(PipelineBoard::new("plant", &["sensors".to_owned()], 1));
        let metrics = Arc::new(Metrics::new());
        let mut watch = Watch::new(Arc::clone(&pipeline), 0, Clock::start(), Arc::clone(&metrics));
        let failures = || {
            let view = lock(&pipeline.workers[0].view);
            let failing = view
                .snapshots
                .values()
                .filter(|snapshot| snapshot.failure.is_some());
            failing.count()
        };
        snapshot(&mut watch, Ok(1000), &["a".to_owned(), "b".to_owned()]);
        assert_eq!(failures(), 0);
        snapshot(&mut watch, Err("the disk is full".to_owned()), &[]);
        snapshot(&mut watch, Err("the disk is full".to_owned()), &[]);
        assert_eq!(failures(), 1);
        snapshot(&mut watch, Ok(2000), &[]);
        assert_eq!(failures(), 0);
        let text = metrics.text(|_| ());
        for sample in [
            "tidecast_snapshots_total{pipeline=\"plant\"} 2.0\n",
            "tidecast_snapshot_failures_total{pipeline=\"plant\"} 2.0\n",
            "tidecast_snapshots_refused_total{pipeline=\"plant\"} 2.0\n",
        ] {
            assert!(text.contains(sample), "{sample:?} is missing in\n{text}");
        }
        let newest = lock(&pipeline.workers[0].view).snapshot;
        assert_eq!(
            newest.map(|(_, bytes, took)| (bytes, took)),
            Some((2000, Duration::from_secs(3)))
        );
        snapshot(&mut watch, Err("the disk is full".to_owned()), &[]);
        turn(&mut watch, &Outcomes::default(), &[], None);
        assert_eq!(failures(), 0, "its partition is somebody else's now");
    }

    #[test]
    fn observer_counts_turns_into_metrics_and_board() {
        let pipeline = Arc::new(PipelineBoard::new("plant", &["sensors".to_owned()], 1));
        let metrics = Arc::new(Metrics::new());
        let mut watch = Watch::new(Arc::clone(&pipeline), 0, Clock::start(), Arc::clone(&metrics));
        let outcomes = Outcomes {
            forecast: 3,
            dead_letter: vec![("malformed", 1), ("no_time", 1)],
            ..Outcomes::default()
        };
        watch.activity(Activity::Turn);
        turn(
            &mut watch,
            &outcomes,
            &[partition(PartitionPhase::Restoring, 4)],
            Some("restoring"),
        );
        turn(
            &mut watch,
            &outcomes,
            &[partition(PartitionPhase::Running, 6)],
            None,
        );
        turn(
            &mut watch,
            &outcomes,
            &[partition(PartitionPhase::Running, 9)],
            None,
        );
        let text = metrics.text(|_| ());
        for sample in [
            "tidecast_records_total{pipeline=\"plant\"} 9.0\n",
            "tidecast_records_replayed_total{pipeline=\"plant\"} 6.0\n",
            "tidecast_observations_total{pipeline=\"plant\",outcome=\"forecast\"} 9.0\n",
            "tidecast_observations_total{pipeline=\"plant\",outcome=\"dead_letter\"} 6.0\n",
            "tidecast_observations_total{pipeline=\"plant\",outcome=\"late\"} 0.0\n",
            "tidecast_dead_letters_total{pipeline=\"plant\",reason=\"no_time\"} 3.0\n",
            "tidecast_worker_restarts_total{pipeline=\"plant\"} 1.0\n",
            "tidecast_commit_seconds_count{pipeline=\"plant\"} 3\n",
            "tidecast_tape_rows_dropped_total{pipeline=\"plant\"} 1.0\n",
            "tidecast_anomalies_total{pipeline=\"plant\"} 5.0\n",
        ] {
            assert!(text.contains(sample), "{sample:?} is missing in\n{text}");
        }
        assert!(pipeline.owns_first());
        assert_eq!(pipeline.lag_max(), 5);
        let view = lock(&pipeline.workers[0].view);
        assert_eq!(
            (view.turns, view.partitions.len(), view.trouble.clone()),
            (3, 1, None)
        );
    }

    #[test]
    fn outcomes_are_in_the_order_of_their_names() {
        let outcomes = Outcomes {
            forecast: 1,
            dead_letter: vec![("empty", 2)],
            duplicate: 3,
            late: 4,
            missing: 5,
            over_capacity: 6,
            muted: 7,
        };
        assert_eq!(by_outcome(&outcomes), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(OUTCOMES[3], "late");
    }
}
