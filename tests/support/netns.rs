//! A network namespace for one test.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace of its own name, deleted with all its interfaces on drop, after a panic too.
///
/// Two tests never share one, so interfaces in it may have any name.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace whose name holds `tag` and this process's id, with `lo` up.
    ///
    /// # Panics
    /// If the kernel refuses, such as without root: ask [`crate::require_root`] first.
    pub fn new(tag: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("xt-{tag}-{}-{number}", std::process::id());
        checked(Command::new("ip").args(["netns", "add", &name]));
        let netns = Self { name };
        netns.run(&["ip", "link", "set", "lo", "up"]);
        netns
    }

    /// The name, as `ip netns exec` and `--netns` take it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `program` to be run inside; /sys/class/net shows this namespace to it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command inside and gives its stdout.
    ///
    /// # Panics
    /// If it fails; the panic tells its stderr.
    pub fn run(&self, command: &[&str]) -> String {
        checked(self.command(command[0]).args(&command[1..]))
    }

    /// Runs a command inside that may fail.
    ///
    /// # Panics
    /// If `ip` is missing.
    pub fn try_run(&self, command: &[&str]) -> Output {
        self.command(command[0])
            .args(&command[1..])
            .output()
            .expect("ip(8) is installed")
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

    /// Makes a veth pair inside, both ends up.
    pub fn veth(&self, one: &str, other: &str) {
        self.run(&[
            "ip", "link", "add", one, "type", "veth", "peer", "name", other,
        ]);
        self.run(&["ip", "link", "set", one, "up"]);
        self.run(&["ip", "link", "set", other, "up"]);
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

/// The stdout of a command that has to succeed.
fn checked(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
