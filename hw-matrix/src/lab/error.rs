//! What can go wrong with the lab and its machines.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the lab or a machine of it did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab is not built, or from other sources than this program's.
    #[error("the lab in {} is {how}\n  help: hw-matrix lab build", folder.display())]
    NotBuilt {
        /// Where it should be.
        folder: PathBuf,
        /// "not built", "of another version".
        how: &'static str,
    },
    /// The build script failed; it has said why on standard error.
    #[error("the lab was not built: {0}")]
    Build(String),
    /// There is no such kernel.
    #[error("the lab has no kernel '{wanted}'\n  help: it has {have}")]
    Kernel {
        /// The one that was asked for.
        wanted: String,
        /// Those that are there.
        have: String,
    },
    /// A machine of this name runs already, or none does.
    #[error("{0}")]
    Name(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guest could not make its NICs ready.
    #[error("the machine's NICs were not made ready: {0}")]
    Setup(String),
    /// The guest ended by itself.
    #[error("the machine died {when}\n{console}")]
    Died {
        /// "while it booted", "in a command".
        when: &'static str,
        /// The end of its kernel's log and of what QEMU said.
        console: String,
    },
    /// The guest did not answer in time; it may hang.
    #[error("the machine did not answer {} s after the end of its time\n{console}", .after.as_secs())]
    Hung {
        /// How long it was waited for.
        after: Duration,
        /// The end of its kernel's log.
        console: String,
    },
    /// The command ran out of time and was killed. The machine lives.
    #[error("the command was killed after {} s", .0.as_secs())]
    TimeLimit(Duration),
}

impl LabError {
    /// For `map_err` of what concerns a file.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> LabError + use<> {
        let path = path.to_owned();
        move |source| LabError::File { path, source }
    }
}
