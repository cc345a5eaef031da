//! The kinds of NICs that a machine can have: emulated by QEMU, each with its real driver, and devices that the guest's
//! kernel makes by itself.

use std::fmt;
use std::fmt::Write as _;

/// A kind of NIC.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name in lab files and on the command line.
    pub name: &'static str,
    /// QEMU's device, or none for a device that the guest makes.
    pub device: Option<&'static str>,
    /// The driver's name in the kernel.
    pub driver: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
}

const fn emulated(
    name: &'static str,
    device: &'static str,
    driver: &'static str,
    what: &'static str,
) -> Model {
    Model {
        name,
        device: Some(device),
        driver,
        what,
    }
}

const fn software(name: &'static str, driver: &'static str, what: &'static str) -> Model {
    Model {
        name,
        device: None,
        driver,
        what,
    }
}

/// All kinds.
pub const MODELS: [Model; 18] = [
    emulated(
        "virtio-net",
        "virtio-net-pci",
        "virtio_net",
        "the NIC of virtual machines; queues=N for many queues",
    ),
    emulated("igb", "igb", "igb", "Intel 82576, native XDP"),
    emulated("vmxnet3", "vmxnet3", "vmxnet3", "VMware's, native XDP"),
    emulated("e1000", "e1000", "e1000", "Intel 8254x, no native XDP"),
    emulated("e1000e", "e1000e", "e1000e", "Intel 82574, no native XDP"),
    emulated(
        "rtl8139",
        "rtl8139",
        "8139cp",
        "Realtek 8139, no native XDP",
    ),
    emulated("pcnet", "pcnet", "pcnet32", "AMD PCnet-PCI, no native XDP"),
    emulated("tulip", "tulip", "tulip", "DEC 21143, no native XDP"),
    emulated("ne2k", "ne2k_pci", "ne2k-pci", "NE2000, no native XDP"),
    emulated(
        "usb-net",
        "usb-net",
        "cdc_ether",
        "a NIC on USB, no native XDP",
    ),
    software(
        "netdevsim",
        "netdevsim",
        "the kernel's test device, offloads",
    ),
    software(
        "nfpsim",
        "nfpsim",
        "the Netronome driver's offload without a card; module parameters as properties",
    ),
    software("veth", "veth", "a pair, the peer in a namespace"),
    software("tap", "tun", "a device of a program's"),
    software("bond", "bonding", "active-backup over two veths"),
    software("team", "team", "over a veth"),
    software("vlan", "802.1Q VLAN Support", "VLAN 7 of a veth"),
    software("bridge", "bridge", "with a veth in it"),
];

/// A NIC of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its kind.
    pub model: &'static Model,
    /// Its interface in the guest, up to 15 bytes: the model's name unless it was given one.
    pub name: String,
    /// Pairs of queues that it offers.
    pub queues: u8,
    /// Whether another NIC is at the other end of its wire: `peer` in the namespace `NAME-peer`. Of software devices those that
    /// have a veth have it always.
    pub peer: bool,
    /// Other properties of QEMU's device or parameters of nfpsim's module.
    pub properties: Vec<(String, String)>,
}

/// Why a text is no NIC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("NIC '{text}': {why}")]
pub struct NicError {
    text: String,
    why: String,
}

/// Longest name of an interface, in bytes: IFNAMSIZ less its end.
const MAX_NAME: usize = 15;

