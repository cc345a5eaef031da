//! Hosts, their NICs and the cables between them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::build::Builder;
use super::file::{ExecutorWord, HostSection, LinkSection, NicSection};
use super::forms::{is_ifname, is_mac, is_pci_address, is_peer, ssh_address};
use super::{Executor, Host, Nic, Ssh};
use crate::filter::printable;
use crate::lab;
use crate::suggest;

/// Memory of a virtual machine in MiB where the file says nothing: a Debian kernel uses 40 of them.
const DEFAULT_MEMORY: u32 = 768;
/// Processors of a virtual machine where the file says nothing. More of them boot more slowly where they are emulated.
const DEFAULT_CPUS: u32 = 1;

fn text(value: Option<&Spanned<String>>) -> Option<String> {
    value.map(|value| value.get_ref().clone())
}

/// What is at the other end of the wire of a virtual machine's NIC, named `name` there.
fn peer_in_machine(made: &lab::Nic, name: &str) -> Option<String> {
    // Those stand on a veth, whose other end is the peer.
    let has_veth = ["veth", "bond", "team", "vlan", "bridge"].contains(&made.model.name);
    let named = lab::Nic {
        name: name.to_owned(),
        ..made.clone()
    };
    (made.peer || has_veth).then(|| format!("{}/peer", named.peer_namespace()))
}

