//! The netdev generic netlink family (since 6.3, Documentation/netlink/specs/netdev.yaml).

/// NETDEV_CMD_DEV_GET's answer for one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetdevFeatures {
    /// Interface index.
    pub ifindex: u32,
    /// NETDEV_A_DEV_XDP_FEATURES, bits of [`XdpFeature`]; unknown bits are kept.
    pub xdp: u64,
    /// NETDEV_A_DEV_XDP_RX_METADATA_FEATURES: 1 timestamp, 2 hash, 4 vlan-tag.
    pub rx_metadata: u64,
    /// NETDEV_A_DEV_XSK_FEATURES: 1 tx-timestamp, 2 tx-checksum, 4 tx-launch-time-fifo.
    pub xsk: u64,
    /// NETDEV_A_DEV_XDP_ZC_MAX_SEGS, present only with `xsk-zerocopy`.
    pub zc_max_segs: Option<u32>,
}

/// One bit of `xdp-features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum XdpFeature {
    /// XDP_ABORTED, DROP, PASS and TX in native mode.
    Basic = 1,
    /// XDP_REDIRECT from this device.
    Redirect = 2,
    /// XDP_REDIRECT to this device (`ndo_xdp_xmit`).
    NdoXmit = 4,
    /// AF_XDP zero-copy.
    XskZerocopy = 8,
    /// Offload to the NIC.
    HwOffload = 16,
    /// Multi-buffer packets in native mode.
    RxSg = 32,
    /// Multi-buffer packets redirected to this device.
    NdoXmitSg = 64,
}

impl XdpFeature {
    /// All known bits, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Basic,
        Self::Redirect,
        Self::NdoXmit,
        Self::XskZerocopy,
        Self::HwOffload,
        Self::RxSg,
        Self::NdoXmitSg,
    ];

    /// The name of netdev.yaml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Redirect => "redirect",
            Self::NdoXmit => "ndo-xmit",
            Self::XskZerocopy => "xsk-zerocopy",
            Self::HwOffload => "hw-offload",
            Self::RxSg => "rx-sg",
            Self::NdoXmitSg => "ndo-xmit-sg",
        }
    }
}

impl NetdevFeatures {
    /// Whether the driver advertises `feature` now (features change with what is attached).
    pub fn has(&self, feature: XdpFeature) -> bool {
        self.xdp & feature as u64 != 0
    }
}

/// A socket to the netdev family.
pub struct Netdev {}

impl Netdev {
    /// `None`: this kernel has no such family (before 6.3).
    pub fn open() -> crate::Result<Option<Self>> {
        todo!()
    }

    /// All interfaces of the network namespace.
    pub fn dump(&mut self) -> crate::Result<Vec<NetdevFeatures>> {
        todo!()
    }

    /// One interface; a missing one is `Refused` with ENODEV.
    pub fn get(&mut self, ifindex: u32) -> crate::Result<NetdevFeatures> {
        let _ = ifindex;
        todo!()
    }
}
