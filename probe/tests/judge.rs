//! Verdicts where this machine has no example: old kernels, other drivers, other states.

mod synthetic;

use kernel::netlink::ethtool::Channels;
use kernel::netlink::link::{AttachedXdp, Bond, Link, Mode};
use probe::{EvidenceKind, Facts, Needs, Snapshot, Support, Verdicts};
use synthetic::{
    BASIC, OFFLOAD, ON, REDIRECT, RX_SG, XMIT, ZEROCOPY, combined, nic, silent, snapshot, software,
    veth,
};

fn verdicts(snapshot: &Snapshot, name: &str) -> Verdicts {
    with(snapshot, name, Needs::default())
}

fn with(snapshot: &Snapshot, name: &str, needs: Needs) -> Verdicts {
    let facts = snapshot.by_name(name).expect("it is there");
    probe::judge(snapshot, facts, &needs)
}

/// One NIC on one kernel.
fn alone(release: &str, facts: Facts) -> Verdicts {
    let snapshot = snapshot(release, vec![facts]);
    let facts = &snapshot.interfaces()[0];
    probe::judge(&snapshot, facts, &Needs::default())
}

#[track_caller]
fn assert_no(support: &Support, part: &str) {
    let Support::No {
        evidence,
        reason,
        remedy,
    } = support
    else {
        panic!("{support:?} is not a no")
    };
    let all = format!("{reason} | {}", remedy.as_deref().unwrap_or_default());
    assert!(all.contains(part), "{all}");
    assert!(!evidence.is_empty(), "a no without evidence: {all}");
}

#[track_caller]
fn assert_yes(support: &Support, kind: EvidenceKind) {
    let Support::Yes { evidence, .. } = support else {
        panic!("{support:?} is not a yes")
    };
    assert_eq!(evidence[0].kind, kind, "{evidence:?}");
}

#[track_caller]
fn assert_unknown(support: &Support, part: &str) {
    let Support::Unknown { why } = support else {
        panic!("{support:?} is not unknown")
    };
    assert!(why.contains(part), "{why}");
}

#[test]
fn before_6_3_the_table_answers() {
    let igb = |release| alone(release, silent(nic(1, "eth0", "igb", 0)));
    assert_yes(&igb("5.10.0").native, EvidenceKind::Table);
    assert_no(&igb("5.9.16").native, "since Linux 5.10");
    assert_no(&igb("5.9.16").xsk_zerocopy, "since Linux 6.14");
    assert_yes(&igb("5.10.0").redirect_source, EvidenceKind::Table);
    assert_no(&igb("5.10.0").multi_buffer, "single-buffer");
    assert_no(&igb("5.10.0").offload, "runs no programs in hardware");

    let i40e = alone("5.15.0", silent(nic(1, "eth0", "i40e", 0)));
    assert_yes(&i40e.xsk_zerocopy, EvidenceKind::Table);
    assert_no(&i40e.multi_buffer, "since Linux 6.4");
    assert_no(
        &alone("5.15.0", silent(nic(1, "eth0", "e1000e", 0))).native,
        "no native mode",
    );
}

#[test]
fn nothing_is_claimed_about_a_driver_that_nobody_knows() {
    let verdicts = alone("5.15.0", silent(nic(1, "eth0", "newnic", 0)));
    assert_unknown(&verdicts.native, "xdp-probe try eth0");
    assert_unknown(&verdicts.xsk_zerocopy, "xdp-probe try eth0");
    assert_unknown(&verdicts.multi_buffer, "newnic");
    assert_eq!(verdicts.best(), Some(Mode::Generic));
    // Once drivers can advertise, one that does not has none.
    assert_no(
        &alone("6.12.0", nic(1, "eth0", "newnic", 0)).native,
        "newnic has no native mode",
    );
}

#[test]
fn a_known_driver_that_does_not_advertise_is_no_plain_no() {
    // An out-of-tree i40e, say.
    assert_unknown(
        &alone("6.12.0", nic(1, "eth0", "i40e", 0)).native,
        "another version of the driver",
    );
    // Those that depend on a configuration tell on which.
    assert_no(&alone("6.12.0", nic(1, "eth0", "gve", 0)).native, "GQI_QPL");
    // Those that are known to be silent.
    let netdevsim = alone("6.12.0", nic(1, "eth0", "netdevsim", OFFLOAD));
    assert_yes(&netdevsim.native, EvidenceKind::Table);
    assert_yes(&netdevsim.offload, EvidenceKind::Advertised);
    assert_eq!(netdevsim.best(), Some(Mode::Offload));
}

