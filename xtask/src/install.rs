//! What the tasks need beside a Rust toolchain, and getting it from Debian's packages.

use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::steps::show;

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Those that are missing, by apt-get.
    Missing,
    /// None: `--no-install`.
    Never,
}

/// A command, or a file by its whole path, and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) purpose: &'static str,
}

const fn tool(program: &'static str, package: &'static str, purpose: &'static str) -> Tool {
    Tool {
        program,
        package,
        purpose,
    }
}

pub(crate) const IP: Tool = tool("ip", "iproute2", "network namespaces and veth pairs");
pub(crate) const ETHTOOL: Tool = tool("ethtool", "ethtool", "changes device features in tests");
pub(crate) const BPFTOOL: Tool = tool("bpftool", "bpftool", "a second opinion on what loads");
pub(crate) const XDP_LOADER: Tool = tool(
    "xdp-loader",
    "xdp-tools",
    "its objects are tests, its loader is a benchmark's peer",
);
pub(crate) const CLANG: Tool = tool("clang", "clang", "compiles BPF programs");
pub(crate) const LLVM_STRIP: Tool = tool("llvm-strip", "llvm", "drops DWARF from objects");
pub(crate) const LIBBPF: Tool = tool(
    "/usr/include/bpf/libbpf.h",
    "libbpf-dev",
    "another linker's opinion",
);
pub(crate) const CC: Tool = tool("cc", "gcc", "builds the test that asks libbpf");
pub(crate) const TIME: Tool = tool("time", "time", "measures peak memory");
pub(crate) const PYTHON: Tool = tool(
    "python3",
    "python3-minimal",
    "writes the kernel's helper header",
);
pub(crate) const PYTHON_VENV: Tool = tool(
    "/usr/share/doc/python3-venv/copyright",
    "python3-venv",
    "for test peers from the Python Package Index",
);
pub(crate) const XZ: Tool = tool("xz", "xz-utils", "unpacks the kernel source");
pub(crate) const CHROMIUM: Tool = tool("chromium", "chromium", "opens report.html in a test");
pub(crate) const Z3: Tool = tool("z3", "z3", "proves that rewritten programs are the same");

pub(crate) const SSHD: Tool = tool(
    "sshd",
    "openssh-server",
    "a host that hw-matrix reaches by ssh",
);

/// Installs what is missing of `tools` if that is allowed. What is still missing then, each with the reason
/// why, is the caller's to skip or to refuse.
pub(crate) fn ensure(tools: &[Tool], install: Install) -> Result<Vec<(Tool, String)>> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| find(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let refusal = if install == Install::Never {
        Some("--no-install was given")
    } else if find("apt-get").is_none() {
        Some("there is no apt-get to install it with")
    } else if !is_root() {
        Some("installing it needs root")
    } else {
        None
    };
    if let Some(reason) = refusal {
        return Ok(missing
            .into_iter()
            .map(|tool| {
                let text = format!(
                    "`{}` ({}; package {}) is missing: {reason}",
                    tool.program, tool.purpose, tool.package
                );
                (tool, text)
            })
            .collect());
    }

    println!("These are missing and will be installed:");
    for tool in &missing {
        println!(
            "  {:<26} package {:<16} {}",
            tool.program, tool.package, tool.purpose
        );
    }
    // A new machine has no package lists yet, an old one stale ones.
    show(apt_get().arg("update").arg("-qq"))?;
    show(
        apt_get()
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(missing.iter().map(|tool| tool.package)),
    )?;
    for tool in &missing {
        if find(tool.program).is_none() {
            return Err(Error::Missing(format!(
                "package {} was installed, but there is no `{}`",
                tool.package, tool.program
            )));
        }
    }
    Ok(Vec::new())
}

/// As [`ensure`], for a task that cannot do without any of `tools`.
pub(crate) fn require(tools: &[Tool], install: Install) -> Result<()> {
    let missing = ensure(tools, install)?;
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = missing.into_iter().map(|(_, reason)| reason).collect();
    Err(Error::Missing(reasons.join("\n")))
}

/// apt-get that asks nothing.
pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Where a command lies: in PATH, or where Debian keeps what is meant for root. A whole path lies where it says.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    kernel::host::Capabilities::read().is_ok_and(|have| have.net_admin && have.sys_admin)
}
