//! Machines that outlive the command that started them, by name.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::exchange::Exchange;
use super::machine::{self, prepare};
use super::{Lab, LabError, Spec};

/// A machine that was started by name.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub name: String,
    exchange: Exchange,
}

/// Longest name, so that the path of its socket fits (unix(7): 108 bytes) in most homes.
const MAX_NAME: usize = 24;

/// How long QEMU may take to end.
const END: Duration = Duration::from_secs(10);

impl Named {
    fn folder(lab: &Lab, name: &str) -> Result<PathBuf, LabError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(LabError::Name(format!(
                "'{name}' is no name of a machine: up to {MAX_NAME} letters, digits, '-' and '_'"
            )));
        }
        Ok(lab.folder().join("machines").join(name))
    }

    /// Boots a machine that stays until it is stopped.
    ///
    /// # Errors
    /// One of the name runs already; as [`super::Machine::boot`].
    pub fn start(lab: &Lab, name: &str, spec: &Spec) -> Result<Self, LabError> {
        let folder = Self::folder(lab, name)?;
        if folder.exists() {
            match Self::open(lab, name) {
                Ok(_) => {
                    return Err(LabError::Name(format!(
                        "the machine {name} runs already\n  help: hw-matrix lab stop {name}"
                    )));
                }
                // What is left of one that died.
                Err(_) => machine::remove(&folder)?,
            }
        }
        fs::create_dir_all(&folder).map_err(LabError::file(&folder))?;
        let started = Self::boot(lab, name, spec, &folder);
        if started.is_err() {
            let _ = machine::remove(&folder);
        }
        started
    }

    fn boot(
        lab: &Lab,
        name: &str,
        spec: &Spec,
        folder: &std::path::Path,
    ) -> Result<Self, LabError> {
        let exchange = Exchange::create(folder)?;
        let line = prepare(lab, spec, &exchange)?;
        let (stdout, stderr) = exchange.logs()?;
        let mut qemu = Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // A terminal's Ctrl-C is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(LabError::file(std::path::Path::new(&line[0])))?;
        // `unshare` and `env` become QEMU: it is the process itself.
        exchange.write("pid", &qemu.id().to_string())?;
        let kernel = spec
            .kernel
            .clone()
            .or_else(|| lab.kernels().into_iter().next());
        let nics: Vec<String> = spec.nics.iter().map(ToString::to_string).collect();
        exchange.write(
            "what",
            &format!("{} {}", kernel.unwrap_or_default(), nics.join(" ")),
        )?;
        let ready = exchange.wait_until_ready(|| matches!(qemu.try_wait(), Ok(None)));
        if let Err(error) = ready {
            let _ = qemu.kill();
            let _ = qemu.wait();
            return Err(error);
        }
        Ok(Self {
            name: name.to_owned(),
            exchange,
        })
    }

    /// A machine that runs.
    ///
    /// # Errors
    /// There is none of this name, or it has died; then what it last said.
    pub fn open(lab: &Lab, name: &str) -> Result<Self, LabError> {
        let folder = Self::folder(lab, name)?;
        if !folder.exists() {
            return Err(LabError::Name(format!(
                "no machine {name} runs\n  help: hw-matrix lab start {name}"
            )));
        }
        let exchange = Exchange { folder };
        if !exchange.is_alive() {
            return Err(LabError::Died {
                when: "since it was started",
                console: exchange.console(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            exchange,
        })
    }

    /// All machines of the lab: name, kernel and NICs, whether it lives.
    pub fn all(lab: &Lab) -> Vec<(String, String, bool)> {
        let Ok(entries) = fs::read_dir(lab.folder().join("machines")) else {
            return Vec::new();
        };
        let mut all: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let exchange = Exchange {
                    folder: entry.path(),
                };
                let what = exchange.read("what").unwrap_or_default();
                let alive = exchange.is_alive();
                Some((entry.file_name().into_string().ok()?, what, alive))
            })
            .collect();
        all.sort();
        all
    }

    /// As [`super::Machine::pass_on`].
    ///
    /// # Errors
    /// As [`super::Machine::run`].
    pub fn pass_on(
        &self,
        command: &str,
        input: &[u8],
        limit: Duration,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<i32, LabError> {
        self.exchange.pass_on(command, input, limit, stdout, stderr)
    }

    /// The socket of its console, on which a shell runs after [`Named::start_shell`].
    pub fn console(&self) -> PathBuf {
        self.exchange.folder.join("shell")
    }

    /// Starts a shell on its console, on a terminal of this size and kind, and waits for its end.
    ///
    /// # Errors
    /// As [`super::Machine::run`].
    pub fn shell(&self, columns: u16, rows: u16, kind: &str) -> Result<(), LabError> {
        let kind: String = kind
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-_.+".contains(*c))
            .collect();
        // The size is set by who has the terminal open: it is forgotten with the last that closes it.
        let command = format!(
            "cd; TERM={kind} exec setsid -c -w sh -c 'stty rows {rows} cols {columns} sane; exec bash -i 2>&1 || exec sh -i 2>&1' \
             </dev/hvc0 >/dev/hvc0"
        );
        let mut job = self.exchange.start(&command, b"")?;
        job.wait(Duration::MAX / 4, |_| ()).map(drop)
    }

    /// Ends it, and removes its files. What its programs have not written yet is lost.
    ///
    /// # Errors
    /// `File` where its files cannot be removed; it does not end.
    pub fn stop(lab: &Lab, name: &str) -> Result<(), LabError> {
        let folder = Self::folder(lab, name)?;
        let exchange = Exchange {
            folder: folder.clone(),
        };
        if !folder.exists() {
            return Err(LabError::Name(format!("no machine {name} runs")));
        }
        let pid = exchange
            .read("pid")
            .and_then(|text| text.trim().parse().ok())
            .and_then(rustix::process::Pid::from_raw);
        // Only while QEMU holds the pipe is the number surely still QEMU's.
        if let (Some(pid), true) = (pid, exchange.is_alive()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let deadline = std::time::Instant::now() + END;
            while exchange.is_alive() {
                if std::time::Instant::now() > deadline {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        machine::remove(&folder)
    }
}