#[test]
fn tap_has_native_mode_and_tun_has_not() {
    let device = |features, hardware_type| {
        let mut facts = software(1, "tap0", "tun", features);
        facts.link.hardware_type = hardware_type;
        facts
    };
    assert_yes(
        &alone("6.12.0", device(BASIC, 1)).native,
        EvidenceKind::Advertised,
    );
    assert_no(
        &alone("6.12.0", device(0, 65534)).native,
        "only tap devices",
    );
    assert_yes(
        &alone("5.15.0", silent(device(0, 1))).native,
        EvidenceKind::Table,
    );
    assert_no(
        &alone("5.15.0", silent(device(0, 65534))).native,
        "only tap devices",
    );
}

#[test]
fn kernels_before_generic_mode_and_af_xdp() {
    let verdicts = alone("4.9.0", silent(nic(1, "eth0", "mlx5_core", 0)));
    assert_no(&verdicts.generic, "Linux 4.12");
    let mut host = synthetic::host("4.17.0");
    host.af_xdp = None;
    let old = Snapshot::new(host, vec![silent(nic(1, "eth0", "mlx5_core", 0))]);
    assert_no(&self::verdicts(&old, "eth0").xsk_copy, "4.18");
    let mut host = synthetic::host("6.12.0");
    host.af_xdp = Some(false);
    let without = Snapshot::new(
        host,
        vec![nic(1, "eth0", "mlx5_core", BASIC | REDIRECT | ZEROCOPY)],
    );
    assert_no(
        &self::verdicts(&without, "eth0").xsk_copy,
        "CONFIG_XDP_SOCKETS",
    );
    assert_no(
        &self::verdicts(&without, "eth0").xsk_zerocopy,
        "CONFIG_XDP_SOCKETS",
    );
}

#[test]
fn frags_lift_the_mtu_limit_only_where_the_driver_has_them() {
    let frags = Needs {
        frags: true,
        ..Needs::default()
    };
    let mut ice = nic(1, "eth0", "ice", BASIC | REDIRECT | RX_SG);
    ice.link.mtu = 9000;
    let one = snapshot("6.12.0", vec![ice.clone()]);
    assert_no(
        &verdicts(&one, "eth0").native,
        "ip link set dev eth0 mtu 3046, or build the program as xdp.frags",
    );
    assert!(with(&one, "eth0", frags).native.is_yes());
    assert!(
        verdicts(&one, "eth0").multi_buffer.is_yes(),
        "just that is what frags programs are for"
    );
    ice.link.mtu = 3046;
    assert!(alone("6.12.0", ice).native.is_yes());

    let mut igb = nic(1, "eth0", "igb", BASIC | REDIRECT);
    igb.link.mtu = 9000;
    let one = snapshot("6.12.0", vec![igb.clone()]);
    assert_no(
        &with(&one, "eth0", frags).native,
        "ip link set dev eth0 mtu 3046",
    );

    // The limits are those of 4 KiB pages.
    let mut host = synthetic::host("6.12.0");
    host.page_size = 65536;
    assert!(
        verdicts(&Snapshot::new(host, vec![igb]), "eth0")
            .native
            .is_yes()
    );
}

#[test]
fn every_obstacle_is_told_at_once() {
    let mut ena = nic(1, "ens5", "ena", BASIC | REDIRECT);
    ena.link.mtu = 9001;
    ena.channels = Some(combined(8, 8));
    let Support::No {
        evidence, remedy, ..
    } = alone("6.12.0", ena.clone()).native
    else {
        panic!("ena takes that?")
    };
    assert_eq!(evidence.len(), 2);
    assert_eq!(
        remedy.as_deref(),
        Some("ip link set dev ens5 mtu 3498; and ethtool -L ens5 combined 4")
    );
    ena.link.mtu = 1500;
    ena.channels = Some(combined(4, 8));
    assert!(alone("6.12.0", ena.clone()).native.is_yes());
    ena.channels = Some(combined(1, 1));
    assert_no(&alone("6.12.0", ena).native, "give the device more queues");
}

#[test]
fn coalescing_refuses_or_is_turned_off() {
    let mut mlx5 = nic(1, "eth0", "mlx5_core", BASIC | REDIRECT);
    mlx5.offloads.lro = Some(ON);
    assert_no(&alone("6.12.0", mlx5).native, "ethtool -K eth0 lro off");

    let mut vmxnet3 = nic(1, "eth0", "vmxnet3", BASIC | REDIRECT | XMIT);
    vmxnet3.offloads.lro = Some(ON);
    let Support::Yes { notes, .. } = alone("6.12.0", vmxnet3).native else {
        panic!("vmxnet3 takes it")
    };
    assert_eq!(
        notes,
        [
            "attaching turns LRO off",
            "attaching takes the link down for a moment"
        ]
    );
}

