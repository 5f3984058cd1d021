//! What must be in the output topics, and whether it is: one outcome for every observation, in order, dead letters and
//! forecasts to the byte.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tidecast::config::{self, Sources};
use tidecast::engine::{self, Model, ModelVersion};
use tidecast::store::{self, ModelStore, Store};
use tidecast::worker;

use super::feed::Message;
use super::observer::{Place, Record, Seen, Topic};
use super::rerun::{Expected, Rerun};
use crate::broker::Names;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The input topic is not what was fed: the test itself is broken.
    Fed,
    /// An observation without an outcome, or an outcome of no observation.
    Set,
    /// An observation with two outcomes.
    Doubled,
    /// Outcomes out of order.
    Order,
    /// The outcome is not the one that the record must have.
    Outcome,
    /// A dead letter that is not the record.
    Letter,
    /// A forecast that is not the engine's.
    Bytes,
    /// Something that a `read_committed` reader saw changed later.
    Changed,
    /// It did not come to an end.
    Stuck,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) check: Check,
    text: String,
}

impl Violation {
    pub(crate) const fn new(check: Check, text: String) -> Self {
        Self { check, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.text)
    }
}

fn require(holds: bool, check: Check, text: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation::new(check, text()))
    }
}

/// Offsets of a partition, the last one excluded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) partition: i32,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    const fn holds(&self, place: Place) -> bool {
        self.partition == place.partition && self.from <= place.offset && place.offset < self.to
    }
}

/// What somebody did to the topics or the group on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance {
    /// The group was set back: these come twice, the same.
    pub(crate) repeated: Vec<Span>,
    /// Deleted before they were read: no outcome, and nothing of them in the state.
    pub(crate) lost: Vec<Span>,
    /// The group was set ahead, and what lies before was read as history: no outcome, but in the state.
    pub(crate) muted: Vec<Span>,
    /// There was a lag: forecasts may leave horizons out. What is left is compared byte by byte.
    pub(crate) thin: bool,
}

/// What a comparison has counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// Versions of the weights that served.
    pub(crate) versions: usize,
    /// Input records whose forecasts leave horizons out.
    pub(crate) thinned: usize,
}

impl Allowance {
    pub(crate) fn repeats(&self, place: Place) -> bool {
        self.repeated.iter().any(|span| span.holds(place))
    }

    fn loses(&self, place: Place) -> bool {
        self.lost.iter().any(|span| span.holds(place))
    }

    fn mutes(&self, place: Place) -> bool {
        self.muted.iter().any(|span| span.holds(place))
    }

    /// Whether what was lost before this place may make it another outcome than was foretold.
    fn is_behind_a_loss(&self, place: Place) -> bool {
        let before = |span: &Span| span.partition == place.partition && span.from <= place.offset;
        self.lost.iter().any(before)
    }
}

/// What the daemon serves with.
pub(crate) struct Oracle {
    names: Names,
    config: worker::Config,
    /// The daemons' own, and what a test took out of it.
    models: [ModelStore; 2],
}

impl Oracle {
    /// For a daemon that was started with this config file, over a rig's folder.
    pub(crate) fn new(names: &Names, config: &Path, folder: &Path) -> Self {
        let sources = Sources {
            files: vec![config.to_path_buf()],
            host_name: "test".to_owned(),
            ..Sources::default()
        };
        let resolved = config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let [pipeline] = &resolved.config.pipelines[..] else {
            panic!("one pipeline");
        };
        let models = ["store", "kept"].map(|name| {
            let config = store::Config {
                url: format!("file://{}", folder.join(name).display()),
                ..resolved.config.store.clone()
            };
            let store = Arc::new(Store::open(&config).unwrap());
            ModelStore::new(store, &resolved.config.kafka.group, &pipeline.worker.pipeline)
        });
        Self {
            names: names.clone(),
            models,
            config: pipeline.worker.clone(),
        }
    }

    pub(crate) const fn engine(&self) -> &engine::Config {
        &self.config.engine
    }

