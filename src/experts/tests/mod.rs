//! Twin of the prototype and invariants.
