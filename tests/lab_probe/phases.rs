//! The states in which interfaces are looked at. Each phase goes on from the one before.

/// A state of the machine.
pub(crate) struct Phase {
    /// What is special about it.
    pub(crate) name: &'static str,
    /// Lines for `ip -batch` that make it.
    pub(crate) links: &'static str,
    /// Shell commands that follow them.
    pub(crate) settings: &'static str,
    /// The interfaces that are looked at in it.
    pub(crate) interfaces: &'static [&'static str],
}

/// The machine's NICs.
pub(crate) const NICS: [&str; 14] = [
    "virtio-net,name=virtio0",
    "virtio-net,name=virtiomq0,queues=4",
    "virtio-net,name=viommu0,iommu_platform=on,disable-legacy=on",
    "igb,name=igb0",
    "vmxnet3,name=vmxnet0",
    "e1000,name=e1000x0",
    "e1000e,name=e1000e0",
    "rtl8139,name=rtl0",
    "pcnet,name=pcnet0",
    "tulip,name=tulip0",
    "ne2k,name=ne2k0",
    "usb-net,name=usbnet0",
    "netdevsim,name=sim0",
    "nfpsim,name=nfp0",
];

/// Those of them with a cable, whose carrier comes by itself when they are up.
pub(crate) const WIRED: [&str; 11] = [
    "virtio0",
    "virtiomq0",
    "viommu0",
    "igb0",
    "vmxnet0",
    "e1000x0",
    "e1000e0",
    "rtl0",
    "pcnet0",
    "tulip0",
    "usbnet0",
];