#[test]
fn virtio_net_shares_queues_since_5_13() {
    let mut virtio = nic(1, "eth0", "virtio_net", BASIC | REDIRECT | RX_SG);
    virtio.channels = Some(combined(1, 1));
    let Support::Yes { notes, .. } = alone("6.12.0", virtio.clone()).native else {
        panic!("it is taken")
    };
    assert!(notes[0].contains("share queues"), "{notes:?}");
    assert_no(&alone("5.12.0", silent(virtio.clone())).native, "5 in all");
    virtio.channels = Some(combined(4, 8));
    let Support::Yes { notes, .. } = alone("6.12.0", virtio).native else {
        panic!("it is taken")
    };
    assert!(notes.is_empty(), "4 CPUs, 4 free queues: {notes:?}");
}

#[test]
fn virtio_features_decide_where_they_can_be_read() {
    let device = |features: Option<u64>| {
        let mut facts = nic(1, "eth0", "virtio_net", BASIC | REDIRECT | ZEROCOPY | RX_SG);
        facts.channels = Some(combined(4, 8));
        facts.virtio_features = features;
        alone("6.12.0", facts)
    };
    let (guest_tso4, control, version_1, platform) = (1 << 7, 1 << 2, 1 << 32, 1 << 33);
    assert_no(
        &device(Some(guest_tso4 | version_1)).native,
        "guest_tso4=off",
    );
    assert!(
        device(Some(guest_tso4 | control | version_1))
            .native
            .is_yes()
    );
    assert!(device(Some(version_1)).native.is_yes());
    assert_no(&device(Some(version_1)).xsk_zerocopy, "iommu_platform=on");
    assert_yes(
        &device(Some(version_1 | platform)).xsk_zerocopy,
        EvidenceKind::Advertised,
    );
    assert_unknown(&device(None).xsk_zerocopy, "VIRTIO_F_ACCESS_PLATFORM");
}

#[test]
fn programs_that_are_there() {
    let mut nic1 = nic(1, "eth0", "ice", BASIC | REDIRECT);
    nic1.link.xdp = AttachedXdp {
        native: Some(5),
        ..AttachedXdp::default()
    };
    let one = snapshot("6.12.0", vec![nic1]);
    assert_yes(&verdicts(&one, "eth0").native, EvidenceKind::Attached);
    assert_no(
        &verdicts(&one, "eth0").generic,
        "xdp-offload detach eth0 --mode native",
    );
    let replacing = with(
        &one,
        "eth0",
        Needs {
            replace: true,
            ..Needs::default()
        },
    );
    assert!(
        replacing.generic.is_yes(),
        "the one that is there goes first"
    );
}

#[test]
fn a_program_above_or_below_stands_in_the_way() {
    let lower = nic(1, "eth0", "ice", BASIC | REDIRECT);
    let mut vlan = software(2, "eth0.5", "vlan", 0);
    vlan.link.lower = Some(1);
    vlan.link.xdp.generic = Some(9);
    let stacked = snapshot("6.12.0", vec![lower, vlan]);
    assert_no(&verdicts(&stacked, "eth0").native, "eth0.5");
    assert_no(
        &verdicts(&stacked, "eth0").generic,
        "xdp-offload detach eth0.5",
    );
    assert_no(
        &verdicts(&stacked, "eth0.5").native,
        "its lower device eth0",
    );
}

#[test]
fn bonds_follow_their_mode_and_slaves() {
    let bond = |mode, xmit_hash_policy| {
        let mut bond = software(1, "bond0", "bond", BASIC | REDIRECT);
        bond.link.bond = Some(Bond {
            mode,
            xmit_hash_policy,
        });
        bond
    };
    let slave = |index, driver| {
        let mut slave = nic(
            index,
            &format!("eth{index}"),
            driver,
            BASIC | REDIRECT | XMIT,
        );
        slave.link.master = Some(1);
        slave
    };
    for (mode, policy, taken) in [
        (0, 0, true),
        (1, 0, true),
        (2, 1, true),
        (4, 1, true),
        (4, 5, false),
        (3, 0, false),
        (6, 0, false),
    ] {
        assert_eq!(
            alone("6.12.0", bond(mode, policy)).native.is_yes(),
            taken,
            "mode {mode} policy {policy}"
        );
    }
    let good = snapshot(
        "6.12.0",
        vec![bond(1, 0), slave(2, "ice"), slave(3, "veth")],
    );
    assert_yes(&verdicts(&good, "bond0").native, EvidenceKind::Observed);
    let mut large = slave(3, "igb");
    large.link.mtu = 9000;
    let bad = snapshot("6.12.0", vec![bond(1, 0), slave(2, "ice"), large]);
    assert_no(&verdicts(&bad, "bond0").native, "eth3");
    // Facts can claim anything, a bond that is its own slave too.
    let mut own = bond(1, 0);
    own.link.master = Some(1);
    assert!(alone("6.12.0", own).native.is_yes());
}

