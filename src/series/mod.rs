//! Pure domain of a stream.

pub mod observation;
