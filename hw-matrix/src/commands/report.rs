//! `hw-matrix report`: the reports of a run, written again.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{End, Failure};
use crate::history::{self, Past};
use crate::report::{self, Report};
use crate::results::Results;

/// Write results.ktap, junit.xml and report.html of a result again
///
/// `run` writes them at its end. This is for another baseline, for more history, or for a run that was cut off.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix report tuesday --baseline monday --history .\n\nreport.html is one page with everything in it; it asks for nothing outside"
)]
pub(super) struct Arguments {
    /// A results.jsonl, or the folder of one
    results: PathBuf,
    /// Folder to write into [default: that of the results]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show what changed since this earlier results.jsonl
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Show earlier runs: those in the folders of this one, DIR/*/results.jsonl
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let results = super::diff::read(&arguments.results)?;
    let base = arguments
        .baseline
        .as_deref()
        .map(super::diff::read)
        .transpose()?;
    let past = past(arguments.history.as_deref(), results.header.started)?;
    let out: &Path = match &arguments.out {
        Some(folder) => folder,
        None if arguments.results.is_dir() => &arguments.results,
        None => arguments.results.parent().unwrap_or(Path::new("")),
    };
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    write(out, &results, base.as_ref(), &past)?;
    Ok(End::Done)
}

/// The earlier runs in a folder, if one is given.
pub(super) fn past(folder: Option<&Path>, before: u64) -> Result<Vec<Past>, Failure> {
    folder.map_or(Ok(Vec::new()), |folder| {
        history::read(folder, before).map_err(|error| Failure::file(folder, &error))
    })
}

/// Writes all reports of a run.
pub(super) fn write(
    folder: &Path,
    results: &Results,
    base: Option<&Results>,
    past: &[Past],
) -> Result<(), Failure> {
    let report = Report {
        results,
        base,
        past,
    };
    report::write(folder, &report).map_err(|error| Failure::file(folder, &error))
}