#[test]
fn veth_looks_at_its_peer() {
    let [mut one, mut other] = veth(1, "veth0", "veth1");
    other.link.mtu = 3507;
    one.channels = Some(Channels {
        rx: (1, 4),
        tx: (1, 4),
        combined: (0, 0),
    });
    other.channels = Some(Channels {
        rx: (2, 4),
        tx: (2, 4),
        combined: (0, 0),
    });
    let both = snapshot("6.12.0", vec![one.clone(), other]);
    assert_no(
        &verdicts(&both, "veth0").native,
        "ip link set dev veth1 mtu 3506, or build the program as xdp.frags; and ethtool -L veth0 rx 2",
    );
    assert!(verdicts(&both, "veth1").native.is_yes());
    assert_no(&verdicts(&both, "veth1").redirect_target, "GRO, on veth0");

    one.link.lower_netns = Some(2);
    let elsewhere = snapshot("6.12.0", vec![one.clone()]);
    assert_unknown(
        &verdicts(&elsewhere, "veth0").native,
        "another network namespace",
    );
    assert!(
        with(
            &elsewhere,
            "veth0",
            Needs {
                frags: true,
                ..Needs::default()
            }
        )
        .native
        .is_yes()
    );
    one.remote_peer = Some(Box::new(Link {
        mtu: 1500,
        ..Link::default()
    }));
    assert!(alone("6.12.0", one.clone()).native.is_yes());
    // The driver counts the peer's queues into what it advertises.
    one.advertised = Some(kernel::netlink::netdev::NetdevFeatures::default());
    assert_no(&alone("6.12.0", one).native, "receive queue");
}

#[test]
fn nfp_needs_its_bpf_firmware() {
    assert_yes(
        &alone("6.12.0", nic(1, "eth0", "nfp", BASIC | OFFLOAD)).offload,
        EvidenceKind::Advertised,
    );
    assert_no(
        &alone("6.12.0", nic(1, "eth0", "nfp", BASIC)).offload,
        "agilio-bpf-firmware",
    );
    let old = |firmware: Option<&str>| {
        let mut facts = silent(nic(1, "eth0", "nfp", 0));
        facts.firmware = firmware.map(str::to_owned);
        alone("5.15.0", facts).offload
    };
    assert_yes(
        &old(Some("0.0.3.5 0.25 bpf-2.0.6.124 bpf")),
        EvidenceKind::Observed,
    );
    assert_no(
        &old(Some("0.0.3.5 0.25 nic-2.1.16.1 nic")),
        "agilio-bpf-firmware",
    );
    assert_unknown(&old(None), "firmware");
}

#[test]
fn a_trial_objects_where_it_would_disturb() {
    let objection =
        |facts: &Facts| probe::trial::objection(facts).map(|objection| objection.reason);
    let igb = nic(1, "eth0", "igb", BASIC);
    assert!(objection(&igb).is_some_and(|reason| reason.contains("link down")));
    let mut down = igb.clone();
    down.link.flags = 0;
    assert_eq!(objection(&down), None);
    assert_eq!(objection(&nic(1, "eth0", "virtio_net", BASIC)), None);
    assert!(
        objection(&nic(1, "eth0", "newnic", BASIC)).is_some(),
        "nobody knows what it does"
    );
    let [mut one, other] = veth(1, "veth0", "veth1");
    assert_eq!(objection(&other), None);
    one.link.xdp.generic = Some(3);
    assert!(objection(&one).is_some_and(|reason| reason.contains("program 3")));
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    let host = snapshot("6.12.0", vec![nic(1, "enp1s0f0", "ice", BASIC)]);
    let similar = |name: &str| match host.by_name(name) {
        Err(probe::Error::NoSuchInterface { similar, .. }) => similar,
        other => panic!("{other:?}"),
    };
    assert_eq!(similar("enp1s0f1").as_deref(), Some("enp1s0f0"));
    assert_eq!(similar("lo"), None);
}
