//! Every refusal that is known, with and without the kernel's text, explained.

mod golden;
mod synthetic;

use std::fmt::Write;

use kernel::netlink::ethtool::Channels;
use kernel::netlink::link::{AttachedXdp, Bond, Link, Mode};
use kernel::{Errno, Operation, Refusal};
use probe::{Binding, Explanation, Facts, Needs, Snapshot, Tried, explain};
use synthetic::{
    BASIC, ON, ON_FIXED, REDIRECT, RX_SG, ZEROCOPY, combined, nic, snapshot, software, veth, zoo,
};

const NATIVE: Tried = Tried::Attach(Some(Mode::Native));
const GENERIC: Tried = Tried::Attach(Some(Mode::Generic));
const OFFLOAD: Tried = Tried::Attach(Some(Mode::Offload));

/// A page of explanations.
#[derive(Default)]
struct Page(String);

impl Page {
    fn section(&mut self, title: &str) {
        let _ = writeln!(self.0, "== {title}\n");
    }

    #[track_caller]
    fn add(
        &mut self,
        snapshot: &Snapshot,
        name: &str,
        tried: Tried,
        errno: Errno,
        text: Option<&str>,
    ) -> Explanation {
        let facts = snapshot.by_name(name).expect("it is there");
        let refusal = Refusal {
            ext_ack: text.map(str::to_owned),
            ..Refusal::new(operation(tried), errno)
        };
        let explanation = explain(tried, &refusal, snapshot, facts, &Needs::default());
        let _ = writeln!(self.0, "{} {name}: {tried:?}", facts.driver_label());
        let _ = writeln!(
            self.0,
            "  kernel  {errno}{}",
            text.map_or_else(String::new, |text| format!(": {text}"))
        );
        let _ = writeln!(self.0, "  reason  {}", explanation.reason);
        let _ = writeln!(
            self.0,
            "  to do   {}\n",
            explanation.remedy.as_deref().unwrap_or("-")
        );
        assert!(!explanation.reason.is_empty() && !explanation.reason.contains('\n'));
        explanation
    }
}

fn operation(tried: Tried) -> Operation {
    match tried {
        Tried::CreateMap { .. } => Operation::CreateMap,
        Tried::Load(_) => Operation::LoadProgram,
        Tried::Attach(_) => Operation::AttachXdp,
        Tried::Detach(_) => Operation::DetachXdp,
        Tried::BindXsk { .. } => Operation::BindXsk,
    }
}

fn with_programs(
    mut facts: Facts,
    native: Option<u32>,
    generic: Option<u32>,
    offload: Option<u32>,
) -> Snapshot {
    facts.link.xdp = AttachedXdp {
        native,
        generic,
        offload,
    };
    snapshot("6.12.9", vec![facts])
}

