//! Which interface of a host a NIC of the lab file is.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::queues::Channels;
use super::{Attempt, Stop};
use crate::cell::Cell;
use crate::spec::{Mode, Nic};

/// The interface that the lab file's NIC is.
pub(super) fn find(attempt: &mut Attempt<'_>, nic: &Nic) -> Result<Interface, Stop> {
    // The list of all takes as long as there are interfaces.
    let list = list(attempt, nic.ifname.as_deref())?;
    let mut macs = BTreeMap::new();
    if nic.mac.is_some() {
        // The list of the prober has no MAC addresses.
        let files: Vec<String> = list
            .iter()
            .map(|interface| format!("/sys/class/net/{}/address", interface.ifname))
            .collect();
        let arguments: Vec<&str> = ["-s", "-H", ""]
            .into_iter()
            .chain(files.iter().map(String::as_str))
            .collect();
        let output = attempt.command("grep", &arguments)?;
        macs = macs_of(&String::from_utf8_lossy(&output.stdout));
    }
    select(nic, list, &macs).map_err(Stop::Failed)
}

/// Where packets for a NIC can come from.
pub(super) enum Peer {
    /// From this interface of the same host, `[netns/]ifname`.
    Interface(String),
    /// From nowhere: the lab file names no peer.
    None,
    /// It has one, and packets for a program cannot come from there.
    OutOfReach(String),
}

/// Of `[netns/]ifname`: the arguments of `ip` that go there, and the interface.
pub(super) fn netns(name: &str) -> (Vec<&str>, &str) {
    match name.split_once('/') {
        Some((netns, ifname)) => (vec!["-n", netns], ifname),
        None => (Vec::new(), name),
    }
}

/// Why a check with packets is not made.
pub(super) const NO_PEER: &str = "nothing can send packets to it: the lab file names no peer";

/// The driver's name of a VLAN device, as `xdp-probe` tells it.
const VLAN_DRIVER: &str = "802.1Q VLAN Support";

/// The interface at the other end of the cell's NIC.
pub(super) fn peer(
    attempt: &mut Attempt<'_>,
    cell: &Cell<'_>,
    interface: &Interface,
) -> Result<Peer, Stop> {
    let nic = cell.nic;
    if (nic.peer.is_some() || nic.peer_interface.is_some())
        && interface.driver.as_deref() == Some(VLAN_DRIVER)
    {
        let reason = "its peer's packets have a VLAN tag, and come to the device below it";
        return Ok(Peer::OutOfReach(reason.to_owned()));
    }
    if let Some(peer) = &nic.peer_interface {
        return Ok(Peer::Interface(peer.clone()));
    }
    let Some((host, name)) = nic.peer.as_deref().and_then(|end| end.split_once('/')) else {
        return Ok(Peer::None);
    };
    if host != cell.host.name {
        let reason = format!("its cable ends at host {host}: a cell runs commands on one host");
        return Ok(Peer::OutOfReach(reason));
    }
    match cell.host.nics.iter().find(|nic| nic.name == name) {
        Some(nic) => Ok(Peer::Interface(find(attempt, nic)?.ifname)),
        None => Ok(Peer::None),
    }
}

/// From lines such as `/sys/class/net/eth0/address:52:54:00:12:34:56`.
fn macs_of(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (ifname, mac) = line
                .strip_prefix("/sys/class/net/")?
                .split_once("/address:")?;
            Some((ifname.to_owned(), mac.trim().to_lowercase()))
        })
        .collect()
}

/// What `xdp-probe list` says of all interfaces, or of one.
pub(super) fn list(attempt: &mut Attempt<'_>, only: Option<&str>) -> Result<Vec<Interface>, Stop> {
    let arguments: Vec<&str> = ["list", "--json"].into_iter().chain(only).collect();
    let output = attempt.command("xdp-probe", &arguments)?;
    if !output.is_success() {
        return Err(Stop::Failed(output.complaint()));
    }
    let list: List = output.json().map_err(Stop::Failed)?;
    Ok(list.interfaces)
}

