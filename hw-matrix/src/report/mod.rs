//! A run for others to read: KTAP and JUnit for machines, one page for people. Pure but for [`write()`].

mod html;
mod junit;
mod ktap;

use std::fs;
use std::io;
use std::path::Path;

pub use html::page;
pub use junit::junit;
pub use ktap::ktap;

use crate::baseline::{self, Change};
use crate::history::Past;
use crate::results::{CellResult, Results};

/// What a report is made from.
#[derive(Debug)]
pub struct Report<'a> {
    /// The run.
    pub results: &'a Results,
    /// The accepted results it is compared with.
    pub base: Option<&'a Results>,
    /// Earlier runs, the oldest first.
    pub past: &'a [Past],
}

impl Report<'_> {
    /// What changed since the accepted results.
    pub fn changes(&self) -> Vec<Change> {
        self.base
            .map(|base| baseline::diff(base, self.results))
            .unwrap_or_default()
    }
}

/// Writes results.ktap, junit.xml and report.html into a folder, over what is there.
///
/// # Errors
/// The system's.
pub fn write(folder: &Path, report: &Report<'_>) -> io::Result<()> {
    fs::write(folder.join("results.ktap"), ktap(report.results))?;
    fs::write(folder.join("junit.xml"), junit(report.results)?)?;
    fs::write(folder.join("report.html"), page(report)?)
}

/// What was measured, in words: `found 1500..3506`.
fn measured(result: &CellResult) -> Option<String> {
    match (&result.found, result.figure) {
        (Some(found), _) => Some(format!("found {found}")),
        (None, Some(figure)) => Some(format!("figure {:.2}", figure.value)),
        (None, None) => None,
    }
}

/// One line: line breaks and other control characters become spaces.
fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain.trim().to_owned()
}
