//! A hardware lab as a regression matrix: every host x NIC x program x mode x check is a cell.
//!
//! ```text
//! lab.toml --spec--> Lab --cell--> cells --runner--> results.jsonl --baseline--> what changed
//!                                           |                      --report----> KTAP, JUnit, a page
//!                                  checks, on an executor's session (the only part that touches a host)
//! ```
//!
//! `spec`, `filter`, `cell`, `baseline` and `report` are pure.

pub mod baseline;
pub mod cell;
pub mod checks;
pub mod commands;
pub mod executor;
pub mod filter;
pub mod history;
pub mod inventory;
pub mod lab;
pub mod progress;
pub mod report;
pub mod results;
pub mod runner;
pub mod spec;
mod suggest;

pub use commands::command;
