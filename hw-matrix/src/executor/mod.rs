//! Where commands run. An [`Executor`] makes a host ready, a [`Session`] runs commands on it; what is asked of a NIC
//! ([`crate::checks`]) and how cells are handed out ([`crate::runner`]) is the same for all of them. One file an
//! executor.

pub mod local;
mod process;
mod reserve;
pub mod simulated;
pub mod ssh;
pub mod vm;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::spec::{self, Host, Reserve};
use reserve::{Place, Reserved};

/// Most of a command's standard output that is kept, in bytes: the prober's list of about 10,000 interfaces.
pub const MAX_OUTPUT: usize = 64 << 20;

/// Makes hosts ready.
pub trait Executor: Sync {
    /// A session on the host, which is then this caller's until it is closed.
    ///
    /// # Errors
    /// [`SessionError::Lost`] if it cannot be reached or does not start.
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError>;
}

/// The executors of this version, each for its kind of host.
#[derive(Debug)]
pub struct Executors {
    /// For `local` hosts.
    pub local: local::Local,
    /// For `ssh` hosts.
    pub ssh: ssh::Ssh,
    /// For `vm` hosts.
    pub vm: vm::Vm,
    /// Where the places of hosts are reserved that have one.
    pub reserve: Option<Reserve>,
}

impl Executor for Executors {
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError> {
        let place = match (&host.place, &self.reserve) {
            (Some(place), Some(reserve)) => Some(Place::reserve(reserve, place)?),
            (Some(place), None) => {
                return Err(SessionError::lost(format!(
                    "its place `{place}` has nobody to reserve it from"
                )));
            }
            (None, _) => None,
        };
        let session = match &host.executor {
            spec::Executor::Local { .. } => self.local.open(host),
            spec::Executor::Vm { .. } => self.vm.open(host),
            spec::Executor::Ssh(_) => self.ssh.open(host),
        }?;
        Ok(match place {
            Some(place) => Box::new(Reserved { session, place }),
            None => session,
        })
    }
}

/// A host that runs commands, one at a time. Dropping a session without closing it must leave nothing behind, either.
pub trait Session {
    /// Runs a command to its end or its limit, when it is killed with all it started.
    ///
    /// # Errors
    /// [`SessionError::Command`] if the command did not start or ran out of time, and the host is well;
    /// [`SessionError::Lost`] if the host died or hangs.
    fn run(&mut self, command: &Command) -> Result<Output, SessionError>;

    /// Makes a file of the runner's machine readable on the host, and gives its path there. Asking again for the same
    /// file costs nothing.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn put(&mut self, file: &Path) -> Result<String, SessionError>;

    /// Makes a host usable again that was lost: reboot, power cycle, new connection.
    ///
    /// # Errors
    /// [`SessionError::Lost`] if it does not come back.
    fn reset(&mut self) -> Result<(), SessionError>;

    /// Ends the session and removes what it put on the host.
    ///
    /// # Errors
    /// What could not be removed.
    fn close(self: Box<Self>) -> Result<(), SessionError>;
}

/// Why a command has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It did not start, or was killed when its time was up. The host is well.
    #[error("{0}")]
    Command(String),
    /// Somebody else has the host. Its cells are skipped.
    #[error("{0}")]
    Unavailable(String),
    /// The host died, hangs or cannot be reached.
    #[error("{reason}")]
    Lost {
        /// What was seen, for people.
        reason: String,
        /// Its last words: the end of its console or of the connection's messages.
        words: Option<String>,
    },
}

impl SessionError {
    /// A host that is lost without last words.
    pub fn lost(reason: impl Into<String>) -> SessionError {
        SessionError::Lost {
            reason: reason.into(),
            words: None,
        }
    }
}

/// A command for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `xdp-probe` and `xdp-offload` are ours, the session knows where they lie; all else is in the host's search path.
    pub program: String,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// How long it may take.
    pub limit: Duration,
}

impl Command {
    /// The programs of this project, which a session brings along.
    pub const OURS: [&'static str; 2] = ["xdp-probe", "xdp-offload"];

    /// A command that reads nothing.
    pub fn new<A: Into<String>>(
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Command {
        Command {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            limit,
        }
    }

    /// Whether it is one of [`Command::OURS`].
    pub fn is_ours(&self) -> bool {
        Command::OURS.contains(&self.program.as_str())
    }

    /// As one would type it. For people; nothing is quoted.
    pub fn line(&self) -> String {
        let mut line = self.program.clone();
        for argument in &self.arguments {
            let _ = write!(line, " {argument}");
        }
        line
    }
}

/// A word that a shell takes as it is.
pub(crate) fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A command that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The program's name.
    pub program: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// How it ended, in words: `exit status: 3`.
    pub ended: String,
    /// At most [`MAX_OUTPUT`] bytes of its standard output.
    pub stdout: Vec<u8>,
    /// At most [`MAX_OUTPUT`] bytes of its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with code 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// What it wrote, as JSON of this form.
    ///
    /// # Errors
    /// Which program wrote something else, and where that goes wrong.
    pub fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.stdout)
            .map_err(|error| format!("{} wrote no such JSON: {error}", self.program))
    }

    /// What went wrong and why, of the lines `error: WHAT` and `why: WHY` that our programs write.
    pub fn error_words(&self) -> String {
        let words = [self.line_of("error:"), self.line_of("why:")];
        words.into_iter().flatten().collect::<Vec<_>>().join(": ")
    }

    /// What to do about it, of the line `do: WHAT`.
    pub fn advice(&self) -> Option<String> {
        self.line_of("do:")
    }

    fn line_of(&self, prefix: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let words = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(prefix))?;
        Some(words.trim().chars().take(400).collect())
    }

    /// How it ended, and the first line it complained with.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let first: String = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .chars()
            .take(400)
            .collect();
        let how = match self.code {
            Some(code) => format!("exit code {code}"),
            None => self.ended.clone(),
        };
        if first.is_empty() {
            format!("{}: {how}", self.program)
        } else {
            format!("{}: {how}: {first}", self.program)
        }
    }
}
