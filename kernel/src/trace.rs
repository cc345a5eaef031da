//! XDP's tracepoints (include/trace/events/xdp.h of Linux 6.18), read from a tracefs instance of our own.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::{Errno, Operation, Refusal, Result};

/// Where tracefs is mounted, where it is.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Instances are called this, and the number of their process.
const PREFIX: &str = "xdp-offload-";
/// Memory for events on each CPU, in kB: some hundred events.
const BUFFER_KB: &str = "64";
/// Bytes that one call of [`XdpTrace::events`] reads at most.
const MOST: usize = 1 << 20;

/// What XDP did with a frame, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdpEvent {
    /// A program aborted, returned what is no verdict, or its XDP_TX or XDP_REDIRECT could not be carried out.
    Exception {
        /// The verdict that it is about, such as "ABORTED" or "TX"; a number where it is none.
        action: String,
    },
    /// A frame was handed on.
    Redirect {
        /// The interface; 0 where it went to a CPU or a socket.
        to_ifindex: u32,
        /// Why it was not.
        error: Option<Errno>,
    },
    /// The driver transmitted frames for XDP_TX. Few drivers tell; veth does. Interfaces count in each network namespace
    /// anew: it may be about another one.
    SentBack {
        /// How many went out.
        sent: u32,
        /// How many did not.
        dropped: u32,
        /// Why.
        error: Option<Errno>,
    },
}

/// The events of some programs and of one interface, from the moment it was opened.
#[derive(Debug)]
pub struct XdpTrace {
    instance: PathBuf,
    /// Closed before the instance is removed, which a reader would keep.
    pipe: Option<File>,
    /// The start of a line whose end has not been read yet.
    rest: Vec<u8>,
    /// Keeps a tracefs mounted that no folder shows.
    _mount: Option<OwnedFd>,
}

impl XdpTrace {
    /// Begins to trace the programs of these ids, and what is sent back by the interface. An instance that a process left
    /// behind which is gone is removed.
    ///
    /// # Errors
    /// EPERM, EACCES: needs CAP_SYS_ADMIN, and no kernel lockdown. ENODEV: a kernel without tracing. ENOENT: without these
    /// tracepoints.
    pub fn open(programs: &[u32], ifindex: u32) -> Result<Self> {
        let (root, mount) = tracefs()?;
        let instances = root.join("instances");
        remove_orphans(&instances);
        let instance = instances.join(format!("{PREFIX}{}", std::process::id()));
        // A process of the same number may have left one behind.
        let _ = fs::remove_dir(&instance);
        fs::create_dir(&instance).map_err(refused)?;
        // From here on dropping it removes the instance.
        let mut trace = Self {
            instance,
            pipe: None,
            rest: Vec::new(),
            _mount: mount,
        };
        let ids: Vec<String> = programs
            .iter()
            .map(|id| format!("prog_id == {id}"))
            .collect();
        let of_programs = ids.join(" || ");
        trace.write("buffer_size_kb", BUFFER_KB)?;
        for event in ["xdp_exception", "xdp_redirect", "xdp_redirect_err"] {
            trace.enable(event, &of_programs)?;
        }
        let of_interface = format!("ifindex == {ifindex}");
        // Since 5.3; without it frames that are lost on their way back are less well explained.
        if let Err(error) = trace.enable("xdp_bulk_tx", &of_interface) {
            tracing::debug!(%error, "xdp_bulk_tx is not traced");
        }
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(trace.instance.join("trace_pipe"))
            .map_err(refused)?;
        trace.pipe = Some(pipe);
        Ok(trace)
    }