impl Nic {
    /// Reads "igb", "virtio-net,queues=4,name=wan" or "vmxnet3,peer".
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NicError> {
        let wrong = |why: String| NicError {
            text: text.chars().take(100).collect(),
            why,
        };
        let mut words = text.split(',');
        let model = words.next().unwrap_or_default();
        let Some(model) = MODELS.iter().find(|known| known.name == model) else {
            let known: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
            return Err(wrong(format!(
                "there is no such model; there are {}",
                known.join(", ")
            )));
        };
        let mut nic = Self {
            model,
            name: model.name.to_owned(),
            queues: 1,
            peer: false,
            properties: Vec::new(),
        };
        for word in words {
            match word.split_once('=') {
                Some(("name", name)) if is_interface(name) => name.clone_into(&mut nic.name),
                Some(("name", name)) => {
                    return Err(wrong(format!("'{name}' is no name of an interface")));
                }
                Some(("queues", number)) => match number.parse() {
                    Ok(queues @ 1..=32) => nic.queues = queues,
                    _ => return Err(wrong(format!("queues={number} is not 1 to 32"))),
                },
                None if word == "peer" && model.device.is_some() => nic.peer = true,
                Some((key, value))
                    if (model.device.is_some() || model.name == "nfpsim")
                        && is_word(key)
                        && is_word(value) =>
                {
                    nic.properties.push((key.to_owned(), value.to_owned()));
                }
                _ => return Err(wrong(format!("what is '{word}'?"))),
            }
        }
        if nic.queues > 1 && !matches!(model.name, "virtio-net" | "veth" | "tap" | "netdevsim") {
            return Err(wrong(
                "has its own number of queues; leave queues= away".into(),
            ));
        }
        if nic.queues > 1 && nic.peer {
            return Err(wrong("with many queues it can have no peer".into()));
        }
        Ok(nic)
    }

    /// Whether another NIC of its machine can be at the other end of its wire: of QEMU's those with one pair of queues that
    /// have no peer yet.
    pub fn can_be_wired(&self) -> bool {
        self.model.device.is_some() && self.queues == 1 && !self.peer
    }

    /// Gives NICs of one name different ones: the second "igb" is "igb-2".
    pub fn number(nics: &mut [Self]) {
        for at in 1..nics.len() {
            let mut number = 2;
            while nics[..at].iter().any(|other| other.name == nics[at].name) {
                let base = nics[at].model.name;
                nics[at].name = format!("{base}-{number}");
                number += 1;
            }
        }
    }

    /// The MAC address of QEMU's NIC number `number`.
    pub(super) fn mac(number: usize) -> String {
        format!("52:54:00:00:{:02x}:{:02x}", number / 256, number % 256)
    }

    /// The namespace with what is at the other end of its wire.
    pub fn peer_namespace(&self) -> String {
        format!("{}-peer", self.name)
    }

    /// The commands that make it in the guest, or what is left to do for QEMU's; `number` tells NICs apart.
    pub(super) fn setup(&self, number: usize) -> String {
        let name = &self.name;
        let peer = self.peer_namespace();
        let mut text = String::new();
        // A veth to stand on, its other end in the namespace.
        let veth = |name: &str, peer_name: &str| {
            format!(
                "ip link add {name} type veth peer name {peer_name} netns {peer}\n\
                 ip -n {peer} link set {peer_name} up\nip link set {name} up\n"
            )
        };
        let lower = format!("lower{number}");
        let _ = match self.model.name {
            "netdevsim" => write!(
                text,
                "modprobe netdevsim\necho '{number} 1 {queues}' >/sys/bus/netdevsim/new_device\n\
                 made=/sys/bus/netdevsim/devices/netdevsim{number}/net\n\
                 until [ -n \"$(ls $made 2>/dev/null)\" ]; do sleep 0.1; done\n\
                 ip link set \"$(ls $made)\" name {name}\nip link set {name} up\n",
                queues = self.queues,
            ),
            "nfpsim" => {
                text.push_str("modprobe nfpsim");
                for (key, value) in &self.properties {
                    let _ = write!(text, " {key}={value}");
                }
                let rename = match name.as_str() {
                    "nfpsim0" => String::new(),
                    _ => format!("ip link set nfpsim0 name {name}\n"),
                };
                write!(text, "\n{rename}ip link set {name} up\n")
            }
            "veth" => write!(
                text,
                "ip netns add {peer}\n\
                 ip link add {name} numrxqueues {queues} numtxqueues {queues} type veth \
                 peer name peer numrxqueues {queues} numtxqueues {queues} netns {peer}\n\
                 ip -n {peer} link set peer up\nip link set {name} up\n",
                queues = self.queues,
            ),
            "tap" => write!(
                text,
                "modprobe tun\nip tuntap add dev {name} mode tap{}\nip link set {name} up\n",
                if self.queues > 1 { " multi_queue" } else { "" },
            ),
            "bond" => write!(
                text,
                "ip netns add {peer}\nip link add {name} type bond mode active-backup\n\
                 {}{}ip link set {lower} down\nip link set {lower}b down\n\
                 ip link set {lower} master {name}\nip link set {lower}b master {name}\nip link set {name} up\n",
                veth(&lower, "peer"),
                veth(&format!("{lower}b"), "peer2"),
            ),
            "team" => write!(
                text,
                "ip netns add {peer}\nip link add {name} type team\n{}ip link set {lower} down\n\
                 ip link set {lower} master {name}\nip link set {name} up\n",
                veth(&lower, "peer"),
            ),
            "vlan" => write!(
                text,
                "ip netns add {peer}\n{}ip link add link {lower} name {name} type vlan id 7\n\
                 ip link set {name} up\n",
                veth(&lower, "peer"),
            ),
            "bridge" => write!(
                text,
                "ip netns add {peer}\nip link add {name} type bridge\n{}ip link set {lower} master {name}\n\
                 ip link set {name} up\n",
                veth(&lower, "peer"),
            ),
            _ if self.peer => write!(
                text,
                "ip netns add {peer}\nip link set {wire} netns {peer}\n\
                 ip -n {peer} link set {wire} name peer\nip -n {peer} link set peer up\n",
                wire = Self::wire_name(number),
            ),
            _ => Ok(()),
        };
        text
    }

