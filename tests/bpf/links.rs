//! XDP links on a veth.

use kernel::Errno;
use kernel::bpf::link::{Link, LinkTarget};
use kernel::bpf::program::{self, Program, ProgramSpec, XDP_DEV_BOUND_ONLY};
use kernel::netlink::link::Mode;
use tests::{Netns, require_root};

use crate::asm;
use crate::cleanup::{PinPath, require_pins};
use crate::network::{errno, ifindex};

/// A namespace with a veth pair, and the index of one end.
fn veth(tag: &str) -> (Netns, u32) {
    let netns = Netns::new(tag);
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    (netns, near)
}

#[test]
fn a_link_holds_its_program_until_it_is_dropped() {
    if !require_root() {
        return;
    }
    let (netns, near) = veth("link");
    netns.inside(|| {
        for mode in [Some(Mode::Native), Some(Mode::Generic), None] {
            let program = asm::loaded(2);
            let link = Link::create_xdp(&program, near, mode).unwrap();
            let info = link.info().unwrap();
            assert_eq!(info.program_id, program.info().unwrap().id);
            assert_eq!(info.target, LinkTarget::Xdp(Some(near)));
            let shown = netns.ip("-details link show near0").stdout;
            let tag = program.info().unwrap().tag_text();
            assert!(shown.contains(&format!("tag {tag}")), "{shown}");
            let flag = match mode {
                Some(Mode::Generic) => "xdpgeneric",
                _ => "xdp ",
            };
            assert!(shown.contains(flag), "{shown}");
            assert!(
                Link::all().any(|other| other.is_ok_and(|(_, other)| other == info)),
                "the link is not among all links"
            );
            assert_eq!(errno(Link::create_xdp(&program, near, mode)), Errno::EBUSY);
            drop(link);
            let shown = netns.ip("link show near0").stdout;
            assert!(!shown.contains("xdp"), "{shown}");
            assert_eq!(errno(Link::from_id(info.id)), Errno::ENOENT);
        }
    });
}

#[test]
fn a_program_is_replaced_only_where_it_is_the_expected_one() {
    if !require_root() {
        return;
    }
    let (netns, near) = veth("replace");
    netns.inside(|| {
        let (first, second, third) = (asm::loaded(1), asm::loaded(2), asm::loaded(3));
        let link = Link::create_xdp(&first, near, Some(Mode::Native)).unwrap();
        let running = || link.info().unwrap().program_id;
        assert_eq!(errno(link.update(&second, Some(&third))), Errno::EPERM);
        assert_eq!(running(), first.info().unwrap().id);
        link.update(&second, Some(&first)).unwrap();
        assert_eq!(running(), second.info().unwrap().id);
        link.update(&third, None).unwrap();
        assert_eq!(running(), third.info().unwrap().id);
    });
}

#[test]
fn a_detached_link_is_an_empty_shell() {
    if !require_root() {
        return;
    }
    let (netns, near) = veth("detach");
    netns.inside(|| {
        let program = asm::loaded(2);
        let link = Link::create_xdp(&program, near, Some(Mode::Native)).unwrap();
        link.detach().unwrap();
        assert_eq!(link.info().unwrap().target, LinkTarget::Xdp(None));
        assert_eq!(errno(link.update(&program, None)), Errno::ENOLINK);
        // The interface is free.
        Link::create_xdp(&program, near, Some(Mode::Native)).unwrap();
    });
}

#[test]
fn a_link_outlives_its_interface_without_a_target() {
    if !require_root() {
        return;
    }
    let (netns, near) = veth("gone");
    netns.inside(|| {
        let program = Program::load(&ProgramSpec::pass(None)).unwrap();
        let link = Link::create_xdp(&program, near, Some(Mode::Generic)).unwrap();
        netns.ip("link delete near0");
        assert_eq!(link.info().unwrap().target, LinkTarget::Xdp(None));
    });
}

#[test]
fn a_pin_keeps_a_link_attached() {
    if !require_pins() {
        return;
    }
    let (netns, near) = veth("pin");
    netns.inside(|| {
        let path = PinPath::new("link");
        let link = Link::create_xdp(&asm::loaded(2), near, Some(Mode::Native)).unwrap();
        let info = link.info().unwrap();
        link.pin(&path).unwrap();
        drop(link);
        assert!(netns.ip("link show near0").stdout.contains("xdp"));
        assert_eq!(errno(Program::open_pinned(&path)), Errno::EINVAL);
        let pinned = Link::open_pinned(&path).unwrap();
        assert_eq!(pinned.info().unwrap(), info);
        drop((path, pinned));
        assert!(!netns.ip("link show near0").stdout.contains("xdp"));
    });
}

#[test]
fn refusals_of_a_link_are_errnos() {
    if !require_root() {
        return;
    }
    let (netns, near) = veth("refused");
    netns.ip("link add other0 type veth peer name other1");
    let other = ifindex(&netns, "other0");
    netns.inside(|| {
        let plain = asm::loaded(2);
        let bound = Program::load(&ProgramSpec {
            flags: XDP_DEV_BOUND_ONLY,
            ifindex: Some(near),
            ..asm::xdp(&program::PASS)
        })
        .unwrap();
        // lo has no XDP of its own, veth none in hardware.
        let attempts = [
            (&plain, 1, Mode::Native, Errno::EOPNOTSUPP),
            (&plain, near, Mode::Offload, Errno::EINVAL),
            (&plain, i32::MAX as u32, Mode::Generic, Errno::EINVAL),
            (&bound, near, Mode::Generic, Errno::EINVAL),
            (&bound, other, Mode::Native, Errno::EINVAL),
        ];
        for (program, ifindex, mode, expected) in attempts {
            assert_eq!(
                errno(Link::create_xdp(program, ifindex, Some(mode))),
                expected,
                "{mode} on {ifindex}"
            );
        }
        Link::create_xdp(&bound, near, Some(Mode::Native)).unwrap();
    });
}
