//! Other machines, by the OpenSSH client. One connection a session, which the commands share (its control master): it
//! holds a folder on the host that goes with it, however it ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Command, Executor, Output, Session, SessionError, process as bounded, shell_word};
use crate::spec::{self, Host};

/// Reaches machines.
#[derive(Debug, Clone)]
pub struct Ssh {
    tools: PathBuf,
    folder: PathBuf,
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a command's end may come after its limit, and the answer to a file that was sent.
const GRACE: Duration = Duration::from_secs(20);
/// How long a host may take to come back: a server's firmware alone takes minutes.
const REBOOT: Duration = Duration::from_mins(8);
/// Pause between two tries to reach a host that is not there.
const PAUSE: Duration = Duration::from_secs(5);

/// Makes a folder on the host, says its name, and removes it when the connection is gone. The host's shell runs this.
const HOLD: &str = "umask 077; d=$(mktemp -d /tmp/hw-matrix-host.XXXXXX) || exit 1; trap 'rm -rf \"$d\"' EXIT HUP TERM INT; \
                    echo \"$d\"; cat >/dev/null";

impl Ssh {
    /// `tools` is the folder of `xdp-probe` and `xdp-offload`, which are copied to the hosts; empty: those of a host's own search
    /// path. Files of keys are relative to `folder`.
    pub fn new(tools: PathBuf, folder: PathBuf) -> Ssh {
        Ssh { tools, folder }
    }

    /// The options that all calls of the client share.
    fn options(&self, ssh: &spec::Ssh) -> Vec<String> {
        let mut options: Vec<String> = [
            "-T",
            "-oBatchMode=yes",
            // A key that the file of known ones does not have is not taken: a lab file names machines, not addresses.
            "-oStrictHostKeyChecking=yes",
            "-oConnectTimeout=10",
            // A host that died is noticed after 15 s.
            "-oServerAliveInterval=5",
            "-oServerAliveCountMax=3",
        ]
        .map(str::to_owned)
        .into();
        if let Some(known) = &ssh.known_hosts {
            let file = self.folder.join(known);
            options.push(format!("-oUserKnownHostsFile={}", file.display()));
            options.push("-oGlobalKnownHostsFile=/dev/null".to_owned());
        }
        if let Some(key) = &ssh.key {
            options.push("-oIdentitiesOnly=yes".to_owned());
            options.push("-i".to_owned());
            options.push(self.folder.join(key).display().to_string());
        }
        if let Some(port) = ssh.port {
            options.push("-p".to_owned());
            options.push(port.to_string());
        }
        if let Some(user) = &ssh.user {
            options.push("-l".to_owned());
            options.push(user.clone());
        }
        options
    }
}

impl Executor for Ssh {
    fn open(&self, host: &Host) -> Result<Box<dyn Session + '_>, SessionError> {
        let spec::Executor::Ssh(ssh) = &host.executor else {
            return Err(SessionError::lost(format!(
                "{} is not reached by ssh",
                host.name
            )));
        };
        let options = self.options(ssh);
        let connection = Connection::open(&options, &ssh.address)?;
        Ok(Box::new(SshSession {
            tools: self.tools.clone(),
            options,
            address: ssh.address.clone(),
            connection,
        }))
    }
}

struct SshSession {
    tools: PathBuf,
    options: Vec<String>,
    address: String,
    connection: Connection,
}

/// The control master, and what is known of the host's side of it.
struct Connection {
    client: Child,
    /// The host's side ends when this is closed.
    hold: Option<ChildStdin>,
    /// Its control socket lies in here.
    local: tempfile::TempDir,
    /// The folder on the host.
    folder: String,
    /// Files that are there, by their path here.
    files: BTreeMap<PathBuf, String>,
}

