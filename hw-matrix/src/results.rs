//! results.jsonl: what a run found, a line at a time, so that a run cut off loses at most the line being written.
//!
//! The first line is a [`Header`]. A [`Line::Started`] stands before each cell: one that has no result after it
//! was running when the run ended, and is counted as interrupted.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{Mode, Outcome};

/// The format's name, in every header.
pub const SCHEMA: &str = "hw-matrix/results/v1";
/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Most cells of one file that are read: as many as a lab may have.
const MAX_RESULTS: usize = crate::cell::MAX_CELLS;

/// A line of results.jsonl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The run began.
    Run(Header),
    /// A cell began.
    Started {
        /// Its id.
        cell: String,
    },
    /// A cell ended.
    Result(CellResult),
    /// The run ended by itself.
    Done {
        /// Cells in each status.
        counts: BTreeMap<Status, usize>,
    },
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
}

/// How a cell ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The outcome is the expected one, or none was expected.
    Pass,
    /// The outcome is another one.
    Fail,
    /// No outcome: a tool failed, ran out of time or said something unreadable.
    Error,
    /// Not run, for a reason.
    Skip,
    /// The run ended while the cell was running. Never written, only read.
    Interrupted,
}

impl Status {
    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Error => "error",
            Status::Skip => "skip",
            Status::Interrupted => "interrupted",
        }
    }
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
    /// Interface, driver and kernel it ran on.
    pub ifname: Option<String>,
    /// The driver's name.
    pub driver: Option<String>,
    /// Why: the tool's reason in the kernel's words, or what went wrong.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Writes results.jsonl, each line at once.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Starts a new file; an existing one is an error, results are never overwritten.
    pub fn create(path: &Path, header: Header) -> io::Result<Writer> {
        let mut writer = Writer {
            file: File::options().write(true).create_new(true).open(path)?,
        };
        writer.line(&Line::Run(header))?;
        Ok(writer)
    }

    /// Adds a line. A start is on disk before this returns: the cell may take the machine down.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        if matches!(line, Line::Started { .. }) {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }
}

/// A results file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The run.
    pub header: Header,
    /// Each cell's last result, interrupted ones included.
    pub cells: BTreeMap<String, CellResult>,
    /// Whether the run came to its end.
    pub complete: bool,
}

/// Why a results file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system's error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error(
        "line {line}: {message}\n  help: a results file is what `hw-matrix run` writes as results.jsonl"
    )]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// Reads a results file. A last line without its end is left out: the run was cut off there.
pub fn read(input: impl Read) -> Result<Results, ReadError> {
    let mut input = BufReader::new(input);
    let wrong = |line, message: String| ReadError::Line { line, message };
    let mut header = None;
    let mut cells: BTreeMap<String, CellResult> = BTreeMap::new();
    let mut running: HashSet<String> = HashSet::new();
    let mut complete = false;
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        input
            .by_ref()
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut bytes)?;
        if bytes.len() > MAX_LINE {
            return Err(wrong(number, format!("longer than {MAX_LINE} bytes")));
        }
        if bytes.last() != Some(&b'\n') {
            if number == 1 && !bytes.is_empty() {
                return Err(wrong(1, "no results: the first line has no end".to_owned()));
            }
            break;
        }
        let line: Line =
            serde_json::from_slice(&bytes).map_err(|error| wrong(number, error.to_string()))?;
        match (line, &header) {
            (Line::Run(found), None) if found.schema == SCHEMA => header = Some(found),
            (Line::Run(found), None) => {
                return Err(wrong(
                    number,
                    format!(
                        "schema `{}`, not {SCHEMA}",
                        crate::filter::printable(&found.schema)
                    ),
                ));
            }
            (Line::Run(_), Some(_)) => return Err(wrong(number, "a second header".to_owned())),
            (_, None) => return Err(wrong(number, "no header before it".to_owned())),
            (Line::Started { cell }, _) => {
                running.insert(cell);
            }
            (Line::Result(result), _) => {
                running.remove(&result.cell);
                cells.insert(result.cell.clone(), result);
            }
            (Line::Done { .. }, _) => complete = true,
        }
        if cells.len() + running.len() > MAX_RESULTS {
            return Err(wrong(number, format!("more than {MAX_RESULTS} cells")));
        }
    }
    let header = header.ok_or_else(|| wrong(1, "the file is empty".to_owned()))?;
    for cell in running {
        let mode = Mode::ALL
            .into_iter()
            .find(|mode| cell.split('/').nth(3) == Some(mode.name()));
        let result = CellResult {
            cell: cell.clone(),
            status: Status::Interrupted,
            outcome: None,
            expected: None,
            mode: mode.unwrap_or(Mode::Native),
            ifname: None,
            driver: None,
            reason: Some("the run ended while this cell was running".to_owned()),
            remedy: None,
            duration_ms: 0,
        };
        cells.insert(cell, result);
    }
    Ok(Results {
        header,
        cells,
        complete,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"event":"run","schema":"hw-matrix/results/v1","lab":"l","started":1,"version":"0","kernel":"6"}"#;

    #[test]
    fn a_cut_off_run_keeps_what_it_had() {
        let result = r#"{"event":"result","cell":"h/n/p/native/attach","status":"pass","outcome":"attached","expected":"attached","mode":"native","ifname":null,"driver":null,"reason":null,"remedy":null,"duration_ms":1}"#;
        let text = format!(
            "{HEADER}\n{}\n{result}\n{}\n{{\"event\":\"resu",
            r#"{"event":"started","cell":"h/n/p/native/attach"}"#,
            r#"{"event":"started","cell":"h/n/p/generic/attach"}"#
        );
        let results = read(text.as_bytes()).unwrap();
        assert!(!results.complete);
        assert_eq!(results.cells["h/n/p/native/attach"].status, Status::Pass);
        let cut = &results.cells["h/n/p/generic/attach"];
        assert_eq!((cut.status, cut.mode), (Status::Interrupted, Mode::Generic));
    }

    #[test]
    fn what_is_no_results_file_is_refused_at_its_line() {
        let refused = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("").starts_with("line 1: the file is empty"));
        assert!(refused("\x7fELF").starts_with("line 1: no results"));
        assert!(refused(&format!("{HEADER}\nnonsense\n")).starts_with("line 2: expected"));
        assert!(refused(&HEADER.replace("/v1", "/v9")).starts_with("line 1"));
        assert!(refused(&format!("{HEADER}\n{HEADER}\n")).starts_with("line 2: a second header"));
        assert!(refused(&"x".repeat(MAX_LINE + 2)).starts_with("line 1: longer than"));
    }
}
