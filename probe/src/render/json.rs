//! The JSON of `list`, `show`, `try`, `drivers` and `watch`; committed schemas in `probe/schemas`.

use std::io::{self, Write};

use kernel::netlink::ethtool::FeatureState;
use kernel::netlink::link::Mode;
use kernel::netlink::netdev::NetdevFeatures;
use schemars::JsonSchema;
use serde::Serialize;

use crate::drivers::Driver;
use crate::facts::{DriverSource, Facts, Host, Snapshot};
use crate::feature_names::{rx_metadata_names, xdp_feature_names, xsk_feature_names};
use crate::judge::permission;
use crate::judge::{self, EvidenceKind, Verdicts};

/// `list --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct List<'a> {
    /// "xdp-probe/list/v1".
    pub schema: &'a str,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// The network namespace that was asked for with --netns; null for the caller's own.
    pub netns: Option<&'a str>,
    /// In the kernel's order.
    pub interfaces: Vec<Interface<'a>>,
}

/// `show --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Show<'a> {
    /// "xdp-probe/show/v1".
    pub schema: &'a str,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// The network namespace that was asked for with --netns; null for the caller's own.
    pub netns: Option<&'a str>,
    /// Capabilities that an attach needs and this process lacks.
    pub missing_capabilities: Vec<&'a str>,
    /// The same object as in `list --json`.
    pub interface: Interface<'a>,
    /// More of what the kernel says.
    pub facts: MoreFacts<'a>,
}

/// One interface and the verdicts about it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Interface<'a> {
    /// Interface index.
    pub ifindex: u32,
    /// Interface name.
    pub ifname: &'a str,
    /// Driver name; null where nothing names one (loopback).
    pub driver: Option<&'a str>,
    /// The driver's version; null where it is that of the kernel.
    pub driver_version: Option<&'a str>,
    /// Bus address, such as a PCI address.
    pub bus_info: Option<&'a str>,
    /// Firmware version.
    pub firmware: Option<&'a str>,
    /// Bytes.
    pub mtu: u32,
    /// RFC 2863, such as "up".
    pub operstate: String,
    /// Queues; null where the driver does not tell.
    pub channels: Option<Channels>,
    /// What the driver says of itself.
    pub advertised: Advertised,
    /// Whether programs attach, by mode.
    pub modes: Modes,
    /// Whether AF_XDP sockets bind, by mode.
    pub af_xdp: AfXdp,
    /// Whether XDP_REDIRECT works in native mode.
    pub redirect: Redirect,
    /// Whether a native xdp.frags program gets packets of more than one buffer.
    pub multi_buffer: Support,
    /// The best mode whose support is "yes".
    pub best: Option<ModeName>,
    /// What is attached now, best mode first.
    pub attached: Vec<Attached<'a>>,
}

/// Queues, in use and at most.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Channels {
    /// Receive-only queues.
    pub rx: Count,
    /// Transmit-only queues.
    pub tx: Count,
    /// Queues that do both.
    pub combined: Count,
}

/// A number and its maximum.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Count {
    /// In use.
    pub now: u32,
    /// At most.
    pub max: u32,
}

impl From<(u32, u32)> for Count {
    fn from((now, max): (u32, u32)) -> Self {
        Self { now, max }
    }
}

/// The netdev family's answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Advertised {
    /// "none" on kernels without the netdev family (before 6.3).
    pub source: AdvertisedSource,
    /// Names of netdev.yaml; bits without a name as "bit-N".
    pub xdp_features: Vec<String>,
    /// "timestamp", "hash", "vlan-tag".
    pub rx_metadata: Vec<String>,
    /// "tx-timestamp", "tx-checksum", "tx-launch-time-fifo".
    pub xsk_features: Vec<String>,
    /// Buffers of a zero-copy packet, at most; null without zero-copy.
    pub zc_max_segs: Option<u32>,
}

/// Who advertises.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdvertisedSource {
    /// The netdev generic netlink family.
    Netdev,
    /// Nobody.
    None,
}

/// Verdicts by mode.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Modes {
    /// In the driver.
    pub native: Support,
    /// In the network stack.
    pub generic: Support,
    /// On the NIC.
    pub offload: Support,
}

/// Verdicts about AF_XDP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AfXdp {
    /// XDP_COPY.
    pub copy: Support,
    /// XDP_ZEROCOPY.
    pub zerocopy: Support,
}

/// Verdicts about XDP_REDIRECT.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Redirect {
    /// Packets that arrive here.
    pub source: Support,
    /// Packets to here.
    pub target: Support,
}

/// One verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Support {
    /// The verdict.
    pub support: Answer,
    /// What it rests on, strongest first; empty for "unknown".
    pub evidence: Vec<Evidence>,
    /// Why not, or why it is unknown; null for "yes".
    pub reason: Option<String>,
    /// What would change it; null where nothing is known to.
    pub remedy: Option<String>,
    /// What to know about a "yes".
    pub notes: Vec<String>,
}