impl Connection {
    fn open(options: &[String], address: &str) -> Result<Connection, SessionError> {
        let local = tempfile::Builder::new()
            .prefix("hw-matrix-ssh.")
            .tempdir()
            .map_err(|error| SessionError::lost(format!("a folder for the connection: {error}")))?;
        let log = local.path().join("log");
        let errors = File::create(&log)
            .map_err(|error| SessionError::lost(format!("{}: {error}", log.display())))?;
        let mut client = process::Command::new("ssh")
            .args(options)
            .arg("-M")
            .arg("-S")
            .arg(local.path().join("control"))
            .args(["--", address, HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| SessionError::lost(format!("cannot start ssh: {error}")))?;
        let hold = client.stdin.take();
        let said = client.stdout.take().map(first_line);
        let folder = said.and_then(|said| said.recv_timeout(CONNECT).ok());
        let mut connection = Connection {
            client,
            hold,
            local,
            folder: String::new(),
            files: BTreeMap::new(),
        };
        match folder {
            Some(folder) if folder.starts_with('/') => {
                connection.folder = folder;
                Ok(connection)
            }
            _ => {
                let words = connection.words();
                let last = words.lines().rfind(|line| !line.trim().is_empty());
                let why = last.unwrap_or("it did not answer").to_owned();
                Err(SessionError::Lost {
                    reason: format!("{address} cannot be reached by ssh: {why}"),
                    words: (!words.is_empty()).then_some(words),
                })
            }
        }
    }

    /// What the client said.
    fn words(&self) -> String {
        let mut text = String::new();
        // What cannot be read is not there to be told.
        let _ = File::open(self.local.path().join("log"))
            .and_then(|file| file.take(8 << 10).read_to_string(&mut text));
        text
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.client.try_wait(), Ok(None))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.hold.take());
        // The host removes its folder now; one that does not answer does so when its own end of the connection times out.
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.is_alive() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl SshSession {
    fn client(&self, script: &str) -> process::Command {
        let mut client = process::Command::new("ssh");
        client
            .args(&self.options)
            .arg("-S")
            .arg(self.connection.local.path().join("control"))
            // Without the connection that is there, none.
            .arg("-oControlMaster=no")
            .args(["--", &self.address, script]);
        client
    }

    /// Runs a script of the host's shell.
    fn script(
        &mut self,
        script: &str,
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Output, SessionError> {
        let output = bounded::run(self.client(script), stdin, Instant::now() + limit);
        // 255 is what the client ends with where the connection is lost, and what a program may end with, too.
        match output {
            Ok(output) if output.code != Some(255) || self.connection.is_alive() => Ok(output),
            lost => {
                let why = lost
                    .err()
                    .map_or_else(String::new, |why| format!(": {why}"));
                let words = self.connection.words();
                Err(SessionError::Lost {
                    reason: format!("the connection to {} was lost{why}", self.address),
                    words: (!words.is_empty()).then_some(words),
                })
            }
        }
    }
}

impl Session for SshSession {
    fn run(&mut self, command: &Command) -> Result<Output, SessionError> {
        let program = if command.is_ours() && !self.tools.as_os_str().is_empty() {
            self.put(&self.tools.join(&command.program))?
        } else {
            command.program.clone()
        };
        // Killed with all that it started: `timeout` makes a group of its own, and signals that.
        let seconds = command.limit.as_secs_f64().max(0.1);
        let mut script = format!(
            "cd {} && exec timeout -s KILL {seconds:.1} {}",
            shell_word(&self.connection.folder),
            shell_word(&program)
        );
        for argument in &command.arguments {
            script.push(' ');
            script.push_str(&shell_word(argument));
        }
        let begun = Instant::now();
        let output = self.script(&script, &command.stdin, command.limit + GRACE)?;
        if output.code == Some(137) && begun.elapsed() >= command.limit {
            return Err(SessionError::Command(format!(
                "{}: ran out of time and was killed",
                command.program
            )));
        }
        Ok(Output {
            program: command.program.clone(),
            ..output
        })
    }

    /// Copies the file, and compares the hashes of both.
    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        if let Some(there) = self.connection.files.get(file) {
            return Ok(there.clone());
        }
        let wrong = |why: String| SessionError::Command(format!("{}: {why}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Two files of one name stay apart.
        let number = self.connection.files.len();
        let there = format!("{}/{number}/{name}", self.connection.folder);
        let script = format!(
            "mkdir {}/{number} && cat >{there} && chmod 700 {there} && sha256sum <{there}",
            self.connection.folder,
            there = shell_word(&there),
        );
        let limit = GRACE + Duration::from_secs(bytes.len() as u64 / 100_000);
        let sum_there = self.script(&script, &bytes, limit)?;
        if !sum_there.is_success() {
            return Err(wrong(format!(
                "cannot be copied: {}",
                sum_there.complaint()
            )));
        }
        let mut sum = process::Command::new("sha256sum");
        sum.stdin(File::open(file).map_err(|error| wrong(error.to_string()))?);
        let sum_here = sum
            .output()
            .map_err(|error| wrong(format!("sha256sum: {error}")))?;
        if sum_here.stdout != sum_there.stdout {
            return Err(wrong("is another file after its copy".to_owned()));
        }
        self.connection.files.insert(file.to_owned(), there.clone());
        Ok(there)
    }

    /// Waits for the host to come back by itself: a kernel that panicked reboots where `panic=` tells it to.
    fn reset(&mut self) -> Result<(), SessionError> {
        let deadline = Instant::now() + REBOOT;
        loop {
            match Connection::open(&self.options, &self.address) {
                Ok(connection) => {
                    self.connection = connection;
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        Ok(())
    }
}

/// The first line that comes, or nothing at the end.
fn first_line(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let mut pipe = BufReader::new(pipe);
        if pipe.by_ref().take(4096).read_line(&mut line).is_ok() {
            let _ = sender.send(line.trim_end().to_owned());
        }
        // Held open: the host's side would end with it.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    });
    receiver
}
