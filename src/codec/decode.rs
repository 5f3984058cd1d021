//! The JSON decoder.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::codec::config::Config;
use crate::codec::elements::{Element, Elements};
use crate::codec::fields::{Slot, Wanted};
use crate::codec::reason::Reason;
use crate::codec::time;
use crate::series::observation::{Observation, Offset, Source};

/// A received record, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// As received.
    pub key: Option<&'a [u8]>,
    /// As received; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Kafka timestamp, milliseconds since 1970; negative where the record has none.
    pub timestamp_ms: i64,
    /// Its place in its partition.
    pub offset: Offset,
}

/// One observation of a message, good or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// To be stepped.
    Observation(Observation<'a>),
    /// To be a dead letter.
    Refused {
        /// Which observation.
        source: Source,
        /// The code.
        reason: Reason,
        /// What is wrong with it and what would be right.
        message: &'a str,
    },
}

/// Takes messages apart. Keeps its buffers: no allocation per message once they have grown, in the common shape
/// (objects of plain fields, ids without escapes).
#[derive(Clone, Debug)]
pub struct Decoder {
    config: Config,
    elements: Elements,
    id: Option<Wanted>,
    time: Option<Wanted>,
    values: Vec<Wanted>,
    stream: String,
    message: String,
}

/// Why a message or an observation is refused; the sentence is in `Decoder::message`.
type Refusal = Reason;

impl Decoder {
    /// For one pipeline.
    ///
    /// # Panics
    /// If no value field is configured: `config/` refuses that.
    #[must_use]
    pub fn new(config: Config) -> Self {
        assert!(
            !config.values.is_empty(),
            "`input.values` names at least one field"
        );
        let mut elements = Elements::default();
        let id = config.id.as_deref().map(|name| elements.fields.want(name));
        let time = config.time.as_deref().map(|name| elements.fields.want(name));
        let values = config
            .values
            .iter()
            .map(|name| elements.fields.want(name))
            .collect();
        Self {
            config,
            elements,
            id,
            time,
            values,
            stream: String::new(),
            message: String::new(),
        }
    }

