//! Where a partition's state comes from: the newest snapshot that fits, else the base; and from there on consuming with the
//! mouth shut, up to what is committed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::snapshot::{Anchor, Content, Header};
use crate::engine::{self, Engine, Model, ModelVersion};
use crate::series::observation::NextOffset;
use crate::worker::Config;
use crate::worker::batch::Batch;
use crate::worker::ports::{Committed, Error, Log, Models, PartitionId, Source};
use crate::worker::publisher::Voice;
use crate::worker::slot::{Open, Slot};
use crate::worker::switch_log::{SWITCHES_MAX, SwitchLog};

/// A history of fewer records is replayed however old it is: that takes less time than to ask how old it is.
const REBUILD_RECORDS_MIN: i64 = 10_000;

/// What is to be done with a partition.
pub(crate) enum Verdict {
    /// Something was served: there may be a snapshot.
    Search(Box<Prospect>),
    /// Read it from there on.
    Go(Box<Plan>),
    /// It cannot be read until somebody looks; the sentence says why.
    Park(String),
    /// Not now; the sentence says why.
    Wait(String),
}

/// What the group and the log say of a partition.
#[derive(Clone, Debug)]
pub(crate) struct Prospect {
    /// As the group knows it.
    pub(crate) next: NextOffset,
    /// The committed offset's metadata; `None` where it is not ours. Where an operator has set the offset back and kept the
    /// metadata, its later switches are made again where they were made.
    pub(crate) known: Option<SwitchLog>,
    /// Ends of the log.
    pub(crate) ends: Log,
}

/// How a partition is restored.
pub(crate) struct Plan {
    /// The committed offset's metadata, where it is ours.
    known: Option<SwitchLog>,
    pub(crate) from: NextOffset,
    committed: NextOffset,
    log: SwitchLog,
    history: Voice,
    rebuilt: bool,
    lost: u64,
    /// State as of `from`, with the offset that its snapshot is of.
    content: Option<(NextOffset, Content)>,
    anchor: Option<Anchor>,
}

impl Prospect {
    /// Where reading goes on at the latest: what was deleted cannot be read.
    fn committed(&self) -> NextOffset {
        self.next.max(self.ends.start)
    }

    /// Records that were deleted before they were read.
    fn lost(&self) -> u64 {
        (self.ends.start.0 - self.next.0).max(0).unsigned_abs()
    }
}

/// Looks at what the group and the log say.
///
/// # Errors
/// As of the source.
pub(crate) fn survey<S: Source>(
    source: &mut S,
    config: &Config,
    slot: &mut Slot,
    committed: &Committed,
) -> Result<Verdict, Error> {
    let id = slot.id;
    let Some(next) = committed.next else {
        return plan_without_offset(source, config, slot);
    };
    slot.remembered = Some(next);
    let ends = source.log(id)?;
    if next > ends.end {
        return Ok(Verdict::Park(format!(
            "topic `{}` partition {}: the committed offset {next} lies beyond the log's end {}: the topic was created \
             anew or lost its newest records; stop the pipeline and set its group's offsets",
            config.topics[id.topic], id.partition, ends.end
        )));
    }
    let known = committed.metadata.parse::<SwitchLog>().ok();
    let served_nothing = known.as_ref().is_some_and(|known| known.entries().is_empty());
    let prospect = Prospect { next, known, ends };
    if served_nothing {
        let plan = from_base(source, config, id, prospect)?;
        return Ok(Verdict::Go(Box::new(plan)));
    }
    Ok(Verdict::Search(Box::new(prospect)))
}

/// Without a snapshot: from the base, or from `rebuild` ago.
///
/// # Errors
/// As of the source.
pub(crate) fn from_base<S: Source>(
    source: &mut S,
    config: &Config,
    id: PartitionId,
    prospect: Prospect,
) -> Result<Plan, Error> {
    let mut plan = Plan {
        known: prospect.known.clone(),
        from: NextOffset(0),
        committed: prospect.committed(),
        history: match &prospect.known {
            Some(known) if known.entries().is_empty() => Voice::Warmup,
            _ => Voice::Replay,
        },
        rebuilt: prospect.known.is_none(),
        lost: prospect.lost(),
        // Foreign metadata names no base: as if it were too long ago.
        log: prospect.known.unwrap_or_else(|| SwitchLog::new(NextOffset(0))),
        content: None,
        anchor: None,
    };
    if plan.log.base() < prospect.ends.start && !plan.log.entries().is_empty() {
        // The oldest of what made the state is deleted: what is left makes another one.
        plan.rebuilt = true;
    }
    plan.log.fold(prospect.ends.start);
    if plan.committed < plan.log.base() {
        // An operator has set the offset back to before all that was ever read: nothing of what the log says has
        // happened when reading goes on there.
        plan.log = SwitchLog::new(plan.committed);
        plan.rebuilt = true;
    } else if plan.rebuilt || is_long(&plan) {
        rebuild(source, config, id, &mut plan)?;
    }
    // The versions of the time before the oldest snapshot were forgotten, and no snapshot is left.
    plan.rebuilt |= plan.log.reach_back();
    plan.from = plan.log.base();
    Ok(plan)
}

