//! Reading the facts: one dump for each source, however many interfaces there are.

use std::collections::HashMap;
use std::fs;

use kernel::Errno;
use kernel::bpf::program::Program;
use kernel::host::{Capabilities, KernelRelease, Lockdown, page_size, possible_cpus};
use kernel::netlink::ethtool::{
    Channels, DriverInfo, DriverInfoReader, Ethtool, OffloadFeatures, Rings, Target,
};
use kernel::netlink::link::{Link, Route};
use kernel::netlink::netdev::{Netdev, NetdevFeatures};

use super::{AttachedProgram, Driver, DriverSource, Facts, Host, Snapshot};
use crate::Result;

/// Reads the host and every interface of the calling thread's network namespace. Needs no privilege; what only a
/// privilege opens (names of programs, veth peers in other namespaces) is left out without it.
pub fn collect() -> Result<Snapshot> {
    let mut route = Route::open()?;
    let links = route.links()?;
    tracing::debug!(interfaces = links.len(), "read links");
    let advertised = match Netdev::open()? {
        Some(mut netdev) => Some(netdev.dump()?),
        None => None,
    };
    let mut told = Told {
        advertised: advertised.map(|all| all.into_iter().map(|one| (one.ifindex, one)).collect()),
        ..Told::default()
    };
    if let Some(mut ethtool) = Ethtool::open()? {
        told.channels = ethtool.channels(Target::All)?;
        told.rings = ethtool.rings(Target::All)?;
        told.offloads = ethtool.features(Target::All)?;
    }
    snapshot(&mut route, links, told)
}

/// Reads the host and these interfaces, with those that decide with them what works: a veth's peer, the device below
/// a vlan, the master. A few requests for each, however many interfaces there are. What is stacked on top of them is
/// not looked for; of a bond or a team, whose ports decide, everything is read.
pub fn collect_for<S: AsRef<str>>(names: &[S]) -> Result<Snapshot> {
    let mut route = Route::open()?;
    let mut links: Vec<Link> = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        match route.link_by_name(name) {
            Ok(link) => add_with_related(&mut route, link, &mut links),
            Err(error) if error.errno() == Some(Errno::EPERM) => return Err(error.into()),
            // Not there, or no name that an interface can have: the search among all says what comes close.
            Err(_) => {
                collect()?.by_name(name)?;
                return collect();
            }
        }
    }
    let ports_decide = |link: &Link| matches!(link.kind.as_deref(), Some("bond" | "team"));
    if links.iter().any(ports_decide) {
        return collect();
    }
    let mut told = Told::default();
    if let Some(mut netdev) = Netdev::open()? {
        let mut advertised = HashMap::new();
        for link in &links {
            if let Some(one) = unless_gone(netdev.get(link.ifindex))? {
                advertised.insert(link.ifindex, one);
            }
        }
        told.advertised = Some(advertised);
    }
    if let Some(mut ethtool) = Ethtool::open()? {
        for link in &links {
            let target = Target::One(link.ifindex);
            told.channels
                .extend(unless_gone(ethtool.channels(target))?.unwrap_or_default());
            told.rings
                .extend(unless_gone(ethtool.rings(target))?.unwrap_or_default());
            told.offloads
                .extend(unless_gone(ethtool.features(target))?.unwrap_or_default());
        }
    }
    snapshot(&mut route, links, told)
}

/// Adds an interface and what it hangs on, unless it is among them already.
fn add_with_related(route: &mut Route, link: Link, links: &mut Vec<Link>) {
    let mut waiting = vec![link];
    while let Some(link) = waiting.pop() {
        if links.iter().any(|known| known.ifindex == link.ifindex) {
            continue;
        }
        let here = link.lower.filter(|_| link.lower_netns.is_none());
        for index in here.into_iter().chain(link.master) {
            if links.iter().all(|known| known.ifindex != index) {
                // Gone since: then it decides nothing any more.
                waiting.extend(route.link_by_index(index));
            }
        }
        links.push(link);
    }
}

