//! Our commands in machines of the virtual lab (`hw_matrix::lab`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hw_matrix::lab::{Install, Lab, LabError, Machine, Spec};
use tempfile::TempDir;

use crate::{Output, binary, require, stripped};

/// The lab, built for a test. `None`: it cannot be had here, which was said; in CI the test fails.
pub fn obtain() -> Option<Lab> {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let install = if ci { Install::Missing } else { Install::Never };
    match Lab::build(install) {
        Ok(lab) => Some(lab),
        Err(error) => {
            require(false, &format!("the virtual lab: {error}"));
            None
        }
    }
}

/// A machine with our commands, `xdp-probe` and `xdp-offload`, in its PATH.
#[derive(Debug)]
pub struct Guest {
    machine: Machine,
    folder: TempDir,
}

impl Guest {
    /// The most that a command may take, in the emulated machine on a busy host.
    pub const LIMIT: Duration = Duration::from_mins(5);

    /// Boots a machine. Its commands run in a folder with copies of `files`; what they write there goes with the machine.
    ///
    /// # Errors
    /// The machine does not come up.
    ///
    /// # Panics
    /// If a file cannot be copied.
    pub fn boot(lab: &Lab, spec: &Spec, files: &[&Path]) -> Result<Self, LabError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["xdp-probe", "xdp-offload"] {
            stripped(&binary(name), &folder.path().join(name));
        }
        for file in files {
            let to = folder.path().join(file.file_name().unwrap_or_default());
            fs::copy(file, to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        let machine = Machine::boot(lab, spec)?;
        Ok(Self { machine, folder })
    }

    /// The folder, the same on both sides.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Runs a shell command as root and returns all that it wrote.
    ///
    /// # Errors
    /// The machine died or hangs, or the command took longer than [`Guest::LIMIT`]. How the command ended is in its output.
    pub fn try_run(&self, command: &str) -> Result<Output, LabError> {
        self.try_run_within(command, Self::LIMIT)
    }

    /// As [`Guest::try_run`], for what takes longer than [`Guest::LIMIT`].
    ///
    /// # Errors
    /// The machine died or hangs, or the command took longer than `limit`.
    pub fn try_run_within(&self, command: &str, limit: Duration) -> Result<Output, LabError> {
        let folder = self.folder.path().display();
        let script = format!("cd {folder}\nexport PATH={folder}:$PATH\n{command}\n");
        let output = self.machine.run(&script, limit)?;
        Ok(Output {
            command: command.to_owned(),
            code: output.code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// As [`Guest::try_run`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn run(&self, command: &str) -> Output {
        self.try_run(command)
            .unwrap_or_else(|error| panic!("`{command}`: {error}"))
    }
}