/// From a snapshot that was found to fit.
pub(crate) fn from_snapshot(prospect: Prospect, header: &Header, content: Content) -> Plan {
    let committed = prospect.committed();
    let lost = prospect.lost();
    let known = prospect.known.clone();
    let log = prospect.known.unwrap_or_else(|| {
        header
            .switch_log
            .parse()
            .expect("a snapshot whose switch log cannot be read is refused")
    });
    // Where records between the snapshot and the committed offset are deleted, or a version of then is not known any more,
    // the state is not the one that was.
    let deleted = header.next < prospect.ends.start.min(committed);
    let forgotten = log.entries().first().is_some_and(|first| header.next < first.0);
    Plan {
        known,
        from: header.next.max(prospect.ends.start),
        committed,
        log,
        history: Voice::Replay,
        rebuilt: deleted || forgotten,
        lost,
        content: Some((header.next, content)),
        anchor: header.anchor,
    }
}

/// Why the log is not the one that a snapshot is of; `None` where it is, or nobody can know any more.
///
/// # Errors
/// As of the source.
pub(crate) fn other_log<S: Source>(
    source: &mut S,
    id: PartitionId,
    start: NextOffset,
    header: &Header,
) -> Result<Option<String>, Error> {
    let Some(anchor) = header.anchor.filter(|anchor| !start.is_past(anchor.offset)) else {
        return Ok(None);
    };
    let Some(found) = source.record_before(id, header.next)? else {
        return Ok(None);
    };
    // An earlier one: the snapshot's record was compacted away, unless what is left is younger than it was. In a log that
    // was created anew a transaction's marker may lie at its offset.
    let other = match found.offset.cmp(&anchor.offset) {
        Ordering::Greater => true,
        Ordering::Equal => found != anchor,
        Ordering::Less => found.timestamp_ms > anchor.timestamp_ms,
    };
    Ok(other.then(|| {
        format!(
            "the log's record {} is of {} ms, the snapshot's last one was {} of {} ms: the topic was created anew",
            found.offset, found.timestamp_ms, anchor.offset, anchor.timestamp_ms
        )
    }))
}

/// Whether history should reach back to `rebuild` ago only: it takes long to replay, or its switches leave little room
/// for further ones.
fn is_long(plan: &Plan) -> bool {
    let records = plan.committed.0 - plan.log.base().0;
    records >= REBUILD_RECORDS_MIN || plan.log.entries().len() > SWITCHES_MAX / 2
}

/// Raises the base to `rebuild` before the committed offset's Kafka time.
fn rebuild<S: Source>(
    source: &mut S,
    config: &Config,
    id: PartitionId,
    plan: &mut Plan,
) -> Result<(), Error> {
    let span_ms = i64::try_from(config.rebuild.as_millis()).unwrap_or(i64::MAX);
    let Some(newest) = source.record_before(id, plan.committed)? else {
        return Ok(());
    };
    let found = source.offset_at(id, newest.timestamp_ms.saturating_sub(span_ms))?;
    let base = found.unwrap_or(plan.committed).min(plan.committed);
    if base > plan.log.base() {
        plan.log.fold(base);
        plan.rebuilt = true;
    }
    Ok(())
}

/// No committed offset: a new partition of a topic that has some starts at its beginning. Everything else waits: where
/// history exists, "none" is a coordinator in transition, and is never read as 0.
fn plan_without_offset<S: Source>(
    source: &mut S,
    config: &Config,
    slot: &mut Slot,
) -> Result<Verdict, Error> {
    let topic = &config.topics[slot.id.topic];
    let partition = slot.id.partition;
    if let Some(next) = slot.remembered {
        return Ok(Verdict::Wait(format!(
            "topic `{topic}` partition {partition}: the group answers no committed offset where {next} was committed; where the \
             topic was created anew, a restart begins with it as with a new one"
        )));
    }
    let all = source.partitions(slot.id.topic)?;
    let committed = source.committed(&all)?;
    if committed
        .iter()
        .any(|entry| entry.partition == slot.id && entry.next.is_some())
    {
        // A coordinator that knows it now and did not just before is in transition: its answers are no sign of a new one.
        slot.seems_new = false;
        return Ok(Verdict::Wait(format!(
            "topic `{topic}` partition {partition}: the group's answers on its committed offset differ; asking once more"
        )));
    }
    if committed.iter().all(|entry| entry.next.is_none()) {
        return Ok(Verdict::Wait(format!(
            "topic `{topic}` partition {partition}: the group has no committed offset of this topic; they are set before its \
             first member joins; where it was created anew, a restart begins with it as with a new one"
        )));
    }
    if !slot.seems_new {
        slot.seems_new = true;
        return Ok(Verdict::Wait(format!(
            "topic `{topic}` partition {partition}: it seems to be new; asking once more"
        )));
    }
    let start = source.log(slot.id)?.start;
    Ok(Verdict::Go(Box::new(Plan {
        known: None,
        from: start,
        committed: start,
        log: SwitchLog::new(start),
        history: Voice::Replay,
        rebuilt: false,
        lost: 0,
        content: None,
        anchor: None,
    })))
}