/// What an interface told that vanished meanwhile: nothing.
fn unless_gone<T>(answer: kernel::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the generic netlink families told, by ifindex.
#[derive(Default)]
struct Told {
    /// `None`: the kernel has no netdev family.
    advertised: Option<HashMap<u32, NetdevFeatures>>,
    channels: HashMap<u32, Channels>,
    rings: HashMap<u32, Rings>,
    offloads: HashMap<u32, OffloadFeatures>,
}

/// Puts together what was told about `links`.
fn snapshot(route: &mut Route, links: Vec<Link>, mut told: Told) -> Result<Snapshot> {
    let host = read_host(told.advertised.is_some())?;
    let reader = DriverInfoReader::open()?;
    let mut interfaces = Vec::with_capacity(links.len());
    for link in links {
        let index = link.ifindex;
        let info = match reader.read(&link.name) {
            Ok(info) => info,
            // Gone, or renamed, since the dump.
            Err(error) if error.errno() == Some(Errno::ENODEV) => None,
            Err(error) => return Err(error.into()),
        };
        let mut facts = Facts {
            driver: name_driver(info.as_ref(), &link),
            driver_version: info
                .as_ref()
                .and_then(|info| known(&info.version))
                .filter(|version| *version != host.release.text),
            bus_info: info.as_ref().and_then(|info| known(&info.bus_info)),
            firmware: info.as_ref().and_then(|info| known(&info.firmware)),
            // An interface younger than the dump advertises as little as one that has nothing.
            advertised: told.advertised.as_mut().map(|all| {
                all.remove(&index).unwrap_or(NetdevFeatures {
                    ifindex: index,
                    ..NetdevFeatures::default()
                })
            }),
            channels: told.channels.remove(&index),
            rings: told.rings.remove(&index),
            offloads: told.offloads.remove(&index).unwrap_or_default(),
            remote_peer: None,
            virtio_features: virtio_features(&link),
            programs: Vec::new(),
            link,
        };
        if facts.bus_info.is_none() {
            facts.bus_info.clone_from(&facts.link.parent_device);
        }
        if let (Some("veth"), Some(netns), Some(peer)) = (
            facts.link.kind.as_deref(),
            facts.link.lower_netns,
            facts.link.lower,
        ) {
            // Not permitted and already gone are the same here: not to be seen.
            facts.remote_peer = route.link_in_netns(netns, peer).ok().map(Box::new);
        }
        for (mode, id) in facts.link.xdp.iter() {
            match Program::from_id(id).and_then(|program| program.info()) {
                Ok(info) => facts.programs.push(AttachedProgram {
                    mode,
                    id,
                    tag: info.tag_text(),
                    name: info.name,
                }),
                Err(error) => tracing::debug!(id, %error, "no name and tag of an attached program"),
            }
        }
        interfaces.push(facts);
    }
    Ok(Snapshot::new(host, interfaces))
}

fn read_host(netdev_family: bool) -> Result<Host> {
    Ok(Host {
        release: KernelRelease::read(),
        capabilities: Capabilities::read()?,
        lockdown: Lockdown::read(),
        netdev_family,
        possible_cpus: possible_cpus()?,
        page_size: page_size(),
        af_xdp: has_af_xdp(),
    })
}

/// AF_XDP registers itself as a protocol called XDP.
fn has_af_xdp() -> Option<bool> {
    let protocols = fs::read_to_string("/proc/thread-self/net/protocols").ok()?;
    Some(
        protocols
            .lines()
            .any(|line| line.split_whitespace().next() == Some("XDP")),
    )
}

/// Drivers without a firmware or a bus give nothing, or "N/A" in words.
fn known(text: &str) -> Option<String> {
    (!text.is_empty() && text != "N/A").then(|| text.to_owned())
}

/// The ioctl, then the parent device, then sysfs, then the kind.
fn name_driver(told: Option<&DriverInfo>, link: &Link) -> Option<Driver> {
    let from = |source, name| Driver { name, source };
    told.map(|told| told.driver.as_str())
        .and_then(known)
        .map(|name| from(DriverSource::Ethtool, name))
        .or_else(|| parent_driver(link).map(|name| from(DriverSource::ParentDevice, name)))
        .or_else(|| link.kind.clone().map(|name| from(DriverSource::Kind, name)))
}

/// The driver of the parent device, which is the same in every network namespace. Kernels before 5.14 do not name
/// the parent over netlink, so there the way leads through /sys/class/net, which shows the namespace that /sys was
/// mounted in: an interface of ours only if index and address are ours too.
fn parent_driver(link: &Link) -> Option<String> {
    let path = match (&link.parent_bus, &link.parent_device) {
        (Some(bus), Some(device)) if is_file_name(bus) && is_file_name(device) => {
            format!("/sys/bus/{bus}/devices/{device}/driver")
        }
        _ => {
            let folder = format!("/sys/class/net/{}", link.name);
            let read = |file| fs::read_to_string(format!("{folder}/{file}")).ok();
            let index: u32 = read("ifindex")?.trim().parse().ok()?;
            if index != link.ifindex || read("address")?.trim() != text_of(&link.address) {
                return None;
            }
            format!("{folder}/device/driver")
        }
    };
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// The feature bits that a virtio driver has accepted: characters 0 and 1 in sysfs, bit 0 first.
fn virtio_features(link: &Link) -> Option<u64> {
    let device = link
        .parent_device
        .as_ref()
        .filter(|device| is_file_name(device))?;
    if link.parent_bus.as_deref() != Some("virtio") {
        return None;
    }
    let bits = fs::read_to_string(format!("/sys/bus/virtio/devices/{device}/features")).ok()?;
    Some(
        bits.bytes()
            .take(64)
            .enumerate()
            .fold(0, |features, (bit, digit)| {
                features | (u64::from(digit == b'1') << bit)
            }),
    )
}

/// Whether a name from the kernel stays within the folder it is looked up in.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.')
}

/// A hardware address as sysfs writes it.
fn text_of(address: &[u8]) -> String {
    address
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}
