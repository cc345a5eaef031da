//! Each refusal of an XDP attachment that a kernel with veth can produce: the errno and the kernel's own
//! words, as they reach our callers. Programs refused at load are the business of bpf(2)'s tests.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use kernel::bpf::link::Link as BpfLink;
use kernel::bpf::program::{self, PASS, Program, ProgramSpec};
use kernel::netlink::Route;
use kernel::netlink::link::{Expected, Mode, XdpRequest};
use kernel::{Errno, Error, Operation};
use tests::{Netns, require_root};

/// One interface and a socket to attach with.
struct Attacher {
    route: Route,
    ifindex: u32,
}

impl Attacher {
    fn new(ifname: &str) -> Self {
        let mut route = Route::open().unwrap();
        let ifindex = route.link_by_name(ifname).unwrap().ifindex;
        Self { route, ifindex }
    }

    fn set(
        &mut self,
        program: Option<BorrowedFd<'_>>,
        mode: Option<Mode>,
        expected: Expected<'_>,
    ) -> Result<Option<String>, Error> {
        self.route.set_xdp(&XdpRequest {
            ifindex: self.ifindex,
            program,
            mode,
            expected,
        })
    }

    fn attach(&mut self, program: &Program, mode: Mode) -> Result<Option<String>, Error> {
        self.set(Some(program.as_fd()), Some(mode), Expected::Anything)
    }

    /// The id of what is attached in `mode`.
    fn attached(&mut self, mode: Mode) -> Option<u32> {
        let link = self.route.link_by_index(self.ifindex).unwrap();
        link.xdp.get(mode)
    }
}

fn pass() -> Program {
    Program::load(&ProgramSpec::pass(None)).unwrap()
}

/// The refusal's errno and text; both are what explanations are keyed on.
#[track_caller]
fn refused(result: Result<Option<String>, Error>, errno: Errno, text: Option<&str>) {
    let error = result.expect_err("the kernel takes it");
    let refusal = error.refusal().expect("a refusal");
    assert_eq!((refusal.errno, refusal.ext_ack.as_deref()), (errno, text));
    assert!(matches!(
        refusal.operation,
        Operation::AttachXdp | Operation::DetachXdp
    ));
}

/// A namespace with the veth pair `va` and `vb`, and `body` run inside.
fn with_veth<T: Send>(tag: &str, body: impl FnOnce(&Netns) -> T + Send) -> Option<T> {
    require_root().then(|| {
        let netns = Netns::new(tag);
        netns.veth("va", "vb");
        netns.inside(|| body(&netns))
    })
}

#[test]
fn a_driver_without_xdp_refuses_native() {
    with_veth("nondo", |netns| {
        netns.ip("link add br0 type bridge");
        netns.ip("link add ifb7 type ifb");
        netns.ip("link add link va name mv0 type macvlan");
        netns.ip("link add vx0 type vxlan id 7 dstport 4789");
        let program = pass();
        for ifname in ["lo", "br0", "ifb7", "mv0", "vx0"] {
            let mut attacher = Attacher::new(ifname);
            for mode in [Mode::Native, Mode::Offload] {
                refused(
                    attacher.attach(&program, mode),
                    Errno::EOPNOTSUPP,
                    Some("Underlying driver does not support XDP in native mode"),
                );
            }
            // Without a mode the kernel takes generic there.
            attacher
                .set(Some(program.as_fd()), None, Expected::Nothing)
                .unwrap();
            assert!(attacher.attached(Mode::Generic).is_some(), "{ifname}");
        }
    });
}

#[test]
fn a_driver_with_xdp_refuses_to_offload_without_a_word() {
    with_veth("hw", |_| {
        refused(
            Attacher::new("va").attach(&pass(), Mode::Offload),
            Errno::EINVAL,
            None,
        );
    });
}

#[test]
fn a_second_program_is_refused_where_none_was_expected() {
    with_veth("busy", |_| {
        let mut attacher = Attacher::new("va");
        let (first, second) = (pass(), pass());
        for mode in [Mode::Native, Mode::Generic] {
            attacher.attach(&first, mode).unwrap();
            refused(
                attacher.set(Some(second.as_fd()), Some(mode), Expected::Nothing),
                Errno::EBUSY,
                Some("XDP program already attached"),
            );
            assert_eq!(attacher.attached(mode), Some(first.info().unwrap().id));
            attacher.set(None, Some(mode), Expected::Anything).unwrap();
            assert_eq!(attacher.attached(mode), None);
        }
    });
}

