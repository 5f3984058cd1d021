//! The prototype's twin, and what must hold whatever comes in.

mod invariants;
mod toy;
mod twin;
