//! XDP links: attachments that live as long as a descriptor or a pin.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::attr;
use super::iter::open_by_id;
use super::pin::{self, Sort};
use super::program::{ATTACH_XDP, Program};
use super::syscall::{Command, bpf, bpf_fd, object_info, raw};
use crate::error::{Errno, Operation, Refusal, Result};
use crate::netlink::link::Mode;

/// enum bpf_link_type: BPF_LINK_TYPE_XDP.
const TYPE_XDP: u32 = 6;

/// `link_update` flags: replace only the program named.
const BPF_F_REPLACE: u32 = 1 << 2;

/// A link. XDP links need Linux 5.9.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
}

/// struct bpf_link_info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The id, unique on the host as long as the link lives.
    pub id: u32,
    /// The program.
    pub program_id: u32,
    /// What it holds.
    pub target: LinkTarget,
}

/// What a link attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTarget {
    /// An interface, by its index in its own network namespace; `None` once it is gone or the link
    /// was detached.
    Xdp(Option<u32>),
    /// Another sort of link, by its enum bpf_link_type.
    Other(u32),
}

impl Link {
    /// Attaches a program to an interface; `None` leaves the mode to the kernel, which takes native
    /// where the driver has XDP and generic elsewhere. It ends when the link is dropped, unless it
    /// was pinned.
    ///
    /// EBUSY: there is a program already; EINVAL and what else the driver answers. Links carry no
    /// extended ack: only the attachment by netlink tells why.
    pub fn create_xdp(program: &Program, ifindex: u32, mode: Option<Mode>) -> Result<Self> {
        let mut attr = attr::LinkCreate {
            prog_fd: raw(program.as_fd()),
            target_ifindex: ifindex,
            attach_type: ATTACH_XDP,
            flags: mode.map_or(0, Mode::flag),
        };
        // SAFETY: the attribute has no pointers, and the command answers with a descriptor.
        let fd = unsafe { bpf_fd(Command::LinkCreate, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::CreateLink, errno))?;
        Ok(Self { fd })
    }

    /// Opens a link by id. ENOENT: there is none.
    pub fn from_id(id: u32) -> Result<Self> {
        let fd = open_by_id(Command::LinkById, id)?;
        Ok(Self { fd })
    }

    /// Opens a pinned link. ENOENT: nothing is there; EINVAL: it is something else.
    pub fn open_pinned(path: &Path) -> Result<Self> {
        let fd = pin::open_pinned(path, Sort::Link)?;
        Ok(Self { fd })
    }

    /// Pins it at `path` in a BPF file system. EEXIST: something is there.
    pub fn pin(&self, path: &Path) -> Result<()> {
        pin::pin(self.fd.as_fd(), path)
    }

    /// Puts `new` in place of the program, without a packet in between; given `expected`, only if
    /// that is what runs now.
    ///
    /// EPERM: it is not. ENOLINK: the link was detached or its interface is gone.
    pub fn update(&self, new: &Program, expected: Option<&Program>) -> Result<()> {
        let mut attr = attr::LinkUpdate {
            link_fd: raw(self.fd.as_fd()),
            new_prog_fd: raw(new.as_fd()),
            flags: if expected.is_some() { BPF_F_REPLACE } else { 0 },
            old_prog_fd: expected.map_or(0, |program| raw(program.as_fd())),
        };
        // SAFETY: the attribute has no pointers.
        unsafe { bpf(Command::LinkUpdate, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::UpdateLink, errno))?;
        Ok(())
    }

    /// Takes the program off the interface, whoever else holds the link; it stays as an empty shell.
    /// Since 5.9.
    pub fn detach(&self) -> Result<()> {
        let mut attr = attr::LinkDetach {
            link_fd: raw(self.fd.as_fd()),
        };
        // SAFETY: the attribute has no pointers.
        unsafe { bpf(Command::LinkDetach, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::DetachLink, errno))?;
        Ok(())
    }

    /// What the kernel says of it.
    pub fn info(&self) -> Result<LinkInfo> {
        let mut info = attr::LinkInfo::default();
        // SAFETY: all is zero, so what other sorts of links take for pointers is null.
        unsafe { object_info(self.fd.as_fd(), &mut info) }?;
        Ok(LinkInfo {
            id: info.id,
            program_id: info.prog_id,
            target: match info.kind {
                TYPE_XDP => LinkTarget::Xdp((info.ifindex != 0).then_some(info.ifindex)),
                other => LinkTarget::Other(other),
            },
        })
    }

    /// All links of the host that are still there when it is their turn.
    pub fn all() -> impl Iterator<Item = Result<(Self, LinkInfo)>> {
        super::link_ids().filter_map(|id| {
            let opened = id.and_then(Self::from_id).and_then(|link| {
                let info = link.info()?;
                Ok((link, info))
            });
            match opened {
                Err(error) if error.errno() == Some(Errno::ENOENT) => None,
                opened => Some(opened),
            }
        })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
