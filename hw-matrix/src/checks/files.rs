//! Files that a check makes on the host, in a folder that goes with it.

use super::program::RESTORE_TIME;
use super::{Attempt, Stop};

/// A file for the host.
pub(super) struct File {
    /// Its name, without a folder.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Writes files into a folder of the host, does what is to be done with the folder's path, and removes it.
pub(super) fn with<T>(
    attempt: &mut Attempt<'_>,
    files: Vec<File>,
    meanwhile: impl FnOnce(&mut Attempt<'_>, &str) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let made = attempt.command("mktemp", &["-d", "-t", "hw-matrix.XXXXXXXX"])?;
    let folder = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    if !made.is_success() || folder.is_empty() {
        return Err(Stop::Failed(made.complaint()));
    }
    let result = write(attempt, &folder, files).and_then(|()| meanwhile(attempt, &folder));
    match result {
        Err(Stop::Lost(error)) => Err(Stop::Lost(error)),
        result => {
            attempt.command_within(RESTORE_TIME, "rm", &["-rf", "--", &folder])?;
            result
        }
    }
}

fn write(attempt: &mut Attempt<'_>, folder: &str, files: Vec<File>) -> Result<(), Stop> {
    for File { name, bytes } in files {
        let path = format!("{folder}/{name}");
        // The path is an argument of the shell, so it is not read as a part of the script.
        let script = ["-c", "cat >\"$1\"", "sh", &path];
        let written = attempt.command_reading(bytes, "sh", &script)?;
        if !written.is_success() {
            return Err(Stop::Failed(written.complaint()));
        }
    }
    Ok(())
}
