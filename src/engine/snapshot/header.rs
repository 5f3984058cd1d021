//! What a snapshot is of.

use serde::{Deserialize, Serialize};

use crate::engine::Clock;
use crate::engine::dims::RowDims;
use crate::engine::row::Layout;
use crate::series::observation::{NextOffset, Offset, Partition};

/// What a snapshot is of; without it the rows mean nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Id of the Kafka cluster: an offset of another cluster is another record.
    pub cluster: String,
    /// Topic of the partition.
    pub topic: String,
    /// Its number.
    pub partition: Partition,
    /// The state is that of all records before this offset.
    pub next: NextOffset,
    /// Base and versions by offset, as the worker writes them.
    pub switch_log: String,
    /// The last record before `next`, to tell a topic made anew from the one before; `None` where there was none.
    pub anchor: Option<Anchor>,
    /// [`super::fingerprint`] of the configuration.
    pub fingerprint: u64,
    /// Version of the program, for people.
    pub made_by: String,
    /// Streams in the snapshot.
    pub streams: u64,
    /// Dimensions of the rows.
    pub dims: Dims,
    /// The partition's time.
    pub clock: Clock,
}

/// A record that must still be what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its offset.
    pub offset: Offset,
    /// Its Kafka timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Dimensions of the rows: what is kept per horizon, per level and per expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dims {
    /// Scored horizons in steps, ascending (K).
    pub scored: Vec<u32>,
    /// Quantile levels, ascending (Q).
    pub levels: Vec<f32>,
    /// Names of the experts (E), in the order of their weights.
    pub experts: Vec<String>,
    /// f32 of the network's hidden state.
    pub state_len: usize,
    /// f32 of a row.
    pub words: usize,
}

impl Dims {
    pub(crate) fn of(layout: &Layout) -> Self {
        let RowDims {
            scored,
            experts,
            levels,
            state_len,
            profile: _,
            finds_seasons: _,
        } = &layout.dims;
        Self {
            scored: scored.clone(),
            levels: levels.clone(),
            experts: experts.iter().map(|expert| expert.name().to_owned()).collect(),
            state_len: *state_len,
            words: layout.rest_words(),
        }
    }
}

/// The header as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    cluster: String,
    topic: String,
    partition: i32,
    next: i64,
    switch_log: String,
    /// Offset and timestamp.
    anchor: Option<(i64, i64)>,
    fingerprint: u64,
    made_by: String,
    streams: u64,
    dims: Dims,
    now_ms: i64,
    oldest_ms: i64,
    /// The first files hold the time of the last look for idle streams here, which is no later than `now_ms`: the median
    /// begins behind and catches up.
    #[serde(alias = "swept_ms")]
    median_ms: i64,
}

impl Header {
    /// As JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let text = Text {
            cluster: self.cluster.clone(),
            topic: self.topic.clone(),
            partition: self.partition.0,
            next: self.next.0,
            switch_log: self.switch_log.clone(),
            anchor: self.anchor.map(|anchor| (anchor.offset.0, anchor.timestamp_ms)),
            fingerprint: self.fingerprint,
            made_by: self.made_by.clone(),
            streams: self.streams,
            dims: self.dims.clone(),
            now_ms: self.clock.now_ms,
            oldest_ms: self.clock.oldest_ms,
            median_ms: self.clock.median_ms,
        };
        serde_json::to_vec(&text).expect("numbers and texts are JSON")
    }

    /// What [`Header::to_json`] wrote.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let text: Text = serde_json::from_slice(json)?;
        Ok(Self {
            cluster: text.cluster,
            topic: text.topic,
            partition: Partition(text.partition),
            next: NextOffset(text.next),
            switch_log: text.switch_log,
            anchor: text.anchor.map(|(offset, timestamp_ms)| Anchor {
                offset: Offset(offset),
                timestamp_ms,
            }),
            fingerprint: text.fingerprint,
            made_by: text.made_by,
            streams: text.streams,
            dims: text.dims,
            clock: Clock {
                now_ms: text.now_ms,
                oldest_ms: text.oldest_ms,
                median_ms: if text.median_ms == i64::MIN {
                    text.now_ms
                } else {
                    text.median_ms
                },
            },
        })
    }
}
