//! Where a partition's state comes from: the newest snapshot that fits, else the base; and from there on consuming with the
//! mouth shut, up to what is committed.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::snapshot::{Anchor, Content, Header};
use crate::engine::{self, Engine, Model, ModelVersion};
use crate::faults::{self, Mechanism};
use crate::series::observation::NextOffset;
use crate::worker::Config;
use crate::worker::batch::Batch;
use crate::worker::inquiry::{Facts, Wish};
use crate::worker::metadata::Metadata;
use crate::worker::ports::{Log, PartitionId};
use crate::worker::publisher::{Voice, as_u64};
use crate::worker::slot::{Open, Slot};
use crate::worker::switch_log::{SWITCHES_MAX, SwitchLog};

/// A history of fewer records is replayed however old it is: that takes less time than to ask how old it is.
const REBUILD_RECORDS_MIN: i64 = 10_000;

/// What is to be done with a partition.
pub(crate) enum Verdict {
    /// Make its state, and read it from there on.
    Open(Box<Plan>),
    /// The snapshot that was found is not of this log; the reason says why.
    Refuse(String),
    /// It cannot be read until somebody looks; the sentence says why.
    Park(String),
    /// Not now; the sentence says why.
    Wait(String),
}

/// What the group and the log say of a partition.
#[derive(Clone, Debug)]
struct Prospect {
    /// As the group knows it.
    next: NextOffset,
    /// The committed offset's metadata; `None` where it is not ours. Where an operator has set the offset back and kept the
    /// metadata, its later switches are made again where they were made.
    known: Option<SwitchLog>,
    /// Ends of the log.
    ends: Log,
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
    /// Offset of the snapshot that the state is made of.
    pub(crate) snapshot: Option<NextOffset>,
    anchor: Option<Anchor>,
    /// One for each entry of `log`.
    versions: Vec<Arc<Model>>,
    /// Versions that the log named and that are not there.
    pub(crate) missing: u64,
}

impl Verdict {
    fn of(plan: Plan) -> Self {
        Self::Open(Box::new(plan))
    }
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

/// What is to be done with a partition by what is known of it. Run again with each answer: changes nothing of `slot` that
/// a further run would see.
///
/// # Errors
/// What has to be known first.
pub(crate) fn consider(
    config: &Config,
    slot: &mut Slot,
    facts: &Facts,
    newest: &Arc<Model>,
) -> Result<Verdict, Wish> {
    let id = slot.id;
    let committed = &facts.committed(vec![id])?[0];
    let Some(next) = committed.next else {
        return match without_offset(config, slot, facts)? {
            Verdict::Open(plan) => serve(config, facts, *plan, newest).map(Verdict::of),
            other => Ok(other),
        };
    };
    slot.remembered = Some(next);
    let ends = facts.log(id)?;
    if next > ends.end {
        return Ok(Verdict::Park(format!(
            "topic `{}` partition {}: the committed offset {next} lies beyond the log's end {}: the topic was created \
             anew or lost its newest records; stop the pipeline and set its group's offsets",
            config.topics[id.topic], id.partition, ends.end
        )));
    }
    let metadata = committed.metadata.parse::<Metadata>().ok();
    if let Some(last) = metadata.as_ref().and_then(|metadata| metadata.last)
        && let Some(found) = another_record(facts, id, ends.start, last)?
    {
        return Ok(Verdict::Park(format!(
            "topic `{}` partition {}: its record {} is of {} ms, and the one that was read and committed there was of {} ms: \
             the topic was created anew, or lost its newest records and was written on; stop the pipeline and set its \
             group's offsets, to the log's beginning to have all of it read, or to {next} again to go on there",
            config.topics[id.topic], id.partition, found.offset, found.timestamp_ms, last.timestamp_ms
        )));
    }
    let known = metadata.map(|metadata| metadata.log);
    let served_nothing = known.as_ref().is_some_and(|known| known.entries().is_empty());
    let prospect = Prospect { next, known, ends };
    let at_most = slot.newest_trusted(next).filter(|_| !served_nothing);
    let snapshot = match at_most {
        Some(at_most) => facts.snapshot(at_most)?,
        None => None,
    };
    let plan = match snapshot {
        Some(header) => match other_log(facts, id, ends.start, header)? {
            Some(reason) => return Ok(Verdict::Refuse(reason)),
            None => from_snapshot(prospect, header),
        },
        None => from_base(config, facts, id, prospect)?,
    };
    serve(config, facts, plan, newest).map(Verdict::of)
}

/// Base and switch log as the committed offset's metadata says them; `None` where that is not ours, or not known.
pub(crate) fn committed_log(facts: &Facts, id: PartitionId) -> Option<SwitchLog> {
    let committed = facts.committed(vec![id]).ok()?;
    let metadata = committed[0].metadata.parse::<Metadata>().ok()?;
    Some(metadata.log)
}

/// What the log holds in the place of the last record that was committed, where that is another one: so this is another
/// log. One that is not there any more proves nothing: it was deleted, or compacted away.
fn another_record(
    facts: &Facts,
    id: PartitionId,
    start: NextOffset,
    last: Anchor,
) -> Result<Option<Anchor>, Wish> {
    if start.is_past(last.offset) || faults::is_off(Mechanism::LogIdentity) {
        return Ok(None);
    }
    let found = facts.record_before(id, last.offset.next())?;
    let another = |found: &Anchor| found.offset == last.offset && found.timestamp_ms != last.timestamp_ms;
    Ok(found.filter(another))
}

/// Without a snapshot: from the base, or from `rebuild` ago.
fn from_base(config: &Config, facts: &Facts, id: PartitionId, prospect: Prospect) -> Result<Plan, Wish> {
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
        snapshot: None,
        anchor: None,
        versions: Vec::new(),
        missing: 0,
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
        rebuild(config, facts, id, &mut plan)?;
    }
    // The versions of the time before the oldest snapshot were forgotten, and no snapshot is left.
    plan.rebuilt |= plan.log.reach_back();
    plan.from = plan.log.base();
    Ok(plan)
}

