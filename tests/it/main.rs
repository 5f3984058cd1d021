//! The one integration binary: the house's own rules, and the daemon as its users meet it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's panic and its output are its report"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "counts of a test are small whole numbers"
)]

mod allocation;
mod backtest;
mod broker;
mod cli;
mod crashes;
mod faults;
mod learning;
mod outcomes;
mod tidy;
