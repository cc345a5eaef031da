//! A program that is already attached: what a replacement has to reckon with.

use crate::load;
use kernel::bpf::link::{Link, LinkInfo, LinkTarget};
use kernel::bpf::program::Program;
use kernel::netlink::link::{AttachedXdp, Mode};
use std::path::PathBuf;
use std::{fmt, fs};

/// An XDP program attached to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Where it runs.
    pub mode: Mode,
    /// The kernel's id of the program.
    pub program_id: u32,
    /// The program's name, as far as the kernel told it (at most 15 bytes, may be empty).
    pub name: String,
    /// What keeps it attached.
    pub holder: Holder,
}

/// What keeps a program attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The interface itself: attached by netlink, stays until somebody detaches it.
    Interface,
    /// A `bpf_link`: netlink can neither replace nor detach what it holds.
    Link {
        /// The kernel's id of the link.
        id: u32,
        /// Where it is pinned. An unpinned one goes, with its program, when its owner ends.
        pin: Option<PathBuf>,
    },
}

impl fmt::Display for Occupant {
    /// `program 12 (xdp_pass)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.program_id)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Holder {
    /// `the interface`, `bpf_link 7 pinned at /sys/fs/bpf/x`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface => f.write_str("the interface"),
            Self::Link { id, pin: None } => write!(f, "bpf_link {id}"),
            Self::Link { id, pin: Some(pin) } => {
                write!(f, "bpf_link {id} pinned at {}", pin.display())
            }
        }
    }
}

/// What is attached to an interface now. Names and links need CAP_BPF and CAP_SYS_ADMIN: without them names
/// are empty and every program counts as held by the interface, which the kernel corrects with EBUSY.
pub fn find(ifindex: u32, attached: &AttachedXdp) -> Vec<Occupant> {
    if attached.is_empty() {
        return Vec::new();
    }
    find_among(&xdp_links(), ifindex, attached)
}

/// As [`find`], with all XDP links of the host at hand.
pub(crate) fn find_among(
    links: &[LinkInfo],
    ifindex: u32,
    attached: &AttachedXdp,
) -> Vec<Occupant> {
    attached
        .iter()
        .map(|(mode, program_id)| Occupant {
            mode,
            program_id,
            name: Program::from_id(program_id)
                .and_then(|program| program.info())
                .map(|info| info.name)
                .unwrap_or_default(),
            // An ifindex counts in its own network namespace, so the program has to be the same too.
            holder: links
                .iter()
                .find(|link| {
                    link.target == LinkTarget::Xdp(Some(ifindex)) && link.program_id == program_id
                })
                .map_or(Holder::Interface, |link| Holder::Link {
                    id: link.id,
                    pin: find_pin(link.id),
                }),
        })
        .collect()
}

/// All XDP links that hold an interface, of every network namespace; none without CAP_SYS_ADMIN.
pub(crate) fn xdp_links() -> Vec<LinkInfo> {
    Link::all()
        .filter_map(Result::ok)
        .map(|(_, info)| info)
        .filter(|info| matches!(info.target, LinkTarget::Xdp(Some(_))))
        .collect()
}

/// Where a link is pinned, if it is, in the BPF file systems that this process sees.
pub fn find_pin(link_id: u32) -> Option<PathBuf> {
    /// A folder with more than this is not searched to its end.
    const MOST_FILES: usize = 4096;
    const DEEPEST: usize = 6;

    let mut left = MOST_FILES;
    let mut folders: Vec<(PathBuf, usize)> =
        load::bpf_mounts().into_iter().map(|m| (m, 0)).collect();
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            left = left.checked_sub(1)?;
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEEPEST => folders.push((path, depth + 1)),
                Ok(kind) if kind.is_file() => {
                    let found = Link::open_pinned(&path).and_then(|link| link.info());
                    if found.is_ok_and(|info| info.id == link_id) {
                        return Some(path);
                    }
                }
                _ => {}
            }
        }
    }
    None
}
