//! `hw-matrix cell`: one cell, for engines that hand out jobs themselves.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::run::{Job, Tools, end_of};
use super::{End, Failure, parse_lab, read_text};
use crate::progress::Progress;
use crate::report;

/// Run one cell: KTAP on standard output, all reports in a folder
///
/// For Kubernetes, LAVA and other engines that hand out jobs themselves. `hw-matrix list LAB --json` has the ids.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix cell lab.toml here/wan/firewall/native/attach --out artifacts\n\nExit code 0: it passed, was flaky, known to be bad or skipped; the KTAP tells which. 5: it failed"
)]
pub(super) struct Arguments {
    /// The lab file
    lab: PathBuf,
    /// The cell: host/nic/program/mode/check
    id: String,
    /// Folder for results.jsonl and the reports; made if missing
    #[arg(long, value_name = "DIR", default_value = "hw-matrix-results")]
    out: PathBuf,
    #[command(flatten)]
    tools: Tools,
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let id = &arguments.id;
    if id.split('/').count() != 5 || id.contains(['*', '?', '&', '|', '!', '(', ')', '=', ' ']) {
        return Err(Failure::usage(format!(
            "`{}` is no cell's id\n  help: host/nic/program/mode/check, as `hw-matrix list --json` has it",
            crate::filter::printable(id)
        )));
    }
    let text = read_text(&arguments.lab)?;
    let lab = parse_lab(&text, &arguments.lab)?;
    let job = Job {
        lab_file: arguments.lab.clone(),
        filter: Some(id.clone()),
        out: &arguments.out,
        before: None,
        jobs: 1,
        frail: Vec::new(),
        tools: &arguments.tools,
    };
    let summary = job.run(&text, &lab, |_, _| Progress::Silent)?;
    let results = super::diff::read(&arguments.out)?;
    super::report::write(&arguments.out, &results, None, &[])?;
    write!(anstream::stdout(), "{}", report::ktap(&results))?;
    if summary.complete {
        Ok(end_of(&summary))
    } else {
        Err(Failure::system("stopped before the cell had a result"))
    }
}