#[test]
fn the_core_kernels_refusals() {
    let mut page = Page::default();
    let zoo = zoo();

    page.section("no native mode");
    let text = Some("Underlying driver does not support XDP in native mode");
    for name in ["lo", "eno1", "br0", "enp2s0.100"] {
        page.add(&zoo, name, NATIVE, Errno::EOPNOTSUPP, text);
    }
    page.add(&zoo, "eno1", OFFLOAD, Errno::EOPNOTSUPP, text);
    page.add(&zoo, "eno1", NATIVE, Errno::EOPNOTSUPP, None);

    page.section("no offload, and no text");
    for (name, errno) in [
        ("veth0", Errno::EINVAL),
        ("eth0", Errno::EINVAL),
        ("lo", Errno::EOPNOTSUPP),
    ] {
        page.add(&zoo, name, Tried::Load(Binding::Offload), errno, None);
        page.add(&zoo, name, OFFLOAD, errno, None);
        page.add(&zoo, name, Tried::CreateMap { offload: true }, errno, None);
    }
    page.add(
        &zoo,
        "enp3s0np0",
        Tried::Load(Binding::Offload),
        Errno::EINVAL,
        None,
    );
    page.add(&zoo, "enp3s0np0", OFFLOAD, Errno::EINVAL, None);
    page.add(
        &zoo,
        "enp3s0np0",
        Tried::CreateMap { offload: true },
        Errno::ENOMEM,
        None,
    );
    page.add(
        &zoo,
        "enp3s0np0",
        Tried::CreateMap { offload: true },
        Errno::EOPNOTSUPP,
        None,
    );

    page.section("programs bound to a device");
    page.add(
        &zoo,
        "lo",
        Tried::Load(Binding::DeviceBound),
        Errno::EOPNOTSUPP,
        None,
    );
    page.add(
        &zoo,
        "veth0",
        Tried::Load(Binding::DeviceBound),
        Errno::EOPNOTSUPP,
        None,
    );
    page.add(
        &zoo,
        "veth0",
        GENERIC,
        Errno::EINVAL,
        Some("Can't attach device-bound programs in generic mode"),
    );
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EINVAL,
        Some("Program bound to different device"),
    );
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EINVAL,
        Some("Using offloaded program without HW_MODE flag is not supported"),
    );

    page.section("programs that are there");
    let held = with_programs(
        nic(1, "eth1", "ice", BASIC | REDIRECT),
        Some(17),
        None,
        None,
    );
    page.add(
        &held,
        "eth1",
        NATIVE,
        Errno::EBUSY,
        Some("XDP program already attached"),
    );
    page.add(&held, "eth1", NATIVE, Errno::EBUSY, None);
    page.add(
        &held,
        "eth1",
        GENERIC,
        Errno::EEXIST,
        Some("Native and generic XDP can't be active at the same time"),
    );
    page.add(&held, "eth1", GENERIC, Errno::EEXIST, None);
    page.add(
        &held,
        "eth1",
        NATIVE,
        Errno::EEXIST,
        Some("Active program does not match expected"),
    );
    page.add(
        &held,
        "eth1",
        NATIVE,
        Errno::EBUSY,
        Some("Can't replace active BPF XDP link"),
    );
    page.add(
        &held,
        "eth1",
        Tried::Detach(Some(Mode::Native)),
        Errno::EBUSY,
        None,
    );
    page.add(
        &held,
        "eth1",
        Tried::Detach(Some(Mode::Native)),
        Errno::EEXIST,
        None,
    );
    let skb = with_programs(
        nic(1, "eth1", "ice", BASIC | REDIRECT),
        None,
        Some(18),
        None,
    );
    page.add(&skb, "eth1", NATIVE, Errno::EEXIST, None);
    let multi = with_programs(nic(1, "eth1", "netdevsim", 0), Some(1), None, Some(2));
    let ambiguous = Some("More than one program loaded, unset mode is ambiguous");
    page.add(
        &multi,
        "eth1",
        Tried::Detach(None),
        Errno::EINVAL,
        ambiguous,
    );
    page.add(
        &multi,
        "eth1",
        Tried::Attach(None),
        Errno::EINVAL,
        ambiguous,
    );

    page.section("a device above");
    let mut base = nic(1, "eth1", "ice", BASIC);
    base.link.master = Some(2);
    let mut bond = software(2, "bond0", "bond", BASIC);
    bond.link.xdp.native = Some(5);
    let stacked = snapshot("6.12.9", vec![base, bond]);
    page.add(
        &stacked,
        "eth1",
        NATIVE,
        Errno::EEXIST,
        Some("Cannot attach when an upper device already has a program"),
    );
    page.add(&stacked, "eth1", GENERIC, Errno::EEXIST, None);

    page.section("requests that make no sense");
    page.add(&zoo, "veth0", NATIVE, Errno::EBADF, None);
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EINVAL,
        Some("Only one XDP mode flag can be set"),
    );
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EINVAL,
        Some("BPF_XDP_DEVMAP programs can not be attached to a device"),
    );
    page.add(
        &zoo,
        "veth0",
        GENERIC,
        Errno::EINVAL,
        Some("BPF_XDP_CPUMAP programs can not be attached to a device"),
    );
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EBUSY,
        Some("unable to install XDP to device using tcp-data-split"),
    );
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EBUSY,
        Some("unable to install XDP to device using memory provider"),
    );
    page.add(&zoo, "veth0", NATIVE, Errno::ENODEV, None);
    page.add(
        &zoo,
        "veth0",
        NATIVE,
        Errno::EINVAL,
        Some("something that no kernel of today says"),
    );

    golden::expect("tests/explain-core.expected", &page.0);
}

