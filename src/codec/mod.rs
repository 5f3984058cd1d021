//! Bytes to observations, forecasts to bytes. Pure: no clock, no IO.
//!
//! # What a message holds
//! A message is an object or an array of objects. Each object is an *element*; each configured value field of an element
//! is one *observation*, named by `index = element × number of value fields + field`. How many observations a message
//! holds depends on the shape of its value only, so every one of them has exactly one outcome:
//!
//! | what is wrong | refused observations | index |
//! |---|---|---|
//! | the message as a whole: null or empty value, too large, no UTF-8, no JSON, neither object nor array, empty array, more than [`OBSERVATIONS_MAX`] | one | 0 |
//! | an element that is no object | one | element × fields |
//! | an element's (or the key's) stream, or its time | one per value field | element × fields + field |
//! | a value | one | element × fields + field |
//!
//! Where several things are wrong, the first of stream, time, value is named.
//!
//! # How fields are read
//! - A name with dots is a path into nested objects; an element that has a field of the whole name, dots and all, is
//!   read by that.
//! - Of a name that occurs twice in one object the last one counts, also where the last one is an object that lacks the
//!   rest of the path.
//! - The stream is a non-empty string, or a whole number, read as its digits. Anything else is `no_stream`.
//! - The time is RFC 3339 or a number ([`TimeUnit`](config::TimeUnit)); between the years 0000 and 9999.
//! - A value is a JSON number. `null` is a missing reading; a string or a boolean is `not_a_number`.
//! - A record without a Kafka timestamp (negative) is not held against `future_max`.

pub mod config;
mod dead_letter;
mod decode;
mod elements;
pub(crate) mod encode;
mod fields;
pub mod headers;
pub(crate) mod number;
mod reason;
mod time;

pub use config::Config;
pub use dead_letter::{DeadLetter, DeadLetters};
pub use decode::{Decoded, Decoder, Message};
pub use elements::OBSERVATIONS_MAX;
pub use encode::ForecastEncoder;
pub use headers::Place;
pub use reason::Reason;

#[cfg(test)]
mod tests;
