//! Outcomes to records: what goes to the sink, and what is only counted.

use crate::codec::headers::{self, Place};
use crate::codec::{DeadLetters, ForecastEncoder, Reason};
use crate::engine::{Forecast, Outcome, Outcomes};
use crate::faults::{self, Mechanism, Point};
use crate::series::observation::Source;
use crate::worker::Config;
use crate::worker::batch::{Batch, Message};
use crate::worker::ports::{Destination, Error, Outgoing, PartitionId, Sink};
use crate::worker::report;

/// A letter with a longer value goes without it. The brokers' default limit is 1048588 for a batch of one.
const LETTER_BYTES_MAX: usize = 1_048_000;

/// What a batch's outcomes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// To be published.
    Speaking,
    /// History before the start: each observation's outcome is `muted`.
    Warmup,
    /// They were published before.
    Replay,
}

/// Publishes and counts.
pub(crate) struct Publisher<K> {
    pub(crate) sink: K,
    /// Final, and not told yet.
    pub(crate) outcomes: report::Outcomes,
    /// Of the open transaction: they are none until it is committed.
    pending: report::Outcomes,
    pub(crate) bytes: u64,
    encoder: ForecastEncoder,
    letters: DeadLetters,
    pipeline: String,
    topics: Vec<String>,
    drops: bool,
    value: Vec<u8>,
    source: String,
    model: String,
}

impl<K: Sink> Publisher<K> {
    pub(crate) fn new(config: &Config, sink: K) -> Self {
        Self {
            sink,
            outcomes: report::Outcomes::default(),
            pending: report::Outcomes::default(),
            bytes: 0,
            encoder: ForecastEncoder::new(&config.pipeline),
            letters: DeadLetters::new(LETTER_BYTES_MAX),
            pipeline: config.pipeline.clone(),
            topics: config.topics.clone(),
            drops: config.dead_letter_drops,
            value: Vec::new(),
            source: String::new(),
            model: String::new(),
        }
    }

    /// Observations published or counted since the last commit.
    pub(crate) fn uncommitted(&self) -> u64 {
        self.pending.total()
    }

    /// The transaction is committed: its outcomes are final.
    pub(crate) fn confirm(&mut self) {
        self.outcomes.add(&self.pending);
        self.pending.clear();
    }

    /// The transaction failed, or nobody knows: its observations will be read again, or were settled for good.
    pub(crate) fn discard(&mut self) {
        self.sink.discard();
        self.pending.clear();
    }

    /// A batch's outcomes in its order, refused observations at their places.
    pub(crate) fn publish(
        &mut self,
        id: PartitionId,
        voice: Voice,
        batch: &Batch,
        outcomes: Option<&Outcomes<'_>>,
    ) -> Result<(), Error> {
        let count = outcomes.map_or(0, Outcomes::len);
        assert_eq!(
            count, batch.admitted,
            "every admitted observation has one outcome"
        );
        if voice != Voice::Speaking {
            return Ok(());
        }
        let mut refused = 0;
        for index in 0..count {
            self.refusals(id, batch, &mut refused, index)?;
            faults::point(Point::MidProduce);
            let index = if faults::is_off(Mechanism::OrderInBatch) {
                count - 1 - index
            } else {
                index
            };
            let judged = outcomes.expect("its length is above 0").get(index);
            match judged.outcome {
                Outcome::Forecast(forecast) => self.forecast(id, judged.source, &forecast)?,
                dropped => self.dropped(id, batch, judged.source, &dropped)?,
            }
        }
        self.refusals(id, batch, &mut refused, count)
    }

    /// The refused observations that stand before the admitted one at `index`.
    fn refusals(
        &mut self,
        id: PartitionId,
        batch: &Batch,
        refused: &mut usize,
        index: usize,
    ) -> Result<(), Error> {
        while let Some((after, refusal)) = batch.refusal(*refused) {
            if after > index {
                break;
            }
            self.letter(
                id,
                refusal.source,
                (refusal.reason, refusal.sentence),
                refusal.message,
            )?;
            self.pending.count_letter(refusal.reason.as_str());
            *refused += 1;
        }
        Ok(())
    }

    fn forecast(&mut self, id: PartitionId, source: Source, forecast: &Forecast<'_>) -> Result<(), Error> {
        let place = place(&self.topics, id, source);
        self.value.clear();
        self.encoder.encode(forecast, &place, &mut self.value);
        headers::write_source(&place, &mut self.source);
        headers::write_model(&self.pipeline, forecast.model_version, &mut self.model);
        let headers = [
            (headers::SOURCE, Some(self.source.as_bytes())),
            (headers::MODEL, Some(self.model.as_bytes())),
            (headers::CONTENT_TYPE, Some(headers::JSON.as_bytes())),
        ];
        let record = Outgoing {
            origin: id,
            timestamp_ms: source.timestamp_ms,
            key: Some(forecast.stream.as_bytes()),
            value: Some(&self.value),
            headers: &headers,
        };
        self.sink.publish(Destination::Forecasts, &record)?;
        self.pending.forecast += 1;
        self.bytes += as_u64(self.value.len() + forecast.stream.len());
        Ok(())
    }

    fn dropped(
        &mut self,
        id: PartitionId,
        batch: &Batch,
        source: Source,
        outcome: &Outcome<'_>,
    ) -> Result<(), Error> {
        if self.drops {
            let reason = Reason::of_outcome(outcome).expect("a forecast is not dropped");
            let message = batch
                .message(source.offset)
                .expect("with drops every message is kept");
            self.letter(id, source, (reason, reason.sentence()), message)?;
        }
        let count = match outcome {
            Outcome::Forecast(_) => &mut self.pending.forecast,
            Outcome::Duplicate => &mut self.pending.duplicate,
            Outcome::Late => &mut self.pending.late,
            Outcome::Missing => &mut self.pending.missing,
            Outcome::OverCapacity => &mut self.pending.over_capacity,
            Outcome::Muted => &mut self.pending.muted,
        };
        *count += 1;
        Ok(())
    }

    fn letter(
        &mut self,
        id: PartitionId,
        source: Source,
        why: (Reason, &str),
        message: Message<'_>,
    ) -> Result<(), Error> {
        let received: usize = message
            .headers()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum();
        let received = received + message.key().map_or(0, <[u8]>::len);
        let place = place(&self.topics, id, source);
        let letter = self.letters.letter(&place, why, received, message.value());
        // Ours come last: readers take the last of a name.
        let headers: Vec<_> = message
            .headers()
            .chain(letter.headers().iter().map(|(name, value)| (*name, Some(*value))))
            .collect();
        let record = Outgoing {
            origin: id,
            timestamp_ms: source.timestamp_ms,
            key: message.key(),
            value: letter.value,
            headers: &headers,
        };
        self.sink.publish(Destination::DeadLetters, &record)?;
        self.bytes += as_u64(received + letter.value.map_or(0, <[u8]>::len));
        Ok(())
    }
}

fn place(topics: &[String], id: PartitionId, source: Source) -> Place<'_> {
    Place {
        topic: &topics[id.topic],
        partition: id.partition,
        source,
    }
}

/// Counts and lengths fit 64 bits on every target.
pub(crate) const fn as_u64(count: usize) -> u64 {
    count as u64
}
