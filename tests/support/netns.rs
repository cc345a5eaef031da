//! Network namespaces for tests and the demo. They vanish with their guard; what a killed run left
//! behind, the next one removes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::binary;
use crate::output::{Failed, Output};

/// Every name starts like this; the process id follows, then a tag.
const PREFIX: &str = "xt-";

/// A network namespace of its own name, deleted with all its interfaces and what is attached to them
/// on drop, after a panic too.
///
/// Two tests never share one, so interfaces in it may have any name.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace whose name holds `tag` and this process's id, with `lo` up, and IPv6 off so
    /// that no neighbour discovery mixes with the packets of a test.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn create(tag: &str) -> Result<Self, Failed> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);

        delete_orphans();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{tag}-{number}", std::process::id());
        Output::of(Command::new("ip").args(["netns", "add", &name]))?.ok()?;
        let netns = Self { name };
        netns.inside(|| {
            for conf in ["all", "default"] {
                // A kernel without IPv6 has no such setting and needs none.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{conf}/disable_ipv6"), "1");
            }
        });
        netns.try_ip("link set lo up")?;
        Ok(netns)
    }

    /// [`Netns::create`] for tests.
    ///
    /// # Panics
    /// If the kernel refuses, such as without root: ask [`crate::require_root`] first.
    #[track_caller]
    pub fn new(tag: &str) -> Self {
        Self::create(tag).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The name, as `ip netns exec` and `--netns` take it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `program` to be run inside; /sys/class/net shows this namespace to it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command inside and gives its stdout.
    ///
    /// # Panics
    /// If it fails; the panic tells its stderr.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> String {
        self.try_run(command)
            .ok()
            .unwrap_or_else(|error| panic!("{error}"))
            .stdout
    }

    /// Runs a command inside that may fail.
    ///
    /// # Panics
    /// If `ip` is missing.
    #[track_caller]
    pub fn try_run(&self, command: &[&str]) -> Output {
        Output::of(self.command(command[0]).args(&command[1..]))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// `ip -n NAME ARGUMENTS`, the arguments separated by spaces.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn try_ip(&self, arguments: &str) -> Result<Output, Failed> {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name])
            .args(arguments.split_whitespace());
        Output::of(&mut ip)?.ok()
    }

    /// [`Netns::try_ip`] for tests.
    ///
    /// # Panics
    /// If `ip` fails; the panic tells what it said.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> Output {
        self.try_ip(arguments)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a veth pair inside, both ends up.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn veth(&self, one: &str, other: &str) {
        self.ip(&format!("link add {one} type veth peer name {other}"));
        self.ip(&format!("link set {one} up"));
        self.ip(&format!("link set {other} up"));
    }

    /// Runs one of the project's binaries inside.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn tool<A: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        Output::of(self.command(binary(name)).args(arguments))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Calls `body` on a thread that is inside, and gives its result; a panic of it goes on here.
    ///
    /// # Panics
    /// If `body` does.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let caller = std::thread::current();
        std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name(caller.name().unwrap_or("netns").to_owned());
            let result = thread
                .spawn_scoped(scope, || {
                    kernel::netns::enter(&self.name).expect("the namespace exists");
                    body()
                })
                .expect("a thread can be started")
                .join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Nothing better to do about a failure here; the next run tries again.
        let _ = Output::of(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}

/// Deletes the namespaces of processes that are gone.
fn delete_orphans() {
    for name in kernel::netns::names().unwrap_or_default() {
        let owner: Option<u32> = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|process| process.parse().ok());
        if let Some(process) = owner
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            let _ = Output::of(Command::new("ip").args(["netns", "delete", &name]));
        }
    }
}