    fn model(&self, version: u64) -> Arc<Model> {
        let mut found = self
            .models
            .iter()
            .filter_map(|models| models.load(ModelVersion(version)).unwrap());
        Arc::new(
            found
                .next()
                .unwrap_or_else(|| panic!("version {version} serves and is not in the store")),
        )
    }

    /// Compares what was seen with what was fed.
    pub(crate) fn judge(
        &self,
        seen: &Seen,
        fed: &[Vec<Message>],
        allowance: &Allowance,
    ) -> Result<Judged, Violation> {
        let mut found = self.by_source(seen, allowance)?;
        let mut thinned = 0;
        let mut versions = std::collections::BTreeSet::new();
        for (partition, _) in (0..).zip(fed) {
            let input = seen.records.get(&(Topic::Input, partition));
            let input = input.map_or(&[][..], |records| &records[..]);
            let sent = as_sent(input, &fed[partition as usize], partition)?;
            let mut rerun = Rerun::new(&self.config, &self.names.input, partition, self.model(1));
            for (record, (message, first_time)) in input.iter().zip(sent) {
                let first = Place {
                    partition,
                    offset: record.offset,
                    index: 0,
                };
                let next = Place {
                    offset: record.offset + 1,
                    ..first
                };
                if allowance.loses(first) {
                    let outcomes = found.range(first..next).count();
                    require(outcomes == 0, Check::Set, || {
                        format!("{first:?} was deleted unread, and has {outcomes} outcomes")
                    })?;
                    continue;
                }
                let named = found
                    .range(first..next)
                    .find_map(|(_, found)| found[0].record.version());
                versions.extend(named);
                if let Some(version) = named.filter(|version| *version != rerun.version()) {
                    rerun.adopt(self.model(version));
                }
                let is_thin = found
                    .range(first..next)
                    .any(|(_, found)| found.iter().any(Found::is_thin));
                thinned += usize::from(is_thin);
                rerun.thin(is_thin);
                let expected = rerun.step(record);
                let is_sure = message.foretold && first_time && !allowance.is_behind_a_loss(first);
                foretold(&expected, (message, is_sure), first)?;
                for (place, expected) in expected {
                    let outcomes = found.remove(&place);
                    self.compare(place, &expected, outcomes, allowance)?;
                }
            }
        }
        require(found.is_empty(), Check::Set, || {
            let some: Vec<_> = found.keys().take(5).collect();
            format!("{} outcomes of no observation, {some:?}", found.len())
        })?;
        require(thinned == 0 || allowance.thin, Check::Bytes, || {
            format!("{thinned} records leave horizons out, and nothing lags")
        })?;
        Ok(Judged {
            versions: versions.len(),
            thinned,
        })
    }

    /// Outcomes by observation.
    fn by_source<'a>(
        &self,
        seen: &'a Seen,
        allowance: &Allowance,
    ) -> Result<BTreeMap<Place, Vec<Found<'a>>>, Violation> {
        let mut by_source: BTreeMap<Place, Vec<Found<'a>>> = BTreeMap::new();
        for topic in [Topic::Forecasts, Topic::Letters] {
            for (partition, record) in seen.of(topic) {
                let place = record.source();
                let place =
                    place.ok_or_else(|| Violation::new(Check::Set, format!("no source: {record:?}")))?;
                let found = Found {
                    topic,
                    partition,
                    record,
                };
                let outcomes = by_source.entry(place).or_default();
                outcomes.push(found);
                let most = if allowance.repeats(place) { 2 } else { 1 };
                require(outcomes.len() <= most, Check::Doubled, || {
                    format!(
                        "{place:?} of {} has {} outcomes",
                        self.names.input,
                        outcomes.len()
                    )
                })?;
            }
        }
        Ok(by_source)
    }

    fn compare(
        &self,
        place: Place,
        expected: &Expected,
        found: Option<Vec<Found<'_>>>,
        allowance: &Allowance,
    ) -> Result<(), Violation> {
        if allowance.mutes(place) {
            return require(found.is_none(), Check::Set, || {
                format!("{place:?} is history, and has an outcome")
            });
        }
        let Some(found) = found else {
            let text = format!("{place:?} of {} has no outcome", self.names.input);
            return Err(Violation::new(Check::Set, text));
        };
        let times = if allowance.repeats(place) { 2 } else { 1 };
        require(found.len() == times, Check::Set, || {
            format!("{place:?} has {} outcomes, not {times}", found.len())
        })?;
        for found in &found {
            expected.compare(place, found)?;
        }
        Ok(())
    }
}

