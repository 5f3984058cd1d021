//! The one integration binary: the house's own rules, and the daemon as its users meet it.

mod tidy;
