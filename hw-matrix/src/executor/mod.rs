//! Where a cell's commands run. One file an executor; everything else of this crate is independent of it.

pub mod local;
mod tool;

use std::time::Duration;

use crate::cell::Cell;
use crate::spec::Outcome;

/// What running a cell gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What came out; none if it could not be found out, and then `reason` says why.
    pub outcome: Option<Outcome>,
    /// Not run at all, for `reason`.
    pub skipped: bool,
    /// The interface it ran on.
    pub ifname: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// The tool's reason, in the kernel's words where it has some; or what went wrong.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Report {
    /// No outcome, because of this.
    pub fn failed(reason: impl Into<String>) -> Report {
        Report {
            reason: Some(reason.into()),
            ..Report::default()
        }
    }

    /// Not run, because of this.
    pub fn skipped(reason: impl Into<String>) -> Report {
        Report {
            skipped: true,
            reason: Some(reason.into()),
            ..Report::default()
        }
    }
}

/// Runs cells on one kind of host.
pub trait Execute {
    /// Runs a cell within its time. Never panics; whatever fails is in the report.
    fn run(&mut self, cell: &Cell<'_>, timeout: Duration) -> Report;
}
