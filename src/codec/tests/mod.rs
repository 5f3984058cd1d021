//! What the decoder and the encoder promise.

mod dead_letters;
mod decode;
mod edges;
mod encode;
mod properties;

use crate::codec::config::TimeUnit;
use crate::codec::{Config, Decoded, Decoder, Message};
use crate::series::observation::Offset;

/// 2026-01-05T10:00:00Z.
pub(super) const NOW_MS: i64 = 1_767_607_200_000;

pub(super) fn config(values: &[&str]) -> Config {
    Config {
        id: Some("id".to_owned()),
        time: Some("t".to_owned()),
        time_unit: TimeUnit::Auto,
        values: values.iter().map(|name| (*name).to_owned()).collect(),
        future_max_ms: 30 * 60_000,
        stream_max_bytes: 16,
        value_max_bytes: 1 << 20,
    }
}

pub(super) fn message<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Message<'a> {
    Message {
        key,
        value,
        timestamp_ms: NOW_MS,
        offset: Offset(7),
    }
}

/// `index stream time value`, or `index reason`; checks what holds for every observation.
pub(super) fn outcomes(decoder: &mut Decoder, message: &Message<'_>) -> Vec<String> {
    let mut found = Vec::new();
    decoder.decode(message, &mut |decoded| {
        let (source, text) = match decoded {
            Decoded::Observation(seen) => {
                assert!(seen.value.is_none_or(f64::is_finite));
                let value = seen
                    .value
                    .map_or_else(|| "missing".to_owned(), |value| format!("{value:?}"));
                (
                    seen.source,
                    format!("{} {} {value}", seen.stream, seen.time_ms - NOW_MS),
                )
            }
            Decoded::Refused {
                source,
                reason,
                message,
            } => {
                assert!(!message.is_empty());
                (source, reason.as_str().to_owned())
            }
        };
        assert_eq!(
            (source.offset, source.timestamp_ms),
            (message.offset, message.timestamp_ms)
        );
        found.push(format!("{} {text}", source.index));
    });
    found
}

pub(super) fn decoded(config: Config, value: &str) -> Vec<String> {
    outcomes(
        &mut Decoder::new(config),
        &message(Some(b"key"), Some(value.as_bytes())),
    )
}

/// The sentence of the only refusal.
pub(super) fn sentence(config: Config, value: &str) -> String {
    let mut found = String::new();
    Decoder::new(config).decode(&message(Some(b"key"), Some(value.as_bytes())), &mut |decoded| {
        if let Decoded::Refused { message, .. } = decoded {
            message.clone_into(&mut found);
        }
    });
    found
}
