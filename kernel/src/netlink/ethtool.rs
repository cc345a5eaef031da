//! ethtool settings that decide about XDP, over the ethtool generic netlink family
//! (Documentation/netlink/specs/ethtool.yaml); drvinfo over its ioctl, which has no netlink form.

/// What ETHTOOL_GDRVINFO says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverInfo {
    /// Driver name, such as "virtio_net".
    pub driver: String,
    /// Driver version; in-tree drivers give the kernel release.
    pub version: String,
    /// Firmware version, may be empty.
    pub firmware: String,
    /// Bus address, such as a PCI address; may be empty.
    pub bus_info: String,
}

/// ETHTOOL_MSG_CHANNELS_GET: current and maximal numbers of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Channels {
    /// Receive-only queues, current and maximum.
    pub rx: (u32, u32),
    /// Transmit-only queues, current and maximum.
    pub tx: (u32, u32),
    /// Queues that do both, current and maximum.
    pub combined: (u32, u32),
}

/// ETHTOOL_MSG_RINGS_GET: current and maximal ring sizes, in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rings {
    /// Receive ring, current and maximum.
    pub rx: (u32, u32),
    /// Transmit ring, current and maximum.
    pub tx: (u32, u32),
}

/// The device features (ETHTOOL_MSG_FEATURES_GET) that stand in XDP's way.
/// `None`: the kernel does not name the feature for this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OffloadFeatures {
    /// "large-receive-offload" / "rx-lro".
    pub lro: Option<FeatureState>,
    /// "rx-gro-hw".
    pub gro_hw: Option<FeatureState>,
    /// "rx-gro".
    pub gro: Option<FeatureState>,
    /// "rx-checksum" (virtio_net: GUEST_CSUM).
    pub rx_checksum: Option<FeatureState>,
}

/// One ethtool feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeatureState {
    /// It is on.
    pub active: bool,
    /// `ethtool -K` can change it (part of hw_features and not fixed).
    pub changeable: bool,
}

/// Which interfaces to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All of the network namespace, in one dump.
    All,
    /// The one with this ifindex.
    One(u32),
}

/// A socket to the ethtool family. In the answers, keyed by ifindex, a device that does not have the setting is
/// absent: that is a normal answer, not a failure.
pub struct Ethtool {}

impl Ethtool {
    /// `None`: this kernel has no such family (before 5.6, or built without it).
    pub fn open() -> crate::Result<Option<Self>> {
        todo!()
    }

    /// ETHTOOL_MSG_CHANNELS_GET.
    pub fn channels(
        &mut self,
        target: Target,
    ) -> crate::Result<std::collections::HashMap<u32, Channels>> {
        let _ = target;
        todo!()
    }

    /// ETHTOOL_MSG_RINGS_GET.
    pub fn rings(
        &mut self,
        target: Target,
    ) -> crate::Result<std::collections::HashMap<u32, Rings>> {
        let _ = target;
        todo!()
    }

    /// ETHTOOL_MSG_FEATURES_GET.
    pub fn features(
        &mut self,
        target: Target,
    ) -> crate::Result<std::collections::HashMap<u32, OffloadFeatures>> {
        let _ = target;
        todo!()
    }
}

/// ETHTOOL_GDRVINFO by ioctl. `None` where the device has no such answer (lo).
///
/// # Errors
/// `Refused` with ENODEV where there is no such interface.
pub fn driver_info(name: &str) -> crate::Result<Option<DriverInfo>> {
    let _ = name;
    todo!()
}
