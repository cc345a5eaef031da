//! Listing 1,000 interfaces.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use support::{Netns, Output};

use super::measure::{Runs, peak_memory, print_heading, ratio};
use super::{judge, path_of};
use crate::error::{Result, at};
use crate::install::{IP, XDP_LOADER};
use crate::steps::heading;

/// Each pair is two interfaces.
const PAIRS: usize = 500;
const ROUNDS: usize = 15;
/// `xdp-loader status` takes seconds.
const SLOW_ROUNDS: usize = 3;
/// In MB.
const MEMORY_LIMIT: f64 = 20.0;

pub(super) fn run(release: &Path) -> Result<()> {
    let netns = Netns::create("bench")?;
    make_pairs(&netns)?;
    let ours = release.join("xdp-probe");
    let (ip, loader) = (path_of(IP)?, path_of(XDP_LOADER)?);
    heading(&format!("{} interfaces (veth)", 2 * PAIRS));

    // Commands started on a thread inside are inside too, without `ip netns exec` in what is measured.
    let (list, link, status, memory) = netns.inside(|| -> Result<_> {
        let (mut list, mut link, mut status) = (Runs::default(), Runs::default(), Runs::default());
        for round in 0..ROUNDS {
            list.time(Command::new(&ours).args(["list", "--json"]))?;
            link.time(Command::new(&ip).args(["-j", "-d", "link"]))?;
            if round < SLOW_ROUNDS {
                status.time(Command::new(&loader).arg("status"))?;
            }
        }
        Ok((list, link, status, peak_memory(&ours, &["list", "--json"])?))
    })?;

    print_heading();
    list.print("xdp-probe list --json");
    link.print("ip -j -d link");
    status.print("xdp-loader status");
    println!();
    let to_link = ratio(list.median(), link.median());
    judge("times ip", to_link, "at most 3", to_link <= 3.0);
    let to_status = ratio(status.median(), list.median());
    judge(
        "times faster than xdp-loader status",
        to_status,
        "at least 50",
        to_status >= 50.0,
    );
    judge(
        "peak memory of list in MB",
        memory,
        "under 20",
        memory < MEMORY_LIMIT,
    );
    Ok(())
}

/// 500 veth pairs, made by one `ip` for speed.
fn make_pairs(netns: &Netns) -> Result<()> {
    let mut batch = String::new();
    for number in 0..PAIRS {
        let _ = writeln!(batch, "link add a{number} type veth peer name b{number}");
        let _ = writeln!(batch, "link set a{number} up");
        let _ = writeln!(batch, "link set b{number} up");
    }
    let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
    let file = folder.path().join("batch");
    std::fs::write(&file, batch).map_err(at(&file))?;
    let mut ip = Command::new("ip");
    ip.args(["-n", netns.name(), "-batch"]).arg(&file);
    Output::of(&mut ip)?.ok()?;
    Ok(())
}