impl Builder<'_> {
    pub(super) fn host(&mut self, name: &Spanned<String>, section: &HostSection) -> Host {
        self.name(name, "host");
        self.keys_fit(name, section);
        let executor = match section.executor {
            ExecutorWord::Local => Executor::Local {
                netns: text(section.netns.as_ref()),
            },
            ExecutorWord::Vm => Executor::Vm {
                kernel: text(section.kernel.as_ref()).unwrap_or_default(),
                memory: self.within(section.memory.as_ref(), 64..1 << 20, DEFAULT_MEMORY, "MiB"),
                cpus: self.within(section.cpus.as_ref(), 1..256, DEFAULT_CPUS, "processors"),
            },
            ExecutorWord::Ssh => Executor::Ssh(self.ssh(section)),
        };
        let mut nics = Vec::new();
        for (name, section_of) in &section.nic {
            let nic = self.nic(name, section_of, section.executor);
            nics.push(nic);
        }
        self.devices(section, &mut nics);
        if nics.is_empty() {
            let name_of = printable(name.get_ref());
            let help = if section.executor == ExecutorWord::Vm {
                "add nics = [\"igb\"]".to_owned()
            } else {
                format!("add [host.{name_of}.nic.NAME] with ifname, pci, driver or mac")
            };
            self.wrong(
                name.span(),
                format!("host `{name_of}` has no NIC"),
                Some(help),
            );
        }
        Host {
            name: name.get_ref().clone(),
            executor,
            release: section.release.clone(),
            prepare: section.prepare.clone(),
            place: text(section.place.as_ref()),
            nics,
        }
    }

    /// Each key is for one executor; those that one needs are there and not empty.
    fn keys_fit(&mut self, name: &Spanned<String>, section: &HostSection) {
        fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
            value.map(Spanned::span)
        }
        let nics = section.nics.as_ref().map(|nics| {
            let first = nics.first().map_or(0..0, Spanned::span);
            first.start..nics.last().map_or(first.end, |last| last.span().end)
        });
        let keys = [
            ("netns", ExecutorWord::Local, span(section.netns.as_ref())),
            ("address", ExecutorWord::Ssh, span(section.address.as_ref())),
            ("user", ExecutorWord::Ssh, span(section.user.as_ref())),
            ("port", ExecutorWord::Ssh, span(section.port.as_ref())),
            ("key", ExecutorWord::Ssh, span(section.key.as_ref())),
            (
                "known_hosts",
                ExecutorWord::Ssh,
                span(section.known_hosts.as_ref()),
            ),
            ("kernel", ExecutorWord::Vm, span(section.kernel.as_ref())),
            ("memory", ExecutorWord::Vm, span(section.memory.as_ref())),
            ("cpus", ExecutorWord::Vm, span(section.cpus.as_ref())),
            ("nics", ExecutorWord::Vm, nics),
        ];
        for (key, word, span) in keys {
            let needed = matches!(key, "address" | "kernel") && word == section.executor;
            match span {
                Some(span) if word != section.executor => {
                    let help = format!("remove it, or set executor = \"{}\"", word.name());
                    self.wrong(span, format!("`{key}` is for another executor"), Some(help));
                }
                None if needed => {
                    let message = format!("host `{}` needs `{key}`", printable(name.get_ref()));
                    self.wrong(name.span(), message, None);
                }
                _ => {}
            }
        }
        for (key, value) in [
            ("netns", &section.netns),
            ("kernel", &section.kernel),
            ("key", &section.key),
            ("known_hosts", &section.known_hosts),
            ("place", &section.place),
        ] {
            if let Some(value) = value
                && (value.get_ref().is_empty() || value.get_ref().starts_with('-'))
            {
                let what = if value.get_ref().is_empty() {
                    "is empty"
                } else {
                    "starts with -"
                };
                self.wrong(value.span(), format!("`{key}` {what}"), None);
            }
        }
    }

    fn within(
        &mut self,
        value: Option<&Spanned<u32>>,
        range: Range<u32>,
        default: u32,
        unit: &str,
    ) -> u32 {
        let Some(value) = value else { return default };
        if !range.contains(value.get_ref()) {
            let message = format!("not {} to {} {unit}", range.start, range.end - 1);
            self.wrong(value.span(), message, None);
        }
        *value.get_ref()
    }

    fn ssh(&mut self, section: &HostSection) -> Ssh {
        let mut ssh = Ssh {
            address: String::new(),
            user: text(section.user.as_ref()),
            port: section.port.as_ref().map(|port| *port.get_ref()),
            key: text(section.key.as_ref()),
            known_hosts: text(section.known_hosts.as_ref()),
        };
        let Some(address) = &section.address else {
            return ssh;
        };
        let Some((user, host, port)) = ssh_address(address.get_ref()) else {
            let help = Some("[user@]host[:port]".into());
            self.wrong(address.span(), "not an address", help);
            return ssh;
        };
        host.clone_into(&mut ssh.address);
        for (twice, key) in [
            (user.is_some() && ssh.user.is_some(), "user"),
            (port.is_some() && ssh.port.is_some(), "port"),
        ] {
            if twice {
                let message = format!("the {key} stands here and in `{key}`");
                self.wrong(address.span(), message, None);
            }
        }
        if let Some(user) = &section.user
            && ssh_address(&format!("{}@h", user.get_ref())).is_none()
        {
            self.wrong(user.span(), "not a user's name", None);
        }
        ssh.user = ssh.user.or(user.map(ToOwned::to_owned));
        ssh.port = ssh.port.or(port);
        ssh
    }

    /// The NICs of `nics = [..]`, named after their models.
    fn devices(&mut self, section: &HostSection, nics: &mut Vec<Nic>) {
        let mut names: BTreeSet<String> = nics.iter().map(|nic| nic.name.clone()).collect();
        for device in section.nics.iter().flatten() {
            let Some(made) = self.device(device) else {
                continue;
            };
            let mut name = made.name.clone();
            let mut number = 2;
            while !names.insert(name.clone()) {
                name = format!("{}-{number}", made.model.name);
                number += 1;
            }
            nics.push(Nic {
                ifname: Some(name.clone()),
                peer_interface: peer_in_machine(&made, &name),
                name,
                device: Some(device.get_ref().clone()),
                ..Nic::default()
            });
        }
    }

    /// A NIC of a virtual machine, as `igb` or `virtio-net,queues=4`.
    fn device(&mut self, text: &Spanned<String>) -> Option<lab::Nic> {
        let made = lab::Nic::parse(text.get_ref());
        if let Err(error) = &made {
            let help = Some("a model and its options: virtio-net,queues=4".into());
            self.wrong(text.span(), error.to_string(), help);
        }
        made.ok()
    }

    fn nic(&mut self, name: &Spanned<String>, section: &NicSection, executor: ExecutorWord) -> Nic {
        self.name(name, "NIC");
        let mut field = |value: &Option<Spanned<String>>,
                         valid: fn(&str) -> bool,
                         message: &str,
                         help: &str| {
            let value = value.as_ref()?;
            if !valid(value.get_ref()) {
                self.wrong(value.span(), message, Some(help.to_owned()));
            }
            Some(value.get_ref().clone())
        };
        // Linux: IFNAMSIZ is 16 with the final zero; no slash, no white space, not "." or "..".
        let ifname = field(
            &section.ifname,
            is_ifname,
            "not an interface name",
            "1 to 15 characters without / or space",
        );
        let pci = field(
            &section.pci,
            is_pci_address,
            "not a PCI address",
            "domain:bus:device.function, 0000:01:00.0",
        );
        let mac = field(
            &section.mac,
            is_mac,
            "not a MAC address",
            "six pairs of hex digits, 52:54:00:12:34:56",
        );
        let driver = field(
            &section.driver,
            |word| !word.is_empty(),
            "the driver's name is empty",
            "as `ethtool -i` says",
        );
        let mut peer_interface = field(
            &section.peer,
            is_peer,
            "not an interface",
            "IFNAME or NETNS/IFNAME",
        );
        let device = section.device.as_ref().and_then(|text| {
            let made = self.device(text)?;
            peer_interface = peer_interface
                .take()
                .or_else(|| peer_in_machine(&made, name.get_ref()));
            Some(text.get_ref().clone())
        });
        if let Some(value) = &section.device
            && executor != ExecutorWord::Vm
        {
            let help = Some("remove it, or set executor = \"vm\"".into());
            self.wrong(value.span(), "`device` is for another executor", help);
        }
        let said = [&ifname, &pci, &mac, &driver, &device];
        if said.iter().all(|value| value.is_none()) && section.device.is_none() {
            let message = format!(
                "NIC `{}` does not say which interface it is",
                printable(name.get_ref())
            );
            let help = Some("give ifname, pci, driver or mac".into());
            self.wrong(name.span(), message, help);
        }
        // The virtual lab names its interfaces as it is told.
        if device.is_some() && !is_ifname(name.get_ref()) {
            let help = Some("1 to 15 characters without / or space".into());
            self.wrong(name.span(), "not an interface name", help);
        }
        let ifname = match &device {
            Some(_) => Some(name.get_ref().clone()),
            None => ifname,
        };
        Nic {
            name: name.get_ref().clone(),
            ifname,
            pci: pci.map(|pci| pci.to_lowercase()),
            driver,
            mac: mac.map(|mac| mac.to_lowercase()),
            device,
            peer: None,
            peer_interface,
        }
    }

    /// Two local hosts in one namespace would run two cells on one NIC at a time.
    pub(super) fn same_machine(
        &mut self,
        sections: &BTreeMap<Spanned<String>, HostSection>,
        hosts: &[Host],
    ) {
        let mut seen: BTreeMap<&Option<String>, &str> = BTreeMap::new();
        for ((name, _), host) in sections.iter().zip(hosts) {
            let Executor::Local { netns } = &host.executor else {
                continue;
            };
            if let Some(other) = seen.insert(netns, &host.name) {
                let message = format!(
                    "host `{}` is the same machine as `{}`",
                    printable(&host.name),
                    printable(other)
                );
                let help = Some("give all its NICs to one host, or each host a `netns`".into());
                self.wrong(name.span(), message, help);
            }
        }
    }

    /// A place without `[reserve]` would be used by two at a time.
    pub(super) fn places(
        &mut self,
        sections: &BTreeMap<Spanned<String>, HostSection>,
        reserved: bool,
    ) {
        for section in sections.values() {
            if let (Some(place), false) = (&section.place, reserved) {
                let help = Some("add [reserve] with engine = \"labgrid\" and coordinator".into());
                self.wrong(place.span(), "nothing reserves this place", help);
            }
        }
    }

    pub(super) fn links(&mut self, links: &[LinkSection], hosts: &mut [Host]) {
        let ends: Vec<String> = hosts
            .iter()
            .flat_map(|host| {
                host.nics
                    .iter()
                    .map(|nic| format!("{}/{}", host.name, nic.name))
            })
            .collect();
        let mut peers: BTreeMap<&str, &str> = BTreeMap::new();
        for link in links {
            let [one, other] = &link.between;
            if one.get_ref() == other.get_ref() {
                self.wrong(other.span(), "a link needs two different NICs", None);
                continue;
            }
            if let Some((span, why)) = no_cable(link, hosts) {
                let help = "both ends NICs of one machine, each with one pair of queues and without `peer`";
                self.wrong(span, why, Some(help.into()));
                continue;
            }
            for (end, peer) in [(one, other), (other, one)] {
                if !ends.contains(end.get_ref()) {
                    let message = format!("no NIC `{}`", printable(end.get_ref()));
                    let help = suggest::nearest(end.get_ref(), ends.iter().map(String::as_str))
                        .map_or_else(
                            || "a NIC is named HOST/NIC".to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        );
                    self.wrong(end.span(), message, Some(help));
                } else if peers.insert(end.get_ref(), peer.get_ref()).is_some() {
                    let message = format!("`{}` has a link already", end.get_ref());
                    self.wrong(end.span(), message, None);
                }
            }
        }
        for host in hosts {
            for nic in &mut host.nics {
                nic.peer = peers
                    .get(format!("{}/{}", host.name, nic.name).as_str())
                    .map(|&peer| peer.to_owned());
            }
        }
    }
}

/// Between virtual machines, and to what a guest makes by itself, there is no cable: the end that has none, and why.
fn no_cable(link: &LinkSection, hosts: &[Host]) -> Option<(std::ops::Range<usize>, String)> {
    let [one, other] = &link.between;
    let host_of = |end: &str| {
        let (name, nic) = end.split_once('/')?;
        let host = hosts.iter().find(|host| host.name == name)?;
        Some((host, host.nics.iter().find(|other| other.name == nic)?))
    };
    for (end, far) in [(one, other), (other, one)] {
        let (Some((host, nic)), Some((far_host, _))) =
            (host_of(end.get_ref()), host_of(far.get_ref()))
        else {
            continue;
        };
        if !matches!(host.executor, Executor::Vm { .. }) {
            continue;
        }
        if host.name != far_host.name {
            let why = format!("no cable leaves the virtual machine `{}`", host.name);
            return Some((end.span(), why));
        }
        let device = nic.device.as_deref().map(lab::Nic::parse);
        if let Some(Ok(device)) = device
            && !device.can_be_wired()
        {
            let why = format!("`{}` takes no cable", end.get_ref());
            return Some((end.span(), why));
        }
    }
    None
}
