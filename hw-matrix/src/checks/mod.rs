//! What is asked of a NIC: each check runs commands on a host's session and judges what they said in pure functions.
//! One file a kind of check.

mod acceptance;
mod af_xdp;
mod attach;
mod files;
mod maps;
mod mtu;
mod nic;
mod packets;
mod probe;
mod program;
mod queues;
mod reload;
mod soak;
mod status;
mod throughput;
mod verdicts;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cell::Cell;
use crate::executor::{Command, Output, Session, SessionError};
use crate::spec::{CheckKind, Outcome};

use nic::Interface;
use program::Subject;

pub use nic::describe;

/// Most of a cell's log that is kept, in bytes.
pub const MAX_LOG: usize = 64 << 10;
/// Most of one command's words that go into the log, in bytes.
const MAX_WORDS: usize = 8 << 10;

/// What an attempt at a cell gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// What came out; none if it could not be found out, and then `reason` says why.
    pub outcome: Option<Outcome>,
    /// Whether there was nothing to find out: the NIC or its host lacks what the check needs, `reason` says what.
    pub skipped: bool,
    /// What was measured, in a line that is the same while the NIC behaves the same.
    pub found: Option<String>,
    /// The number that was measured, of which more is better.
    pub figure: Option<f64>,
    /// The interface it ran on.
    pub ifname: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// The driver's version, where that is another one than the kernel's.
    pub driver_version: Option<String>,
    /// Its firmware's version, where it has one.
    pub firmware: Option<String>,
    /// The tool's reason, in the kernel's words where it has some; or what went wrong.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Report {
    /// What was asked for came out.
    fn of(outcome: Outcome) -> Report {
        Report {
            outcome: Some(outcome),
            ..Report::default()
        }
    }

    /// What the check demands does not hold, because of this.
    fn wrong(reason: impl Into<String>) -> Report {
        Report {
            reason: Some(reason.into()),
            ..Report::of(Outcome::Wrong)
        }
    }

    /// Nothing to find out here, because of this.
    pub fn skipped(reason: impl Into<String>) -> Report {
        Report {
            skipped: true,
            ..Report::failed(reason)
        }
    }

    /// No outcome, because of this.
    pub fn failed(reason: impl Into<String>) -> Report {
        Report {
            reason: Some(reason.into()),
            ..Report::default()
        }
    }
}

/// One attempt at a cell: a session, the time that is left, and a log of what was said.
pub struct Attempt<'a> {
    session: &'a mut dyn Session,
    deadline: Instant,
    log: String,
}

/// Why a check has no report.
enum Stop {
    /// A command went wrong; the host is well.
    Failed(String),
    /// The host is lost.
    Lost(SessionError),
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Stop {
        match error {
            SessionError::Command(reason) => Stop::Failed(reason),
            SessionError::Lost { .. } | SessionError::Unavailable(_) => Stop::Lost(error),
        }
    }
}

