//! `status --json`.

use super::{Attachment, Mode};
use generic_fallback::status::{self, Leftovers};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::UNIX_EPOCH;

/// What is attached where.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/status/v1")]
pub struct Report {
    /// "xdp-offload/status/v1"
    pub schema: &'static str,
    /// The interfaces that were asked for, or those with an attachment.
    pub interfaces: Vec<Interface>,
    /// XDP links of this host that hold no interface any more; empty where interfaces were named.
    pub dead_links: Vec<DeadLink>,
    /// The ids of programs that were offloaded to a NIC that is gone; empty where interfaces were named.
    pub orphaned: Vec<u32>,
}

/// A link whose interface is gone, or which was detached.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeadLink {
    /// The kernel's id of the link.
    pub link_id: u32,
    /// Where it is pinned; null: it lives as long as its owner.
    pub pin: Option<String>,
    /// The program that it keeps loaded; null where the kernel has taken its id away.
    pub prog_id: Option<u32>,
}

/// An interface.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Interface {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub ifname: String,
    /// What is attached, best mode first.
    pub attached: Vec<Program>,
}

/// An attached program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Program {
    /// Where it runs.
    pub mode: Mode,
    /// The kernel's id.
    pub prog_id: u32,
    /// What keeps it attached.
    pub attachment: Attachment,
    /// Its name, at most 15 bytes; null without the privilege to ask.
    pub name: Option<String>,
    /// A hash of its instructions, 16 hex digits.
    pub tag: Option<String>,
    /// When it was loaded, in seconds since 1970.
    pub loaded_at: Option<u64>,
    /// Who loaded it.
    pub uid: Option<u32>,
    /// The interface that it is offloaded to, by its index.
    pub offloaded_to: Option<u32>,
    /// Its maps.
    pub maps: Vec<Map>,
    /// The programs that a libxdp dispatcher calls, in order.
    pub behind_dispatcher: Vec<Component>,
}

/// A map of a program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Map {
    /// The kernel's id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its kind, as bpftool names it.
    pub kind: String,
}

/// A program behind a dispatcher.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Component {
    /// The kernel's id.
    pub prog_id: u32,
    /// Its name.
    pub name: String,
}

impl Report {
    /// The report of what was found.
    pub fn new(found: &[status::Status], leftovers: &Leftovers) -> Self {
        Self {
            schema: "xdp-offload/status/v1",
            interfaces: found
                .iter()
                .map(|status| Interface {
                    ifindex: status.ifindex,
                    ifname: status.ifname.clone(),
                    attached: status.attached.iter().map(program).collect(),
                })
                .collect(),
            dead_links: leftovers
                .links
                .iter()
                .map(|link| DeadLink {
                    link_id: link.id,
                    pin: link.pin.as_ref().map(|path| path.display().to_string()),
                    prog_id: link.program_id,
                })
                .collect(),
            orphaned: leftovers.orphans.clone(),
        }
    }
}

fn program(attachment: &status::Attachment) -> Program {
    let details = attachment.program.as_ref();
    Program {
        mode: attachment.mode.into(),
        prog_id: attachment.program_id,
        attachment: (&attachment.holder).into(),
        name: details.map(|details| details.name.clone()),
        tag: details.map(|details| details.tag.clone()),
        loaded_at: details
            .and_then(|details| details.loaded_at.duration_since(UNIX_EPOCH).ok())
            .map(|since| since.as_secs()),
        uid: details.map(|details| details.uid),
        offloaded_to: details.and_then(|details| details.offloaded_to),
        maps: details
            .map(|details| details.maps.iter().map(map).collect())
            .unwrap_or_default(),
        behind_dispatcher: details
            .map(|details| {
                details
                    .behind_dispatcher
                    .iter()
                    .map(|component| Component {
                        prog_id: component.program_id,
                        name: component.name.clone(),
                    })
                    .collect()
            })
            .unwrap_or_default(),
    }
}

fn map(map: &status::MapDetails) -> Map {
    Map {
        id: map.id,
        name: map.name.clone(),
        kind: map.kind.to_string(),
    }
}
