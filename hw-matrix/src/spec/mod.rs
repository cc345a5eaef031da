//! The lab: hosts, their NICs, programs and checks, as a lab file describes them.
//!
//! `file` is the TOML text as serde sees it; `build`, with `hosts`, `checks` and `forms`, turns it into the checked [`Lab`];
//! `check` says what can be asked; `error` says what is wrong with it, at a line and column.

mod build;
mod check;
mod checks;
mod error;
mod file;
mod forms;
mod hosts;

use std::time::Duration;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::{Check, CheckKind, Options, Outcome};
pub use error::{LabError, LabErrors};
pub use file::LabFile;

use crate::filter::Filter;

/// Largest lab file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// A checked lab: every name refers to something, every expression parses.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The lab's name, for reports.
    pub name: String,
    /// The accepted results that a run is compared with, relative to the lab file's folder.
    pub baseline: Option<String>,
    /// Where places are reserved, if they have to be.
    pub reserve: Option<Reserve>,
    /// Hosts by name.
    pub hosts: Vec<Host>,
    /// Programs by name.
    pub programs: Vec<Program>,
    /// Checks by name.
    pub checks: Vec<Check>,
    /// What is not run, in the order of the file.
    pub exclusions: Vec<Exclusion>,
    /// What does not pass and is known not to, in the order of the file.
    pub known_bad: Vec<KnownBad>,
    /// What is expected to happen, in the order of the file: the last one that fits a cell counts.
    pub expectations: Vec<Expectation>,
}

/// A machine of the lab.
#[derive(Debug, Clone)]
pub struct Host {
    /// Name in cell ids.
    pub name: String,
    /// How commands get there.
    pub executor: Executor,
    /// The kernel release that has to run there, a glob; any if none.
    pub release: Option<String>,
    /// Shell commands that make it ready for its cells.
    pub prepare: Vec<String>,
    /// The place to reserve before it is used.
    pub place: Option<String>,
    /// NICs by name.
    pub nics: Vec<Nic>,
}

/// How commands get to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executor {
    /// This machine.
    Local {
        /// A network namespace of it, as `ip netns` names it.
        netns: Option<String>,
    },
    /// A virtual machine, which has the NICs with a [`Nic::device`].
    Vm {
        /// Which kernel it boots: a series that the virtual lab has, such as `6.12`.
        kernel: String,
        /// Its memory in MiB.
        memory: u32,
        /// How many processors it has.
        cpus: u32,
    },
    /// Another machine, reached by OpenSSH.
    Ssh(Ssh),
}

/// How OpenSSH reaches a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Its name or address.
    pub address: String,
    /// The user there; OpenSSH's default if none.
    pub user: Option<String>,
    /// The TCP port; OpenSSH's default if none.
    pub port: Option<u16>,
    /// File of the private key, relative to the lab file's folder.
    pub key: Option<String>,
    /// File of the keys that the machine may have, relative to the lab file's folder.
    pub known_hosts: Option<String>,
}

/// Where places are reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// With what.
    pub engine: Engine,
    /// The coordinator's `host:port`.
    pub coordinator: String,
    /// How long a place is waited for.
    pub wait: Duration,
}

/// A system that gives out places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// labgrid, by its client program.
    Labgrid,
}

impl Executor {
    /// The word the lab file uses.
    pub fn name(&self) -> &'static str {
        match self {
            Executor::Local { .. } => "local",
            Executor::Vm { .. } => "vm",
            Executor::Ssh(_) => "ssh",
        }
    }
}

/// A network interface of a host. All selectors that are given must fit, and exactly one interface may fit them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nic {
    /// Name in cell ids.
    pub name: String,
    /// The kernel's interface name.
    pub ifname: Option<String>,
    /// PCI address, `0000:01:00.0`, lower case.
    pub pci: Option<String>,
    /// Driver name as ethtool tells it.
    pub driver: Option<String>,
    /// MAC address, lower case with colons.
    pub mac: Option<String>,
    /// Of a virtual machine: what is emulated, `igb` or `virtio-net,queues=4`.
    pub device: Option<String>,
    /// The NIC at the other end of the cable, `host/nic`.
    pub peer: Option<String>,
    /// The interface at the other end of the cable where it is on the same host, `[netns/]ifname`.
    pub peer_interface: Option<String>,
}

/// An XDP program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name in cell ids.
    pub name: String,
    /// ELF object, relative to the lab file's folder.
    pub object: String,
    /// Which program of the object; needed where it has several.
    pub prog: Option<String>,
    /// Packets for it, a pcap file relative to the lab file's folder; built-in ones if none.
    pub packets: Option<String>,
    /// What its maps are filled with after the attach, in the order of the file.
    pub maps: Vec<MapEntry>,
}

/// An entry of a map, key and value as `xdp-offload map set` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEntry {
    /// The map's name.
    pub map: String,
    /// JSON.
    pub key: String,
    /// JSON.
    pub value: String,
}

/// XDP mode.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// On the socket buffer, any device.
    Generic,
    /// On the card.
    Offload,
}

impl Mode {
    /// All modes, in the order cells are listed.
    pub const ALL: [Mode; 3] = [Mode::Native, Mode::Generic, Mode::Offload];

    /// The word used in files and ids.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
            Mode::Offload => "offload",
        }
    }
}

/// Cells that are not run.
#[derive(Debug, Clone)]
pub struct Exclusion {
    /// Which cells.
    pub cells: Filter,
    /// Why not.
    pub reason: String,
    /// Line of the lab file, for messages.
    pub line: usize,
}

/// Cells that do not pass, and that is known.
#[derive(Debug, Clone)]
pub struct KnownBad {
    /// Which cells.
    pub cells: Filter,
    /// The last day on which a failure of them does not count.
    pub until: Date,
    /// Why they fail.
    pub reason: String,
    /// Line of the lab file, for messages.
    pub line: usize,
}

/// Cells whose outcome is known beforehand.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Which cells; those whose check cannot have the outcome are not meant.
    pub cells: Filter,
    /// What is expected of them.
    pub outcome: Outcome,
    /// Why, if the file says it.
    pub reason: Option<String>,
    /// Line of the lab file, for messages.
    pub line: usize,
}

impl Lab {
    /// Reads a lab file. `path` is for messages only.
    ///
    /// # Errors
    /// Everything that is wrong with it, each at its line and column; a file that is no TOML gives one error.
    pub fn parse(text: &str, path: &str) -> Result<Lab, LabErrors> {
        build::lab(text, path)
    }
}
