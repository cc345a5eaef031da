//! What is attached where, in which mode, held by what: our own attachments and those of others.

use crate::load;
use crate::occupant::{self, Holder, Occupant};
use kernel::bpf::link::LinkTarget;
use kernel::bpf::map::{Map, MapKind};
use kernel::bpf::program::{Program, ProgramInfo, is_orphaned};
use kernel::netlink::link::{Link, Mode};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// An interface and what is attached to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub ifname: String,
    /// The attachments, best mode first.
    pub attached: Vec<Attachment>,
}

/// A program attached to an interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// Where it runs.
    pub mode: Mode,
    /// The kernel's id of the program.
    pub program_id: u32,
    /// What keeps it attached.
    pub holder: Holder,
    /// More about the program; `None` without CAP_BPF, or where it went meanwhile.
    pub program: Option<ProgramDetails>,
}

/// What the kernel tells about a program.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramDetails {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// A hash of its instructions, 16 hex digits.
    pub tag: String,
    /// When it was loaded.
    pub loaded_at: SystemTime,
    /// Who loaded it.
    pub uid: u32,
    /// The interface that it is offloaded to.
    pub offloaded_to: Option<u32>,
    /// Its maps.
    pub maps: Vec<MapDetails>,
    /// The programs behind a libxdp dispatcher, in the order in which they run.
    pub behind_dispatcher: Vec<Component>,
}

/// A map of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDetails {
    /// The kernel's id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
}

/// A program behind a libxdp dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The kernel's id.
    pub program_id: u32,
    /// Its name.
    pub name: String,
}

/// The status of interfaces as rtnetlink gave them.
pub fn of(links: &[Link]) -> Vec<Status> {
    let bpf_links = if links.iter().all(|link| link.xdp.is_empty()) {
        Vec::new()
    } else {
        occupant::xdp_links()
    };
    links
        .iter()
        .map(|link| Status {
            ifindex: link.ifindex,
            ifname: link.name.clone(),
            attached: occupant::find_among(&bpf_links, link.ifindex, &link.xdp)
                .into_iter()
                .map(|occupant| attachment(link.ifindex, occupant))
                .collect(),
        })
        .collect()
}

/// What is left of attachments whose interface went away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// XDP links that hold no interface any more.
    pub links: Vec<DeadLink>,
    /// Ids of programs that were offloaded to a NIC that is gone: empty shells, which nothing runs. A link, a pin or a
    /// process keeps them.
    pub orphans: Vec<u32>,
}

/// An XDP link that holds no interface any more: the interface is gone, or the link was detached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLink {
    /// The kernel's id.
    pub id: u32,
    /// Where it is pinned. An unpinned one goes when its owner ends.
    pub pin: Option<PathBuf>,
    /// The program that it keeps loaded; `None` where the kernel has taken its id away, as older ones do to orphans
    /// (6.12 keeps it).
    pub program_id: Option<u32>,
}

impl Leftovers {
    /// Those of this host, whichever network namespace they were in; none without CAP_SYS_ADMIN.
    pub fn find() -> Self {
        let links = kernel::bpf::link::Link::all()
            .filter_map(Result::ok)
            .map(|(_, info)| info)
            .filter(|info| info.target == LinkTarget::Xdp(None))
            .map(|info| DeadLink {
                id: info.id,
                pin: occupant::find_pin(info.id),
                program_id: (info.program_id != 0).then_some(info.program_id),
            })
            .collect();
        let is_orphan = |id: &u32| {
            let info = Program::from_id(*id).and_then(|program| program.info());
            info.is_err_and(|error| is_orphaned(&error))
        };
        Self {
            links,
            orphans: kernel::bpf::program_ids()
                .flatten()
                .filter(is_orphan)
                .collect(),
        }
    }

    /// Whether the program of a link is an orphan.
    pub fn is_orphaned(&self, link: &DeadLink) -> bool {
        link.program_id.is_none_or(|id| self.orphans.contains(&id))
    }
}

fn attachment(ifindex: u32, occupant: Occupant) -> Attachment {
    let info = Program::from_id(occupant.program_id).and_then(|program| program.info());
    if let Err(error) = &info
        && !is_orphaned(error)
    {
        tracing::debug!(program = occupant.program_id, %error, "no details");
    }
    Attachment {
        mode: occupant.mode,
        program_id: occupant.program_id,
        holder: occupant.holder,
        program: info.ok().map(|info| details(ifindex, info)),
    }
}

fn details(ifindex: u32, info: ProgramInfo) -> ProgramDetails {
    ProgramDetails {
        tag: info.tag_text(),
        loaded_at: since_boot(info.loaded_at),
        uid: info.uid,
        offloaded_to: info.ifindex,
        maps: info.map_ids.iter().filter_map(|&id| map(id)).collect(),
        behind_dispatcher: if info.name == "xdp_dispatcher" {
            components(ifindex, info.id)
        } else {
            Vec::new()
        },
        name: info.name,
    }
}

fn map(id: u32) -> Option<MapDetails> {
    let info = Map::from_id(id).ok()?.info().ok()?;
    Some(MapDetails {
        id,
        name: info.name,
        kind: info.kind,
    })
}

/// What libxdp pinned for its dispatcher (lib/libxdp/protocol.org, "Locking and race avoidance" and
/// "Pinning": `xdp/dispatch-IFINDEX-DID/progN-prog`).
fn components(ifindex: u32, dispatcher: u32) -> Vec<Component> {
    /// A dispatcher holds at most this many (`MAX_DISPATCHER_ACTIONS`).
    const MOST: u32 = 10;
    let name = format!("xdp/dispatch-{ifindex}-{dispatcher}");
    let folders = load::bpf_mounts()
        .into_iter()
        .map(|mount| mount.join(&name));
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else {
        return Vec::new();
    };
    (0..MOST)
        .map_while(|number| {
            let pin = folder.join(format!("prog{number}-prog"));
            let info = Program::open_pinned(&pin).ok()?.info().ok()?;
            Some(Component {
                program_id: info.id,
                name: info.name,
            })
        })
        .collect()
}

/// The wall-clock time of a moment that the kernel counts from boot (sleep included).
fn since_boot(moment: Duration) -> SystemTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(
        now.tv_sec.try_into().unwrap_or_default(),
        now.tv_nsec.try_into().unwrap_or_default(),
    );
    SystemTime::now() - uptime.saturating_sub(moment)
}
