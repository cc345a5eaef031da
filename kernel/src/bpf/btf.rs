//! BTF: the types of programs and of the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::attr;
use super::iter::open_by_id;
use super::log::{self, Attempt};
use super::name;
use super::syscall::{Command, address, address_of_buffer, bpf_fd, object_info, with_memory_limit};
use crate::error::{Errno, Operation, Refusal, Result};

/// The kernel takes no more (BTF_MAX_SIZE in kernel/bpf/btf.c).
const MAX_SIZE: usize = 16 << 20;

/// BTF that the kernel has checked.
#[derive(Debug)]
pub struct Btf {
    fd: OwnedFd,
}

/// struct bpf_btf_info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtfInfo {
    /// The id, unique on the host as long as the BTF lives.
    pub id: u32,
    /// "vmlinux" or a module's name for BTF of the kernel; empty for a program's.
    pub name: String,
    /// Whether it describes the kernel or a module.
    pub is_kernel: bool,
    /// Bytes of the BTF.
    pub size: u32,
}

impl Btf {
    /// Loads BTF, in the form that libbpf calls sanitised: with no kinds that this kernel does not
    /// know and with the sizes and offsets of data sections filled in.
    ///
    /// Refused: [`Refusal::verifier_log`] has the kernel's whole dump with its complaint at the end.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_SIZE {
            return Err(Refusal::new(Operation::LoadBtf, Errno::E2BIG).into());
        }
        let errno = match with_memory_limit(|| load(bytes, &mut []).answer) {
            Ok(fd) => return Ok(Self { fd }),
            Err(errno) => errno,
        };
        match log::explain(|buffer| load(bytes, buffer)) {
            Ok(fd) => Ok(Self { fd }),
            Err(log) => Err(Refusal {
                verifier_log: log,
                ..Refusal::new(Operation::LoadBtf, errno)
            }
            .into()),
        }
    }

    /// Opens BTF by id. ENOENT: there is none.
    pub fn from_id(id: u32) -> Result<Self> {
        let fd = open_by_id(Command::BtfById, id)?;
        Ok(Self { fd })
    }

    /// What the kernel says of it.
    pub fn info(&self) -> Result<BtfInfo> {
        // The longest name is that of a module, MODULE_NAME_LEN.
        let mut buffer = [0; 64];
        let mut info = attr::BtfInfo {
            name: address_of_buffer(&mut buffer),
            name_len: buffer.len() as u32,
            ..attr::BtfInfo::default()
        };
        // SAFETY: `name` points to a buffer of `name_len` bytes; `btf` is null with `btf_size` 0.
        unsafe { object_info(self.fd.as_fd(), &mut info) }?;
        Ok(BtfInfo {
            id: info.id,
            name: name::from_field(&buffer),
            is_kernel: info.kernel_btf != 0,
            size: info.btf_size,
        })
    }

    /// The BTF itself, in the host's byte order.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.info()?.size as usize];
        let mut info = attr::BtfInfo {
            btf: address_of_buffer(&mut bytes),
            btf_size: bytes.len() as u32,
            ..attr::BtfInfo::default()
        };
        // SAFETY: `btf` points to a buffer of `btf_size` bytes; `name` is null with `name_len` 0.
        unsafe { object_info(self.fd.as_fd(), &mut info) }?;
        Ok(bytes)
    }
}

impl AsFd for Btf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The running kernel's own BTF, a few megabytes. ENOENT: it was built without
/// CONFIG_DEBUG_INFO_BTF.
pub fn kernel_btf_bytes() -> Result<Vec<u8>> {
    std::fs::read("/sys/kernel/btf/vmlinux").map_err(|error| {
        let errno = Errno(error.raw_os_error().unwrap_or(libc::EIO));
        Refusal::new(Operation::ReadSystem, errno).into()
    })
}

/// One BPF_BTF_LOAD; an empty `log` asks for none.
fn load(bytes: &[u8], log: &mut [u8]) -> Attempt<OwnedFd> {
    let mut attr = attr::BtfLoad {
        btf: address(bytes),
        btf_size: bytes.len() as u32,
        btf_log_buf: address_of_buffer(log),
        btf_log_size: log.len() as u32,
        btf_log_level: u32::from(!log.is_empty()),
        ..attr::BtfLoad::default()
    };
    // SAFETY: both pointers are null or have the length beside them, and the command answers with a
    // descriptor.
    let answer = unsafe { bpf_fd(Command::BtfLoad, &mut attr) };
    Attempt {
        answer,
        true_size: attr.btf_log_true_size as usize,
    }
}
