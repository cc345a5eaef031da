//! Attaching a program in native mode.

use std::path::Path;
use std::process::Command;

use support::{Bpffs, Netns, Output};

use super::measure::{Runs, print_heading, ratio};
use super::{judge, path_of};
use crate::error::Result;
use crate::install::{IP, XDP_LOADER};
use crate::steps::heading;

const ROUNDS: usize = 25;
/// The smallest program and one with maps of its own.
const OBJECTS: [&str; 2] = ["pass", "load_balancer"];

pub(super) fn run(release: &Path) -> Result<()> {
    let netns = Netns::create("bench")?;
    netns.try_ip("link add v0 type veth peer name v1")?;
    netns.try_ip("link set v0 up")?;
    netns.try_ip("link set v1 up")?;
    // xdp-loader's usual way, several programs behind a dispatcher, needs a BPF file system.
    let bpffs = Bpffs::mount();
    netns.inside(|| {
        OBJECTS
            .iter()
            .try_for_each(|name| compare(release, name, &bpffs))
    })
}

/// The three commands take turns, so that what else the machine does meets all of them alike.
fn compare(release: &Path, name: &str, bpffs: &Bpffs) -> Result<()> {
    let ours = release.join("xdp-offload");
    let (ip, loader) = (path_of(IP)?, path_of(XDP_LOADER)?);
    let object = support::corpus(name);
    let (mut attach, mut set, mut load) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..ROUNDS {
        attach.time(Command::new(&ours).arg("attach").arg(&object).arg("v0"))?;
        undo(Command::new(&ours).args(["detach", "v0"]))?;

        set.time(
            Command::new(&ip)
                .args(["link", "set", "dev", "v0", "xdpdrv", "obj"])
                .arg(&object)
                .args(["sec", "xdp"]),
        )?;
        undo(Command::new(&ip).args(["link", "set", "dev", "v0", "xdpdrv", "off"]))?;

        load.time(
            Command::new(&loader)
                .env("LIBXDP_BPFFS", bpffs.path())
                .args(["load", "-m", "native", "v0"])
                .arg(&object),
        )?;
        undo(
            Command::new(&loader)
                .env("LIBXDP_BPFFS", bpffs.path())
                .args(["unload", "v0", "--all"]),
        )?;
    }

    heading(&format!("attach {name}.bpf.o to a veth, native mode"));
    print_heading();
    attach.print("xdp-offload attach");
    set.print("ip link set xdpdrv");
    load.print("xdp-loader load -m native");
    println!();
    let times = ratio(attach.median(), set.median().min(load.median()));
    judge("times the faster one", times, "at most 1.2", times <= 1.2);
    Ok(())
}

fn undo(command: &mut Command) -> Result<()> {
    Output::of(command)?.ok()?;
    Ok(())
}
