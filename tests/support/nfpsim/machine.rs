//! The virtual machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{SimulatorError, at};

/// A machine boots in some seconds; on a busy host it takes many times that.
pub(super) const BOOT: Duration = Duration::from_mins(6);

/// `no_timer_check`: on a busy host the machine's timer comes so late that the kernel takes it for broken.
const COMMAND_LINE: &str = "console=ttyS0 quiet oops=panic panic=-1 mitigations=off no_timer_check";

/// A virtual machine; ended with the value.
pub(super) struct Machine {
    qemu: Child,
    shared: PathBuf,
}

impl Machine {
    pub(super) fn boot(built: &Path, shared: &Path) -> Result<Self, SimulatorError> {
        let console = fs::File::create(shared.join("console")).map_err(at(shared))?;
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults"])
            .args(["-no-reboot", "-display", "none", "-serial", "stdio"])
            .args(["-append", COMMAND_LINE])
            .arg("-kernel")
            .arg(built.join("vmlinuz"))
            .arg("-initrd")
            .arg(built.join("initrd"))
            .arg("-fsdev")
            .arg(format!(
                "local,id=w,path={},security_model=none",
                shared.display()
            ))
            .args(["-device", "virtio-9p-pci,fsdev=w,mount_tag=w"])
            .stdin(Stdio::null())
            .stderr(console.try_clone().map_err(at(shared))?)
            .stdout(console)
            .spawn()
            .map_err(at(Path::new("qemu-system-x86_64")))?;
        Ok(Self {
            qemu,
            shared: shared.to_owned(),
        })
    }

    pub(super) fn wait(mut self, limit: Duration) -> Result<(), SimulatorError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.qemu.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(Self::failed(&format!("ended with {status}"), &self.shared));
                }
                Ok(None) if Instant::now() > deadline => {
                    let seconds = limit.as_secs();
                    let how = format!("was still running after {seconds} s");
                    return Err(Self::failed(&how, &self.shared));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(100)),
                Err(source) => return Err(at(Path::new("qemu-system-x86_64"))(source)),
            }
        }
    }

    pub(super) fn failed(how: &str, shared: &Path) -> SimulatorError {
        let console = fs::read(shared.join("console")).unwrap_or_default();
        let end = &console[console.len().saturating_sub(2000)..];
        SimulatorError::Machine {
            how: how.to_owned(),
            console: String::from_utf8_lossy(end).into_owned(),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
