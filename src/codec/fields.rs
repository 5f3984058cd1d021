//! Finds the wanted fields of an element in one pass over its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What stands at a wanted field. Texts are ranges into the message, so that a buffer of slots outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Absent,
    Null,
    /// A JSON number, as written.
    Number(Span),
    /// A JSON string without its quotes, escapes as written.
    Text(Span),
    Bool,
    Array,
    Object,
}

/// Bytes `start..end` of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(super) fn of(self, message: &str) -> &str {
        &message[self.start..self.end]
    }
}

impl Slot {
    /// Of a whole JSON value, already known to be well-formed; `raw` lies within `message`.
    fn of(raw: &str, message: &str) -> Self {
        let start = raw.as_ptr() as usize - message.as_ptr() as usize;
        let end = start + raw.len();
        match raw.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(b'"') => Self::Text(Span {
                start: start + 1,
                end: end - 1,
            }),
            _ => Self::Number(Span { start, end }),
        }
    }

    /// What it is, for a sentence.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Bool => "a boolean",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// The kind of a JSON value by its first byte, for a sentence.
pub(super) fn kind_of(raw: &str) -> &'static str {
    Slot::of(raw, raw).kind()
}

/// Where a wanted name is put: `exact` where the element has a field of the whole name, else `path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    exact: usize,
    path: usize,
}

impl Wanted {
    pub(super) fn of(self, slots: &[Slot]) -> Slot {
        match slots[self.exact] {
            Slot::Absent => slots[self.path],
            found => found,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Node {
    children: Vec<Child>,
}

#[derive(Clone, Debug)]
struct Child {
    key: String,
    /// Slots that take the value itself.
    slots: Vec<usize>,
    /// Names that go on below it.
    below: Node,
}

impl Node {
    fn child(&mut self, key: &str) -> &mut Child {
        let index = self
            .children
            .iter()
            .position(|child| child.key == key)
            .unwrap_or_else(|| {
                self.children.push(Child {
                    key: key.to_owned(),
                    slots: Vec::new(),
                    below: Self::default(),
                });
                self.children.len() - 1
            });
        &mut self.children[index]
    }

    /// As if nothing below had been seen.
    fn forget(&self, slots: &mut [Slot]) {
        for child in &self.children {
            child.forget(slots);
        }
    }
}

impl Child {
    fn forget(&self, slots: &mut [Slot]) {
        self.slots.iter().for_each(|&slot| slots[slot] = Slot::Absent);
        self.below.forget(slots);
    }
}

/// The wanted names as a tree of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    root: Node,
    slots: usize,
}

impl Fields {
    /// Wants `name`; its place in the slots of an element.
    pub(super) fn want(&mut self, name: &str) -> Wanted {
        let exact = self.slot();
        self.root.child(name).slots.push(exact);
        let mut parts = name.split('.');
        let first = parts.next().expect("a split has a first part");
        let mut child = self.root.child(first);
        if first.len() == name.len() {
            return Wanted { exact, path: exact };
        }
        for part in parts {
            child = child.below.child(part);
        }
        let path = self.slots;
        child.slots.push(path);
        self.slots += 1;
        Wanted { exact, path }
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    /// Slots of an element.
    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    /// Fills `slots`, all absent before, from `element`, the text of an object within `message`.
    pub(super) fn read(&self, element: &str, message: &str, slots: &mut [Slot]) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(element);
        deserializer.deserialize_map(Reader {
            node: &self.root,
            message,
            slots,
        })?;
        deserializer.end()
    }
}

struct Reader<'p, 'm> {
    node: &'p Node,
    message: &'m str,
    slots: &'p mut [Slot],
}

impl<'m> Visitor<'m> for Reader<'_, 'm> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Key(self.node))? {
            let Some(child) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&'m RawValue>()?.get();
            child.forget(self.slots);
            for &slot in &child.slots {
                self.slots[slot] = Slot::of(raw, self.message);
            }
            if !child.below.children.is_empty() && raw.starts_with('{') {
                let below = Reader {
                    node: &child.below,
                    message: self.message,
                    slots: self.slots,
                };
                serde_json::Deserializer::from_str(raw)
                    .deserialize_map(below)
                    .map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Looks a key up without copying it.
struct Key<'p>(&'p Node);

impl<'m, 'p> DeserializeSeed<'m> for Key<'p> {
    type Value = Option<&'p Child>;

    fn deserialize<D: serde::Deserializer<'m>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Key<'p> {
    type Value = Option<&'p Child>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|child| child.key == key))
    }
}
