//! The lab file as it is written. Its JSON Schema (`schemas/lab.json`) comes from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A lab file: which hosts and NICs there are, which programs run on them, and what is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "hw-matrix lab file")]
pub struct LabFile {
    /// What holds for the whole lab.
    #[serde(default)]
    pub(super) lab: LabSection,
    /// Reserves the places of hosts before they are used.
    pub(super) reserve: Option<ReserveSection>,
    /// Hosts by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HostSection>")]
    pub(super) host: BTreeMap<Spanned<String>, HostSection>,
    /// Cables between NICs.
    #[serde(default)]
    pub(super) link: Vec<LinkSection>,
    /// XDP programs by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ProgramSection>")]
    pub(super) program: BTreeMap<Spanned<String>, ProgramSection>,
    /// Checks by name. A check whose name is not a kind needs `kind`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, CheckSection>")]
    pub(super) check: BTreeMap<Spanned<String>, CheckSection>,
    /// Cells that are not run.
    #[serde(default)]
    pub(super) exclude: Vec<ExcludeSection>,
    /// Cells that fail and are known to: until a day their failures do not count.
    #[serde(default, rename = "known-bad")]
    pub(super) known_bad: Vec<KnownBadSection>,
    /// Cells whose outcome is known. The last one that fits a cell counts.
    #[serde(default)]
    pub(super) expect: Vec<ExpectSection>,
}

/// What holds for the whole lab.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LabSection {
    /// Name for reports; the file's name if absent.
    pub(super) name: Option<String>,
    /// Time limit of a cell where its check has none: a number with ms, s, m or h. 60s if absent.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// The accepted results that each run is compared with, relative to the lab file's folder. `hw-matrix accept` writes
    /// it; before it exists, nothing is compared.
    #[schemars(with = "Option<String>")]
    pub(super) baseline: Option<Spanned<String>>,
}

/// A system that gives out places.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveSection {
    /// Which.
    pub(super) engine: super::Engine,
    /// Its coordinator, `host:port`.
    #[schemars(with = "String")]
    pub(super) coordinator: Spanned<String>,
    /// How long a place is waited for: a number with ms, s, m or h. 10m if absent.
    #[schemars(with = "Option<String>")]
    pub(super) wait: Option<Spanned<String>>,
}

/// A machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HostSection {
    /// How commands get there.
    pub(super) executor: ExecutorWord,
    /// The kernel release that has to run there, a glob such as `6.12.*`. On another one no cell runs.
    pub(super) release: Option<String>,
    /// Shell commands that make the host ready for its cells, each in a minute at most: run as the tools are, before the first
    /// cell, after each boot and after a reload check. What they change stays. If one fails, no cell runs.
    #[serde(default)]
    pub(super) prepare: Vec<String>,
    /// The place that `[reserve]` reserves.
    #[schemars(with = "Option<String>")]
    pub(super) place: Option<Spanned<String>>,
    /// With `local`: a network namespace, as `ip netns` names it.
    #[schemars(with = "Option<String>")]
    pub(super) netns: Option<Spanned<String>>,
    /// With `ssh`: `[user@]host[:port]`.
    #[schemars(with = "Option<String>")]
    pub(super) address: Option<Spanned<String>>,
    /// With `ssh`: the user there, instead of in the address.
    #[schemars(with = "Option<String>")]
    pub(super) user: Option<Spanned<String>>,
    /// With `ssh`: the TCP port, instead of in the address.
    #[schemars(with = "Option<u16>")]
    pub(super) port: Option<Spanned<u16>>,
    /// With `ssh`: file of the private key, relative to the lab file's folder.
    #[schemars(with = "Option<String>")]
    pub(super) key: Option<Spanned<String>>,
    /// With `ssh`: file of the keys the machine may have, relative to the lab file's folder.
    #[schemars(with = "Option<String>")]
    pub(super) known_hosts: Option<Spanned<String>>,
    /// With `vm`: which kernel it boots, a release such as `6.12` or a path.
    #[schemars(with = "Option<String>")]
    pub(super) kernel: Option<Spanned<String>>,
    /// With `vm`: its memory in MiB, 512 if absent.
    #[schemars(with = "Option<u32>")]
    pub(super) memory: Option<Spanned<u32>>,
    /// With `vm`: how many processors it has, 2 if absent.
    #[schemars(with = "Option<u32>")]
    pub(super) cpus: Option<Spanned<u32>>,
    /// With `vm`: emulated NICs, `["igb", "virtio-net,queues=4"]`. Each is named after its model, the second of a model
    /// `MODEL-2`; a section `nic.NAME` with `device` gives another name.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) nics: Option<Vec<Spanned<String>>>,
    /// NICs by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, NicSection>")]
    pub(super) nic: BTreeMap<Spanned<String>, NicSection>,
}

/// How commands get to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExecutorWord {
    /// This machine.
    Local,
    /// A virtual machine.
    Vm,
    /// Another machine, by OpenSSH.
    Ssh,
}

impl ExecutorWord {
    pub(super) fn name(self) -> &'static str {
        match self {
            ExecutorWord::Local => "local",
            ExecutorWord::Vm => "vm",
            ExecutorWord::Ssh => "ssh",
        }
    }
}

