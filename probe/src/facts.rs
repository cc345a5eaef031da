//! What the kernel says about this host and its interfaces, before anybody judges it.

use std::collections::HashMap;

use kernel::host::{Capabilities, KernelRelease, Lockdown};
use kernel::netlink::ethtool::{Channels, OffloadFeatures, Rings};
use kernel::netlink::link::{Link, Mode};
use kernel::netlink::netdev::NetdevFeatures;

use crate::{Error, Result};

/// The host and all interfaces of the current network namespace at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What holds for every interface.
    pub host: Host,
    interfaces: Vec<Facts>,
    position: HashMap<u32, usize>,
}

/// What holds for every interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The running kernel.
    pub release: KernelRelease,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// The kernel's lockdown mode.
    pub lockdown: Lockdown,
    /// Whether the kernel has the netdev generic netlink family (since 6.3), so that drivers can advertise.
    pub netdev_family: bool,
    /// CPUs that the kernel may ever bring up (`nr_cpu_ids`); virtio_net wants as many extra tx queues.
    pub possible_cpus: u32,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What rtnetlink says.
    pub link: Link,
    /// The driver, where anything names one; loopback has none.
    pub driver: Option<Driver>,
    /// Bus address such as "0000:00:03.0"; `None` where the driver gives none.
    pub bus_info: Option<String>,
    /// Firmware version; `None` where the driver gives none.
    pub firmware: Option<String>,
    /// What the driver advertises; `None` on kernels without the netdev family.
    pub advertised: Option<NetdevFeatures>,
    /// Queues, where the driver tells.
    pub channels: Option<Channels>,
    /// Ring sizes, where the driver tells.
    pub rings: Option<Rings>,
    /// LRO, GRO and checksum offloads.
    pub offloads: OffloadFeatures,
    /// The other end of a veth that lives in another network namespace, where it could be read
    /// (needs `CAP_NET_ADMIN` there).
    pub remote_peer: Option<Box<Link>>,
    /// Names and tags of the attached programs; empty without the privilege to ask bpf(2).
    pub programs: Vec<AttachedProgram>,
}

/// A driver's name and who told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Such as "virtio_net".
    pub name: String,
    /// Where the name comes from.
    pub source: DriverSource,
}

/// Who named a driver, most reliable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverSource {
    /// The `ETHTOOL_GDRVINFO` ioctl.
    Ethtool,
    /// The parent device's `driver` link in sysfs.
    ParentDevice,
    /// `IFLA_INFO_KIND`: software devices are named after their driver.
    Kind,
}

/// A program that is attached to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Where it runs.
    pub mode: Mode,
    /// The kernel's id of the program.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The SHA of its instructions, 16 hex digits.
    pub tag: String,
}

/// Reads the host and every interface of the current network namespace: one dump for each source,
/// no request per interface. Needs no privilege.
pub fn collect() -> Result<Snapshot> {
    todo!()
}

impl Snapshot {
    /// A snapshot of given parts, for tests.
    pub fn new(host: Host, interfaces: Vec<Facts>) -> Self {
        let position = interfaces
            .iter()
            .enumerate()
            .map(|(position, facts)| (facts.link.ifindex, position))
            .collect();
        Self {
            host,
            interfaces,
            position,
        }
    }

    /// All interfaces, in the kernel's order.
    pub fn interfaces(&self) -> &[Facts] {
        &self.interfaces
    }

    /// The interface with this index.
    pub fn by_index(&self, ifindex: u32) -> Option<&Facts> {
        self.position
            .get(&ifindex)
            .map(|&position| &self.interfaces[position])
    }

    /// The interface with this name.
    pub fn by_name(&self, name: &str) -> Result<&Facts> {
        self.interfaces
            .iter()
            .find(|facts| facts.link.name == name)
            .ok_or_else(|| Error::NoSuchInterface {
                name: name.to_owned(),
                similar: None,
            })
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            release: KernelRelease {
                text: String::new(),
                version: (0, 0),
                code: 0,
            },
            capabilities: Capabilities::default(),
            lockdown: Lockdown::None,
            netdev_family: true,
            possible_cpus: 1,
        }
    }
}
