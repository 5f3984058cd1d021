//! Which versions of the weights may go.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::board::lock;
use crate::daemon::trainer::TrainerThread;
use crate::engine::ModelVersion;
use crate::kafka;
use crate::store::{self, NamedVersions, chain};
use crate::worker;

/// What is known from one pruning to the next.
#[derive(Debug)]
pub(super) struct Pruning {
    /// Partitions without a committed offset as of the newest one.
    absent: BTreeSet<String>,
    /// Whether it was said that names cannot be told.
    said: bool,
}

impl Pruning {
    pub(super) const fn new() -> Self {
        Self {
            absent: BTreeSet::new(),
            said: false,
        }
    }
}

impl TrainerThread {
    /// Deletes versions that are old and that neither a committed switch log nor a snapshot names. In doubt none: they cost
    /// disk only.
    pub(super) fn prune(&self, state: &mut Pruning) {
        let pipeline = &self.board.name;
        let cannot = |error: &store::Error| {
            tracing::warn!(pipeline, error = chain(error), "old versions cannot be deleted");
        };
        let old = match self.catalogue.old() {
            Ok(old) if old.is_empty() => return,
            Ok(old) => old,
            Err(error) => return cannot(&error),
        };
        let named = match self.ask_for_names(old.clone()) {
            Ok(named) => named,
            Err(error) => {
                tracing::debug!(pipeline, %error, "old versions stay");
                return;
            }
        };
        let absent_before = mem::replace(&mut state.absent, named.0.absent.clone());
        if !self.may_prune(state, &named, &absent_before) {
            return;
        }
        let (offsets, snapshots) = named;
        let is_named = |version: &ModelVersion| {
            offsets.versions.contains(version) || snapshots.versions.contains(version)
        };
        let doomed = old.into_iter().filter(|version| !is_named(version)).collect();
        match self.catalogue.delete(&doomed) {
            Ok(versions) => tracing::debug!(pipeline, versions, "old versions deleted"),
            Err(error) => cannot(&error),
        }
    }

    /// What the group's offsets name, and which of the `old` versions snapshots name.
    fn ask_for_names(
        &self,
        old: BTreeSet<ModelVersion>,
    ) -> Result<(kafka::Named, NamedVersions), worker::ports::Error> {
        let pipeline = self.board.name.clone();
        let (config, worker, stop) = (self.kafka.clone(), self.worker.clone(), self.stop.clone());
        let snapshots = Arc::clone(&self.snapshots);
        let leaving = kafka::Leaving::new(move || stop.is_requested(), Duration::ZERO);
        leaving.ask(&format!("prune {pipeline}"), move || {
            let offsets = kafka::versions_named(&config, &worker)?;
            let named = snapshots.versions_named(&config.group, &pipeline, &old);
            let named = named.map_err(|error| worker::ports::Error::Transient {
                doing: "reading which versions the snapshots name",
                reason: chain(&error),
            })?;
            Ok((offsets, named))
        })
    }

    /// Whether what is not named may be deleted; what cannot be told is said once and counted.
    fn may_prune(
        &self,
        state: &mut Pruning,
        (offsets, snapshots): &(kafka::Named, NamedVersions),
        absent_before: &BTreeSet<String>,
    ) -> bool {
        let (foreign, newer) = (&offsets.foreign, &offsets.newer);
        lock(&self.board.training).unnamed = foreign.len() + newer.len() + snapshots.newer;
        let holds_up = newer.len() + snapshots.newer > 0;
        if (holds_up || !foreign.is_empty()) && !state.said {
            state.said = true;
            tracing::warn!(
                pipeline = self.board.name,
                foreign = foreign.join(", "),
                newer = newer.join(", "),
                newer_snapshots = snapshots.newer,
                "which versions some partitions name cannot be told: where the metadata of the committed offset is foreign its \
                 snapshots tell; where it, or a snapshot, is of a newer release, no version is deleted until that one does it"
            );
        }
        // One that had an offset, or may have: a coordinator in transition answers as if it had none.
        !holds_up && offsets.absent.is_subset(absent_before)
    }
}
