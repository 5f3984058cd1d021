//! CLI (owner writes it).
