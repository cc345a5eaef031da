//! What the kernel says where a program and an interface do not fit.

use std::os::fd::AsFd;

use kernel::Errno;
use kernel::bpf::program::{self, Program, ProgramSpec, XDP_DEV_BOUND_ONLY};
use kernel::netlink::link::{Expected, Mode, Route, XdpRequest};
use tests::{Netns, require_root};

use crate::asm;
use crate::network::{ifindex, refusal};

#[test]
fn a_program_for_another_place_is_refused_with_the_kernels_text() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("attach");
    netns.veth("near0", "far0");
    netns.veth("other0", "other1");
    let (near, other) = (ifindex(&netns, "near0"), ifindex(&netns, "other0"));
    netns.inside(|| {
        let mut route = Route::open().unwrap();
        let mut attach = |program: &Program, ifindex, mode| {
            route.set_xdp(&XdpRequest {
                ifindex,
                program: Some(program.as_fd()),
                mode: Some(mode),
                expected: Expected::Nothing,
            })
        };
        let plain = asm::loaded(2);
        let bound = Program::load(&ProgramSpec {
            flags: XDP_DEV_BOUND_ONLY,
            ifindex: Some(near),
            ..asm::xdp(&program::PASS)
        })
        .unwrap();
        let cases = [
            (
                &bound,
                near,
                Mode::Generic,
                Some("Can't attach device-bound programs in generic mode"),
            ),
            (
                &bound,
                other,
                Mode::Native,
                Some("Program bound to different device"),
            ),
            // veth has no offload: no text at all.
            (&plain, near, Mode::Offload, None),
        ];
        for (program, ifindex, mode, text) in cases {
            let refused = refusal(attach(program, ifindex, mode));
            assert_eq!(refused.errno, Errno::EINVAL);
            assert_eq!(refused.ext_ack.as_deref(), text);
        }
        assert_eq!(attach(&bound, near, Mode::Native), Ok(None));
    });
}
