//! Hosts that are not there, for measuring the runner and for its tests: each answers as `xdp-probe` and `xdp-offload`
//! would, at once, and does what its script says.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::{Command, Executor, Output, Session, SessionError};
use crate::spec::Host;

/// What a simulated host does instead of answering a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Refuses the attach in these words.
    Refuse(String),
    /// Dies.
    Die,
    /// Dies and never comes back.
    DieForGood,
    /// Answers after this time.
    Late(Duration),
}

/// What happens on which host: asked with the host's name and the command's line before each command.
pub type Script = dyn Fn(&str, &str) -> Option<Act> + Sync;

/// Simulated hosts. Each has an interface of the name that each of its NICs has in the lab file.
pub struct Simulated<'a> {
    script: &'a Script,
    seen: Option<Mutex<Vec<String>>>,
}

impl<'a> Simulated<'a> {
    /// Hosts that follow a script.
    pub fn new(script: &'a Script) -> Simulated<'a> {
        Simulated { script, seen: None }
    }

    /// Keeps a list of the commands, as `HOST: LINE`.
    #[must_use]
    pub fn watched(self) -> Simulated<'a> {
        Simulated {
            seen: Some(Mutex::default()),
            ..self
        }
    }

    /// The commands so far.
    ///
    /// # Panics
    /// If a host panicked.
    pub fn commands(&self) -> Vec<String> {
        let seen = self.seen.as_ref();
        seen.map(|seen| seen.lock().expect("no host panicked").clone())
            .unwrap_or_default()
    }

    fn answer(&self, host: &Host, command: &Command) -> Result<Output, SessionError> {
        let line = command.line();
        if let Some(seen) = &self.seen
            && let Ok(mut seen) = seen.lock()
        {
            seen.push(format!("{}: {line}", host.name));
        }
        let ended = |code, stdout: String| Output {
            program: command.program.clone(),
            code: Some(code),
            ended: format!("exit status: {code}"),
            stdout: stdout.into_bytes(),
            stderr: Vec::new(),
        };
        match (self.script)(&host.name, &line) {
            None => {}
            Some(Act::Late(time)) => std::thread::sleep(time),
            Some(Act::Refuse(words)) => {
                let words = serde_json::Value::from(words);
                let json = format!(
                    r#"{{"mode":null,"prog_id":null,"attempts":[{{"kernel_message":{words},"reason":null,"remedy":null}}]}}"#
                );
                return Ok(ended(3, json));
            }
            Some(Act::Die | Act::DieForGood) => {
                return Err(SessionError::Lost {
                    reason: "the simulated host died".to_owned(),
                    words: Some("Kernel panic - not syncing: simulated".to_owned()),
                });
            }
        }
        let mode = match line.as_str() {
            line if line.contains("--native") => "native",
            line if line.contains("--hw") => "offload",
            _ => "generic",
        };
        Ok(
            match (command.program.as_str(), command.arguments.first()) {
                ("cat", _) => ended(
                    0,
                    format!("6.12.0-simulated\n{}\n100.00 100.00\n", host.name),
                ),
                ("xdp-probe", _) => ended(0, list(host)),
                ("xdp-offload", Some(word)) if word == "attach" => {
                    ended(0, format!(r#"{{"mode":"{mode}","prog_id":7}}"#))
                }
                ("sh" | "xdp-offload", _) => ended(0, String::new()),
                _ => ended(127, String::new()),
            },
        )
    }
}

/// What `xdp-probe list --json` would say of the host's NICs.
fn list(host: &Host) -> String {
    let support = |word: &str| format!(r#"{{"support":"{word}","reason":null,"remedy":null}}"#);
    let interfaces: Vec<String> = host
        .nics
        .iter()
        .map(|nic| {
            format!(
                r#"{{"ifname":"{}","driver":"sim","bus_info":null,"modes":{{"native":{},"generic":{},"offload":{}}}}}"#,
                nic.ifname.as_ref().unwrap_or(&nic.name),
                support("yes"),
                support("yes"),
                support("no")
            )
        })
        .collect();
    format!(r#"{{"interfaces":[{}]}}"#, interfaces.join(","))
}

impl Executor for Simulated<'_> {
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError> {
        Ok(Box::new(SimulatedSession {
            hosts: self,
            host: host.clone(),
            gone: false,
        }))
    }
}

struct SimulatedSession<'a> {
    hosts: &'a Simulated<'a>,
    host: Host,
    gone: bool,
}

impl Session for SimulatedSession<'_> {
    fn run(&mut self, command: &Command) -> Result<Output, SessionError> {
        let answer = self.hosts.answer(&self.host, command);
        if answer.is_err() {
            let act = (self.hosts.script)(&self.host.name, &command.line());
            self.gone = act == Some(Act::DieForGood);
        }
        answer
    }

    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        Ok(file.to_string_lossy().into_owned())
    }

    fn reset(&mut self) -> Result<(), SessionError> {
        if self.gone {
            return Err(SessionError::lost("the simulated host stays off"));
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        Ok(())
    }
}
