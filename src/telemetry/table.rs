//! Every metric of the product, once: the registry is built from this table.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises within a process; its name ends in `_total`.
    Counter,
    /// A value of now; absent where there is none yet.
    Gauge,
    /// Counts by upper bounds, seconds.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// As exposed.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, with its labels and unit.
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Counter,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        help,
    }
}

const fn histogram(name: &'static str, help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Histogram,
        help,
    }
}

/// The table. Every metric of a pipeline has the label `pipeline`; further labels are named in its help.
pub const TABLE: &[Row] = &[
    // --- the process ---
    gauge("tidecast_up", "1 while the process runs"),
    gauge("tidecast_build_info", "1; `version` is that of the program"),
    gauge("tidecast_ready", "1 while /readyz answers 200"),
    // --- records and outcomes ---
    counter(
        "tidecast_records_total",
        "Records taken for the first time: those read again to restore state are not among them",
    ),
    counter(
        "tidecast_records_replayed_total",
        "Records read again to restore state; their outcomes were published before",
    ),
    counter(
        "tidecast_received_bytes_total",
        "Bytes of keys and values taken, those read again included",
    ),
    counter(
        "tidecast_published_bytes_total",
        "Bytes of keys and values published",
    ),
    counter(
        "tidecast_observations_total",
        "Observations by `outcome`, counted once it is committed; each has exactly one",
    ),
    counter("tidecast_dead_letters_total", "Refused observations by `reason`"),
    counter("tidecast_anomalies_total", "Observations flagged as anomalous"),
    // --- how well it keeps up ---
    histogram(
        "tidecast_turn_seconds",
        "Length of a worker's turn, waiting for records included",
    ),
    histogram(
        "tidecast_commit_seconds",
        "From sending offsets to the answer of the commit",
    ),
    histogram(
        "tidecast_outcome_age_seconds",
        "Age of a transaction's oldest outcome at its commit, since its record was polled",
    ),
    gauge(
        "tidecast_lag_records",
        "Records between position and log end, by `topic` and `partition`",
    ),
    counter(
        "tidecast_records_lost_total",
        "Records that were deleted from an input topic before they were read",
    ),
    gauge(
        "tidecast_partitions",
        "Assigned partitions by `phase`: waiting, loading a snapshot, restoring, running, parked",
    ),
    gauge(
        "tidecast_degraded",
        "Partitions whose forecasts leave horizons out because they lag",
    ),
    gauge(
        "tidecast_rebuilt",
        "Partitions whose state was made anew from a part of their history, since the assignment",
    ),
    gauge("tidecast_streams", "Streams with state"),
    counter(
        "tidecast_streams_forgotten_total",
        "Idle streams forgotten by a full partition to make room for new ones",
    ),
    gauge(
        "tidecast_worker_silence_seconds",
        "Since the last sign of life of `worker`",
    ),
    counter(
        "tidecast_worker_restarts_total",
        "Times that a worker dropped its state and restored it",
    ),
    // --- snapshots ---
    counter("tidecast_snapshots_total", "Snapshots of a partition written"),
    counter(
        "tidecast_snapshot_failures_total",
        "Snapshots that could not be written: what came since the one before is read again after a crash",
    ),
    counter(
        "tidecast_snapshots_refused_total",
        "Snapshots that were there and not restored from: damaged, or of another past",
    ),
    gauge("tidecast_snapshot_bytes", "Bytes of the newest snapshot written"),
    gauge(
        "tidecast_snapshot_seconds",
        "What the newest snapshot took, from its first row's copy until it was durable",
    ),
    gauge(
        "tidecast_snapshot_age_seconds",
        "Since there is something that no snapshot holds, of the partition where that is longest",
    ),
    // --- how well it forecasts ---
    gauge(
        "tidecast_coverage",
        "Share of matured one-step forecasts whose band held the observation, recent",
    ),
    gauge(
        "tidecast_coverage_nominal",
        "Share that `tidecast_coverage` should be",
    ),
    gauge(
        "tidecast_skill",
        "1 - error / error of the last value at `horizon`; 0 is no better than the last value",
    ),
    gauge(
        "tidecast_network_weight",
        "Weight of the network among the experts at horizon 1, recent mean",
    ),
    // --- models and training ---
    gauge(
        "tidecast_model_version",
        "Newest version of the weights that this process knows",
    ),
    gauge(
        "tidecast_model_version_serving",
        "Oldest version that serves a partition of this process",
    ),
    gauge(
        "tidecast_switch_log_entries",
        "Most entries of a partition's switch log: from 56 on only rollbacks are adopted, at 64 no version is",
    ),
    counter(
        "tidecast_models_missing_total",
        "Versions that a switch log names and the store does not hold",
    ),
    gauge(
        "tidecast_training_active",
        "1: trains here; 0: paused, or follows another process's versions",
    ),
    gauge(
        "tidecast_training_paused",
        "1: a partition lags by more than `training.lag_pause`, so nothing is trained here",
    ),
    counter(
        "tidecast_training_cpu_seconds_total",
        "CPU time of the trainer's thread",
    ),
    counter("tidecast_training_batches_total", "Mini-batches trained"),
    counter("tidecast_training_rows_total", "Rows visited by training"),
    gauge(
        "tidecast_training_batches_owed",
        "Mini-batches that the schedule is behind by",
    ),
    gauge(
        "tidecast_training_loss",
        "Mean pinball loss of the trained weights, recent mean",
    ),
    gauge(
        "tidecast_training_loss_served",
        "Mean pinball loss of the served weights on fresh rows",
    ),
    gauge(
        "tidecast_training_paired_difference",
        "Loss of the trained minus loss of the served weights on the same fresh rows",
    ),
    gauge(
        "tidecast_training_paired_error",
        "Standard error of `tidecast_training_paired_difference`",
    ),
    gauge(
        "tidecast_training_gradient_norm",
        "Global norm of the newest gradient before clipping",
    ),
    gauge(
        "tidecast_training_gradient_norm_by_lag",
        "Norm of the loss's gradient by the hidden state `lag` steps back: towards 0 it vanishes",
    ),
    gauge("tidecast_training_learning_rate", "Step size in use"),
    counter(
        "tidecast_training_versions_total",
        "Versions published, rollbacks included",
    ),
    counter(
        "tidecast_training_refused_total",
        "Candidates that the gate refused",
    ),
    counter(
        "tidecast_model_failures_total",
        "Times that weights, or where training stands, could not be stored",
    ),
    gauge(
        "tidecast_model_names_unknown",
        "Partitions with foreign metadata, and snapshots of newer releases: which versions of the weights they name cannot be told",
    ),
    counter(
        "tidecast_training_rollbacks_total",
        "Versions that bring an ancestor's weights back",
    ),
    counter(
        "tidecast_training_resets_total",
        "Times that the trained weights were set back to the served ones",
    ),
    counter(
        "tidecast_training_non_finite_total",
        "Mini-batches whose loss or gradient was not finite",
    ),
    gauge("tidecast_tape_rows", "Rows on the trainer's tape"),
    gauge("tidecast_tape_streams", "Streams on the trainer's tape"),
    gauge("tidecast_tape_bytes", "Bytes of the trainer's tape"),
    counter(
        "tidecast_tape_rows_dropped_total",
        "Rows that found no room on the way to the trainer",
    ),
    counter(
        "tidecast_tape_rows_refused_total",
        "Rows that the trainer did not take: too many streams, or not finite",
    ),
];
