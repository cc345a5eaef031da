//! bpf(2) itself, with the three things every caller needs: descriptors that cannot be mistaken for
//! "none", a bounded retry, and the memory limit of old kernels.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::attr::{Info, Layout};
use crate::error::{Errno, Operation, Refusal};
use crate::host::KernelRelease;

/// enum bpf_cmd (include/uapi/linux/bpf.h), the commands that this crate uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgramLoad = 5,
    Pin = 6,
    OpenPinned = 7,
    TestRun = 10,
    ProgramNextId = 11,
    MapNextId = 12,
    ProgramById = 13,
    MapById = 14,
    Info = 15,
    BtfLoad = 18,
    BtfById = 19,
    MapFreeze = 22,
    BtfNextId = 23,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkById = 30,
    LinkNextId = 31,
    EnableStats = 32,
    LinkDetach = 34,
}

/// How often a load is repeated that a signal cut short. The verifier answers EAGAIN then.
const MAX_INTERRUPTED_LOADS: u32 = 5;

/// Runs one command.
///
/// # Safety
/// Every pointer in `attr` is null or points to memory that is valid for as many bytes as the
/// kernel reads or writes there for this command, until the call returns.
pub(super) unsafe fn bpf<A: Layout>(command: Command, attr: &mut A) -> Result<u32, Errno> {
    let mut interrupted = 0;
    loop {
        // SAFETY: `attr` is a live `repr(C)` struct of the size given, which the kernel may
        // overwrite with any bits (`Layout`); the caller vouches for the pointers in it.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command as libc::c_long,
                std::ptr::from_mut(attr),
                size_of::<A>(),
            )
        };
        if answer >= 0 {
            return Ok(answer as u32);
        }
        let errno = Errno::last();
        let is_load = matches!(command, Command::ProgramLoad | Command::BtfLoad);
        if errno == Errno::EAGAIN && is_load && interrupted < MAX_INTERRUPTED_LOADS {
            interrupted += 1;
            continue;
        }
        return Err(errno);
    }
}

/// Runs a command that answers with a new file descriptor. bpf(2) always sets close-on-exec.
///
/// # Safety
/// As for [`bpf`]; and `command` is one that answers with a descriptor.
pub(super) unsafe fn bpf_fd<A: Layout>(command: Command, attr: &mut A) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // Attributes such as `btf_fd` spell "none" as 0: a process that was started without stdin must
    // not get an object there.
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(
        fd,
        libc::STDERR_FILENO + 1,
    )?)
}

/// Runs `request`, which creates an object, and once more with a raised memory limit where that is
/// what an old kernel misses: before Linux 5.11 maps and programs counted as locked memory, and
/// EPERM meant "over RLIMIT_MEMLOCK" as well as "not permitted".
pub(super) fn with_memory_limit<T>(
    mut request: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match request() {
        Err(Errno::EPERM) if counts_as_locked_memory() => {
            let unlimited = Rlimit {
                current: None,
                maximum: None,
            };
            match setrlimit(Resource::Memlock, unlimited) {
                Ok(()) => request(),
                Err(_) => Err(Errno::EPERM),
            }
        }
        answer => answer,
    }
}

fn counts_as_locked_memory() -> bool {
    KernelRelease::read().version < (5, 11)
}

/// Fills `info` in by BPF_OBJ_GET_INFO_BY_FD. Kernels that know fewer fields leave the rest zero.
///
/// # Safety
/// Every pointer in `info` is null or valid for the length that `info` gives beside it.
pub(super) unsafe fn object_info<I: Layout>(fd: BorrowedFd<'_>, info: &mut I) -> crate::Result<()> {
    let mut attr = Info {
        bpf_fd: raw(fd),
        info_len: size_of::<I>() as u32,
        info: address_mut(info),
    };
    // SAFETY: `info` points to a live `Layout` struct of `info_len` bytes; its own pointers are the
    // caller's promise.
    unsafe { bpf(Command::Info, &mut attr) }
        .map_err(|errno| Refusal::new(Operation::GetInfo, errno))?;
    Ok(())
}

/// The descriptor as attributes carry it.
pub(super) fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

/// The address of bytes that the kernel reads; null for none.
pub(super) fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        0
    } else {
        bytes.as_ptr() as u64
    }
}

/// The address of something that the kernel writes to.
pub(super) fn address_mut<T>(target: &mut T) -> u64 {
    std::ptr::from_mut(target) as u64
}

/// The address of a buffer that the kernel writes to; null for an empty one.
pub(super) fn address_of_buffer<T>(buffer: &mut [T]) -> u64 {
    if buffer.is_empty() {
        0
    } else {
        buffer.as_mut_ptr() as u64
    }
}

/// A C string for the kernel. A NUL inside is refused as the kernel refuses a bad string.
pub(super) fn c_string(text: &[u8], operation: Operation) -> crate::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| Refusal::new(operation, Errno::EINVAL).into())
}
