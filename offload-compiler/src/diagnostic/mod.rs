//! Findings as people read them: at a source line, with what was known there and the path that leads there.
//!
//! ```text
//! verify::Finding + object::Linked -- Diagnostic::of --> Diagnostic -- render --> text as rustc's
//! ```
//!
//! The crate opens no file: who renders hands in a function that reads source files. Where there is none, the lines that
//! the compiler left in the object's BTF are shown.

mod codes;
mod path;
mod render;
#[cfg(test)]
mod tests;

use crate::isa;
use crate::object::{Linked, SourceLine};
use crate::verify::{Code, Finding, Severity};

pub use codes::{find, page};
pub use render::{Style, render};

/// A finding at its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of mistake.
    pub code: Code,
    /// Whether it keeps the program from running.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// The slot it is about, in the program with its subprograms.
    pub insn: usize,
    /// The function that the slot is in; empty where unknown.
    pub function: String,
    /// The source line that the slot was compiled from.
    pub line: Option<SourceLine>,
    /// What was known there that matters, a line each.
    pub known: Vec<String>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
    /// The branches that lead there and matter, in their order.
    pub path: Vec<Step>,
    /// How many branches before these are left out.
    pub path_omitted: usize,
    /// What would help.
    pub help: Option<String>,
}

/// A place that has to do with a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its slot.
    pub insn: usize,
    /// Its source line.
    pub line: Option<SourceLine>,
    /// What it has to do with it.
    pub what: String,
}

/// A branch on the path to a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The branch's slot.
    pub insn: usize,
    /// Its source line.
    pub line: Option<SourceLine>,
    /// Where the path goes on: slot.
    pub to: usize,
    /// Where the path goes on: source line.
    pub to_line: Option<SourceLine>,
    /// How often the path comes through here.
    pub times: usize,
}

impl Diagnostic {
    /// What was known, what else has to do with it and the path, a line or paragraph each: all that is beside message
    /// and help.
    pub fn notes(&self) -> Vec<String> {
        let related = self.related.iter().map(|related| match &related.line {
            Some(line) => format!("{}:{}: {}", line.file, line.line, related.what),
            None => format!("instruction {}: {}", related.insn, related.what),
        });
        self.known
            .iter()
            .cloned()
            .chain(related)
            .chain(render::path(self))
            .collect()
    }

    /// A finding of the program `linked`, whose instructions are `code`.
    pub fn of(finding: &Finding, linked: &Linked, code: &isa::Code) -> Self {
        let (path, path_omitted) = path::steps(finding, linked, code);
        Self {
            code: finding.code,
            severity: finding.severity,
            message: finding.message.clone(),
            insn: finding.insn,
            function: linked
                .function_at(finding.insn)
                .map_or_else(String::new, |function| function.name.clone()),
            line: linked.source_line(finding.insn),
            known: finding.known.clone(),
            related: finding
                .related
                .iter()
                .map(|(insn, what)| Related {
                    insn: *insn,
                    line: linked.source_line(*insn),
                    what: what.clone(),
                })
                .collect(),
            path,
            path_omitted,
            help: finding.help.clone(),
        }
    }
}
