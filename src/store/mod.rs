//! TODO module doc (owner writes it)

pub mod config;

pub use config::Config;