    /// The name of QEMU's peer NIC until it is in its namespace.
    pub(super) fn wire_name(number: usize) -> String {
        format!("wire{number}")
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.name)?;
        if self.name != self.model.name {
            write!(f, ",name={}", self.name)?;
        }
        if self.queues > 1 {
            write!(f, ",queues={}", self.queues)?;
        }
        if self.peer {
            f.write_str(",peer")?;
        }
        for (key, value) in &self.properties {
            write!(f, ",{key}={value}")?;
        }
        Ok(())
    }
}

/// A name that the kernel takes for an interface, and that a shell does not read otherwise; with room for "-peer" in a
/// namespace's name.
fn is_interface(name: &str) -> bool {
    name.len() <= MAX_NAME && is_word(name) && !name.starts_with(['.', '-'])
}

/// Letters, digits and what stands in names; nothing that QEMU or a shell gives a meaning.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    !text.is_empty() && text.len() <= 64 && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nics_are_read_and_written_alike() {
        for text in [
            "igb",
            "virtio-net,name=wan,queues=4",
            "vmxnet3,peer",
            "virtio-net,iommu_platform=on,disable-legacy=on",
            "nfpsim,abi=2,max_len=256",
            "netdevsim,queues=2",
        ] {
            assert_eq!(Nic::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_told() {
        let why = |text| Nic::parse(text).expect_err(text).to_string();
        assert!(
            why("i40e")
                .starts_with("NIC 'i40e': there is no such model; there are virtio-net, igb")
        );
        assert_eq!(
            why("igb,name=a b"),
            "NIC 'igb,name=a b': 'a b' is no name of an interface"
        );
        assert_eq!(why("igb,speed"), "NIC 'igb,speed': what is 'speed'?");
        assert_eq!(why("veth,x=1"), "NIC 'veth,x=1': what is 'x=1'?");
        assert_eq!(
            why("virtio-net,queues=99"),
            "NIC 'virtio-net,queues=99': queues=99 is not 1 to 32"
        );
        assert!(why("igb,queues=2").contains("its own number of queues"));
        assert!(why("igb,bus=pci.0$(reboot)").contains("what is 'bus=pci.0$(reboot)'?"));
    }

    #[test]
    fn the_second_of_a_name_is_numbered() {
        let mut nics: Vec<Nic> = ["igb", "igb", "e1000,name=lan", "igb"]
            .map(|text| Nic::parse(text).expect("a NIC"))
            .into();
        Nic::number(&mut nics);
        let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
        assert_eq!(names, ["igb", "igb-2", "lan", "igb-3"]);
    }
}
