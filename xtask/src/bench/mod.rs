//! `cargo xtask bench`: our commands beside the ones people use today, in one run on one machine.

mod attach;
mod check;
mod list;
mod lower;
mod machines;
mod measure;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::error::{Error, Result};
use crate::install::{self, CHROMIUM, IP, Install, TIME, XDP_LOADER};
use crate::lab;
use crate::steps::{cargo, show, target_folder};

/// What is measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Benchmark {
    /// `xdp-probe list --json` on 1,000 interfaces, beside `ip -j -d link` and `xdp-loader status`
    List,
    /// `xdp-offload attach`, beside `ip link set xdpdrv` and `xdp-loader load`
    Attach,
    /// Verification, `xdp-offload check`, beside the kernel's load of the same programs and prevail; builds prevail
    Check,
    /// The code for the NFP: words and what they take beside the kernel driver's, and the time of translation
    Nfp,
    /// Programs lowered for the NFP: the words that its driver emits, and eBPF instructions, beside the originals'
    Lower,
    /// hw-matrix at 120,000 cells on simulated hosts: its own time a cell, its memory, the reports, the page in Chromium
    Matrix,
    /// hw-matrix on 1, 2 and 4 machines of the virtual lab side by side: time a cell, speed-up
    Machines,
}

/// Builds the commands for release and measures them.
pub(crate) fn run(benchmark: Benchmark, install: Install) -> Result<()> {
    let measure: fn(&Path) -> Result<()> = match benchmark {
        Benchmark::List => list::run,
        Benchmark::Attach => attach::run,
        Benchmark::Check => check::run,
        // Nothing is timed.
        Benchmark::Lower => return lower::run(install),
        // Simulated hosts and a browser, no root.
        Benchmark::Matrix => {
            install::ensure(&[CHROMIUM], install)?;
            let bench = ["bench", "--quiet", "-p", "hw-matrix", "--bench", "matrix"];
            return show(cargo().args(bench));
        }
        Benchmark::Machines => {
            lab::build(install)?;
            show(cargo().args(["build", "--release", "--quiet"]))?;
            return machines::run(&target_folder().join("release"));
        }
        // Nothing of it touches the kernel, and no command is beside it.
        Benchmark::Nfp => {
            return show(cargo().args([
                "bench",
                "--quiet",
                "-p",
                "nfp-target",
                "--bench",
                "codegen",
            ]));
        }
    };
    if !install::is_root() {
        return Err(Error::NotPermitted { what: "bench" });
    }
    if cfg!(debug_assertions) && matches!(benchmark, Benchmark::Check) {
        // It calls the verifier as a library, which is to be measured as users get it.
        return show(cargo().args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "bench",
            "check",
        ]));
    }
    install::require(&[IP, TIME, XDP_LOADER], install)?;
    show(cargo().args(["build", "--release", "--quiet"]))?;
    measure(&target_folder().join("release"))
}

/// The path of a command that [`install::require`] found; searched once, not in what is measured.
fn path_of(tool: install::Tool) -> Result<PathBuf> {
    install::find(tool.program)
        .ok_or_else(|| Error::Missing(format!("`{}` is not installed", tool.program)))
}

/// A ratio beside what it should be.
fn judge(what: &str, ratio: f64, aim: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("{what}: {ratio:.2} (aim: {aim}; {verdict})");
}