impl<'a> Attempt<'a> {
    /// An attempt that may take this long.
    pub fn new(session: &'a mut dyn Session, limit: Duration) -> Attempt<'a> {
        Attempt {
            session,
            deadline: Instant::now() + limit,
            log: String::new(),
        }
    }

    /// Runs the cell's check. What fails is in the report.
    ///
    /// # Errors
    /// [`SessionError::Lost`] alone: the host died, and nothing is known of the NIC.
    pub fn run(&mut self, cell: &Cell<'_>, objects: &Path) -> Result<Report, SessionError> {
        match self.ask(cell, objects) {
            Ok(report) => Ok(report),
            Err(Stop::Failed(reason)) => Ok(Report::failed(reason)),
            Err(Stop::Lost(error)) => Err(error),
        }
    }

    /// What was run and what it said.
    pub fn into_log(self) -> String {
        self.log
    }

    fn ask(&mut self, cell: &Cell<'_>, objects: &Path) -> Result<Report, Stop> {
        let interface = nic::find(self, cell.nic)?;
        let report = match cell.program {
            None => self.ask_nic(cell, &interface),
            Some(program) => self.put(&objects.join(&program.object)).and_then(|object| {
                let subject = Subject {
                    interface: &interface,
                    cell,
                    program,
                    folder: objects,
                    object,
                };
                self.ask_program(&subject)
            }),
        };
        let report = match report {
            Err(Stop::Failed(reason)) => Report::failed(reason),
            other => other?,
        };
        Ok(Report {
            ifname: Some(interface.ifname),
            driver: interface.driver,
            driver_version: interface.driver_version,
            firmware: interface.firmware,
            ..report
        })
    }

    /// What is asked without a program.
    fn ask_nic(&mut self, cell: &Cell<'_>, interface: &Interface) -> Result<Report, Stop> {
        let kind = cell.check.kind;
        match kind {
            CheckKind::AfXdpCopy | CheckKind::AfXdpZerocopy => {
                // The kinds are named after the trials of `xdp-probe try`.
                af_xdp::run(self, interface, cell.mode, kind.name())
            }
            _ => probe::run(self, interface, cell),
        }
    }

    /// What is asked of a program.
    fn ask_program(&mut self, subject: &Subject<'_>) -> Result<Report, Stop> {
        match subject.cell.check.kind {
            CheckKind::Probe | CheckKind::AfXdpCopy | CheckKind::AfXdpZerocopy => {
                self.ask_nic(subject.cell, subject.interface)
            }
            CheckKind::Attach => attach::run(self, subject),
            CheckKind::Verdicts => verdicts::run(self, subject),
            CheckKind::Mtu => mtu::run(self, subject),
            CheckKind::Queues => queues::run(self, subject),
            CheckKind::Replace => soak::run(self, subject, true),
            CheckKind::Soak => soak::run(self, subject, false),
            CheckKind::Throughput => throughput::run(self, subject),
            CheckKind::Acceptance => acceptance::run(self, subject),
            CheckKind::Maps => maps::run(self, subject),
            CheckKind::Reload => reload::run(self, subject),
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs a command in the time that is left.
    fn command(&mut self, program: &str, arguments: &[&str]) -> Result<Output, Stop> {
        self.command_within(self.left(), program, arguments)
    }

    /// Runs a command in a time of its own: what undoes something must run after the cell's time is up, too.
    fn command_within(
        &mut self,
        limit: Duration,
        program: &str,
        arguments: &[&str],
    ) -> Result<Output, Stop> {
        let command = Command::new(program, arguments.iter().copied(), limit);
        self.go(&command)
    }

    /// Runs a command that reads this, in the time that is left.
    fn command_reading(
        &mut self,
        stdin: Vec<u8>,
        program: &str,
        arguments: &[&str],
    ) -> Result<Output, Stop> {
        let command = Command {
            stdin,
            ..Command::new(program, arguments.iter().copied(), self.left())
        };
        self.go(&command)
    }

    fn go(&mut self, command: &Command) -> Result<Output, Stop> {
        let begun = Instant::now();
        let ended = self.session.run(command);
        self.note(command, begun.elapsed(), &ended);
        Ok(ended?)
    }

    fn put(&mut self, file: &Path) -> Result<String, Stop> {
        Ok(self.session.put(file)?)
    }

    fn note(&mut self, command: &Command, took: Duration, ended: &Result<Output, SessionError>) {
        if self.log.len() > MAX_LOG {
            return;
        }
        let log = &mut self.log;
        let _ = writeln!(log, "$ {}", command.line());
        match ended {
            Ok(output) => {
                for words in [&output.stdout, &output.stderr] {
                    let end = words.len().min(MAX_WORDS);
                    log.push_str(String::from_utf8_lossy(&words[..end]).trim_end());
                    if end < words.len() {
                        let _ = write!(log, "\n({} more bytes)", words.len() - end);
                    }
                    if !words.is_empty() {
                        log.push('\n');
                    }
                }
                let _ = writeln!(log, "({}, {} ms)", output.ended, took.as_millis());
            }
            Err(error) => {
                let _ = writeln!(log, "({error}, {} ms)", took.as_millis());
            }
        }
    }
}
