//! All objects of one sort on this host, by id.

use std::os::fd::OwnedFd;

use super::attr::Id;
use super::syscall::{Command, bpf, bpf_fd};
use crate::error::{Errno, Error, Operation, Refusal, Result};

/// The ids of all objects of one sort, rising. An object may be gone by the time its id is used:
/// opening it then gives ENOENT. Needs CAP_SYS_ADMIN.
#[derive(Debug)]
pub struct Ids {
    command: Command,
    last: Option<u32>,
}

impl Ids {
    fn new(command: Command) -> Self {
        Self {
            command,
            last: Some(0),
        }
    }
}

/// All programs that are loaded.
pub fn program_ids() -> Ids {
    Ids::new(Command::ProgramNextId)
}

/// All maps.
pub fn map_ids() -> Ids {
    Ids::new(Command::MapNextId)
}

/// All BTF objects, with those of the kernel and its modules.
pub fn btf_ids() -> Ids {
    Ids::new(Command::BtfNextId)
}

/// All links, of any sort.
pub fn link_ids() -> Ids {
    Ids::new(Command::LinkNextId)
}

impl Iterator for Ids {
    type Item = Result<u32>;

    /// An error ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        let last = self.last.take()?;
        let mut attr = Id {
            id: last,
            ..Id::default()
        };
        // SAFETY: the attribute has no pointers.
        match unsafe { bpf(self.command, &mut attr) } {
            Ok(_) if attr.next_id > last => {
                self.last = Some(attr.next_id);
                Some(Ok(attr.next_id))
            }
            Ok(_) => Some(Err(Error::Malformed {
                operation: Operation::GetById,
                detail: format!("id {} follows id {last}", attr.next_id),
            })),
            Err(Errno::ENOENT) => None,
            Err(errno) => Some(Err(Refusal::new(Operation::GetById, errno).into())),
        }
    }
}

/// Opens an object by its id.
pub(super) fn open_by_id(command: Command, id: u32) -> Result<OwnedFd> {
    debug_assert!(matches!(
        command,
        Command::ProgramById | Command::MapById | Command::BtfById | Command::LinkById
    ));
    let mut attr = Id {
        id,
        ..Id::default()
    };
    // SAFETY: the attribute has no pointers, and these commands answer with a descriptor.
    unsafe { bpf_fd(command, &mut attr) }
        .map_err(|errno| Refusal::new(Operation::GetById, errno).into())
}
