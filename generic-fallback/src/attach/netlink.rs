//! Attaching by netlink: what is attached stays on the interface until somebody takes it off.

use super::Attach;
use kernel::bpf::program::Program;
use kernel::host::KernelRelease;
use kernel::netlink::Route;
use kernel::netlink::link::{Expected, Mode, XdpRequest};
use std::os::fd::AsFd;

/// Attaches where nothing is; EBUSY where something is.
pub(super) fn add(route: &mut Route, attach: Attach<'_>) -> kernel::Result<Option<String>> {
    route.set_xdp(&XdpRequest {
        ifindex: attach.ifindex,
        program: Some(attach.program.as_fd()),
        mode: Some(attach.mode),
        expected: Expected::Nothing,
    })
}

/// Swaps `previous` for the new program; EEXIST where another one is there by now.
pub(super) fn replace(
    route: &mut Route,
    attach: Attach<'_>,
    previous: &Program,
) -> kernel::Result<Option<String>> {
    route.set_xdp(&XdpRequest {
        ifindex: attach.ifindex,
        program: Some(attach.program.as_fd()),
        mode: Some(attach.mode),
        expected: expected(previous),
    })
}

/// Takes `program` off, and nothing else: EEXIST where another one is there by now.
pub fn detach(
    route: &mut Route,
    ifindex: u32,
    mode: Mode,
    program: &Program,
) -> kernel::Result<()> {
    route
        .set_xdp(&XdpRequest {
            ifindex,
            program: None,
            mode: Some(mode),
            expected: expected(program),
        })
        .map(drop)
}

/// Puts a program back, in the place of `ours` where that is given.
pub(super) fn restore(
    route: &mut Route,
    ifindex: u32,
    mode: Mode,
    program: &Program,
    ours: Option<&Program>,
) -> kernel::Result<()> {
    route
        .set_xdp(&XdpRequest {
            ifindex,
            program: Some(program.as_fd()),
            mode: Some(mode),
            expected: ours.map_or(Expected::Nothing, expected),
        })
        .map(drop)
}

/// XDP_FLAGS_REPLACE came with Linux 5.7. Before, the swap is as atomic, but takes whatever is there.
fn expected(program: &Program) -> Expected<'_> {
    if KernelRelease::read().version < (5, 7) {
        Expected::Anything
    } else {
        Expected::Program(program.as_fd())
    }
}
