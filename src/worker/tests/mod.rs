//! fakes follow
