//! The one integration binary: the house's own rules, and the daemon as its users meet it.

mod allocation;
mod broker;
mod cli;
mod crashes;
mod learning;
mod outcomes;
mod tidy;
