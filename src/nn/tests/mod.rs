//! Proofs that need more than one file: gradients, golden numbers, training and serving against each other.

mod golden;
mod gradients;
mod learning;
mod safetensors;
mod serving;
mod support;
mod truncation;
