//! Experts (owner writes it).
