//! This machine, or a network namespace of it.

use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use super::{Command, Executor, Output, Session, SessionError, process as bounded};
use crate::spec::{self, Host};

/// Runs commands on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    tools: PathBuf,
}

impl Local {
    /// `tools` is the folder of `xdp-probe` and `xdp-offload`; empty: the search path.
    pub fn new(tools: PathBuf) -> Local {
        Local { tools }
    }
}

impl Executor for Local {
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError> {
        let netns = match &host.executor {
            spec::Executor::Local { netns } => netns.clone(),
            _ => None,
        };
        Ok(Box::new(LocalSession {
            tools: self.tools.clone(),
            netns,
        }))
    }
}

struct LocalSession {
    tools: PathBuf,
    netns: Option<String>,
}

impl LocalSession {
    fn process(&self, command: &Command) -> process::Command {
        let program = if command.is_ours() && !self.tools.as_os_str().is_empty() {
            self.tools.join(&command.program)
        } else {
            PathBuf::from(&command.program)
        };
        let mut process = match &self.netns {
            None => process::Command::new(program),
            Some(netns) => {
                let mut ip = process::Command::new("ip");
                ip.args(["netns", "exec", netns]).arg(program);
                ip
            }
        };
        process.args(&command.arguments);
        process
    }
}

impl Session for LocalSession {
    fn run(&mut self, command: &Command) -> Result<Output, SessionError> {
        let deadline = Instant::now() + command.limit;
        bounded::run(self.process(command), &command.stdin, deadline)
            .map(|output| Output {
                program: command.program.clone(),
                ..output
            })
            .map_err(|reason| {
                SessionError::Command(if command.is_ours() && reason.starts_with("cannot start") {
                    format!("{reason}; --tools DIR says where it is")
                } else {
                    reason
                })
            })
    }

    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        Ok(file.to_string_lossy().into_owned())
    }

    /// A machine that died took this program with it, so what is asked here is of one that lives.
    fn reset(&mut self) -> Result<(), SessionError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        Ok(())
    }
}
