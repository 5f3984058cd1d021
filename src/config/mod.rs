//! The whole process: layers, validation, composition. Each module owns its plain `Config`; only this one knows TOML and
//! units for people.
//!
//! Layers, lowest first: `config/tidecast.toml`, embedded, which documents every key · files · environment
//! (`TIDECAST__SECTION__KEY`) · `--set section.key=value`. Tables are merged key by key, anything else is replaced. The
//! table `[pipeline."*"]` lies below every pipeline.
//!
//! [`load()`] reports **all** errors at once, a line each: `section.key: what, why, way out`.

mod cluster;
mod domain;
mod error;
mod forecast;
mod keys;
mod load;
mod pipeline;
pub mod process;
mod reader;
mod resolved;
mod services;
mod topics;
mod tree;
mod units;

pub use error::{Errors, Problem};
pub use load::{ClientRule, Sources, load, load_with};
pub use process::{Config, LogFormat, Pipeline};
pub use resolved::Resolved;

/// The lowest layer, and the documentation of every key.
pub const DEFAULTS: &str = include_str!("../../config/tidecast.toml");

#[cfg(test)]
mod tests;
