//! A message's text as elements and their fields.

use std::fmt;
use std::str::Utf8Error;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::fields::{Fields, Slot, kind_of};
use crate::codec::reason::Reason;

/// Observations of a message at most; more are refused as one `too_large`. Above it, a mebibyte of `{},{},…` would
/// become gigabytes of dead letters; below it, honest batches of a mebibyte would be refused.
pub const OBSERVATIONS_MAX: usize = 65_536;

/// An element of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element {
    /// First of its slots.
    Object(usize),
    /// What it is instead.
    Other(&'static str),
}

/// The elements of one message after another; keeps its buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Elements {
    /// What is looked for.
    pub(super) fields: Fields,
    elements: Vec<Element>,
    /// `fields.slots()` per object.
    slots: Vec<Slot>,
}

impl Elements {
    pub(super) const fn len(&self) -> usize {
        self.elements.len()
    }

    pub(super) fn get(&self, index: usize) -> Element {
        self.elements[index]
    }

    /// The slots of the object whose first one this is.
    pub(super) fn slots(&self, first: usize) -> &[Slot] {
        &self.slots[first..first + self.fields.slots()]
    }

    /// Reads a message's value; its text. An element holds `per_element` observations.
    pub(super) fn read<'m>(
        &mut self,
        value: Option<&'m [u8]>,
        bytes_max: usize,
        per_element: usize,
    ) -> Result<&'m str, Trouble> {
        self.elements.clear();
        self.slots.clear();
        let bytes = value.ok_or(Trouble::Tombstone)?;
        if bytes.is_empty() {
            return Err(Trouble::NoBytes);
        }
        if bytes.len() > bytes_max {
            return Err(Trouble::TooLarge {
                bytes: bytes.len(),
                bytes_max,
            });
        }
        let text = std::str::from_utf8(bytes).map_err(Trouble::NotUtf8)?;
        match text.trim_ascii_start().as_bytes().first() {
            Some(b'{') => self.object(text, text).map_err(Trouble::Json)?,
            Some(b'[') => self.array(text, per_element)?,
            _ => {
                serde_json::from_str::<IgnoredAny>(text).map_err(Trouble::Json)?;
                return Err(Trouble::NoObject(kind_of(text.trim_ascii_start())));
            }
        }
        Ok(text)
    }

    /// Notes the object `element`, a part of `text`.
    fn object(&mut self, element: &str, text: &str) -> serde_json::Result<()> {
        let first = self.slots.len();
        self.slots.resize(first + self.fields.slots(), Slot::Absent);
        self.fields.read(element, text, &mut self.slots[first..])?;
        self.elements.push(Element::Object(first));
        Ok(())
    }

    fn array(&mut self, text: &str, per_element: usize) -> Result<(), Trouble> {
        let mut too_many = false;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let outcome = deserializer
            .deserialize_seq(Array {
                elements: self,
                text,
                per_element,
                too_many: &mut too_many,
            })
            .and_then(|()| deserializer.end());
        match outcome {
            Err(_) if too_many => Err(Trouble::TooMany),
            Err(error) => Err(Trouble::Json(error)),
            Ok(()) if self.elements.is_empty() => Err(Trouble::NoElements),
            Ok(()) => Ok(()),
        }
    }
}

/// Notes the elements of an array. Each is first found as text, so that what is wrong in one stays in it.
struct Array<'d, 'm> {
    elements: &'d mut Elements,
    text: &'m str,
    per_element: usize,
    too_many: &'d mut bool,
}

impl<'m> Visitor<'m> for Array<'_, 'm> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'m>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(raw) = items.next_element::<&'m RawValue>()? {
            let raw = raw.get();
            if (self.elements.len() + 1) * self.per_element > OBSERVATIONS_MAX {
                *self.too_many = true;
                return Err(A::Error::custom("too many observations"));
            }
            if !raw.starts_with('{') {
                self.elements.elements.push(Element::Other(kind_of(raw)));
            } else if self.elements.object(raw, self.text).is_err() {
                // The text is well-formed: only a key that is no Unicode is left.
                self.elements
                    .elements
                    .push(Element::Other("an object with a key that is no Unicode"));
            }
        }
        Ok(())
    }
}

/// Why a message is refused as a whole. Displays as a sentence.
#[derive(Debug)]
pub(super) enum Trouble {
    Tombstone,
    NoBytes,
    NoElements,
    TooLarge { bytes: usize, bytes_max: usize },
    TooMany,
    NotUtf8(Utf8Error),
    Json(serde_json::Error),
    NoObject(&'static str),
}

impl Trouble {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Tombstone | Self::NoBytes | Self::NoElements => Reason::Empty,
            Self::TooLarge { .. } | Self::TooMany => Reason::TooLarge,
            Self::NotUtf8(_) => Reason::NotUtf8,
            Self::Json(_) | Self::NoObject(_) => Reason::Malformed,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tombstone => {
                f.write_str("the message's value is null (a tombstone): it holds no observation")
            }
            Self::NoBytes => f.write_str("the message's value is empty: it holds no observation"),
            Self::NoElements => f.write_str("the array is empty: it holds no observation"),
            Self::TooLarge { bytes, bytes_max } => write!(
                f,
                "the message's value has {bytes} bytes, more than the {bytes_max} of `input.value_max_bytes`"
            ),
            Self::TooMany => {
                write!(
                    f,
                    "the message holds more than {OBSERVATIONS_MAX} observations: send smaller arrays"
                )
            }
            Self::NotUtf8(error) => write!(f, "the message's value is no UTF-8: {error}"),
            Self::Json(error) => write!(f, "the message's value is no JSON: {error}"),
            Self::NoObject(kind) => {
                write!(
                    f,
                    "the message's value is {kind}: an object or an array of objects is needed"
                )
            }
        }
    }
}
