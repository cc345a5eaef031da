//! The subcommands: one file each.

pub mod attach;
pub mod bench;
pub mod cfg;
pub mod check;
pub mod compile;
pub mod detach;
pub mod disasm;
pub mod explain;
pub mod map;
pub mod run;
pub mod soak;
pub mod status;

use crate::exit::{Exit, Failure};
use kernel::Errno;
use kernel::netlink::Route;
use kernel::netlink::link::Link;
use probe::{Facts, Snapshot};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Moves this thread into a network namespace.
pub(crate) fn enter(netns: &str) -> Result<(), Failure> {
    kernel::netns::enter(netns).map_err(|error| {
        let failure = Failure::kernel(format!("no network namespace '{netns}'"), &error);
        match error.errno() {
            Some(Errno::ENOENT) => Failure {
                exit: Exit::Usage,
                ..failure.remedy("`ip netns list` shows those that have a name")
            },
            _ => failure,
        }
    })
}

/// The interface of a name.
pub(crate) fn interface(route: &mut Route, name: &str) -> Result<Link, Failure> {
    route
        .link_by_name(name)
        .map_err(|error| match error.errno() {
            // EINVAL, ERANGE: no interface can have such a name.
            Some(Errno::ENODEV | Errno::EINVAL | Errno::ERANGE) => no_such_interface(name),
            _ => Failure::kernel(format!("cannot read interface {name}"), &error),
        })
}

pub(crate) fn no_such_interface(name: &str) -> Failure {
    Failure::new(Exit::Usage, format!("no interface named '{name}'"))
        .remedy("`ip link` shows those of this network namespace; --netns NAME looks into another")
}

/// What the kernel says about some interfaces.
fn probe_interfaces(names: &[String]) -> Result<Snapshot, Failure> {
    probe::collect_for(names).map_err(|error| match error {
        probe::Error::NoSuchInterface { name, similar } => {
            let failure = no_such_interface(&name);
            match similar {
                Some(similar) => failure.because(format!("perhaps '{similar}' is meant")),
                None => failure,
            }
        }
        probe::Error::Kernel(error) => Failure::kernel("cannot probe the interfaces", &error),
        error => Failure::new(Exit::Failed, "cannot probe the interfaces").because(error),
    })
}

/// The facts about one of them.
fn facts<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Facts, Failure> {
    // The snapshot knows interfaces by their first name, the kernel by alternative names too.
    snapshot.by_name(name).or_else(|_| {
        let link = interface(&mut open_route()?, name)?;
        snapshot
            .by_index(link.ifindex)
            .ok_or_else(|| no_such_interface(name))
    })
}

/// A flag that signals which end a command set, so that it can put things back first.
fn stop_at_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::new(Exit::Failed, "cannot take signals").because(error))?;
    }
    Ok(stop)
}

pub(crate) fn open_route() -> Result<Route, Failure> {
    Route::open().map_err(|error| Failure::kernel("cannot talk to the kernel", &error))
}
