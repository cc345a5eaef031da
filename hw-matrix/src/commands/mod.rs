//! The command line: arguments in, text and exit code out. One file a subcommand.

mod accept;
mod cell;
mod diff;
mod lab;
mod list;
mod report;
mod run;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use schemars::Schema;

use crate::cell::{Cell, Matrix, matrix};
use crate::filter::Filter;
use crate::spec::{Lab, MAX_FILE};

#[derive(Debug, Parser)]
#[command(
    name = "hw-matrix",
    version,
    about = "A hardware lab as a regression matrix: host x NIC x program x mode x check",
    after_help = "Example:\n  hw-matrix list lab.toml --filter 'mode=native & !nic=e1000*'\n  hw-matrix run lab.toml --out monday\n  hw-matrix diff monday/results.jsonl tuesday/results.jsonl\n\nExit codes: 0 done, 1 the system failed, 2 usage or a bad file, 5 regressions found"
)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    List(list::Arguments),
    Run(run::Arguments),
    Diff(diff::Arguments),
    #[command(subcommand)]
    Lab(lab::Arguments),
    Accept(accept::Arguments),
    Report(report::Arguments),
    Cell(cell::Arguments),
    /// Print shell completions
    #[command(
        after_help = "Example:\n  hw-matrix completions bash > /etc/bash_completion.d/hw-matrix"
    )]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The JSON Schemas of everything this program reads and writes, as (file name in `schemas/`, schema).
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("lab.json", schemars::schema_for!(crate::spec::LabFile)),
        ("list.v1.json", schemars::schema_for!(list::List<'_>)),
        (
            "results.v1.json",
            schemars::schema_for!(crate::results::Line),
        ),
        ("diff.v1.json", schemars::schema_for!(diff::Diff<'_>)),
    ]
}

/// How a command ends.
enum End {
    Done,
    Regressions,
    /// A command of the user's ended with this code.
    Code(u8),
}

/// Why a command could not do what was asked.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The user's mistake, or a file that is not what it claims to be: code 2.
    fn usage(text: impl Into<String>) -> Failure {
        Failure {
            code: 2,
            text: text.into(),
        }
    }

    /// The system's failure: code 1.
    fn system(text: impl Into<String>) -> Failure {
        Failure {
            code: 1,
            text: text.into(),
        }
    }

    /// An error with a file: missing or unreadable is the user's to mend, the rest is the system's.
    fn file(path: &Path, error: &io::Error) -> Failure {
        let text = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData => {
                Failure::usage(text)
            }
            _ => Failure::system(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        // Whoever read our output has seen enough: success.
        let code = u8::from(error.kind() != io::ErrorKind::BrokenPipe);
        Failure {
            code,
            text: error.to_string(),
        }
    }
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let end = match Cli::parse().command {
        Subcommands::List(arguments) => list::run(&arguments),
        Subcommands::Run(arguments) => run::run(&arguments),
        Subcommands::Diff(arguments) => diff::run(&arguments),
        Subcommands::Lab(arguments) => lab::run(&arguments),
        Subcommands::Accept(arguments) => accept::run(&arguments),
        Subcommands::Report(arguments) => report::run(&arguments),
        Subcommands::Cell(arguments) => cell::run(&arguments),
        Subcommands::Completions { shell } => completions(shell),
    };
    match end {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Regressions) => ExitCode::from(5),
        Ok(End::Code(code)) => ExitCode::from(code),
        Err(failure) => {
            if failure.code != 0 {
                let _ = writeln!(anstream::stderr(), "error: {}", failure.text);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<End, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "hw-matrix", &mut script);
    io::stdout().write_all(&script)?;
    Ok(End::Done)
}

fn read_lab(path: &Path) -> Result<Lab, Failure> {
    parse_lab(&read_text(path)?, path)
}

/// The text of a lab file.
fn read_text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the reader of the text can tell that it is too long.
    let limit = MAX_FILE as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|e| Failure::file(path, &e))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("{}: not text: byte {at} is no UTF-8\n  help: a lab file is TOML, see `hw-matrix list --help`", path.display()))
    })
}

fn parse_lab(text: &str, path: &Path) -> Result<Lab, Failure> {
    Lab::parse(text, &path.display().to_string()).map_err(|error| Failure::usage(error.to_string()))
}

/// The cells a filter leaves; sections of the lab file without effect are told on stderr.
fn select<'lab>(
    lab: &'lab Lab,
    path: &Path,
    filter: Option<&str>,
) -> Result<Vec<Cell<'lab>>, Failure> {
    let filter = match filter {
        None => Filter::All,
        Some(text) => {
            Filter::parse(text).map_err(|error| Failure::usage(format!("--filter: {error}")))?
        }
    };
    let Matrix { mut cells, idle } =
        matrix(lab, today()).map_err(|error| Failure::usage(error.to_string()))?;
    for (line, what) in idle {
        let _ = writeln!(
            anstream::stderr(),
            "warning: {}:{line}: {what}",
            path.display()
        );
    }
    cells.retain(|cell| cell.is_in(&filter));
    Ok(cells)
}

/// The day by which known failures end, UTC.
fn today() -> jiff::civil::Date {
    jiff::tz::TimeZone::UTC
        .to_datetime(jiff::Timestamp::now())
        .date()
}
