//! Machines of the virtual lab ([`crate::lab`]): a host is one, booted for its session and gone with it.

use std::path::{Path, PathBuf};

use super::{Command, Executor, Output, Session, SessionError, shell_word};
use crate::lab::{Lab, LabError, Machine, Nic, Spec};
use crate::spec::{self, Host};

/// Boots machines.
#[derive(Debug, Clone)]
pub struct Vm {
    tools: PathBuf,
}

impl Vm {
    /// `tools` is the folder of `xdp-probe` and `xdp-offload`, which guests see as well; empty: the search path.
    pub fn new(tools: PathBuf) -> Vm {
        Vm { tools }
    }
}

impl Executor for Vm {
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError> {
        let lab = Lab::open().map_err(lost)?;
        let spec = machine(host).map_err(SessionError::lost)?;
        let machine = Machine::boot(&lab, &spec).map_err(lost)?;
        Ok(Box::new(VmSession {
            tools: absolute(&self.tools),
            lab,
            spec,
            machine,
        }))
    }
}

/// The machine that a host of the lab file is.
fn machine(host: &Host) -> Result<Spec, String> {
    let spec::Executor::Vm {
        kernel,
        memory,
        cpus,
    } = &host.executor
    else {
        return Err(format!("{} is no virtual machine", host.name));
    };
    let mut nics = Vec::new();
    let mut wires = Vec::new();
    for nic in &host.nics {
        let Some(device) = &nic.device else { continue };
        let mut made = Nic::parse(device).map_err(|error| error.to_string())?;
        made.name.clone_from(&nic.name);
        let name_of_other = nic.peer.as_ref().and_then(|peer| peer.split_once('/'));
        let other = name_of_other
            .and_then(|(_, name)| nics.iter().position(|other: &Nic| other.name == name));
        wires.extend(other.map(|other| [other, nics.len()]));
        nics.push(made);
    }
    Ok(Spec {
        kernel: Some(kernel.clone()),
        nics,
        wires,
        memory: *memory,
        cpus: *cpus,
        writable: Vec::new(),
    })
}

struct VmSession {
    tools: PathBuf,
    lab: Lab,
    spec: Spec,
    machine: Machine,
}

impl Session for VmSession {
    fn run(&mut self, command: &Command) -> Result<Output, SessionError> {
        let program = if command.is_ours() && !self.tools.as_os_str().is_empty() {
            self.tools.join(&command.program).display().to_string()
        } else {
            command.program.clone()
        };
        let mut line = format!("exec {}", shell_word(&program));
        for argument in &command.arguments {
            line.push(' ');
            line.push_str(&shell_word(argument));
        }
        let output = self
            .machine
            .run_with_input(&line, &command.stdin, command.limit)
            .map_err(lost)?;
        Ok(Output {
            program: command.program.clone(),
            code: Some(output.code),
            ended: format!("exit status: {}", output.code),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// The guest sees the file under its own name.
    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        Ok(absolute(file).display().to_string())
    }

    fn reset(&mut self) -> Result<(), SessionError> {
        self.machine = Machine::boot(&self.lab, &self.spec).map_err(lost)?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        Ok(())
    }
}

/// A command that was killed leaves the machine well; all else does not.
fn lost(error: LabError) -> SessionError {
    match error {
        LabError::TimeLimit(limit) => SessionError::Command(format!(
            "ran out of time and was killed after {} s",
            limit.as_secs()
        )),
        LabError::Died { when, console } => SessionError::Lost {
            reason: format!("the machine died {when}"),
            words: Some(console),
        },
        LabError::Hung { after, console } => SessionError::Lost {
            reason: format!("the machine did not answer for {} s", after.as_secs()),
            words: Some(console),
        },
        other => SessionError::lost(other.to_string()),
    }
}

/// A path that means the same in the guest, whose commands run elsewhere.
fn absolute(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        return PathBuf::new();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
