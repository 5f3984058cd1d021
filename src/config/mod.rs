//! The whole process: layers, validation, composition (owner writes it).

pub mod process;

pub use process::{Config, LogFormat, Pipeline};
