//! What the commands never do, done in the machine by the libraries under them: attaching a program that was loaded for
//! something else, in a mode that the kernel will refuse. Prints what the kernel answers, and what we say of it.
//!
//! `offload-guest attach IFACE MODE PROGRAM [COMMAND]`: MODE is hw, drv, skb, drv+skb or none; PROGRAM is plain, frags, devmap
//! (for a devmap's entries), or offload:IFACE (loaded for that NIC). The shell command runs between load and attach.
//! `offload-guest detach IFACE MODE`. `offload-guest left`: the ids of all programs, maps and links.

use std::error::Error;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use kernel::bpf::program::{ATTACH_XDP_DEVMAP, Program, ProgramSpec, XDP_HAS_FRAGS};
use kernel::netlink::Route;
use kernel::netlink::link::Mode;
use probe::{Needs, Tried};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["attach", ifname, mode, program] => attach(ifname, mode, program, None),
        ["attach", ifname, mode, program, command] => attach(ifname, mode, program, Some(command)),
        ["detach", ifname, mode] => set(ifname, mode, None),
        ["left"] => left(),
        other => Err(format!("what is {other:?}?").into()),
    }
}

/// Loads a program and attaches it.
fn attach(
    ifname: &str,
    mode: &str,
    program: &str,
    command: Option<&str>,
) -> Result<(), Box<dyn Error>> {
    let spec = ProgramSpec::pass(None);
    let spec = match program.split_once(':') {
        Some(("offload", nic)) => ProgramSpec {
            ifindex: Some(Route::open()?.link_by_name(nic)?.ifindex),
            ..spec
        },
        None if program == "plain" => spec,
        None if program == "frags" => ProgramSpec {
            flags: XDP_HAS_FRAGS,
            ..spec
        },
        None if program == "devmap" => ProgramSpec {
            expected_attach_type: ATTACH_XDP_DEVMAP,
            ..spec
        },
        _ => return Err(format!("no such program: {program}").into()),
    };
    let program = Program::load(&spec)?;
    if let Some(command) = command {
        let status = Command::new("sh").args(["-c", command]).status()?;
        if !status.success() {
            return Err(format!("{command}: {status}").into());
        }
    }
    set(ifname, mode, Some(&program))
}

/// Attaches where nothing is, or detaches; says how it ended.
fn set(ifname: &str, mode: &str, program: Option<&Program>) -> Result<(), Box<dyn Error>> {
    /// XDP_FLAGS_UPDATE_IF_NOEXIST, which iproute2 sets too.
    const IF_NOTHING_IS_THERE: u32 = 1;
    let modes: Vec<Mode> = mode
        .split('+')
        .filter(|mode| *mode != "none")
        .map(|mode| match mode {
            "hw" => Ok(Mode::Offload),
            "drv" => Ok(Mode::Native),
            "skb" => Ok(Mode::Generic),
            _ => Err(format!("no such mode: {mode}")),
        })
        .collect::<Result<_, _>>()?;
    let snapshot = probe::collect_for(&[ifname])?;
    let facts = snapshot.by_name(ifname)?;
    let mut flags = modes.iter().fold(0, |flags, mode| flags | mode.flag());
    if program.is_some() {
        flags |= IF_NOTHING_IS_THERE;
    }
    let descriptor = program.map(|program| program.as_fd().as_raw_fd());
    let answer = Route::open()?.set_xdp_raw(facts.link.ifindex, descriptor, flags, None);
    let error = match answer {
        Ok(None) => {
            println!("kernel  done");
            return Ok(());
        }
        Ok(Some(warning)) => {
            println!("kernel  done: {warning}");
            return Ok(());
        }
        Err(error) => error,
    };
    let refusal = error.refusal().ok_or_else(|| error.to_string())?;
    let only = (modes.len() == 1).then(|| modes[0]);
    let tried = match program {
        Some(_) => Tried::Attach(only),
        None => Tried::Detach(only),
    };
    let words = refusal
        .ext_ack
        .as_ref()
        .map_or_else(String::new, |text| format!(": {text}"));
    println!("kernel  {}{words}", refusal.errno);
    let explained = probe::explain(tried, refusal, &snapshot, facts, &Needs::default());
    println!("reason  {}", explained.reason);
    println!("to do   {}", explained.remedy.as_deref().unwrap_or("-"));
    Ok(())
}

/// All that is loaded.
fn left() -> Result<(), Box<dyn Error>> {
    for id in kernel::bpf::program_ids() {
        println!("program {}", id?);
    }
    for id in kernel::bpf::map_ids() {
        println!("map {}", id?);
    }
    for id in kernel::bpf::link_ids() {
        println!("link {}", id?);
    }
    Ok(())
}