/// The records of a partition of the input topic as what was sent, and whether each is there for the first time: a
/// producer whose brokers all died may send some again.
pub(super) fn as_sent<'a>(
    records: &[Record],
    sent: &'a [Message],
    partition: i32,
) -> Result<Vec<(&'a Message, bool)>, Violation> {
    let mut aligned = Vec::with_capacity(records.len());
    let mut first = 0;
    for record in records {
        let number = record
            .header("number")
            .and_then(|number| number.parse::<usize>().ok());
        let message = number.and_then(|number| Some((number - 1, sent.get(number - 1)?)));
        let same = |message: &Message| {
            record.key == message.key
                && record.value == message.value
                && record.headers == message.headers
                && record.timestamp_ms == message.timestamp_ms
        };
        match message {
            Some((index, message)) if index <= first && same(message) => {
                aligned.push((message, index == first));
                first = first.max(index + 1);
            }
            _ => {
                let text = format!(
                    "{partition}/{} is not what was sent: {}",
                    record.offset,
                    shown(record)
                );
                return Err(Violation::new(Check::Fed, text));
            }
        }
    }
    require(first == sent.len(), Check::Fed, || {
        format!("{first} of {} records sent are in {partition}", sent.len())
    })?;
    Ok(aligned)
}

/// What the engine says is what whoever made the record knew beforehand.
fn foretold(
    expected: &[(Place, Expected)],
    (message, is_sure): (&Message, bool),
    first: Place,
) -> Result<(), Violation> {
    let names: Vec<_> = expected.iter().map(|(_, expected)| expected.name).collect();
    let same = if is_sure {
        names == message.outcomes
    } else {
        names.len() == message.outcomes.len()
    };
    require(same, Check::Outcome, || {
        format!("{first:?}: {names:?} where {:?} was foretold", message.outcomes)
    })
}

/// A record of an output topic.
struct Found<'a> {
    topic: Topic,
    partition: i32,
    record: &'a Record,
}

impl Found<'_> {
    /// Whether it says that horizons are left out: when a partition lags is nothing that the input tells.
    fn is_thin(&self) -> bool {
        let degraded = br#""status":"degraded""#;
        let value = self.record.value.as_deref().unwrap_or_default();
        self.topic == Topic::Forecasts && value.windows(degraded.len()).any(|window| window == degraded)
    }
}

impl Expected {
    fn compare(&self, place: Place, found: &Found<'_>) -> Result<(), Violation> {
        let (wanted, got) = (&self.record, found.record);
        require(found.topic == self.topic, Check::Outcome, || {
            format!("{place:?} is in {:?}, not in {:?}", found.topic, self.topic)
        })?;
        let same = wanted.key == got.key
            && wanted.headers == got.headers
            && wanted.timestamp_ms == got.timestamp_ms
            && wanted.value == got.value;
        let check = match self.topic {
            Topic::Letters => Check::Letter,
            _ => Check::Bytes,
        };
        require(same, check, || {
            format!(
                "{place:?} in partition {}:\n  wanted {}\n  found  {}",
                found.partition,
                shown(wanted),
                shown(got)
            )
        })
    }
}

fn shown(record: &Record) -> String {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        None => "null".to_owned(),
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
        .collect();
    let Record { key, value, .. } = record;
    format!(
        "{} {} {headers:?} at {}",
        text(key),
        text(value),
        record.timestamp_ms
    )
}
