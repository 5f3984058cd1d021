//! The shell (owner writes it).
