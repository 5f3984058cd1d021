//! What results from all layers.

use std::fmt::{self, Write as _};

use crate::config::cluster;
use crate::config::domain;
use crate::config::process::Config;
use crate::config::tree::{Entry, Node, Table, key_text};

/// Column that origins are written at.
const ORIGIN_COLUMN: usize = 60;

/// A valid configuration. Displays as TOML, with where each value came from; secrets are hidden.
#[derive(Clone)]
pub struct Resolved {
    /// Everything `tidecast run` needs.
    pub config: Config,
    tree: Table,
}

impl Resolved {
    pub(super) const fn new(config: Config, tree: Table) -> Self {
        Self { config, tree }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in ["service", "kafka", "store", "training", "pipeline"] {
            if let Some(Entry {
                node: Node::Table(table),
                ..
            }) = self.tree.get(section)
            {
                write_table(section, table, f)?;
            }
        }
        Ok(())
    }
}

fn write_table(path: &str, table: &Table, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_properties = path == "kafka.client";
    let is_table = |node: &Node| matches!(node, Node::Table(_)) && !is_properties;
    if table.values().any(|entry| !is_table(&entry.node)) {
        writeln!(f, "[{path}]")?;
    }
    for (key, entry) in table {
        let value = match &entry.node {
            node if is_table(node) => continue,
            node if is_properties => cluster::shown(key, node),
            Node::Value(value) => value.to_string(),
            Node::Text(text) => domain::value_of(text).to_string(),
            Node::Table(_) => continue,
        };
        let mut line = String::new();
        write!(line, "{} = {value}", key_text(key))?;
        writeln!(f, "{line:ORIGIN_COLUMN$} # {}", entry.origin)?;
    }
    if table.values().any(|entry| !is_table(&entry.node)) {
        writeln!(f)?;
    }
    for (key, entry) in table {
        if let (Node::Table(inner), true) = (&entry.node, is_table(&entry.node)) {
            write_table(&format!("{path}.{}", key_text(key)), inner, f)?;
        }
    }
    Ok(())
}
