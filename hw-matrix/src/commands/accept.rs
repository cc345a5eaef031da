//! `hw-matrix accept`: makes a result the baseline.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{End, Failure, read_lab};
use crate::progress;
use crate::results::{CellResult, Line, Results};

/// Make a result the baseline that later runs are compared with
///
/// Every cell's result is kept without its log, those that did not pass, too: they are accepted.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix accept monday\n  hw-matrix accept monday/results.jsonl --to baselines/6.12.jsonl\n\nA lab file names its baseline:\n  [lab]\n  baseline = \"baseline.jsonl\""
)]
pub(super) struct Arguments {
    /// A results.jsonl, or the folder of one
    results: PathBuf,
    /// Write it there [default: the `baseline` of the lab file that was run]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let results = super::diff::read(&arguments.results)?;
    if !results.complete {
        return Err(Failure::usage(format!(
            "{}: the run did not come to its end\n  help: hw-matrix run --resume goes on with it",
            arguments.results.display()
        )));
    }
    let to = match &arguments.to {
        Some(path) => path.clone(),
        None => baseline_of(&results)?,
    };
    write(&to, &results).map_err(|error| Failure::file(&to, &error))?;
    let counts = progress::counts(&results.counts());
    writeln!(anstream::stdout(), "{}: {counts}", to.display())?;
    Ok(End::Done)
}

/// What the lab file of these results names.
fn baseline_of(results: &Results) -> Result<PathBuf, Failure> {
    let none = || {
        Failure::usage(
            "the lab file names no baseline\n  help: give --to FILE, or add baseline = \"FILE\" to its [lab] section",
        )
    };
    let lab_file = results.header.lab_file.as_ref().ok_or_else(none)?;
    let lab_file = Path::new(lab_file);
    let baseline = read_lab(lab_file)?.baseline.ok_or_else(none)?;
    Ok(lab_file.parent().unwrap_or(Path::new("")).join(baseline))
}

/// In one step: a reader sees the old baseline or the new one.
fn write(path: &Path, results: &Results) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut text = String::new();
    let mut line = |line: &Line| -> std::io::Result<()> {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
        Ok(())
    };
    line(&Line::Run(results.header.clone()))?;
    for facts in results.hosts.values() {
        line(&Line::Host(facts.clone()))?;
    }
    for result in results.cells.values() {
        line(&Line::Result(CellResult {
            log: None,
            kernel_log: None,
            ..result.clone()
        }))?;
    }
    let counts = results.counts();
    line(&Line::Done { counts })?;
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
