//! A hardware lab as a regression matrix: every host x NIC x program x mode x check is a cell.
//!
//! ```text
//! lab.toml --spec--> Lab --cell--> cells --runner--> results.jsonl --baseline--> what changed
//!                                           |
//!                                        executor (the only part that touches a host)
//! ```
//!
//! `spec`, `filter`, `cell` and `baseline` are pure.

pub mod baseline;
pub mod cell;
pub mod commands;
pub mod executor;
pub mod filter;
pub mod lab;
pub mod results;
pub mod runner;
pub mod spec;
mod suggest;

pub use commands::command;