/// The three verdicts.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It works.
    Yes,
    /// It does not.
    No,
    /// Nothing says.
    Unknown,
}

/// What a verdict rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Evidence {
    /// What sort.
    pub kind: Kind,
    /// The attribute, table row, errno or extended ack.
    pub detail: String,
}

/// Sorts of evidence.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Tried just now.
    Trial,
    /// A program runs there now.
    Attached,
    /// The interface's state.
    Observed,
    /// The netdev family.
    Advertised,
    /// The shipped driver table.
    Table,
}

/// The field's names of the modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    /// On the NIC.
    Offload,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl From<Mode> for ModeName {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Offload => Self::Offload,
            Mode::Native => Self::Native,
            Mode::Generic => Self::Generic,
        }
    }
}

/// An attached program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attached<'a> {
    /// Where it runs.
    pub mode: ModeName,
    /// The kernel's id of it.
    pub prog_id: u32,
    /// Its name; null without the privilege to ask.
    pub name: Option<&'a str>,
    /// The SHA of its instructions; null without the privilege to ask.
    pub tag: Option<&'a str>,
}

/// What `show` tells beyond `list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MoreFacts<'a> {
    /// Who named the driver.
    pub driver_source: Option<&'a str>,
    /// IFLA_INFO_KIND.
    pub kind: Option<&'a str>,
    /// Set up by the administrator.
    pub up: bool,
    /// The link has a carrier.
    pub carrier: bool,
    /// Bytes; 0: no limit given.
    pub min_mtu: u32,
    /// Bytes; 0: no limit given.
    pub max_mtu: u32,
    /// The bond, bridge or team it belongs to.
    pub master: Option<&'a str>,
    /// The device it is stacked on.
    pub lower: Option<&'a str>,
    /// Descriptors.
    pub rings: Option<Rings>,
    /// Settings that stand in XDP's way.
    pub offloads: Offloads,
}

/// Ring sizes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rings {
    /// Receive.
    pub rx: Count,
    /// Transmit.
    pub tx: Count,
}

/// ethtool features; null where the device has none of the name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Offloads {
    /// rx-lro.
    pub lro: Option<Feature>,
    /// rx-gro-hw.
    pub gro_hw: Option<Feature>,
    /// rx-gro.
    pub gro: Option<Feature>,
    /// rx-checksum.
    pub rx_checksum: Option<Feature>,
}

/// One ethtool feature.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Feature {
    /// On.
    pub active: bool,
    /// Not fixed.
    pub changeable: bool,
}

/// `drivers --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Drivers<'a> {
    /// "xdp-probe/drivers/v1".
    pub schema: &'a str,
    /// Rows of the shipped table.
    pub drivers: Vec<&'a Driver>,
}

/// Writes `list --json` one interface at a time, each on a line of its own.
pub fn write_list<'a>(
    out: &mut dyn Write,
    snapshot: &Snapshot,
    netns: Option<&str>,
    interfaces: impl IntoIterator<Item = (&'a Facts, Verdicts)>,
) -> io::Result<()> {
    let head = List {
        schema: LIST,
        kernel: &snapshot.host.release.text,
        netns,
        interfaces: Vec::new(),
    };
    let mut head = serde_json::to_string(&head)?;
    head.truncate(head.len() - "]}".len()); // the list of interfaces is the last member, and empty
    out.write_all(head.as_bytes())?;
    let mut separator = "\n";
    for (facts, verdicts) in interfaces {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *out, &Interface::new(facts, verdicts))?;
        separator = ",\n";
    }
    out.write_all(b"\n]}\n")
}

/// The schema member of `list --json`.
pub const LIST: &str = "xdp-probe/list/v1";
/// The schema member of `show --json`.
pub const SHOW: &str = "xdp-probe/show/v1";
/// The schema member of `drivers --json`.
pub const DRIVERS: &str = "xdp-probe/drivers/v1";

impl<'a> Show<'a> {
    /// Everything about one interface.
    pub fn new(
        snapshot: &'a Snapshot,
        netns: Option<&'a str>,
        facts: &'a Facts,
        verdicts: Verdicts,
    ) -> Self {
        Self {
            schema: SHOW,
            kernel: &snapshot.host.release.text,
            netns,
            missing_capabilities: missing(&snapshot.host),
            interface: Interface::new(facts, verdicts),
            facts: MoreFacts::new(snapshot, facts),
        }
    }
}

fn missing(host: &Host) -> Vec<&'static str> {
    let mut missing = permission::missing_to_attach(host);
    missing.extend(permission::missing_to_bind(host));
    missing
}