    /// The events since the last call.
    pub fn events(&mut self) -> Result<Vec<XdpEvent>> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Vec::new());
        };
        let mut buffer = [0; 4096];
        let mut taken = 0;
        while taken < MOST {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    self.rest.extend_from_slice(&buffer[..length]);
                    taken += length;
                }
                Err(error) => match Errno::from(error) {
                    Errno::EAGAIN => break,
                    Errno::EINTR => {}
                    errno => return Err(Refusal::new(Operation::Trace, errno).into()),
                },
            }
        }
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&lines)
            .lines()
            .filter_map(parse)
            .collect())
    }

    fn enable(&self, event: &str, filter: &str) -> Result<()> {
        self.write(&format!("events/xdp/{event}/filter"), filter)?;
        self.write(&format!("events/xdp/{event}/enable"), "1")
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.instance.join(file), text).map_err(refused)?)
    }
}

impl Drop for XdpTrace {
    fn drop(&mut self) {
        self.pipe = None;
        if let Err(error) = fs::remove_dir(&self.instance) {
            tracing::warn!(%error, instance = %self.instance.display(), "cannot be removed");
        }
    }
}

/// A tracefs: the host's, or one that only this process has.
fn tracefs() -> Result<(PathBuf, Option<OwnedFd>)> {
    if let Some(place) = PLACES
        .iter()
        .find(|place| Path::new(place).join("instances").is_dir())
    {
        return Ok((place.into(), None));
    }
    let mount = || {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
    };
    let mount = mount().map_err(|errno| Refusal::new(Operation::Trace, errno.into()))?;
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    Ok((path.into(), Some(mount)))
}

/// Instances of processes that are gone.
fn remove_orphans(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(process) = process
            && process.bytes().all(|byte| byte.is_ascii_digit())
            && !Path::new("/proc").join(process).exists()
        {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn refused(error: std::io::Error) -> Refusal {
    Refusal::new(Operation::Trace, error.into())
}

/// A line such as `<idle>-0 [001] ..s1. 12.345678: xdp_exception: prog_id=4 action=ABORTED ifindex=3`.
fn parse(line: &str) -> Option<XdpEvent> {
    let (event, fields) = line.rsplit_once(": ")?;
    let event = event.rsplit_once(": ")?.1;
    let field = |name: &str| {
        fields
            .split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let number = |name: &str| field(name)?.parse().ok();
    let error = || {
        let errno: i32 = field("err")?.parse().ok()?;
        (errno != 0).then(|| Errno(errno.saturating_abs()))
    };
    match event {
        "xdp_exception" => Some(XdpEvent::Exception {
            action: field("action")?.to_owned(),
        }),
        "xdp_redirect" | "xdp_redirect_err" => Some(XdpEvent::Redirect {
            to_ifindex: number("to_ifindex")?,
            error: error(),
        }),
        "xdp_bulk_tx" => Some(XdpEvent::SentBack {
            sent: number("sent")?,
            dropped: number("drops")?,
            error: error(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_pipe_become_events() {
        let line = |text: &str| {
            let start = "          <idle>-0       [001] ..s1.    12.345678: ";
            parse(&format!("{start}{text}"))
        };
        assert_eq!(
            line("xdp_exception: prog_id=4 action=ABORTED ifindex=3"),
            Some(XdpEvent::Exception {
                action: "ABORTED".to_owned()
            })
        );
        assert_eq!(
            line(
                "xdp_redirect: prog_id=4 action=REDIRECT ifindex=3 to_ifindex=7 err=0 map_id=0x0 map_index=0"
            ),
            Some(XdpEvent::Redirect {
                to_ifindex: 7,
                error: None
            })
        );
        assert_eq!(
            line(
                "xdp_redirect_err: prog_id=4 action=REDIRECT ifindex=3 to_ifindex=9 err=-6 map_id=0x0 map_index=0"
            ),
            Some(XdpEvent::Redirect {
                to_ifindex: 9,
                error: Some(Errno::ENXIO)
            })
        );
        assert_eq!(
            line("xdp_bulk_tx: ifindex=3 action=TX sent=0 drops=1 err=-6"),
            Some(XdpEvent::SentBack {
                sent: 0,
                dropped: 1,
                error: Some(Errno::ENXIO)
            })
        );
        assert_eq!(parse("CPU:1 [LOST 12 EVENTS]"), None);
        assert_eq!(line("xdp_bulk_tx: ifindex=3"), None);
    }
}