#[test]
fn drivers_refusals() {
    let mut page = Page::default();

    page.section("veth");
    let [one, mut other] = veth(1, "veth0", "veth1");
    other.link.mtu = 9000;
    let large = snapshot("6.18.0", vec![one, other]);
    let with_text = page.add(
        &large,
        "veth0",
        NATIVE,
        Errno::ERANGE,
        Some("veth: Peer MTU is too large to set XDP"),
    );
    let by_link = page.add(&large, "veth0", NATIVE, Errno::ERANGE, None);
    assert_eq!(
        with_text, by_link,
        "a link attach has no text and loses nothing"
    );
    page.add(&large, "veth0", Tried::Attach(None), Errno::ERANGE, None);
    let [mut one, mut other] = veth(1, "veth0", "veth1");
    one.channels = Some(Channels {
        rx: (1, 1),
        tx: (1, 1),
        combined: (0, 0),
    });
    other.channels = Some(Channels {
        rx: (4, 4),
        tx: (4, 4),
        combined: (0, 0),
    });
    let queues = snapshot("6.18.0", vec![one, other]);
    page.add(
        &queues,
        "veth0",
        NATIVE,
        Errno::ENOSPC,
        Some("veth: XDP expects number of rx queues not less than peer tx queues"),
    );
    page.add(&queues, "veth0", NATIVE, Errno::ENOSPC, None);

    page.section("virtio_net");
    let mut facts = nic(1, "eth0", "virtio_net", BASIC | REDIRECT | ZEROCOPY | RX_SG);
    facts.channels = Some(combined(1, 1));
    let plain = facts.clone();
    facts.virtio_features = Some(1 << 1 | 1 << 7 | 1 << 15 | 1 << 32);
    let guest = snapshot("6.18.0", vec![facts.clone()]);
    let text = "virtio_net: Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first";
    page.add(&guest, "eth0", NATIVE, Errno::EOPNOTSUPP, Some(text));
    page.add(
        &guest,
        "eth0",
        Tried::BindXsk { zero_copy: true },
        Errno::EINVAL,
        None,
    );
    facts.virtio_features = None;
    facts.offloads.gro_hw = Some(ON_FIXED);
    page.add(
        &snapshot("6.1.0", vec![facts.clone()]),
        "eth0",
        NATIVE,
        Errno::EOPNOTSUPP,
        None,
    );
    facts.virtio_features = Some(1 << 2 | 1 << 15);
    let text = "virtio_net: XDP expects header/data in single page, any_header_sg required";
    page.add(
        &snapshot("5.4.0", vec![facts]),
        "eth0",
        NATIVE,
        Errno::EINVAL,
        Some(text),
    );
    let mut large = plain.clone();
    large.link.mtu = 9000;
    let text = "virtio_net: MTU too large to enable XDP without frags";
    page.add(
        &snapshot("6.18.0", vec![large]),
        "eth0",
        NATIVE,
        Errno::EINVAL,
        Some(text),
    );
    let mut old = plain;
    old.advertised = None;
    let old = snapshot("5.4.0", vec![old]);
    page.add(
        &old,
        "eth0",
        NATIVE,
        Errno::ENOMEM,
        Some("virtio_net: Too few free TX rings available"),
    );
    page.add(&old, "eth0", NATIVE, Errno::ENOMEM, None);

    page.section("bonding");
    let mut bond = software(1, "bond0", "bond", 0);
    bond.link.bond = Some(Bond {
        mode: 4,
        xmit_hash_policy: 5,
    });
    let text = "No native XDP support for the current bonding mode";
    page.add(
        &snapshot("6.12.0", vec![bond.clone()]),
        "bond0",
        NATIVE,
        Errno::EOPNOTSUPP,
        Some(text),
    );
    bond.link.bond = Some(Bond {
        mode: 1,
        xmit_hash_policy: 0,
    });
    let mut slave = software(2, "dummy0", "dummy", 0);
    slave.link.master = Some(1);
    let text = "Slave device does not support XDP";
    page.add(
        &snapshot("6.12.0", vec![bond.clone(), slave]),
        "bond0",
        NATIVE,
        Errno::EOPNOTSUPP,
        Some(text),
    );
    let mut slave = nic(2, "eth1", "ice", BASIC | REDIRECT);
    slave.link.master = Some(1);
    slave.link.xdp.native = Some(9);
    let text = "Slave has XDP program loaded, please unload before enslaving";
    page.add(
        &snapshot("6.12.0", vec![bond, slave]),
        "bond0",
        NATIVE,
        Errno::EOPNOTSUPP,
        Some(text),
    );

    page.section("MTU, in each driver's words");
    for (driver, errno, text) in [
        (
            "igb",
            Errno::EINVAL,
            Some("igb: The RX buffer size is too small for the frame size"),
        ),
        (
            "vmxnet3",
            Errno::EOPNOTSUPP,
            Some("vmxnet3: MTU 9000 too large for XDP"),
        ),
        (
            "netdevsim",
            Errno::EINVAL,
            Some("netdevsim: MTU too large w/ XDP enabled"),
        ),
        (
            "ice",
            Errno::EOPNOTSUPP,
            Some("ice: MTU is too large for linear frames and XDP prog does not support frags"),
        ),
        (
            "hv_netvsc",
            Errno::EOPNOTSUPP,
            Some("hv_netvsc: XDP: mtu too large"),
        ),
        ("ixgbevf", Errno::EINVAL, None),
        ("bnxt_en", Errno::EOPNOTSUPP, None),
        ("r9000", Errno::EINVAL, Some("r9000: MTU too large")),
    ] {
        let mut facts = nic(1, "eth0", driver, BASIC | REDIRECT);
        facts.link.mtu = 9000;
        page.add(
            &snapshot("6.12.0", vec![facts]),
            "eth0",
            NATIVE,
            errno,
            text,
        );
    }

    page.section("LRO, hardware GRO and queues");
    let mut hyperv = nic(1, "eth0", "hv_netvsc", BASIC);
    hyperv.offloads.lro = Some(ON);
    page.add(
        &snapshot("6.12.0", vec![hyperv]),
        "eth0",
        NATIVE,
        Errno::EOPNOTSUPP,
        Some("hv_netvsc: XDP: not support LRO"),
    );
    let mut mlx5 = nic(1, "eth0", "mlx5_core", BASIC);
    mlx5.offloads.gro_hw = Some(ON);
    page.add(
        &snapshot("6.12.0", vec![mlx5]),
        "eth0",
        NATIVE,
        Errno::EINVAL,
        None,
    );
    let mut ena = nic(1, "ens5", "ena", BASIC);
    ena.link.mtu = 9001;
    ena.channels = Some(combined(8, 8));
    let ena = snapshot("6.12.0", vec![ena]);
    let text = "ena: Failed to set xdp program, there is no enough space for allocating XDP queues, Check the dmesg for more info";
    page.add(&ena, "ens5", NATIVE, Errno::EINVAL, Some(text));
    page.add(&ena, "ens5", NATIVE, Errno::EINVAL, None);
    let mut bnxt = nic(1, "eth0", "bnxt_en", BASIC);
    bnxt.channels = Some(Channels {
        rx: (4, 8),
        tx: (4, 8),
        combined: (0, 8),
    });
    page.add(
        &snapshot("6.12.0", vec![bnxt]),
        "eth0",
        NATIVE,
        Errno::EOPNOTSUPP,
        None,
    );

    page.section("netdevsim, and drivers without a word");
    let netdevsim = snapshot("6.12.0", vec![nic(1, "eth0", "netdevsim", 16)]);
    page.add(
        &netdevsim,
        "eth0",
        OFFLOAD,
        Errno::EINVAL,
        Some("netdevsim: xdpoffload of non-bound program"),
    );
    page.add(
        &netdevsim,
        "eth0",
        NATIVE,
        Errno::EOPNOTSUPP,
        Some("netdevsim: driver XDP disabled in DebugFS"),
    );
    page.add(
        &netdevsim,
        "eth0",
        Tried::Load(Binding::Offload),
        Errno::EOPNOTSUPP,
        None,
    );
    let netkit = snapshot("7.3.0", vec![software(1, "nk0", "netkit", 0)]);
    page.add(&netkit, "nk0", NATIVE, Errno::EOPNOTSUPP, None);
    let other = snapshot("6.12.0", vec![nic(1, "eth0", "newnic", BASIC)]);
    for errno in [
        Errno::EINVAL,
        Errno::EOPNOTSUPP,
        Errno::ENOMEM,
        Errno::ERANGE,
        Errno::EBUSY,
        Errno::EEXIST,
        Errno::EIO,
    ] {
        page.add(&other, "eth0", NATIVE, errno, None);
    }

    golden::expect("tests/explain-drivers.expected", &page.0);
}