#[test]
fn native_and_generic_exclude_each_other() {
    with_veth("excl", |_| {
        let mut attacher = Attacher::new("va");
        let program = pass();
        for (held, asked) in [(Mode::Native, Mode::Generic), (Mode::Generic, Mode::Native)] {
            attacher.attach(&program, held).unwrap();
            refused(
                attacher.attach(&program, asked),
                Errno::EEXIST,
                Some("Native and generic XDP can't be active at the same time"),
            );
            attacher.set(None, Some(held), Expected::Anything).unwrap();
        }
    });
}

#[test]
fn a_replacement_names_the_program_it_replaces() {
    with_veth("replace", |_| {
        let mut attacher = Attacher::new("va");
        let (first, second) = (pass(), pass());
        let mode = Some(Mode::Native);
        attacher.attach(&first, Mode::Native).unwrap();
        let wrong = Some("Active program does not match expected");
        refused(
            attacher.set(
                Some(second.as_fd()),
                mode,
                Expected::Program(second.as_fd()),
            ),
            Errno::EEXIST,
            wrong,
        );
        refused(
            attacher.set(None, mode, Expected::Program(second.as_fd())),
            Errno::EEXIST,
            wrong,
        );
        assert_eq!(
            attacher.attached(Mode::Native),
            Some(first.info().unwrap().id)
        );

        attacher
            .set(Some(second.as_fd()), mode, Expected::Program(first.as_fd()))
            .unwrap();
        assert_eq!(
            attacher.attached(Mode::Native),
            Some(second.info().unwrap().id)
        );
        attacher
            .set(None, mode, Expected::Program(second.as_fd()))
            .unwrap();
        assert_eq!(attacher.attached(Mode::Native), None);
    });
}

#[test]
fn a_link_is_not_replaced_by_netlink() {
    with_veth("link", |_| {
        let mut attacher = Attacher::new("va");
        let (held, other) = (pass(), pass());
        let _link = BpfLink::create_xdp(&held, attacher.ifindex, Some(Mode::Native)).unwrap();
        let text = Some("Can't replace active BPF XDP link");
        refused(attacher.attach(&other, Mode::Native), Errno::EBUSY, text);
        refused(
            attacher.set(None, Some(Mode::Native), Expected::Anything),
            Errno::EBUSY,
            text,
        );
        assert_eq!(
            attacher.attached(Mode::Native),
            Some(held.info().unwrap().id)
        );
    });
}

#[test]
fn descriptors_that_are_no_xdp_program_are_refused_without_a_word() {
    with_veth("fd", |_| {
        let mut attacher = Attacher::new("va");
        let ifindex = attacher.ifindex;
        let native = Mode::Native.flag();
        let mut raw = |fd, flags| attacher.route.set_xdp_raw(ifindex, Some(fd), flags, None);
        refused(raw(i32::MAX, native), Errno::EBADF, None);
        let file = std::fs::File::open("/dev/null").unwrap();
        refused(raw(file.as_raw_fd(), native), Errno::EINVAL, None);
        let filter = Program::load(&ProgramSpec {
            kind: 1, // BPF_PROG_TYPE_SOCKET_FILTER
            insns: &PASS,
            license: "GPL",
            ..ProgramSpec::default()
        })
        .unwrap();
        refused(raw(filter.as_fd().as_raw_fd(), native), Errno::EINVAL, None);
    });
}

#[test]
fn impossible_flags_are_refused_without_a_word() {
    with_veth("flags", |_| {
        let mut attacher = Attacher::new("va");
        let program = pass();
        let (fd, ifindex) = (program.as_fd().as_raw_fd(), attacher.ifindex);
        let mut raw = |flags| attacher.route.set_xdp_raw(ifindex, Some(fd), flags, None);
        refused(
            raw(Mode::Native.flag() | Mode::Generic.flag()),
            Errno::EINVAL,
            None,
        );
        refused(raw(1 << 5), Errno::EINVAL, None);
        // XDP_FLAGS_REPLACE without the program to be replaced.
        refused(raw(1 << 4), Errno::EINVAL, None);
    });
}

