//! results.jsonl: what a run found, a line at a time, so that a run cut off loses at most the line being written.
//!
//! The first line is a [`Header`]. A [`Line::Started`] stands before each attempt at a cell: one that has no result
//! after it was running when the run ended. `journal` writes the file, `read` reads it.

mod journal;
mod read;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use journal::Journal;
pub use read::{ReadError, Results, read};

use crate::filter::{Filter, Key};
use crate::spec::{Mode, Outcome};

/// The format's name, in every header.
pub const SCHEMA: &str = "hw-matrix/results/v1";

/// A line of results.jsonl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The run began.
    Run(Header),
    /// A run that was cut off goes on.
    Resumed {
        /// Seconds since 1970-01-01 UTC.
        at: u64,
    },
    /// A host is ready, or is not.
    Host(HostFacts),
    /// An attempt at a cell began. On disk before its first command runs where that may take this machine down.
    Started {
        /// Its id.
        cell: String,
        /// From 1; the second is the last.
        #[serde(default = "first")]
        attempt: u32,
    },
    /// A cell ended.
    Result(CellResult),
    /// The run ended by itself.
    Done {
        /// Cells in each status.
        counts: BTreeMap<Status, usize>,
    },
}

fn first() -> u32 {
    1
}

/// What is known of the run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// `hw-matrix/results/v1`.
    pub schema: String,
    /// The lab's name.
    pub lab: String,
    /// Seconds since 1970-01-01 UTC.
    pub started: u64,
    /// This program's version.
    pub version: String,
    /// Kernel release of the machine that ran it.
    pub kernel: String,
    /// The lab file's whole path.
    #[serde(default)]
    pub lab_file: Option<String>,
    /// The filter that chose the cells.
    #[serde(default)]
    pub filter: Option<String>,
    /// How many cells the run has.
    #[serde(default)]
    pub cells: Option<usize>,
}

/// What is known of a host when its session begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Its name in the lab file.
    pub host: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Boot id: another one in a resumed run means that the host went down.
    pub boot_id: Option<String>,
    /// Why no cell can run on it; null if they can.
    pub error: Option<String>,
}

/// How a cell ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The outcome is the expected one, or none was expected.
    Pass,
    /// The first attempt did not pass, the second did.
    Flaky,
    /// Does not pass, and the lab file's list of known bad cells says so.
    KnownBad,
    /// The outcome is another one.
    Fail,
    /// No outcome: a tool failed, ran out of time or said something unreadable; or the host could not be used.
    Error,
    /// The host died or hung. Not tried again.
    Crash,
    /// Not run, for a reason.
    Skip,
    /// The run ended while the cell was running. Never written, only read.
    Interrupted,
}

impl Status {
    /// All of them, in the order of reports.
    pub const ALL: [Status; 8] = [
        Status::Pass,
        Status::Flaky,
        Status::KnownBad,
        Status::Fail,
        Status::Error,
        Status::Crash,
        Status::Skip,
        Status::Interrupted,
    ];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Flaky => "flaky",
            Status::KnownBad => "known-bad",
            Status::Fail => "fail",
            Status::Error => "error",
            Status::Crash => "crash",
            Status::Skip => "skip",
            Status::Interrupted => "interrupted",
        }
    }

    /// Whether somebody has to look at it.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Status::Fail | Status::Error | Status::Crash | Status::Interrupted
        )
    }
}

/// A measured number, of which more is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The number: of throughput, how many times as fast native mode is as generic mode.
    pub value: f64,
    /// Worse than before by more than this factor counts as slower.
    pub slower: f64,
}

/// The result of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellResult {
    /// The cell's id.
    pub cell: String,
    /// How it ended.
    pub status: Status,
    /// What came out.
    pub outcome: Option<Outcome>,
    /// What was expected.
    pub expected: Option<Outcome>,
    /// The mode that was asked for.
    pub mode: Mode,
    /// The interface it ran on.
    pub ifname: Option<String>,
    /// Its driver's name.
    pub driver: Option<String>,
    /// The driver's version, where that is another one than the kernel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// Its firmware's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Why: the tool's reason in the kernel's words, or what went wrong. Of a flaky cell: why the first attempt did not
    /// pass.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What was measured, in a line that is the same while the NIC behaves the same: `1500..3506`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The number that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// Why a failure was to be expected: the reason in the list of known bad cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_bad: Option<String>,
    /// How many attempts were made; 0 if it was not run.
    #[serde(default)]
    pub attempts: u32,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: u64,
    /// The commands and what they said, where the cell did not pass at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// What the kernel wrote to its log during the last attempt that did not pass, or the last words of a host that died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
}

impl CellResult {
    /// A result of this status, of which nothing else is known yet.
    pub fn new(cell: String, mode: Mode, status: Status) -> CellResult {
        CellResult {
            cell,
            status,
            outcome: None,
            expected: None,
            mode,
            ifname: None,
            driver: None,
            driver_version: None,
            firmware: None,
            reason: None,
            remedy: None,
            found: None,
            figure: None,
            known_bad: None,
            attempts: 0,
            duration_ms: 0,
            log: None,
            kernel_log: None,
        }
    }

    /// The parts of the cell's id: host, NIC, program, mode, check.
    pub fn parts(&self) -> [&str; 5] {
        let mut parts = self.cell.split('/');
        std::array::from_fn(|_| parts.next().unwrap_or(""))
    }

    /// Whether the filter means this cell.
    pub fn is_in(&self, filter: &Filter) -> bool {
        let [host, nic, program, mode, check] = self.parts();
        filter.matches(&|key| {
            Cow::Borrowed(match key {
                Key::Id => &*self.cell,
                Key::Host => host,
                Key::Nic => nic,
                Key::Program => program,
                Key::Mode => mode,
                Key::Check => check,
            })
        })
    }
}
