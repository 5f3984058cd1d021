//! Reads keys out of the merged tree, notes which are served, and collects every problem.

use std::collections::BTreeSet;

use crate::config::error::Problem;
use crate::config::keys;
use crate::config::load::ClientRule;
use crate::config::tree::{Entry, Node, Origin, Table, key_text};

/// What became of the files that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Files {
    #[default]
    Read,
    NoneGiven,
    Unreadable,
}

/// Collects problems while keys are read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    /// Every key that was asked for, names of pipelines as `*`: what is served.
    pub(super) served: BTreeSet<String>,
    /// Whether a file was given, and whether one of them could not be read: what is missing may stand there.
    pub(super) files: Files,
    /// What the client library says to `kafka.client`; `None`: it is not asked.
    pub(super) client_rule: Option<ClientRule>,
}

impl Reader {
    pub(super) fn problem(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        origin: Option<&Origin>,
    ) {
        let (key, message) = (key.into(), message.into());
        let origin = origin
            .filter(|origin| **origin != Origin::Default)
            .map(Origin::to_string);
        self.problems.push(Problem { key, message, origin });
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// As the operator writes it: `pipeline.plant.input`.
    path: String,
    /// With the pipeline's name as `*`.
    pattern: String,
    table: Option<&'t Table>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// A section of the top level, or a pipeline.
    pub(super) const fn new(path: String, pattern: String, table: Option<&'t Table>) -> Self {
        Self {
            path,
            pattern,
            table,
            known: Vec::new(),
        }
    }

    /// `section.key`.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// A table below this one. What is wrong with it is said once: the keys of a broken one are passed over.
    pub(super) fn section(&mut self, reader: &mut Reader, key: &'static str) -> Section<'t> {
        self.known.push(key);
        let pattern = if self.pattern.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.pattern)
        };
        let table = match self.table.and_then(|table| table.get(key)) {
            None => None,
            Some(Entry {
                node: Node::Table(table),
                ..
            }) => Some(table),
            Some(entry) => {
                let message = format!(
                    "is one value, a table is needed: write `{key} = {{ … }}` or [{}]",
                    self.path(key)
                );
                reader.problem(self.path(key), message, Some(&entry.origin));
                None
            }
        };
        Section::new(self.path(key), pattern, table)
    }

    /// A table below this one that the operator has named.
    pub(super) fn named(&mut self, reader: &mut Reader, name: &str) -> Option<Section<'t>> {
        let entry = self.table.and_then(|table| table.get(name))?;
        let Node::Table(table) = &entry.node else {
            let written = self.path(&key_text(name));
            let message = format!("is one value, a table is needed: write [{written}]");
            reader.problem(self.path(name), message, Some(&entry.origin));
            return None;
        };
        Some(Section::new(
            self.path(name),
            format!("{}.*", self.pattern),
            Some(table),
        ))
    }

    /// Names of what stands here.
    pub(super) fn names(&self) -> Vec<String> {
        self.table
            .into_iter()
            .flat_map(|table| table.keys().cloned())
            .collect()
    }

    /// The entry of a key, which is served from now on.
    pub(super) fn entry(&mut self, reader: &mut Reader, key: &'static str) -> Option<&'t Entry> {
        self.known.push(key);
        reader.served.insert(format!("{}.{key}", self.pattern));
        self.table.and_then(|table| table.get(key))
    }

    /// Reads a key that has a default, or must be given; `convert` says what is wrong, why, and the way out.
    pub(super) fn read<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        convert: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        match self.optional(reader, key, convert) {
            Some(None) => {
                // Every table has a layer of defaults: where there is none, it is broken and has said so.
                if self.table.is_some() {
                    let message = format!(
                        "is missing, it has no default: {}",
                        keys::example(&self.pattern, key)
                    );
                    reader.problem(self.path(key), message, None);
                }
                None
            }
            Some(found) => found,
            None => None,
        }
    }

    /// As [`Self::read`], for a key that may be absent: `None` is an error that was noted.
    pub(super) fn optional<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        convert: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(entry) = self.entry(reader, key) else {
            return Some(None);
        };
        match convert(&entry.node) {
            Ok(value) => Some(Some(value)),
            Err(message) => {
                reader.problem(self.path(key), message, Some(&entry.origin));
                None
            }
        }
    }

    /// Reports what is wrong with a key by a rule that takes more than its own value.
    pub(super) fn fault(&self, reader: &mut Reader, key: &str, message: impl Into<String>) {
        let origin = self
            .table
            .and_then(|table| table.get(key))
            .map(|entry| &entry.origin);
        reader.problem(self.path(key), message, origin);
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, reader: &mut Reader) {
        for (key, entry) in self.table.into_iter().flatten() {
            if !self.known.iter().any(|known| known == key) {
                let pattern = if self.pattern.is_empty() {
                    key.clone()
                } else {
                    format!("{}.{key}", self.pattern)
                };
                let message = keys::refusal(&pattern, key, &self.known);
                reader.problem(self.path(key), message, Some(&entry.origin));
            }
        }
    }
}
