//! What the kernel says about this host and its interfaces, before anybody judges it.

mod collect;

use std::collections::HashMap;

use kernel::host::{Capabilities, KernelRelease, Lockdown};
use kernel::netlink::ethtool::{Channels, OffloadFeatures, Rings};
use kernel::netlink::link::{Link, Mode};
use kernel::netlink::netdev::{NetdevFeatures, XdpFeature};

use crate::drivers;
use crate::{Error, Result};

pub use collect::{collect, collect_for};

/// The host and all interfaces of the current network namespace at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What holds for every interface.
    pub host: Host,
    interfaces: Vec<Facts>,
    position: HashMap<u32, usize>,
    above: HashMap<u32, Vec<usize>>,
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
    /// Bytes; the MTU limits of drivers follow it.
    pub page_size: u32,
    /// Whether the kernel has AF_XDP sockets (/proc/net/protocols); `None` where that could not be read.
    pub af_xdp: Option<bool>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What rtnetlink says.
    pub link: Link,
    /// The driver, where anything names one; loopback has none.
    pub driver: Option<Driver>,
    /// The driver's version; `None` where it has none of its own: in-tree drivers give the kernel's release.
    pub driver_version: Option<String>,
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
    /// The feature bits that a virtio device and its driver agreed on (sysfs), bit 0 lowest.
    pub virtio_features: Option<u64>,
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

impl Snapshot {
    /// A snapshot of given parts, for tests.
    pub fn new(host: Host, interfaces: Vec<Facts>) -> Self {
        let mut position = HashMap::with_capacity(interfaces.len());
        let mut above: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, facts) in interfaces.iter().enumerate() {
            position.insert(facts.link.ifindex, index);
            for below in [facts.link.master, facts.stacked_on()] {
                // A port lies below its master, a vlan above its lower device.
                let Some(below) = below else { continue };
                above.entry(below).or_default().push(index);
            }
        }
        Self {
            host,
            interfaces,
            position,
            above,
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
                similar: closest(
                    name,
                    self.interfaces.iter().map(|facts| facts.link.name.as_str()),
                ),
            })
    }

    /// The ports of a bridge, bond or team.
    pub fn ports<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Facts> {
        self.related(facts)
            .filter(|other| other.link.master == Some(facts.link.ifindex))
    }

    /// The devices directly above this one: its master, and what is stacked on it (vlan, macvlan, vxlan, ...).
    /// The kernel takes no program on an interface while one of these holds one.
    pub fn uppers<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Facts> {
        let stacked = self
            .related(facts)
            .filter(|other| other.stacked_on() == Some(facts.link.ifindex));
        facts
            .link
            .master
            .and_then(|master| self.by_index(master))
            .into_iter()
            .chain(stacked)
    }

    /// The device that this one is stacked on, if it lives in this network namespace.
    pub fn lower(&self, facts: &Facts) -> Option<&Facts> {
        self.by_index(facts.stacked_on()?)
    }

    /// Interfaces that name this one as their master or lower device.
    fn related(&self, facts: &Facts) -> impl Iterator<Item = &Facts> {
        self.above
            .get(&facts.link.ifindex)
            .into_iter()
            .flatten()
            .map(|&position| &self.interfaces[position])
    }
}

/// The name that is at most two edits away, the closest first.
fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|other| (edits(name, other), other))
        .filter(|&(edits, _)| edits <= 2)
        .min()
        .map(|(_, other)| other.to_owned())
}

/// Levenshtein's distance between two interface names (at most 15 bytes each).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `IFLA_INFO_KIND`s whose `IFLA_LINK` is a device below them; for others it is a peer or a tunnel's path.
const STACKED: [&str; 8] = [
    "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "vxlan", "rmnet",
];

/// ARPHRD_LOOPBACK (include/uapi/linux/if_arp.h).
const ARPHRD_LOOPBACK: u16 = 772;

impl Facts {
    /// The index of the device that this one is stacked on, within the same network namespace.
    fn stacked_on(&self) -> Option<u32> {
        let kind = self.link.kind.as_deref()?;
        if self.link.lower_netns.is_some() || !STACKED.contains(&kind) {
            return None;
        }
        self.link.lower
    }

    /// The driver's name, or the kind of a device whose driver gives none.
    pub fn driver_name(&self) -> Option<&str> {
        self.driver.as_ref().map(|driver| driver.name.as_str())
    }

    /// What to call the driver in a sentence: some give a sentence as their name ("802.1Q VLAN Support").
    pub fn driver_label(&self) -> &str {
        match self.driver_name() {
            _ if self.is_loopback() => "loopback",
            Some(name) if name.contains(' ') => self.link.kind.as_deref().unwrap_or(name),
            Some(name) => name,
            None => "the driver",
        }
    }

    /// Whether this is a loopback device, which has no driver.
    pub fn is_loopback(&self) -> bool {
        self.link.hardware_type == ARPHRD_LOOPBACK
    }

    /// Whether the driver advertises `feature` now; `false` too where nothing is advertised.
    pub fn advertises(&self, feature: XdpFeature) -> bool {
        self.advertised
            .as_ref()
            .is_some_and(|advertised| advertised.has(feature))
    }

    /// This interface's row of the shipped driver table.
    pub fn driver_row(&self) -> Option<&'static drivers::Driver> {
        if self.is_loopback() {
            return drivers::by_kind("loopback");
        }
        let by_name = self.driver_name().and_then(drivers::by_name);
        by_name.or_else(|| self.link.kind.as_deref().and_then(drivers::by_kind))
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
            page_size: 4096,
            af_xdp: None,
        }
    }
}