#[test]
fn a_program_for_a_map_is_not_for_a_device() {
    with_veth("entry", |_| {
        let check = |attach_type: u32, text: &str| {
            let program = Program::load(&ProgramSpec {
                expected_attach_type: attach_type,
                ..ProgramSpec::pass(None)
            })
            .unwrap();
            for mode in [Mode::Native, Mode::Generic] {
                refused(
                    Attacher::new("va").attach(&program, mode),
                    Errno::EINVAL,
                    Some(text),
                );
            }
        };
        check(
            program::ATTACH_XDP_DEVMAP,
            "BPF_XDP_DEVMAP programs can not be attached to a device",
        );
        check(
            program::ATTACH_XDP_CPUMAP,
            "BPF_XDP_CPUMAP programs can not be attached to a device",
        );
    });
}

#[test]
fn a_device_bound_program_stays_on_its_device_and_in_native_mode() {
    with_veth("bound", |_| {
        let (mut va, mut vb) = (Attacher::new("va"), Attacher::new("vb"));
        let bound = Program::load(&ProgramSpec {
            flags: program::XDP_DEV_BOUND_ONLY,
            ..ProgramSpec::pass(Some(va.ifindex))
        })
        .unwrap();
        refused(
            va.attach(&bound, Mode::Generic),
            Errno::EINVAL,
            Some("Can't attach device-bound programs in generic mode"),
        );
        refused(
            vb.attach(&bound, Mode::Native),
            Errno::EINVAL,
            Some("Program bound to different device"),
        );
        va.attach(&bound, Mode::Native).unwrap();
    });
}

#[test]
fn veth_looks_at_its_peers_mtu() {
    with_veth("mtu", |netns| {
        netns.ip("link set vb mtu 9000");
        let mut attacher = Attacher::new("va");
        refused(
            attacher.attach(&pass(), Mode::Native),
            Errno::ERANGE,
            Some("veth: Peer MTU is too large to set XDP"),
        );
        // Its own MTU does not count, and a program that takes fragments lifts the limit.
        Attacher::new("vb").attach(&pass(), Mode::Native).unwrap();
        let frags = Program::load(&ProgramSpec {
            flags: program::XDP_HAS_FRAGS,
            ..ProgramSpec::pass(None)
        })
        .unwrap();
        attacher.attach(&frags, Mode::Native).unwrap();
    });
}

#[test]
fn veth_needs_as_many_receive_queues_as_its_peer_sends_on() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("queues");
    netns.ip(
        "link add va numrxqueues 1 numtxqueues 1 type veth peer name vb numrxqueues 4 numtxqueues 4",
    );
    netns.ip("link set va up");
    netns.ip("link set vb up");
    netns.inside(|| {
        refused(
            Attacher::new("va").attach(&pass(), Mode::Native),
            Errno::ENOSPC,
            Some("veth: XDP expects number of rx queues not less than peer tx queues"),
        );
        Attacher::new("vb").attach(&pass(), Mode::Native).unwrap();
    });
}

#[test]
fn an_interface_that_is_gone_is_enodev() {
    with_veth("gone", |netns| {
        let mut attacher = Attacher::new("va");
        netns.ip("link delete va");
        refused(attacher.attach(&pass(), Mode::Native), Errno::ENODEV, None);
    });
}

#[test]
fn detaching_touches_no_other_mode() {
    with_veth("detach", |_| {
        let mut attacher = Attacher::new("va");
        attacher.attach(&pass(), Mode::Generic).unwrap();
        // Without a mode the kernel means native, as the driver has it: it says yes and does nothing.
        for mode in [None, Some(Mode::Native), Some(Mode::Offload)] {
            let _ = attacher.set(None, mode, Expected::Anything);
            assert!(attacher.attached(Mode::Generic).is_some(), "{mode:?}");
        }
        attacher
            .set(None, Some(Mode::Generic), Expected::Anything)
            .unwrap();
        assert_eq!(attacher.attached(Mode::Generic), None);
    });
}

#[test]
fn the_message_has_the_request_the_errno_and_the_kernels_words() {
    with_veth("words", |_| {
        let error = Attacher::new("lo")
            .attach(&pass(), Mode::Native)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "attach XDP program: Operation not supported (EOPNOTSUPP): \
             Underlying driver does not support XDP in native mode"
        );
    });
}
