//! A program that is already attached: what a replacement has to reckon with.

use kernel::netlink::link::Mode;
use std::fmt;
use std::path::PathBuf;

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
