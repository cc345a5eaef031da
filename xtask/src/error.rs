//! Why a task did not end well.

use std::path::{Path, PathBuf};

use support::Failed;

/// The result of a task and its steps.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a task did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A command could not be started or said no.
    #[error(transparent)]
    Command(#[from] Failed),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The system said no.
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    /// What was asserted does not hold.
    #[error("{0}")]
    Wrong(String),
    /// Something this task cannot do without is not here.
    #[error("{0}")]
    Missing(String),
    /// Root is needed.
    #[error(
        "{what} needs CAP_NET_ADMIN and CAP_SYS_ADMIN\n  \
         it makes network namespaces and attaches programs\n  \
         run it as root: sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME cargo xtask {what}"
    )]
    NotPermitted { what: &'static str },
    /// Ctrl-C or another request to end; everything was cleaned up.
    #[error("interrupted; everything made was removed")]
    Interrupted,
}

impl Error {
    /// The exit code: the codes of the project's commands where they fit, 130 as shells have it for Ctrl-C.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotPermitted { .. } => 4,
            Self::Interrupted => 130,
            Self::Command(_)
            | Self::File { .. }
            | Self::System { .. }
            | Self::Wrong(_)
            | Self::Missing(_) => 1,
        }
    }
}

/// For `map_err` on file operations.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
