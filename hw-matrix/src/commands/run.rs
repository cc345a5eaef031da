//! `hw-matrix run`: runs the cells and writes results.jsonl.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::diff::report_against;
use super::{End, Failure, read_lab, select};
use crate::executor::local::Local;
use crate::results::{CellResult, Header, SCHEMA, Status, Writer};
use crate::runner;

/// Run the cells of this machine (executor "local") and write results.jsonl
///
/// Cells of other hosts are skipped, with that reason. An attach cell attaches the program in just its mode, never
/// replaces a program that is there already, and detaches what it attached.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix run lab.toml --filter mode=generic --out monday --baseline sunday/results.jsonl\n\nExit code 5: a cell failed, or is worse than in the baseline where one is given"
)]
pub(super) struct Arguments {
    /// The lab file
    lab: PathBuf,
    /// Only these cells, as in `list`
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Folder for results.jsonl; made if missing, an earlier result in it is not overwritten
    #[arg(long, value_name = "DIR", default_value = "hw-matrix-results")]
    out: PathBuf,
    /// Compare with an earlier results.jsonl afterwards, as `diff` does
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Folder of xdp-probe and xdp-offload; the folder of this program if they are there, else the search path
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let lab = read_lab(&arguments.lab)?;
    let cells = select(&lab, &arguments.lab, arguments.filter.as_deref())?;
    let base = arguments
        .baseline
        .as_deref()
        .map(super::diff::read)
        .transpose()?;
    if cells.is_empty() {
        return Err(Failure::usage(
            "no cell fits the filter\n  help: `hw-matrix list` shows the cells",
        ));
    }
    // A first Ctrl-C ends the run after the cell, which detaches what it attached; a second ends it at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }

    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::file(&arguments.out, &error))?;
    let path = arguments.out.join("results.jsonl");
    let header = Header {
        schema: SCHEMA.to_owned(),
        lab: lab.name.clone(),
        started: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
    };
    let mut writer = Writer::create(&path, header).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} is there already\n  help: give another --out",
            path.display()
        )),
        _ => Failure::file(&path, &error),
    })?;
    let objects = arguments.lab.parent().unwrap_or(Path::new("")).to_owned();
    let mut local = Local::new(
        arguments.tools.clone().unwrap_or_else(tools_beside_us),
        objects,
    );

    let mut out = anstream::stdout();
    let (total, mut done) = (cells.len(), 0);
    let counts = runner::run(&cells, &mut local, &mut writer, &stop, |result| {
        done += 1;
        // The results file is what counts: a closed terminal does not end the run.
        let _ = writeln!(out, "{}", line(result, done, total));
    })
    .map_err(|error| Failure::file(&path, &error))?;

    let summary: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{count} {}", status.name()))
        .collect();
    writeln!(
        anstream::stdout(),
        "{}: {}",
        path.display(),
        summary.join(", ")
    )?;
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::system(format!(
            "stopped after {done} of {total} cells"
        )));
    }
    if let Some(base) = base {
        return report_against(&base, &super::diff::read(&path)?, false);
    }
    let bad = counts.get(&Status::Fail).unwrap_or(&0) + counts.get(&Status::Error).unwrap_or(&0);
    Ok(if bad > 0 { End::Regressions } else { End::Done })
}

/// One line a cell: `[3/12] FAIL id: refused, expected attached: reason`.
fn line(result: &CellResult, done: usize, total: usize) -> String {
    let mut parts = vec![format!(
        "[{done}/{total}] {} {}",
        result.status.name().to_uppercase(),
        result.cell
    )];
    parts.extend(
        result
            .outcome
            .map(|outcome| match (result.status, result.expected) {
                (Status::Fail, Some(expected)) => {
                    format!("{}, expected {}", outcome.name(), expected.name())
                }
                _ => outcome.name().to_owned(),
            }),
    );
    parts.extend(result.reason.clone());
    let text = parts.join(": ");
    match (result.status, &result.remedy) {
        (Status::Fail | Status::Error, Some(remedy)) => format!("{text}\n    help: {remedy}"),
        _ => text,
    }
}

fn tools_beside_us() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned))
        .filter(|folder| folder.join("xdp-probe").exists() && folder.join("xdp-offload").exists())
        .unwrap_or_default()
}
