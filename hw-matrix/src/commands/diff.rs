//! `hw-matrix diff`: what changed between two results.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::{End, Failure};
use crate::baseline::{self, Change, Kind, Seen};
use crate::inventory::{self, Exchanged};
use crate::results::{self, ReadError, Results};

/// Show what changed between two results; exit code 5 on a regression
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix diff monday tuesday\n\nRegressions: broken (passed before), new failure (not in BASE, or known there, and does not pass),\nchanged (passes with another outcome or measurement), gone (not run any more). Told only: flaky, known bad, slower, fixed"
)]
pub(super) struct Arguments {
    /// The earlier results.jsonl, or the folder of one
    base: PathBuf,
    /// The later results.jsonl, or the folder of one
    new: PathBuf,
    /// Write JSON (schema hw-matrix/diff/v1)
    #[arg(long)]
    json: bool,
}

/// What `diff --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Diff<'a> {
    /// `hw-matrix/diff/v1`.
    schema: &'static str,
    /// Whether a change is a regression.
    regression: bool,
    /// Whether the earlier run came to its end.
    base_complete: bool,
    /// Whether the later run came to its end.
    new_complete: bool,
    /// Kernels, drivers and firmware that are not what they were.
    exchanged: &'a [Exchanged],
    /// Regressions first.
    changes: &'a [Change],
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    report_against(
        &read(&arguments.base)?,
        &read(&arguments.new)?,
        arguments.json,
    )
}

/// Reads a results.jsonl, or that of a folder.
pub(super) fn read(path: &Path) -> Result<Results, Failure> {
    let path = &if path.is_dir() {
        path.join("results.jsonl")
    } else {
        path.to_owned()
    };
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    results::read(file).map_err(|error| match error {
        ReadError::Io(error) => Failure::file(path, &error),
        ReadError::Line { .. } => Failure::usage(format!("{}: {error}", path.display())),
    })
}

/// Compares, reports and says whether something is worse.
pub(super) fn report_against(base: &Results, new: &Results, json: bool) -> Result<End, Failure> {
    let changes = baseline::diff(base, new);
    let exchanged = inventory::exchanged(base, new);
    let regressions = changes
        .iter()
        .filter(|change| change.kind.is_regression())
        .count();
    let mut out = anstream::stdout().lock();
    if json {
        let diff = Diff {
            schema: "hw-matrix/diff/v1",
            regression: regressions > 0,
            base_complete: base.complete,
            new_complete: new.complete,
            exchanged: &exchanged,
            changes: &changes,
        };
        serde_json::to_writer_pretty(&mut out, &diff)
            .map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(out)?;
    } else {
        for change in &changes {
            let seen = |seen: &Option<Seen>| Seen::describe(seen.as_ref(), change.kind);
            let (before, after) = (seen(&change.before), seen(&change.after));
            let kind = change.kind.name();
            write!(out, "{kind} {}: {before} -> {after}", change.cell)?;
            match &change.reason {
                Some(reason) => writeln!(out, ": {reason}")?,
                None => writeln!(out)?,
            }
        }
        for Exchanged {
            of,
            what,
            before,
            after,
        } in &exchanged
        {
            let or_none = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "none".into());
            let (before, after) = (or_none(before), or_none(after));
            writeln!(out, "exchanged {what} of {of}: {before} -> {after}")?;
        }
        for (results, which) in [(base, "earlier"), (new, "later")] {
            if !results.complete {
                writeln!(out, "note: the {which} run did not come to its end")?;
            }
        }
        write!(out, "{regressions} regressions, ")?;
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_regression()) {
            let count = changes.iter().filter(|change| change.kind == kind).count();
            if count > 0 || kind == Kind::Fixed {
                write!(out, "{count} {}, ", kind.name())?;
            }
        }
        writeln!(out, "{} cells compared", new.cells.len())?;
    }
    Ok(if regressions > 0 {
        End::Regressions
    } else {
        End::Done
    })
}