/// A network interface: all that is given must fit, and exactly one interface of the host may fit it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NicSection {
    /// The kernel's interface name.
    #[schemars(with = "Option<String>")]
    pub(super) ifname: Option<Spanned<String>>,
    /// PCI address, for example 0000:01:00.0.
    #[schemars(with = "Option<String>")]
    pub(super) pci: Option<Spanned<String>>,
    /// Driver name as ethtool tells it.
    #[schemars(with = "Option<String>")]
    pub(super) driver: Option<Spanned<String>>,
    /// MAC address, for example 52:54:00:12:34:56.
    #[schemars(with = "Option<String>")]
    pub(super) mac: Option<Spanned<String>>,
    /// On a `vm`: what is emulated, a model and its options, for example virtio-net,queues=4.
    #[schemars(with = "Option<String>")]
    pub(super) device: Option<Spanned<String>>,
    /// The interface at the other end of its cable, if that is on the same host: `IFNAME`, or `NETNS/IFNAME` with a
    /// network namespace as `ip netns` names it. A `[[link]]` between two NICs of one host says it as well.
    #[schemars(with = "Option<String>")]
    pub(super) peer: Option<Spanned<String>>,
}

/// A cable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkSection {
    /// Its two ends, each `HOST/NIC`.
    #[schemars(with = "[String; 2]")]
    pub(super) between: [Spanned<String>; 2],
}

/// An XDP program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramSection {
    /// ELF object, relative to the lab file's folder.
    #[schemars(with = "String")]
    pub(super) object: Spanned<String>,
    /// Which program of the object; needed where it has several.
    pub(super) prog: Option<String>,
    /// Packets that are sent to it: a pcap file, relative to the lab file's folder. About 30 of all sorts if absent.
    #[schemars(with = "Option<String>")]
    pub(super) packets: Option<Spanned<String>>,
    /// What its maps are filled with after the attach: `maps.NAME = [{ key = .., value = .. }]`, by BTF as
    /// `xdp-offload map set` takes it.
    #[serde(default)]
    pub(super) maps: BTreeMap<String, Vec<MapEntrySection>>,
}

/// An entry of a map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MapEntrySection {
    /// Its key.
    pub(super) key: serde_json::Value,
    /// Its value.
    pub(super) value: serde_json::Value,
}

/// A question, and where it is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckSection {
    /// What is asked. The check's name if absent.
    #[schemars(with = "Option<super::CheckKind>")]
    pub(super) kind: Option<Spanned<super::CheckKind>>,
    /// In which modes; all that the kind can have if absent.
    #[schemars(with = "Option<Vec<super::Mode>>")]
    pub(super) modes: Option<Spanned<Vec<Spanned<super::Mode>>>>,
    /// With which programs; all if absent. Not for kinds without a program.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) programs: Option<Spanned<Vec<Spanned<String>>>>,
    /// Of which cells only: a filter expression, for example `nic=igb | nic=veth`. All others are no cells of the lab.
    #[schemars(with = "Option<String>")]
    pub(super) cells: Option<Spanned<String>>,
    /// Time limit of one cell: the lab's if absent, and what `for` says besides; three times the lab's for mtu and queues.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// With mtu: the MTUs, in bytes; those that the interface does not take are left out. Below 1280 the interface
    /// loses its IPv6 addresses. 1280, 1500, 2000, 3000, 3498, 3506, 4000 and 9000 if absent.
    #[schemars(with = "Option<Vec<u32>>")]
    pub(super) mtus: Option<Spanned<Vec<Spanned<u32>>>>,
    /// With replace, soak and throughput: how long packets are sent, a number with ms, s or m. 3s, 10s and 1s if absent.
    #[serde(rename = "for")]
    #[schemars(with = "Option<String>")]
    pub(super) time: Option<Spanned<String>>,
    /// With replace and soak: packets a second, 200 if absent.
    #[schemars(with = "Option<u32>")]
    pub(super) rate: Option<Spanned<u32>>,
    /// With replace and soak: how many packets may be lost, 0 if absent.
    #[schemars(with = "Option<u64>")]
    pub(super) lost: Option<Spanned<u64>>,
    /// With throughput: how many times worse than before it may be; beyond that `diff` says slower. 1.5 if absent.
    #[schemars(with = "Option<f64>")]
    pub(super) slower: Option<Spanned<f64>>,
}

/// Cells that are not run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExcludeSection {
    /// Which: a filter expression, for example `nic=e1000 & mode=native`.
    #[schemars(with = "String")]
    pub(super) cells: Spanned<String>,
    /// Why; shown in every report.
    #[schemars(with = "String")]
    pub(super) reason: Spanned<String>,
}

/// Cells that fail and are known to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownBadSection {
    /// Which: a filter expression.
    #[schemars(with = "String")]
    pub(super) cells: Spanned<String>,
    /// The last day on which their failures do not count, in quotes: "2027-01-31".
    #[schemars(with = "String")]
    pub(super) until: Spanned<String>,
    /// Why they fail; shown in every report.
    #[schemars(with = "String")]
    pub(super) reason: Spanned<String>,
}

/// Cells whose outcome is known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectSection {
    /// Which: a filter expression. Cells whose check cannot have the outcome are not meant.
    #[schemars(with = "String")]
    pub(super) cells: Spanned<String>,
    /// What is expected.
    pub(super) outcome: super::Outcome,
    /// Why.
    pub(super) reason: Option<String>,
}
