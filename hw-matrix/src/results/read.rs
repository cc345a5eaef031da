//! Reading results.jsonl, which may be cut off anywhere.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};

use super::{CellResult, Header, HostFacts, Line, SCHEMA, Status};
use crate::spec::Mode;

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Most cells of one file that are read: as many as a lab may have.
const MAX_RESULTS: usize = crate::cell::MAX_CELLS;

/// A results file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The run.
    pub header: Header,
    /// What was last known of each host.
    pub hosts: BTreeMap<String, HostFacts>,
    /// Each cell's last result, interrupted ones included.
    pub cells: BTreeMap<String, CellResult>,
    /// Whether the run came to its end.
    pub complete: bool,
    /// Bytes of whole lines.
    pub length: u64,
    /// Whether a line without its end came after them.
    pub cut_off: bool,
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
///
/// # Errors
/// What cannot be read, or is no results file.
pub fn read(input: impl Read) -> Result<Results, ReadError> {
    let mut input = BufReader::new(input);
    let wrong = |line, message: String| ReadError::Line { line, message };
    let mut results: Option<Results> = None;
    let mut running: HashSet<String> = HashSet::new();
    let mut bytes = Vec::new();
    let (mut length, mut cut_off) = (0, false);
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
            cut_off = !bytes.is_empty();
            if number == 1 && cut_off {
                return Err(wrong(1, "no results: the first line has no end".to_owned()));
            }
            break;
        }
        length += bytes.len() as u64;
        let line: Line =
            serde_json::from_slice(&bytes).map_err(|error| wrong(number, error.to_string()))?;
        let Some(so_far) = &mut results else {
            results = Some(match line {
                Line::Run(header) if header.schema == SCHEMA => Results::new(header),
                Line::Run(header) => {
                    let schema = crate::filter::printable(&header.schema);
                    return Err(wrong(number, format!("schema `{schema}`, not {SCHEMA}")));
                }
                _ => return Err(wrong(number, "no header before it".to_owned())),
            });
            continue;
        };
        match line {
            Line::Run(_) => return Err(wrong(number, "a second header".to_owned())),
            Line::Resumed { .. } => {
                interrupt(so_far, &mut running);
                so_far.complete = false;
            }
            Line::Host(facts) => {
                so_far.hosts.insert(facts.host.clone(), facts);
            }
            Line::Started { cell, .. } => {
                running.insert(cell);
            }
            Line::Result(result) => {
                running.remove(&result.cell);
                so_far.cells.insert(result.cell.clone(), result);
            }
            Line::Done { .. } => so_far.complete = true,
        }
        if so_far.cells.len() + running.len() > MAX_RESULTS {
            return Err(wrong(number, format!("more than {MAX_RESULTS} cells")));
        }
    }
    let mut results = results.ok_or_else(|| wrong(1, "the file is empty".to_owned()))?;
    results.length = length;
    results.cut_off = cut_off;
    interrupt(&mut results, &mut running);
    Ok(results)
}

/// Those that were running when the run ended; `attempts` counts how often it ended with them.
fn interrupt(results: &mut Results, running: &mut HashSet<String>) {
    for cell in running.drain() {
        let before = results
            .cells
            .get(&cell)
            .filter(|result| result.status == Status::Interrupted)
            .map_or(0, |result| result.attempts);
        let mode = Mode::ALL
            .into_iter()
            .find(|mode| cell.split('/').nth(3) == Some(mode.name()));
        let result = CellResult {
            reason: Some("the run ended while this cell was running".to_owned()),
            attempts: before + 1,
            ..CellResult::new(
                cell.clone(),
                mode.unwrap_or(Mode::Native),
                Status::Interrupted,
            )
        };
        results.cells.insert(cell, result);
    }
}

impl Results {
    fn new(header: Header) -> Results {
        Results {
            header,
            hosts: BTreeMap::new(),
            cells: BTreeMap::new(),
            complete: false,
            length: 0,
            cut_off: false,
        }
    }

    /// How many cells ended in each way.
    pub fn counts(&self) -> BTreeMap<Status, usize> {
        let mut counts = BTreeMap::new();
        for result in self.cells.values() {
            *counts.entry(result.status).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"event":"run","schema":"hw-matrix/results/v1","lab":"l","started":1,"version":"0","kernel":"6"}"#;

    #[test]
    fn a_cut_off_run_keeps_what_it_had() {
        let result = r#"{"event":"result","cell":"h/n/p/native/attach","status":"pass","outcome":"attached","expected":"attached","mode":"native","ifname":null,"driver":null,"reason":null,"remedy":null,"duration_ms":1}"#;
        let whole = format!(
            "{HEADER}\n{}\n{result}\n{}\n",
            r#"{"event":"started","cell":"h/n/p/native/attach"}"#,
            r#"{"event":"started","cell":"h/n/p/generic/attach","attempt":2}"#
        );
        let text = format!("{whole}{{\"event\":\"resu");
        let results = read(text.as_bytes()).unwrap();
        assert!(!results.complete && results.cut_off);
        assert_eq!(results.length, whole.len() as u64);
        assert_eq!(results.cells["h/n/p/native/attach"].status, Status::Pass);
        let cut = &results.cells["h/n/p/generic/attach"];
        assert_eq!(
            (cut.status, cut.mode, cut.attempts),
            (Status::Interrupted, Mode::Generic, 1)
        );
        let twice = format!(
            "{whole}{}\n{}\n",
            r#"{"event":"resumed","at":2}"#, r#"{"event":"started","cell":"h/n/p/generic/attach"}"#
        );
        let twice = read(twice.as_bytes()).unwrap();
        assert_eq!(twice.cells["h/n/p/generic/attach"].attempts, 2);
        // Wherever it is cut after its first line, it can be read.
        for end in HEADER.len() + 1..text.len() {
            assert!(read(&text.as_bytes()[..end]).is_ok(), "cut at {end}");
        }
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
