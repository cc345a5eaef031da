//! The subcommands: one file each.

pub mod attach;
pub mod check;
pub mod detach;
pub mod map;
pub mod status;

use crate::exit::{Exit, Failure};
use kernel::Errno;
use kernel::netlink::Route;
use kernel::netlink::link::Link;

/// The interface of a name.
fn interface(route: &mut Route, name: &str) -> Result<Link, Failure> {
    route
        .link_by_name(name)
        .map_err(|error| match error.errno() {
            // EINVAL, ERANGE: no interface can have such a name.
            Some(Errno::ENODEV | Errno::EINVAL | Errno::ERANGE) => no_such_interface(name),
            _ => Failure::kernel(format!("cannot read interface {name}"), &error),
        })
}

fn no_such_interface(name: &str) -> Failure {
    Failure::new(Exit::Usage, format!("no interface named '{name}'"))
        .remedy("`ip link` shows those of this network namespace; --netns NAME looks into another")
}

fn open_route() -> Result<Route, Failure> {
    Route::open().map_err(|error| Failure::kernel("cannot talk to the kernel", &error))
}