    /// Hands out every observation of `message`, in the order of their indices: at least one, at most
    /// [`OBSERVATIONS_MAX`](crate::codec::OBSERVATIONS_MAX).
    pub fn decode(&mut self, message: &Message<'_>, each: &mut dyn FnMut(Decoded<'_>)) {
        let read = self
            .elements
            .read(message.value, self.config.value_max_bytes, self.values.len());
        let text = match read {
            Ok(text) => text,
            Err(trouble) => {
                let reason = refuse(&mut self.message, trouble.reason(), format_args!("{trouble}"));
                let source = source_of(message, 0);
                return each(Decoded::Refused {
                    source,
                    reason,
                    message: &self.message,
                });
            }
        };
        for index in 0..self.elements.len() {
            self.element(index, text, message, each);
        }
    }

    fn element(
        &mut self,
        index: usize,
        text: &str,
        message: &Message<'_>,
        each: &mut dyn FnMut(Decoded<'_>),
    ) {
        let fields = self.values.len();
        let (first, head) = match self.elements.get(index) {
            Element::Object(first) => (first, self.head(first, text, message)),
            Element::Other(kind) => {
                let sentence = format_args!("element {index} of the array is {kind}: an object was expected");
                let reason = refuse(&mut self.message, Reason::Malformed, sentence);
                let source = source_of(message, index * fields);
                return each(Decoded::Refused {
                    source,
                    reason,
                    message: &self.message,
                });
            }
        };
        for field in 0..fields {
            let source = source_of(message, index * fields + field);
            let read = match &head {
                Ok((id, time_ms)) => self
                    .reading(id, (first, field), text)
                    .map(|value| (id, *time_ms, value)),
                Err(reason) => Err(*reason),
            };
            match read {
                Ok((id, time_ms, value)) => {
                    let stream = if fields == 1 { id } else { self.stream.as_str() };
                    each(Decoded::Observation(Observation {
                        stream,
                        time_ms,
                        value,
                        source,
                    }));
                }
                Err(reason) => each(Decoded::Refused {
                    source,
                    reason,
                    message: &self.message,
                }),
            }
        }
    }

    /// Id and time of an element.
    fn head<'m>(
        &mut self,
        first: usize,
        text: &'m str,
        message: &Message<'m>,
    ) -> Result<(Cow<'m, str>, i64), Refusal> {
        let id = match self.id {
            Some(wanted) => self.id_of(wanted.of(self.elements.slots(first)), text)?,
            None => Cow::Borrowed(self.key(message.key)?),
        };
        let time_ms = self.time_of(first, text, message.timestamp_ms)?;
        Ok((id, time_ms))
    }

    fn key<'m>(&mut self, key: Option<&'m [u8]>) -> Result<&'m str, Refusal> {
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Err(refuse(
                &mut self.message,
                Reason::NoStream,
                format_args!("the message has no key, and `input.id` names no field for the stream"),
            ));
        };
        std::str::from_utf8(key).map_err(|error| {
            refuse(
                &mut self.message,
                Reason::NotUtf8,
                format_args!("the message's key, which names the stream, is no UTF-8: {error}"),
            )
        })
    }

    fn id_of<'m>(&mut self, slot: Slot, text: &'m str) -> Result<Cow<'m, str>, Refusal> {
        let (reason, fault) = match slot {
            Slot::Text(span) if !span.of(text).contains('\\') => match span.of(text) {
                "" => (Reason::NoStream, "empty"),
                id => return Ok(Cow::Borrowed(id)),
            },
            Slot::Text(span) => match serde_json::from_str(&format!("\"{}\"", span.of(text))) {
                Ok(id) => return Ok(Cow::Owned(id)),
                Err(_) => (Reason::NotUtf8, "no Unicode: half of a surrogate pair"),
            },
            Slot::Number(span) if is_whole(span.of(text)) => return Ok(Cow::Borrowed(span.of(text))),
            Slot::Number(_) => (Reason::NoStream, "no whole number"),
            other => (Reason::NoStream, other.kind()),
        };
        let name = self.config.id.as_deref().unwrap_or_default();
        Err(refuse(
            &mut self.message,
            reason,
            format_args!(
                "the field `{name}`, which names the stream, is {fault}: a string or a whole number is needed"
            ),
        ))
    }

    fn time_of(&mut self, first: usize, text: &str, timestamp_ms: i64) -> Result<i64, Refusal> {
        let Some(wanted) = self.time else {
            if timestamp_ms < 0 {
                let sentence =
                    format_args!("the record has no Kafka timestamp, and `input.time` names no field");
                return Err(refuse(&mut self.message, Reason::NoTime, sentence));
            }
            return Ok(timestamp_ms);
        };
        let slot = wanted.of(self.elements.slots(first));
        let name = self.config.time.as_deref().unwrap_or_default();
        let read = match slot {
            Slot::Absent | Slot::Null => {
                let sentence = format_args!("the field `{name}`, which gives the time, is {}", slot.kind());
                return Err(refuse(&mut self.message, Reason::NoTime, sentence));
            }
            Slot::Text(span) => time::of_text(span.of(text)),
            Slot::Number(span) => time::of_number(span.of(text), self.config.time_unit),
            Slot::Bool | Slot::Array | Slot::Object => None,
        };
        let Some(time_ms) = read else {
            let what = Shown(slot, text);
            return Err(refuse(
                &mut self.message,
                Reason::BadTime,
                format_args!(
                    "the field `{name}` is {what}: RFC 3339 (2026-11-24T10:00:00Z) or a number is needed"
                ),
            ));
        };
        let ahead_ms = time_ms.saturating_sub(timestamp_ms);
        let future_max_ms = self.config.future_max_ms;
        if timestamp_ms >= 0 && ahead_ms > future_max_ms {
            return Err(refuse(
                &mut self.message,
                Reason::TimeInFuture,
                format_args!(
                    "the time lies {ahead_ms} ms after the record's Kafka timestamp, more than the {future_max_ms} ms of `input.future_max`"
                ),
            ));
        }
        Ok(time_ms)
    }

    /// The value of a field, `None` where it is null; with several fields `stream` is set to `id/field`.
    fn reading(
        &mut self,
        id: &str,
        (first, field): (usize, usize),
        text: &str,
    ) -> Result<Option<f64>, Refusal> {
        let name = &self.config.values[field];
        let bytes = if self.values.len() == 1 {
            id.len()
        } else {
            self.stream.clear();
            self.stream.extend([id, "/", name]);
            self.stream.len()
        };
        let max = self.config.stream_max_bytes;
        if bytes > max {
            let sentence = format_args!(
                "the stream's id has {bytes} bytes, more than the {max} of `input.stream_max_bytes`"
            );
            return Err(refuse(&mut self.message, Reason::StreamTooLong, sentence));
        }
        let slot = self.values[field].of(self.elements.slots(first));
        let reason = match slot {
            Slot::Null => return Ok(None),
            Slot::Absent => Reason::NoValue,
            Slot::Number(span) => match span.of(text).parse::<f64>() {
                Ok(number) if number.is_finite() => return Ok(Some(number)),
                _ => Reason::NotFinite,
            },
            _ => Reason::NotANumber,
        };
        let what = Shown(slot, text);
        let way_out = match reason {
            Reason::NoValue => "send null for a missing reading",
            Reason::NotFinite => "it is beyond a 64-bit float",
            _ => "a JSON number, not in quotes, is needed",
        };
        Err(refuse(
            &mut self.message,
            reason,
            format_args!("the value field `{name}` is {what}: {way_out}"),
        ))
    }
}

/// Replaces the sentence.
fn refuse(message: &mut String, reason: Reason, sentence: fmt::Arguments<'_>) -> Refusal {
    message.clear();
    message
        .write_fmt(sentence)
        .expect("writing to a string cannot fail");
    reason
}

/// The index is below `OBSERVATIONS_MAX`, or it is a single element's field.
fn source_of(message: &Message<'_>, index: usize) -> Source {
    Source {
        offset: message.offset,
        index: u32::try_from(index).expect("a message holds at most `OBSERVATIONS_MAX` observations"),
        timestamp_ms: message.timestamp_ms,
    }
}

fn is_whole(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// A slot for a sentence: scalars as written, cut after 64 characters.
struct Shown<'m>(Slot, &'m str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.kind();
        match self.0 {
            Slot::Number(span) | Slot::Text(span) => {
                let text = span.of(self.1);
                match text.char_indices().nth(64) {
                    Some((end, _)) => write!(f, "{kind}, `{}…`", &text[..end]),
                    None => write!(f, "{kind}, `{text}`"),
                }
            }
            _ => f.write_str(kind),
        }
    }
}