/// Interfaces of every driver as they come, then what drivers make conditions of.
pub(crate) const PHASES: [Phase; 7] = [
    Phase {
        name: "as they come",
        links: "
            link add plain0 type veth peer name plain1
            link set dev plain0 up
            link set dev plain1 up
            link add down0 type veth peer name down1
            link add v3506 type veth peer name p3506
            link set dev p3506 mtu 3506
            link add v3507 type veth peer name p3507
            link set dev p3507 mtu 3507
            link add v9000 type veth peer name p9000
            link set dev p9000 mtu 9000
            link add fewrx numrxqueues 1 numtxqueues 1 type veth peer name manytx numrxqueues 4 numtxqueues 4
            link add even numrxqueues 1 numtxqueues 1 type veth peer name evenp numrxqueues 4 numtxqueues 4
            link add remote9k type veth peer name remote9k mtu 9000 netns elsewhere
            tuntap add tap0 mode tap
            tuntap add tap9k mode tap multi_queue
            link set dev tap9k mtu 9000
            tuntap add tun0 mode tun
            link add bridge0 type bridge
            link add portof type veth peer name portofp
            link set dev portof master bridge0
            link add link plain1 name vlan9 type vlan id 9
            link add link plain1 name macvlan9 type macvlan
            link add dummy9 type dummy
            link add vxlan9 type vxlan id 9 dstport 4789
            link add netkit9 type netkit
            link add team0 type team
            link add teamveth type team
            link add inteam type veth peer name inteamp
            link set dev inteam master teamveth
            link add bondno type bond mode active-backup
            link add bondrr type bond mode balance-rr
            link add bondxor type bond mode balance-xor
            link add bondbc type bond mode broadcast
            link add bondtlb type bond mode balance-tlb
            link add bondalb type bond mode balance-alb
            link add bondad type bond mode 802.3ad xmit_hash_policy layer3+4
            link add bondvs type bond mode 802.3ad xmit_hash_policy vlan+srcmac
            link add bondveth type bond mode active-backup
            link add inbond type veth peer name inbondp
            link set dev inbond master bondveth
            link add bonddummy type bond mode active-backup
            link add inbond2 type veth peer name inbond2p
            link add indummy type dummy
            link set dev inbond2 master bonddummy
            link set dev indummy master bonddummy",
        settings: "ethtool -L evenp tx 1",
        interfaces: &[
            "lo", "virtio0", "virtiomq0", "viommu0", "igb0", "vmxnet0", "e1000x0", "e1000e0", "rtl0", "pcnet0", "tulip0", "ne2k0",
            "usbnet0", "sim0", "nfp0", "plain0", "plain1", "down0", "v3506", "v3507", "v9000", "fewrx", "even", "remote9k", "tap0", "tap9k",
            "tun0", "bridge0", "portof", "vlan9", "macvlan9", "dummy9", "vxlan9", "netkit9", "team0", "teamveth", "inteam", "bondno",
            "bondrr", "bondxor", "bondbc", "bondtlb", "bondalb", "bondad", "bondvs", "bondveth", "inbond", "bonddummy", "inbond2",
            "indummy",
        ],
    },
    Phase {
        name: "the MTU at the limit, no LRO, more queues",
        links: "
            link set dev virtio0 mtu 3506
            link set dev viommu0 mtu 3814
            link set dev igb0 mtu 3046
            link set dev vmxnet0 mtu 3494
            link set dev sim0 mtu 4000
            link set dev nfp0 mtu 4096",
        settings: "
            ethtool -K vmxnet0 lro off
            ethtool -L virtiomq0 combined 4",
        interfaces: &["virtio0", "virtiomq0", "viommu0", "igb0", "vmxnet0", "sim0", "nfp0"],
    },
    Phase {
        name: "the MTU above the limit",
        links: "
            link set dev virtio0 mtu 3507
            link set dev virtiomq0 mtu 9000
            link set dev viommu0 mtu 3815
            link set dev igb0 mtu 3047
            link set dev vmxnet0 mtu 3495
            link set dev sim0 mtu 4001
            link set dev e1000e0 mtu 9000",
        settings: "",
        interfaces: &["virtio0", "virtiomq0", "viommu0", "igb0", "vmxnet0", "sim0", "e1000e0"],
    },
    Phase {
        name: "down",
        links: "
            link set dev virtio0 down mtu 1500
            link set dev virtiomq0 down mtu 1500
            link set dev viommu0 down mtu 1500
            link set dev igb0 down mtu 1500
            link set dev vmxnet0 down mtu 1500
            link set dev e1000x0 down mtu 1500
            link set dev sim0 down mtu 1500",
        settings: "ethtool -L virtiomq0 combined 2",
        interfaces: &["virtio0", "virtiomq0", "viommu0", "igb0", "vmxnet0", "sim0", "e1000x0"],
    },
    Phase {
        name: "in bonds",
        links: "
            link add bondnics type bond mode active-backup
            link set dev igb0 master bondnics
            link set dev virtio0 master bondnics
            link add bondvmx type bond mode active-backup
            link set dev vmxnet0 master bondvmx
            link add bondold type bond mode balance-rr
            link set dev e1000x0 master bondold
            link add bondmtu type bond mode balance-rr
            link set dev virtiomq0 master bondmtu
            link set dev bondmtu mtu 9000",
        settings: "",
        interfaces: &["bondnics", "bondvmx", "bondold", "bondmtu", "igb0", "e1000x0"],
    },
    Phase {
        name: "with a program on the bond",
        links: "
            link set dev bondnics xdpdrv object pass.bpf.o section xdp
            link set dev bondveth xdpdrv object pass.bpf.o section xdp",
        settings: "",
        interfaces: &["bondnics", "bondveth", "igb0", "virtio0", "inbond"],
    },
    Phase {
        name: "with programs",
        links: "
            link set dev bondnics xdpdrv off
            link set dev bondveth xdpdrv off
            link del dev bondnics
            link del dev bondvmx
            link del dev bondold
            link del dev bondmtu
            link set dev virtio0 mtu 1500 up
            link set dev virtiomq0 mtu 1500 up
            link set dev igb0 mtu 1500 up
            link set dev vmxnet0 mtu 1500 up
            link set dev e1000x0 mtu 1500 up
            link set dev virtio0 xdpdrv object pass.bpf.o section xdp
            link set dev igb0 xdpdrv object pass.bpf.o section xdp
            link set dev sim0 xdpdrv object pass.bpf.o section xdp
            link set dev plain0 xdpdrv object pass.bpf.o section xdp
            link set dev tap0 xdpdrv object pass.bpf.o section xdp
            link set dev inbond xdpdrv object pass.bpf.o section xdp
            link set dev bondno xdpdrv object pass.bpf.o section xdp
            link set dev virtiomq0 xdpgeneric object pass.bpf.o section xdp
            link set dev vmxnet0 xdpgeneric object pass.bpf.o section xdp
            link set dev e1000x0 xdpgeneric object pass.bpf.o section xdp
            link set dev even xdpgeneric object pass.bpf.o section xdp
            link set dev macvlan9 xdpgeneric object pass.bpf.o section xdp",
        settings: "",
        interfaces: &[
            "virtio0", "virtiomq0", "igb0", "vmxnet0", "e1000x0", "sim0", "plain0", "plain1", "tap0", "even", "macvlan9", "bondveth",
            "inbond", "bondno",
        ],
    },
];

/// One interface of each driver, to which `xdp-offload attach` attaches too; none lies below another.
pub(crate) const ATTACHED: [&str; 23] = [
    "lo",
    "virtio0",
    "virtiomq0",
    "igb0",
    "vmxnet0",
    "e1000x0",
    "e1000e0",
    "rtl0",
    "pcnet0",
    "tulip0",
    "ne2k0",
    "usbnet0",
    "sim0",
    "nfp0",
    "plain0",
    "tap0",
    "tun0",
    "bridge0",
    "vlan9",
    "dummy9",
    "team0",
    "bondno",
    "bondtlb",
];
/// Of these the modes of the NIC are asked for: each takes the compiler a while.
pub(crate) const ATTACHED_HW: [&str; 7] = [
    "virtio0", "igb0", "e1000e0", "sim0", "nfp0", "plain0", "vlan9",
];
