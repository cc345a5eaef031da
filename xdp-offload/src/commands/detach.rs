//! `detach`.

use super::{interface, open_route};
use crate::exit::{Exit, Failure};
use crate::json::detach::Report;
use crate::{output, render};
use generic_fallback::detach::{self, Refused, Request};
use generic_fallback::effects::Watcher;
use kernel::Errno;
use kernel::netlink::link::Mode;

/// Detach programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload detach eth0\n  \
    xdp-offload detach eth0 --id 42     only if program 42 is still the one attached")]
pub struct Args {
    /// The interfaces
    #[arg(value_name = "IFACE", required = true)]
    interfaces: Vec<String>,

    /// Only what is attached in this mode: offload, native or generic
    #[arg(long, value_parser = mode)]
    mode: Option<Mode>,

    /// Only this program, and only if it is still attached
    #[arg(long, value_name = "N")]
    id: Option<u32>,

    /// Everything, where programs are attached in several modes
    #[arg(long)]
    all: bool,

    /// Print JSON, a line an interface
    #[arg(long)]
    json: bool,
}

/// The modes' names, and those that ip(8) has for them.
fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "offload" | "hw" | "xdpoffload" => Ok(Mode::Offload),
        "native" | "drv" | "xdpdrv" => Ok(Mode::Native),
        "generic" | "skb" | "xdpgeneric" => Ok(Mode::Generic),
        _ => Err("a mode is offload, native or generic".to_owned()),
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut route = open_route()?;
    // All names first: a wrong one leaves everything as it is.
    let interfaces = args
        .interfaces
        .iter()
        .map(|name| interface(&mut route, name))
        .collect::<Result<Vec<_>, _>>()?;
    let request = Request {
        mode: args.mode,
        id: args.id,
        all: args.all,
    };
    let mut watcher = Watcher::open();
    for interface in interfaces {
        let before = watcher.settings(interface.ifindex);
        let detached =
            detach::detach(&mut route, &interface, request).map_err(|refused| failure(&refused))?;
        let effects = before
            .filter(|_| !detached.is_empty())
            .map(|before| watcher.detached(interface.ifindex, &before))
            .unwrap_or_default();
        let name = &interface.name;
        if args.json {
            output::print_json(&Report::new(name, &detached, &effects))?;
        } else {
            output::print(&render::detach::report(
                name,
                &detached,
                &effects,
                output::width(),
            ))?;
        }
    }
    Ok(Exit::Done)
}

fn failure(refused: &Refused) -> Failure {
    let exit = match refused {
        Refused::OtherProgram { .. } | Refused::Ambiguous { .. } | Refused::Owned { .. } => {
            Exit::No
        }
        Refused::Kernel { source, .. } => match source.errno() {
            Some(Errno::EPERM) => Exit::NotPermitted,
            Some(Errno::EEXIST | Errno::EBUSY) => Exit::No,
            _ => Exit::Failed,
        },
    };
    let remedy = refused.remedy();
    Failure {
        remedy,
        ..Failure::new(exit, refused.to_string())
    }
}
