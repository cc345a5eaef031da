//! Names for objects in a BPF file system, which keep them when their last descriptor closes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::attr::Pin;
use super::syscall::{Command, bpf, bpf_fd, c_string, raw};
use crate::error::{Errno, Operation, Refusal, Result};

/// Pins the object at `path`, which must not exist and lie in a mounted BPF file system.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let path = c_string(path.as_os_str().as_bytes(), Operation::Pin)?;
    let mut attr = Pin {
        pathname: path.as_ptr() as u64,
        bpf_fd: raw(fd),
        file_flags: 0,
    };
    // SAFETY: `path` is a C string that lives until the call returns.
    unsafe { bpf(Command::Pin, &mut attr) }.map_err(|errno| Refusal::new(Operation::Pin, errno))?;
    Ok(())
}

/// The sorts of objects that have descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Map,
    Program,
    Link,
}

impl Sort {
    /// The names of the anonymous inodes behind descriptors of this sort (kernel/bpf/syscall.c).
    fn inode_names(self) -> &'static [&'static [u8]] {
        match self {
            Self::Map => &[b"anon_inode:bpf-map"],
            Self::Program => &[b"anon_inode:bpf-prog"],
            // One when it is created, the other when it is opened again.
            Self::Link => &[b"anon_inode:bpf_link", b"anon_inode:bpf-link"],
        }
    }
}

/// Refuses with EINVAL, as the kernel does elsewhere, a descriptor of another sort. bpf(2) itself
/// answers an info request for any sort, with a struct that means something else.
pub(super) fn expect_sort(fd: BorrowedFd<'_>, sort: Sort, operation: Operation) -> Result<()> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlink(path, Vec::new())
        .map_err(|errno| Refusal::new(Operation::ReadSystem, errno.into()))?;
    if sort.inode_names().contains(&target.to_bytes()) {
        Ok(())
    } else {
        Err(Refusal::new(operation, Errno::EINVAL).into())
    }
}

/// Opens what is pinned at `path`, if it is of this sort.
pub(super) fn open_pinned(path: &Path, sort: Sort) -> Result<OwnedFd> {
    let path = c_string(path.as_os_str().as_bytes(), Operation::OpenPinned)?;
    let mut attr = Pin {
        pathname: path.as_ptr() as u64,
        ..Pin::default()
    };
    // SAFETY: `path` is a C string that lives until the call returns, and the command answers with
    // a descriptor.
    let fd = unsafe { bpf_fd(Command::OpenPinned, &mut attr) }
        .map_err(|errno| Refusal::new(Operation::OpenPinned, errno))?;
    expect_sort(fd.as_fd(), sort, Operation::OpenPinned)?;
    Ok(fd)
}