/// The one interface that fits everything the lab file says of the NIC.
fn select(
    nic: &Nic,
    list: Vec<Interface>,
    macs: &BTreeMap<String, String>,
) -> Result<Interface, String> {
    let fits = |interface: &Interface| {
        nic.ifname
            .as_ref()
            .is_none_or(|ifname| *ifname == interface.ifname)
            && nic
                .driver
                .as_ref()
                .is_none_or(|driver| Some(driver) == interface.driver.as_ref())
            && nic.pci.as_ref().is_none_or(|pci| {
                interface
                    .bus_info
                    .as_ref()
                    .is_some_and(|bus| bus.eq_ignore_ascii_case(pci))
            })
            && nic
                .mac
                .as_ref()
                .is_none_or(|mac| macs.get(&interface.ifname) == Some(mac))
    };
    let mut fitting: Vec<Interface> = list.into_iter().filter(fits).collect();
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(format!(
            "no interface is NIC `{}` ({})",
            nic.name,
            describe(nic)
        )),
        several => {
            let names: Vec<&str> = fitting
                .iter()
                .take(4)
                .map(|interface| interface.ifname.as_str())
                .collect();
            Err(format!(
                "{several} interfaces fit NIC `{}` ({}): {}",
                nic.name,
                describe(nic),
                names.join(", ")
            ))
        }
    }
}

/// What the lab file says of a NIC, for messages and lists.
pub fn describe(nic: &Nic) -> String {
    let said = [
        ("ifname", &nic.ifname),
        ("pci", &nic.pci),
        ("driver", &nic.driver),
        ("mac", &nic.mac),
        ("device", &nic.device),
    ];
    let said: Vec<String> = said
        .iter()
        .filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)))
        .collect();
    said.join(", ")
}

#[derive(Debug, Deserialize)]
struct List {
    interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Interface {
    pub(super) ifname: String,
    pub(super) driver: Option<String>,
    #[serde(default)]
    pub(super) driver_version: Option<String>,
    bus_info: Option<String>,
    #[serde(default)]
    pub(super) firmware: Option<String>,
    pub(super) modes: Modes,
    #[serde(default)]
    pub(super) channels: Option<Channels>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Modes {
    native: Support,
    generic: Support,
    offload: Support,
}

impl Modes {
    pub(super) fn of(&self, mode: Mode) -> &Support {
        match mode {
            Mode::Native => &self.native,
            Mode::Generic => &self.generic,
            Mode::Offload => &self.offload,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Support {
    #[serde(rename = "support")]
    pub(super) word: SupportWord,
    pub(super) reason: Option<String>,
    pub(super) remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SupportWord {
    Yes,
    No,
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ifname: &str, driver: &str, bus: &str) -> Interface {
        let support = Support {
            word: SupportWord::Unknown,
            reason: None,
            remedy: None,
        };
        Interface {
            ifname: ifname.into(),
            driver: Some(driver.into()),
            driver_version: None,
            bus_info: Some(bus.into()),
            firmware: None,
            modes: Modes {
                native: support.clone(),
                generic: support.clone(),
                offload: support,
            },
            channels: None,
        }
    }

    #[test]
    fn a_nic_is_the_one_interface_that_fits() {
        let list = || {
            vec![
                interface("eth0", "igb", "0000:01:00.0"),
                interface("eth1", "igb", "0000:01:00.1"),
            ]
        };
        let macs = macs_of("/sys/class/net/eth1/address:52:54:00:00:00:01\n");
        let pick = |nic: Nic| select(&nic, list(), &macs).map(|interface| interface.ifname);
        let nic = || Nic {
            name: "a".into(),
            ..Nic::default()
        };
        assert_eq!(
            pick(Nic {
                pci: Some("0000:01:00.1".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth1")
        );
        assert_eq!(
            pick(Nic {
                mac: Some("52:54:00:00:00:01".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth1")
        );
        assert_eq!(
            pick(Nic {
                ifname: Some("eth0".into()),
                driver: Some("igb".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth0")
        );
        assert_eq!(
            pick(Nic {
                driver: Some("igb".into()),
                ..nic()
            })
            .unwrap_err(),
            "2 interfaces fit NIC `a` (driver igb): eth0, eth1"
        );
        assert_eq!(
            pick(Nic {
                ifname: Some("eth0".into()),
                driver: Some("ice".into()),
                ..nic()
            })
            .unwrap_err(),
            "no interface is NIC `a` (ifname eth0, driver ice)"
        );
    }
}
