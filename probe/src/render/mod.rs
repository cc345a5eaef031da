//! Verdicts for people (tables, pages) and for programs (JSON).

pub mod caps;
pub mod driver;
pub mod json;
mod paint;
pub mod show;
pub mod table;
pub mod trial;
pub mod watch;