impl<'a> Interface<'a> {
    /// The object of one interface.
    pub fn new(facts: &'a Facts, verdicts: Verdicts) -> Self {
        let best = verdicts.best().map(ModeName::from);
        Self {
            ifindex: facts.link.ifindex,
            ifname: &facts.link.name,
            driver: facts.driver_name(),
            driver_version: facts.driver_version.as_deref(),
            bus_info: facts.bus_info.as_deref(),
            firmware: facts.firmware.as_deref(),
            mtu: facts.link.mtu,
            operstate: facts.link.operstate.to_string(),
            channels: facts.channels.map(|channels| Channels {
                rx: channels.rx.into(),
                tx: channels.tx.into(),
                combined: channels.combined.into(),
            }),
            advertised: Advertised::new(facts.advertised.as_ref()),
            modes: Modes {
                native: verdicts.native.into(),
                generic: verdicts.generic.into(),
                offload: verdicts.offload.into(),
            },
            af_xdp: AfXdp {
                copy: verdicts.xsk_copy.into(),
                zerocopy: verdicts.xsk_zerocopy.into(),
            },
            redirect: Redirect {
                source: verdicts.redirect_source.into(),
                target: verdicts.redirect_target.into(),
            },
            multi_buffer: verdicts.multi_buffer.into(),
            best,
            attached: attached(facts),
        }
    }
}

fn attached(facts: &Facts) -> Vec<Attached<'_>> {
    facts
        .link
        .xdp
        .iter()
        .map(|(mode, id)| {
            let program = facts
                .programs
                .iter()
                .find(|program| program.mode == mode && program.id == id);
            Attached {
                mode: mode.into(),
                prog_id: id,
                name: program.map(|program| program.name.as_str()),
                tag: program.map(|program| program.tag.as_str()),
            }
        })
        .collect()
}

impl Advertised {
    fn new(features: Option<&NetdevFeatures>) -> Self {
        match features {
            Some(features) => Self::from_features(features),
            None => Self {
                source: AdvertisedSource::None,
                ..Self::from_features(&NetdevFeatures::default())
            },
        }
    }

    /// In names.
    pub fn from_features(features: &NetdevFeatures) -> Self {
        Self {
            source: AdvertisedSource::Netdev,
            xdp_features: xdp_feature_names(features.xdp),
            rx_metadata: rx_metadata_names(features.rx_metadata),
            xsk_features: xsk_feature_names(features.xsk),
            zc_max_segs: features.zc_max_segs,
        }
    }
}

impl<'a> MoreFacts<'a> {
    fn new(snapshot: &'a Snapshot, facts: &'a Facts) -> Self {
        let feature = |state: Option<FeatureState>| {
            state.map(|state| Feature {
                active: state.active,
                changeable: state.changeable,
            })
        };
        let link = &facts.link;
        Self {
            driver_source: facts.driver.as_ref().map(|driver| driver.source.name()),
            kind: link.kind.as_deref(),
            up: link.is_up(),
            carrier: link.carrier,
            min_mtu: link.mtu_range.0,
            max_mtu: link.mtu_range.1,
            master: link
                .master
                .and_then(|master| snapshot.by_index(master))
                .map(|master| master.link.name.as_str()),
            lower: snapshot.lower(facts).map(|lower| lower.link.name.as_str()),
            rings: facts.rings.map(|rings| Rings {
                rx: rings.rx.into(),
                tx: rings.tx.into(),
            }),
            offloads: Offloads {
                lro: feature(facts.offloads.lro),
                gro_hw: feature(facts.offloads.gro_hw),
                gro: feature(facts.offloads.gro),
                rx_checksum: feature(facts.offloads.rx_checksum),
            },
        }
    }
}

impl DriverSource {
    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ethtool => "ethtool",
            Self::ParentDevice => "parent device",
            Self::Kind => "kind",
        }
    }
}

impl From<judge::Support> for Support {
    fn from(support: judge::Support) -> Self {
        let (answer, evidence, reason, remedy, notes) = match support {
            judge::Support::Yes { evidence, notes } => (Answer::Yes, evidence, None, None, notes),
            judge::Support::No {
                evidence,
                reason,
                remedy,
            } => (Answer::No, evidence, Some(reason), remedy, Vec::new()),
            judge::Support::Unknown { why } => {
                (Answer::Unknown, Vec::new(), Some(why), None, Vec::new())
            }
        };
        Self {
            support: answer,
            evidence: evidence.into_iter().map(Evidence::from).collect(),
            reason,
            remedy,
            notes,
        }
    }
}

impl From<judge::Evidence> for Evidence {
    fn from(evidence: judge::Evidence) -> Self {
        let kind = match evidence.kind {
            EvidenceKind::Trial => Kind::Trial,
            EvidenceKind::Attached => Kind::Attached,
            EvidenceKind::Observed => Kind::Observed,
            EvidenceKind::Advertised => Kind::Advertised,
            EvidenceKind::Table => Kind::Table,
        };
        Self {
            kind,
            detail: evidence.detail,
        }
    }
}
