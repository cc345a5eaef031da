//! `cargo xtask bench`: our commands beside the ones people use today, in one run on one machine.

mod attach;
mod list;
mod measure;

use std::path::PathBuf;

use clap::Subcommand;

use crate::error::{Error, Result};
use crate::install::{self, IP, Install, TIME, XDP_LOADER};
use crate::steps::{cargo, show, target_folder};

/// What is measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Benchmark {
    /// `xdp-probe list --json` on 1,000 interfaces, beside `ip -j -d link` and `xdp-loader status`
    List,
    /// `xdp-offload attach`, beside `ip link set xdpdrv` and `xdp-loader load`
    Attach,
}

/// Builds the commands for release and measures them.
pub(crate) fn run(benchmark: Benchmark, install: Install) -> Result<()> {
    install::require(&[IP, TIME, XDP_LOADER], install)?;
    if !install::is_root() {
        return Err(Error::NotPermitted { what: "bench" });
    }
    show(cargo().args(["build", "--release", "--quiet"]))?;
    let release: PathBuf = target_folder().join("release");
    match benchmark {
        Benchmark::List => list::run(&release),
        Benchmark::Attach => attach::run(&release),
    }
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
