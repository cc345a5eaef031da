//! What a person watching a task sees: a heading a step, then the step's own output.

use std::path::Path;
use std::process::Command;

use support::{Failed, Output};

use crate::error::Result;

/// Prints the heading of a step.
pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs a command with its output going straight to the terminal.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let line = Output::command_line(command);
    println!("$ {}", short(&line));
    let status = command.status();
    let how = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("ended with {status}"),
        Err(error) => format!("did not start: {error}"),
    };
    Err(Failed {
        command: line,
        how,
        words: String::new(),
    }
    .into())
}

/// A command line without the folder of its program.
pub(crate) fn short(line: &str) -> &str {
    let program = line.split(' ').next().unwrap_or_default();
    let folder = program.rfind('/').map_or(0, |slash| slash + 1);
    &line[folder..]
}

/// The cargo that runs us, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(support::workspace());
    cargo
}

/// The folder that cargo builds into, `target` unless it was moved.
pub(crate) fn target_folder() -> std::path::PathBuf {
    let program = std::env::current_exe().expect("Linux names the running program");
    program
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("target"))
        .to_owned()
}
