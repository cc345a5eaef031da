//! A virtual machine that ends with its value.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::exchange::Exchange;
use super::qemu::{self, Accelerator, Folders};
use super::{Lab, LabError, Output, Spec};

/// Runs QEMU, and ends it when our end of standard input is closed: when this process is gone, however it went.
const HELD: &str = r#"exec 3<&0
"$@" </dev/null & machine=$!
{ cat <&3 >/dev/null; kill -KILL $machine; } 2>/dev/null & guard=$!
wait $machine; code=$?
kill $guard 2>/dev/null
exit $code"#;

/// A virtual machine that is up.
#[derive(Debug)]
pub struct Machine {
    exchange: Exchange,
    qemu: Child,
    /// Held open for `HELD`.
    hold: Option<ChildStdin>,
    /// Its files go with it.
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Boots a machine and waits until its NICs are ready. A guest that dies or hangs meanwhile is booted once more: on a busy
    /// host without KVM that happens.
    ///
    /// # Errors
    /// The lab has no such kernel, QEMU does not start, the guest died twice, or a NIC cannot be made ready.
    pub fn boot(lab: &Lab, spec: &Spec) -> Result<Self, LabError> {
        match Self::boot_once(lab, spec) {
            Err(LabError::Died { .. } | LabError::Hung { .. }) => Self::boot_once(lab, spec),
            other => other,
        }
    }

    fn boot_once(lab: &Lab, spec: &Spec) -> Result<Self, LabError> {
        let folder = tempfile::Builder::new()
            .prefix("hw-matrix.")
            .tempdir()
            .map_err(LabError::file(&std::env::temp_dir()))?;
        let exchange = Exchange::create(folder.path())?;
        let line = prepare(lab, spec, &exchange)?;
        let (stdout, stderr) = exchange.logs()?;
        let mut qemu = Command::new("sh")
            .args(["-c", HELD, "machine"])
            .args(line)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(LabError::file(Path::new("sh")))?;
        let hold = qemu.stdin.take();
        let mut machine = Self {
            exchange,
            qemu,
            hold,
            _folder: folder,
        };
        let Self { exchange, qemu, .. } = &mut machine;
        exchange.wait_until_ready(|| matches!(qemu.try_wait(), Ok(None)))?;
        Ok(machine)
    }

    /// Runs a shell command in it, as root, in a folder of its own. The host's files are there to read, under their own names.
    ///
    /// # Errors
    /// `TimeLimit` after `limit`, and the machine is still there; `Died` and `Hung`, and it is of no more use.
    pub fn run(&self, command: &str, limit: Duration) -> Result<Output, LabError> {
        self.run_with_input(command, b"", limit)
    }

    /// As [`Machine::run`], with what the command reads from its standard input.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_with_input(
        &self,
        command: &str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Output, LabError> {
        let mut job = self.exchange.start(command, input)?;
        let code = job.wait(limit, |_| ())?;
        job.output(code)
    }

    /// As [`Machine::run`], with an input, and passing on what it writes. The exit code.
    ///
    /// # Errors
    /// As [`Machine::run`].
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

    /// The end of what its kernel printed.
    pub fn console(&self) -> String {
        self.exchange.console()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.hold.take());
        let _ = self.qemu.wait();
    }
}

/// Writes what the guest reads at its start; QEMU's command line.
pub(super) fn prepare(
    lab: &Lab,
    spec: &Spec,
    exchange: &Exchange,
) -> Result<Vec<String>, LabError> {
    exchange.write("nics", &qemu::names(&spec.nics))?;
    exchange.write("setup", &qemu::setup(&spec.nics))?;
    exchange.write("writable", &qemu::writable(spec))?;
    let kernel = lab.kernel(spec.kernel.as_deref())?;
    let own = lab.folder().join("qemu");
    let folders = Folders {
        kernel: &kernel,
        machine: &exchange.folder,
        qemu: own.exists().then_some(own.as_path()),
    };
    let root = rustix::process::geteuid().is_root();
    Ok(qemu::command_line(
        spec,
        &folders,
        Accelerator::of_host(),
        root,
    ))
}

/// Removes a machine's folder.
pub(super) fn remove(folder: &Path) -> Result<(), LabError> {
    fs::remove_dir_all(folder).map_err(LabError::file(folder))
}
