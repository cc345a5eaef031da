//! Interfaces that this machine does not have, as facts.

#![allow(dead_code, reason = "each test takes what it needs")]

use kernel::host::{Capabilities, KernelRelease, Lockdown};
use kernel::netlink::ethtool::{Channels, FeatureState, Rings};
use kernel::netlink::link::{AttachedXdp, Bond, Link, Mode, OperState};
use kernel::netlink::netdev::NetdevFeatures;
use probe::facts::{AttachedProgram, Driver, DriverSource};
use probe::{Facts, Host, Snapshot};

pub(crate) const ON: FeatureState = FeatureState {
    active: true,
    changeable: true,
    wanted: true,
};
pub(crate) const ON_FIXED: FeatureState = FeatureState {
    active: true,
    changeable: false,
    wanted: false,
};

/// xdp-features.
pub(crate) const BASIC: u64 = 1;
pub(crate) const REDIRECT: u64 = 2;
pub(crate) const XMIT: u64 = 4;
pub(crate) const ZEROCOPY: u64 = 8;
pub(crate) const OFFLOAD: u64 = 16;
pub(crate) const RX_SG: u64 = 32;

/// A host that runs `release`; its drivers advertise from 6.3 on.
pub(crate) fn host(release: &str) -> Host {
    let release = KernelRelease::parse(release);
    Host {
        netdev_family: release.version >= (6, 3),
        release,
        capabilities: Capabilities {
            bpf: true,
            net_admin: true,
            sys_admin: true,
            net_raw: true,
            perfmon: true,
        },
        lockdown: Lockdown::None,
        possible_cpus: 4,
        page_size: 4096,
        af_xdp: Some(true),
    }
}

/// A NIC on PCI that is up, with MTU 1500.
pub(crate) fn nic(ifindex: u32, name: &str, driver: &str, features: u64) -> Facts {
    Facts {
        link: Link {
            ifindex,
            name: name.to_owned(),
            hardware_type: 1,
            flags: 1,
            mtu: 1500,
            mtu_range: (68, 9600),
            operstate: OperState::Up,
            carrier: true,
            rx_queues: 8,
            tx_queues: 8,
            parent_bus: Some("pci".to_owned()),
            parent_device: Some("0000:01:00.0".to_owned()),
            ..Link::default()
        },
        driver: Some(Driver {
            name: driver.to_owned(),
            source: DriverSource::Ethtool,
        }),
        driver_version: None,
        bus_info: Some("0000:01:00.0".to_owned()),
        advertised: Some(NetdevFeatures {
            ifindex,
            xdp: features,
            ..NetdevFeatures::default()
        }),
        channels: Some(combined(4, 8)),
        ..Facts::default()
    }
}

/// A software device.
pub(crate) fn software(ifindex: u32, name: &str, kind: &str, features: u64) -> Facts {
    let mut facts = nic(
        ifindex,
        name,
        if kind == "bond" { "bonding" } else { kind },
        features,
    );
    facts.link.kind = Some(kind.to_owned());
    facts.link.parent_bus = None;
    facts.link.parent_device = None;
    facts.bus_info = None;
    facts.channels = None;
    facts
}

/// Both ends of a veth.
pub(crate) fn veth(ifindex: u32, name: &str, peer: &str) -> [Facts; 2] {
    let mut ends =
        [(ifindex, name, ifindex + 1), (ifindex + 1, peer, ifindex)].map(|(index, name, other)| {
            let mut end = software(index, name, "veth", BASIC | REDIRECT | RX_SG);
            end.link.lower = Some(other);
            end.channels = Some(Channels {
                rx: (1, 4),
                tx: (1, 4),
                combined: (0, 0),
            });
            end
        });
    ends[0].link.ifindex = ifindex;
    ends
}

pub(crate) fn combined(now: u32, max: u32) -> Channels {
    Channels {
        combined: (now, max),
        ..Channels::default()
    }
}

/// A snapshot in which `facts` are all interfaces.
pub(crate) fn snapshot(release: &str, facts: Vec<Facts>) -> Snapshot {
    Snapshot::new(host(release), facts)
}

/// The same facts as an older kernel gives them: nothing is advertised.
pub(crate) fn silent(mut facts: Facts) -> Facts {
    facts.advertised = None;
    facts
}

/// A host with a bit of everything.
pub(crate) fn zoo() -> Snapshot {
    let mut lo = software(1, "lo", "", 0);
    lo.driver = None;
    lo.link.kind = None;
    lo.link.hardware_type = 772;
    lo.link.mtu = 65536;
    lo.link.operstate = OperState::Unknown;

    let mut virtio = nic(2, "eth0", "virtio_net", BASIC | REDIRECT | ZEROCOPY | RX_SG);
    virtio.channels = Some(combined(1, 1));
    virtio.offloads.gro_hw = Some(ON_FIXED);
    virtio.rings = Some(Rings {
        rx: (256, 256),
        tx: (256, 256),
    });
    virtio.virtio_features = Some(1 << 1 | 1 << 7 | 1 << 32);

    let mut ena = nic(3, "ens5", "ena", BASIC | REDIRECT);
    ena.link.mtu = 9001;
    ena.channels = Some(combined(8, 8));

    let mut mlx5 = nic(
        4,
        "enp1s0f0",
        "mlx5_core",
        BASIC | REDIRECT | ZEROCOPY | RX_SG,
    );
    mlx5.firmware = Some("22.36.1010".to_owned());
    mlx5.offloads.lro = Some(ON);
    mlx5.bus_info = Some("0000:5e:00.0".to_owned());

    let mut ice = nic(5, "enp2s0", "ice", BASIC | REDIRECT | ZEROCOPY | RX_SG);
    ice.link.xdp = AttachedXdp {
        native: Some(17),
        ..AttachedXdp::default()
    };
    ice.programs = vec![AttachedProgram {
        mode: Mode::Native,
        id: 17,
        name: "xdp_firewall".to_owned(),
        tag: "3b185187f1855c4c".to_owned(),
    }];

    let mut nfp = nic(6, "enp3s0np0", "nfp", BASIC | OFFLOAD);
    nfp.firmware = Some("0.0.3.5 0.25 bpf-2.0.6.124 bpf".to_owned());

    let [mut veth0, veth1] = veth(7, "veth0", "veth1");
    veth0.link.master = Some(10);
    let mut vlan = software(9, "enp2s0.100", "vlan", 0);
    vlan.driver = Some(Driver {
        name: "802.1Q VLAN Support".to_owned(),
        source: DriverSource::Ethtool,
    });
    vlan.link.lower = Some(5);
    let bridge = software(10, "br0", "bridge", 0);
    let mut bond = software(11, "bond0", "bond", 0);
    bond.link.bond = Some(Bond {
        mode: 5,
        xmit_hash_policy: 0,
    });
    let e1000e = nic(12, "eno1", "e1000e", 0);
    Snapshot::new(
        host("6.12.9"),
        vec![
            lo, virtio, ena, mlx5, ice, nfp, veth0, veth1, vlan, bridge, bond, e1000e,
        ],
    )
}
