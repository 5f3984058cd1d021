//! The prototype's twin, and what must hold whatever comes in.

mod anomaly;
mod invariants;
mod linear;
mod long;
mod parts;
mod stack;
mod toy;
mod twin;