/// State for a plan, with the versions that its log names; and how many of them are not there.
///
/// # Errors
/// Where the store is away.
pub(crate) fn open<M: Models>(
    engine: &Engine,
    models: &mut M,
    (config, id): (&Config, PartitionId),
    mut plan: Plan,
    now: Duration,
) -> Result<(Open, u64), Error> {
    let newest = models.newest();
    if plan.log.entries().is_empty() {
        plan.log.switch(plan.from, newest.version);
    }
    let served = serve(models, &config.engine, (&plan.log, plan.from), &newest)?;
    let behind = served.log.entries().partition_point(|entry| entry.0 <= plan.from);
    let adopted = behind.max(1);
    let model = Arc::clone(&served.versions[adopted - 1]);
    let topic = &config.topics[id.topic];
    let (snapshot, state) = match plan.content {
        Some((next, content)) => (Some(next), engine.restore(topic, id.partition, model, content)),
        None => (None, engine.partition(topic, id.partition, model)),
    };
    let opened = Open {
        state,
        batch: Batch::default(),
        position: plan.from,
        committed: plan.committed,
        muted_until: plan.committed,
        history: plan.history,
        noted: (plan.known.as_ref() == Some(&served.log)).then(|| served.log.to_string()),
        metadata: served.log.to_string(),
        log: served.log,
        adopted,
        versions: served.versions,
        next_switch: now,
        anchor: plan.anchor,
        snapshot,
        next_snapshot: now + stagger(config, id),
        thin: false,
        end_seen: false,
        rebuilt: plan.rebuilt,
        lost: plan.lost,
        lost_uncounted: plan.lost,
    };
    Ok((opened, served.missing))
}

/// Partitions that were given at once do not write their first snapshots at once.
fn stagger(config: &Config, id: PartitionId) -> Duration {
    let place = (id.partition.0.unsigned_abs() + 7 * u32::try_from(id.topic).unwrap_or(0)) % 16;
    config.snapshot_interval / 2 + config.snapshot_interval * place / 32
}

/// A log as it can be served.
struct Served {
    log: SwitchLog,
    /// One for each entry of `log`.
    versions: Vec<Arc<Model>>,
    missing: u64,
}

/// What served only before `from` is in the state already: its name is kept, its file is not needed.
///
/// With its file gone, or of another shape, a version cannot serve again: the one before it goes on, and where there is
/// none the newest stands in. The log then says so, and is committed with the next offset: later restores replay what was
/// served from here on, whatever is the newest by then.
fn serve<M: Models>(
    models: &mut M,
    engine: &engine::Config,
    (named, from): (&SwitchLog, NextOffset),
    newest: &Arc<Model>,
) -> Result<Served, Error> {
    let mut known = BTreeMap::from([(newest.version, Some(Arc::clone(newest)))]);
    let entries = named.entries();
    let serving = entries.partition_point(|entry| entry.0 <= from).max(1) - 1;
    let mut switches = entries[..serving].to_vec();
    let mut versions = vec![Arc::clone(newest); serving]; // in their places only: nothing adopts them again
    let mut missing = 0;
    for (place, &(at, version)) in entries.iter().enumerate().skip(serving) {
        let found = load(models, engine, &mut known, version)?;
        missing += u64::from(found.is_none());
        let (at, model) = match found {
            Some(model) => (at, model),
            None if place > serving => continue,
            None if at < from && entries.len() < SWITCHES_MAX => {
                switches.push((at, version));
                versions.push(Arc::clone(newest));
                (from, Arc::clone(newest))
            }
            None => (at, Arc::clone(newest)),
        };
        switches.push((at, model.version));
        versions.push(model);
    }
    Ok(Served {
        log: SwitchLog::serving(named.base(), switches),
        versions,
        missing,
    })
}

fn load<M: Models>(
    models: &mut M,
    engine: &engine::Config,
    known: &mut BTreeMap<ModelVersion, Option<Arc<Model>>>,
    version: ModelVersion,
) -> Result<Option<Arc<Model>>, Error> {
    if let Some(model) = known.get(&version) {
        return Ok(model.clone());
    }
    let needed = engine::shape(engine);
    let model = models.load(version)?.filter(|model| model.fits(&needed).is_ok());
    known.insert(version, model.clone());
    Ok(model)
}
