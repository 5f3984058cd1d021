//! Where training stands, kept beside the version that it trains from, by the one trainer that leads that version.
//!
//! A process that hung, or lost its partition, may believe for a while that it trains. So nobody writes over what he neither
//! wrote nor began from: who finds something else beside his version has been followed by another trainer, and keeps nothing
//! there any more.

use std::time::Duration;

use crate::daemon::models::Catalogue;
use crate::engine::ModelVersion;
use crate::store::{self, Mark, Put};
use crate::training::Trainer;

/// How often it is kept besides. A publication keeps it too, every 30 s as a rule; where the gate refuses for long, a kill
/// costs as much training at most. The file has five times the weights: half a megabyte as a rule, a hundred at most.
const KEEP_INTERVAL: Duration = Duration::from_secs(300);
/// Marks that may be there where writes were not answered: the first and the newest.
const KNOWN_MAX: usize = 4;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Keeper {
    version: ModelVersion,
    /// What may be there of ours; `None` where nobody could tell yet, or somebody else leads the version.
    known: Option<Vec<Mark>>,
    leads: bool,
    /// When it was tried last.
    tried: Duration,
}

impl Keeper {
    /// Of the trainer that leads `version` from now on, beside which `found` lies; `None` where the store was away.
    pub(crate) fn leading(version: ModelVersion, found: Option<Mark>, now: Duration) -> Self {
        Self {
            version,
            known: found.map(|found| vec![found]),
            leads: true,
            tried: now,
        }
    }

    /// Of a trainer that goes on from a version that it did not make: if anything lies beside it, who made it leads it.
    pub(crate) fn following(version: ModelVersion, now: Duration) -> Self {
        Self {
            version,
            known: Some(vec![Mark::NOTHING]),
            leads: true,
            tried: now,
        }
    }

    /// The version.
    pub(crate) const fn version(&self) -> ModelVersion {
        self.version
    }

    /// Whether it is time to keep it without an occasion.
    pub(crate) const fn is_due(&self, now: Duration) -> bool {
        self.leads && now.saturating_sub(self.tried).as_secs() >= KEEP_INTERVAL.as_secs()
    }

    /// Keeps where `trainer` stands, unless that is there already or somebody else leads the version; false where that is
    /// found out now.
    ///
    /// # Errors
    /// The store's: what was there is there still, or this is.
    pub(crate) fn keep(
        &mut self,
        catalogue: &Catalogue,
        trainer: &Trainer,
        now: Duration,
    ) -> Result<bool, store::Error> {
        self.tried = now;
        if !self.leads {
            return Ok(true);
        }
        let bytes = trainer.state().to_bytes();
        let mark = Mark::of(&bytes);
        let known = match &mut self.known {
            Some(known) => known,
            unknown => unknown.insert(vec![catalogue.kept(self.version)?]),
        };
        if *known == [mark] {
            return Ok(true);
        }
        match catalogue.put_state(self.version, bytes, known) {
            Ok(Put::Stored) => *known = vec![mark],
            Ok(Put::Exists) => self.leads = false,
            Err(error) => {
                // It may have been written all the same.
                if !known.contains(&mark) {
                    if known.len() == KNOWN_MAX {
                        known.remove(1);
                    }
                    known.push(mark);
                }
                return Err(error);
            }
        }
        Ok(self.leads)
    }
}