#[test]
fn sockets_loading_and_permission() {
    let mut page = Page::default();
    let host = snapshot("6.18.0", vec![nic(1, "eth0", "igb", BASIC | REDIRECT)]);

    page.section("AF_XDP");
    let copy = Tried::BindXsk { zero_copy: false };
    let zero_copy = Tried::BindXsk { zero_copy: true };
    page.add(&host, "eth0", zero_copy, Errno::EOPNOTSUPP, None);
    for errno in [
        Errno::EBUSY,
        Errno::EINVAL,
        Errno::ENOBUFS,
        Errno::ENETDOWN,
        Errno::EAFNOSUPPORT,
    ] {
        page.add(&host, "eth0", copy, errno, None);
    }
    let claims = snapshot(
        "7.3.0",
        vec![nic(1, "eth0", "igb", BASIC | REDIRECT | ZEROCOPY)],
    );
    page.add(&claims, "eth0", zero_copy, Errno::EINVAL, None);

    page.section("loading");
    let load = Tried::Load(Binding::None);
    for errno in [Errno::EINVAL, Errno::E2BIG, Errno::ENOMEM] {
        page.add(&host, "eth0", load, errno, None);
        page.add(
            &host,
            "eth0",
            Tried::CreateMap { offload: false },
            errno,
            None,
        );
    }
    let rejected = Refusal {
        verifier_log: Some("R1 invalid mem access 'inv'".to_owned()),
        ..Refusal::new(Operation::LoadProgram, Errno::EACCES)
    };
    let facts = host.by_name("eth0").expect("it is there");
    let explanation = explain(load, &rejected, &host, facts, &Needs::default());
    assert!(explanation.reason.contains("verifier"), "{explanation:?}");

    page.section("permission");
    for tried in [load, NATIVE, Tried::Detach(None), copy] {
        page.add(&host, "eth0", tried, Errno::EPERM, None);
    }
    let mut unprivileged = synthetic::host("6.18.0");
    unprivileged.capabilities = kernel::host::Capabilities::default();
    let unprivileged = Snapshot::new(unprivileged, vec![nic(1, "eth0", "igb", BASIC)]);
    for tried in [load, NATIVE, copy] {
        let explanation = page.add(&unprivileged, "eth0", tried, Errno::EPERM, None);
        assert!(explanation.reason.contains("CAP_"), "{explanation:?}");
    }

    golden::expect("tests/explain-loading.expected", &page.0);
}

#[test]
fn a_text_that_is_unknown_is_kept_word_for_word() {
    let host = snapshot("6.18.0", vec![nic(1, "eth0", "newnic", BASIC)]);
    let mut page = Page::default();
    let explanation = page.add(
        &host,
        "eth0",
        NATIVE,
        Errno::EINVAL,
        Some("newnic: the moon is in the wrong phase"),
    );
    assert!(
        explanation
            .reason
            .contains("newnic: the moon is in the wrong phase")
    );
    assert!(explanation.remedy.is_some());
}

#[test]
fn a_peer_elsewhere_is_named_when_the_kernel_tells() {
    let [mut one, _] = veth(1, "veth0", "veth1");
    one.link.lower_netns = Some(3);
    one.remote_peer = Some(Box::new(Link {
        name: "eth0".to_owned(),
        mtu: 9000,
        ..Link::default()
    }));
    let host = snapshot("6.18.0", vec![one]);
    let explanation = Page::default().add(&host, "veth0", NATIVE, Errno::ERANGE, None);
    assert!(
        explanation.reason.contains("9000") && explanation.reason.contains("eth0"),
        "{explanation:?}"
    );
}