/// From a snapshot that was found to fit.
fn from_snapshot(prospect: Prospect, header: &Header) -> Plan {
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
        snapshot: Some(header.next),
        anchor: header.anchor,
        versions: Vec::new(),
        missing: 0,
    }
}

/// Why the log is not the one that a snapshot is of; `None` where it is, or nobody can know any more.
fn other_log(
    facts: &Facts,
    id: PartitionId,
    start: NextOffset,
    header: &Header,
) -> Result<Option<String>, Wish> {
    let Some(anchor) = header.anchor.filter(|anchor| !start.is_past(anchor.offset)) else {
        return Ok(None);
    };
    let Some(found) = facts.record_before(id, header.next)? else {
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
fn rebuild(config: &Config, facts: &Facts, id: PartitionId, plan: &mut Plan) -> Result<(), Wish> {
    let span_ms = i64::try_from(config.rebuild.as_millis()).unwrap_or(i64::MAX);
    let Some(newest) = facts.record_before(id, plan.committed)? else {
        return Ok(());
    };
    let found = facts.offset_at(id, newest.timestamp_ms.saturating_sub(span_ms))?;
    let base = found.unwrap_or(plan.committed).min(plan.committed);
    if base > plan.log.base() {
        plan.log.fold(base);
        plan.rebuilt = true;
    }
    Ok(())
}

/// No committed offset: a new partition of a topic that has some starts at its beginning. Everything else waits: where
/// history exists, "none" is a coordinator in transition, and is never read as 0.
fn without_offset(config: &Config, slot: &mut Slot, facts: &Facts) -> Result<Verdict, Wish> {
    let topic = &config.topics[slot.id.topic];
    let partition = slot.id.partition;
    if let Some(next) = slot.remembered {
        return Ok(Verdict::Wait(format!(
            "topic `{topic}` partition {partition}: the group answers no committed offset where {next} was committed; where the \
             topic was created anew, a restart begins with it as with a new one"
        )));
    }
    let all = facts.partitions(slot.id.topic)?;
    let committed = facts.committed(all.to_vec())?;
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
    let start = facts.log(slot.id)?.start;
    Ok(Verdict::of(Plan {
        known: None,
        from: start,
        committed: start,
        log: SwitchLog::new(start),
        history: Voice::Replay,
        rebuilt: false,
        lost: 0,
        snapshot: None,
        anchor: None,
        versions: Vec::new(),
        missing: 0,
    }))
}

/// State for a plan; with the content of its snapshot, where it has one.
pub(crate) fn open(
    engine: &Engine,
    (config, id): (&Config, PartitionId),
    plan: Plan,
    content: Option<Content>,
    now: Duration,
) -> Open {
    let adopted = plan
        .log
        .entries()
        .partition_point(|entry| entry.0 <= plan.from)
        .max(1);
    let model = Arc::clone(&plan.versions[adopted - 1]);
    let topic = &config.topics[id.topic];
    let content = content.filter(|_| plan.snapshot.is_some());
    let state = match content {
        Some(content) => engine.restore(topic, id.partition, model, content),
        None => engine.partition(topic, id.partition, model),
    };
    Open {
        state,
        batch: Batch::default(),
        position: plan.from,
        committed: plan.committed,
        muted_until: plan.committed,
        history: plan.history,
        taped_until: NextOffset(0),
        noted: (plan.known.as_ref() == Some(&plan.log)).then(|| plan.log.to_string()),
        log_text: plan.log.to_string(),
        log: plan.log,
        adopted,
        versions: plan.versions,
        next_switch: now,
        anchor: plan.anchor,
        snapshot: plan.snapshot,
        next_snapshot: now + stagger(config, id),
        thin: false,
        end_seen: false,
        rebuilt: plan.rebuilt,
        lost: plan.lost,
        lost_uncounted: plan.lost,
    }
}

/// Partitions that were given at once do not write their first snapshots at once.
fn stagger(config: &Config, id: PartitionId) -> Duration {
    let place = (id.partition.0.unsigned_abs() + 7 * u32::try_from(id.topic).unwrap_or(0)) % 16;
    config.snapshot_interval / 2 + config.snapshot_interval * place / 32
}

/// Puts the versions into a plan that its log names.
///
/// What served only before `from` is in the state already: its name is kept, its file is not needed.
///
/// With its file gone, or of another shape, a version cannot serve again: the one before it goes on, and where there is
/// none the newest stands in. The log then says so, and is committed with the next offset: later restores replay what was
/// served from here on, whatever is the newest by then.
fn serve(config: &Config, facts: &Facts, mut plan: Plan, newest: &Arc<Model>) -> Result<Plan, Wish> {
    if plan.log.entries().is_empty() {
        plan.log.switch(plan.from, newest.version);
    }
    let needed = engine::shape(&config.engine);
    let from = plan.from;
    let entries = plan.log.entries();
    let serving = entries.partition_point(|entry| entry.0 <= from).max(1) - 1;
    let mut asked: Vec<_> = entries[serving..].iter().map(|entry| entry.1).collect();
    asked.retain(|version| *version != newest.version);
    asked.sort_unstable();
    asked.dedup();
    let loaded = facts.models(&asked)?;
    let find = |version: ModelVersion| {
        let Ok(place) = asked.binary_search(&version) else {
            return Some(Arc::clone(newest));
        };
        loaded[place].clone().filter(|model| model.fits(&needed).is_ok())
    };
    let mut switches = entries[..serving].to_vec();
    let mut versions = vec![Arc::clone(newest); serving]; // in their places only: nothing adopts them again
    let mut missing = asked.clone();
    missing.retain(|version| find(*version).is_none());
    for (place, &(at, version)) in entries.iter().enumerate().skip(serving) {
        let (at, model) = match find(version) {
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
    plan.log = SwitchLog::serving(plan.log.base(), switches);
    plan.versions = versions;
    plan.missing = as_u64(missing.len());
    Ok(plan)
}
