//! What can go wrong while probing.

use crate::judge::explain::Explanation;

/// The result of every probing function that touches the system.
pub type Result<T> = std::result::Result<T, Error>;

/// A probe that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a request, or its answer makes no sense.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// No interface has that name in this network namespace.
    #[error("no interface named '{name}' in this network namespace")]
    NoSuchInterface {
        /// What was asked for.
        name: String,
        /// The existing name that is closest to it, if any is close.
        similar: Option<String>,
    },
    /// There is no network namespace of that name or path.
    #[error("no network namespace '{name}'")]
    NoSuchNetns {
        /// What was asked for.
        name: String,
    },
    /// The driver table has no such row.
    #[error("no driver named '{name}' in the driver table")]
    NoSuchDriver {
        /// What was asked for.
        name: String,
    },
    /// Capabilities are missing.
    #[error("not permitted: this process lacks {missing}")]
    NotPermitted {
        /// Their names.
        missing: String,
    },
    /// A trial would disturb what runs.
    #[error("not tried: {}", .0.reason)]
    WouldDisturb(Box<Explanation>),
    /// An interface went away while something was tried on it: unplugged, deleted, or its driver unloaded.
    #[error("{name} vanished while '{during}' was tried; its settings and programs went with it")]
    Vanished {
        /// The interface.
        name: String,
        /// What was tried.
        during: &'static str,
    },
    /// The interface takes no program, so that there is nothing to measure.
    #[error("not measured: {}", .0.reason)]
    NoOffload(Box<Explanation>),
    /// The device is no NFP, and a profile was asked for.
    #[error("no profile is written: {name} is no NFP, and other devices have no profile")]
    NoProfile {
        /// The interface.
        name: String,
    },
    /// A signal came.
    #[error("interrupted; nothing is left of the trials")]
    Interrupted,
    /// A file could not be written.
    #[error("cannot write {path}: {kind}")]
    File {
        /// Which.
        path: String,
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// Output failed.
    #[error("cannot write: {0}")]
    Output(std::io::ErrorKind),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error.kind())
    }
}

impl Error {
    /// Whether it says that the interface is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.errno() == Some(kernel::Errno::ENODEV))
    }

    /// The exit code: 1 the system failed, 2 usage, 3 a reasoned no, 4 not permitted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Kernel(error) if error.errno().is_some_and(kernel::Errno::is_permission) => 4,
            Self::Kernel(_)
            | Self::Vanished { .. }
            | Self::Output(_)
            | Self::File { .. }
            | Self::Interrupted => 1,
            Self::NoSuchInterface { .. } | Self::NoSuchNetns { .. } | Self::NoSuchDriver { .. } => {
                2
            }
            Self::WouldDisturb(_) | Self::NoOffload(_) | Self::NoProfile { .. } => 3,
            Self::NotPermitted { .. } => 4,
        }
    }

    /// What to do about it, where something can be done.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NoSuchInterface { similar: Some(similar), .. } => Some(format!("did you mean '{similar}'?")),
            Self::NoSuchInterface { similar: None, .. } => {
                Some("xdp-probe list names them; another network namespace is reached with --netns".to_owned())
            }
            Self::NoSuchNetns { .. } => {
                Some("`ip netns list` shows those that have a name".to_owned())
            }
            Self::NoSuchDriver { .. } => Some("xdp-probe drivers lists all rows".to_owned()),
            Self::NotPermitted { .. } => Some("run it as root (sudo)".to_owned()),
            Self::WouldDisturb(why) | Self::NoOffload(why) => why.remedy.clone(),
            Self::NoProfile { .. } => {
                Some("without -o it is told what the device accepts".to_owned())
            }
            Self::Kernel(error) if error.errno().is_some_and(kernel::Errno::is_permission) => {
                Some("run it as root (sudo), or with CAP_NET_ADMIN, CAP_BPF, CAP_NET_RAW and (for --netns) CAP_SYS_ADMIN".to_owned())
            }
            Self::Vanished { .. } => Some("look for the cause in the kernel log (dmesg)".to_owned()),
            Self::Kernel(_) | Self::Output(_) | Self::File { .. } | Self::Interrupted => None,
        }
    }
}
