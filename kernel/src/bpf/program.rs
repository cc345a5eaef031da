//! Programs: load, look at, pin.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use super::attr;
use super::iter::open_by_id;
use super::log::{self, Attempt};
use super::name;
use super::pin::{self, Sort};
use super::syscall::{
    Command, address, address_of_buffer, bpf_fd, c_string, object_info, raw, with_memory_limit,
};
use crate::error::{Errno, Error, Operation, Refusal, Result};

/// `prog_type`: BPF_PROG_TYPE_XDP.
pub const XDP: u32 = 6;

/// `expected_attach_type` of a program for an interface.
pub const ATTACH_XDP: u32 = 37;
/// `expected_attach_type` of a program that runs when a devmap entry is hit (since 5.8).
pub const ATTACH_XDP_DEVMAP: u32 = 33;
/// `expected_attach_type` of a program that runs on the CPU of a cpumap entry (since 5.9).
pub const ATTACH_XDP_CPUMAP: u32 = 35;

/// `prog_flags`: takes packets of more than one buffer (since 5.18).
pub const XDP_HAS_FRAGS: u32 = 1 << 5;
/// `prog_flags`: runs on the host, bound to the interface `ifindex`, so that it may call the
/// driver's metadata kfuncs (since 6.3).
pub const XDP_DEV_BOUND_ONLY: u32 = 1 << 6;

/// `log_level`: what the verifier did.
const BPF_LOG_LEVEL1: u32 = 1;
/// `log_level`: statistics only.
const BPF_LOG_STATS: u32 = 4;
/// Bytes of an instruction slot.
const INSN_SIZE: usize = 8;

/// The smallest XDP program: `return XDP_PASS`, `r0 = 2; exit`.
pub const PASS: [u8; 2 * INSN_SIZE] = {
    let verdict = 2i32.to_ne_bytes();
    [
        0xb7, 0, 0, 0, verdict[0], verdict[1], verdict[2], verdict[3], //
        0x95, 0, 0, 0, 0, 0, 0, 0,
    ]
};

/// What to load.
#[derive(Debug, Clone)]
pub struct ProgramSpec<'a> {
    /// Any text; what the kernel keeps of it is [`super::kernel_name`].
    pub name: &'a str,
    /// `prog_type`, such as [`XDP`].
    pub kind: u32,
    /// `expected_attach_type`, such as [`ATTACH_XDP`]. A program for an interface may have 0 as well,
    /// the only value from before the other ones came.
    pub expected_attach_type: u32,
    /// Instructions, 8 bytes each, in the host's byte order, with descriptors in place.
    pub insns: &'a [u8],
    /// The licence; "GPL" and its kin open the helpers that ask for it.
    pub license: &'a str,
    /// `prog_flags`, such as [`XDP_HAS_FRAGS`].
    pub flags: u32,
    /// The interface to load it for: an offloaded program, or with [`XDP_DEV_BOUND_ONLY`] one
    /// bound to it.
    pub ifindex: Option<u32>,
    /// The BTF that `func_info` and `line_info` point into.
    pub btf: Option<BorrowedFd<'a>>,
    /// .BTF.ext's records for functions.
    pub func_info: InfoRecords<'a>,
    /// .BTF.ext's records for source lines.
    pub line_info: InfoRecords<'a>,
    /// Descriptors that instructions name by index (maps, BTF of modules).
    pub fd_array: &'a [BorrowedFd<'a>],
    /// The kernel's type or function that a program of another kind attaches to; 0 for XDP.
    pub attach_btf_id: u32,
    /// `kern_version`, which only kernels before 5.0 look at, for kprobes.
    pub kernel_version: u32,
}

impl ProgramSpec<'_> {
    /// [`PASS`] as the simplest XDP program there is, for trials: with an `ifindex`, offloaded to
    /// that interface.
    pub fn pass(ifindex: Option<u32>) -> Self {
        Self {
            name: "xdp_pass",
            insns: &PASS,
            license: "GPL",
            ifindex,
            ..Self::default()
        }
    }
}

impl Default for ProgramSpec<'_> {
    /// An XDP program without instructions, for any kernel: `expected_attach_type` 0.
    fn default() -> Self {
        Self {
            name: "",
            kind: XDP,
            expected_attach_type: 0,
            insns: &[],
            license: "",
            flags: 0,
            ifindex: None,
            btf: None,
            func_info: InfoRecords::default(),
            line_info: InfoRecords::default(),
            fd_array: &[],
            attach_btf_id: 0,
            kernel_version: 0,
        }
    }
}

/// Records of .BTF.ext, back to back.
#[derive(Debug, Clone, Copy, Default)]
pub struct InfoRecords<'a> {
    /// Bytes in a record; 8 and more for functions, 16 and more for lines.
    pub record_size: u32,
    /// The records.
    pub bytes: &'a [u8],
}

impl InfoRecords<'_> {
    /// How many whole records there are.
    fn count(&self) -> u32 {
        self.bytes
            .len()
            .checked_div(self.record_size as usize)
            .unwrap_or(0) as u32
    }
}

/// A program, loaded as long as this lives; an attachment or a pin keeps it beyond that.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
}

impl Program {
    /// Loads a program: the kernel verifies it, and with `ifindex` hands it to the driver.
    ///
    /// It is loaded without a log first, because a log costs time; if refused, again with one, and
    /// [`Refusal::verifier_log`] has all of it (up to 64 MiB). No log means that the kernel refused
    /// before or beside the verifier: EINVAL and EOPNOTSUPP with `ifindex` (the interface cannot
    /// offload), EPERM (not permitted).
    pub fn load(spec: &ProgramSpec<'_>) -> Result<Self> {
        with_load(spec, |load| {
            let errno = match with_memory_limit(|| load(0, &mut []).answer) {
                Ok(fd) => return Ok(Self { fd }),
                Err(errno) => errno,
            };
            match log::explain(|log| load(BPF_LOG_LEVEL1, log)) {
                Ok(fd) => Ok(Self { fd }),
                Err(log) => Err(Refusal {
                    verifier_log: log,
                    ..Refusal::new(Operation::LoadProgram, errno)
                }
                .into()),
            }
        })
    }

    /// Loads a program and gives the verifier's statistics of it: lines such as "verification time 214 usec",
    /// "stack depth 64" and "processed 812 insns (limit 1000000) ..." (since 5.2). It is loaded once; of a refusal
    /// [`Refusal::verifier_log`] has these lines and what a driver wrote beside the verifier, not the walk.
    pub fn load_with_statistics(spec: &ProgramSpec<'_>) -> Result<(Self, String)> {
        with_load(spec, |load| {
            let mut log = vec![0; 4096];
            let answer = with_memory_limit(|| load(BPF_LOG_STATS, &mut log).answer);
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
            let log = String::from_utf8_lossy(&log[..end]).into_owned();
            match answer {
                Ok(fd) => Ok((Self { fd }, log)),
                Err(errno) => Err(Refusal {
                    verifier_log: Some(log).filter(|log| !log.is_empty()),
                    ..Refusal::new(Operation::LoadProgram, errno)
                }
                .into()),
            }
        })
    }

    /// Opens a program by id. ENOENT: there is none.
    pub fn from_id(id: u32) -> Result<Self> {
        let fd = open_by_id(Command::ProgramById, id)?;
        Ok(Self { fd })
    }

    /// Opens a pinned program. ENOENT: nothing is there; EINVAL: it is something else.
    pub fn open_pinned(path: &Path) -> Result<Self> {
        let fd = pin::open_pinned(path, Sort::Program)?;
        Ok(Self { fd })
    }

    /// Takes over a descriptor. EINVAL: it is not a program's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        pin::expect_sort(fd.as_fd(), Sort::Program, Operation::GetInfo)?;
        Ok(Self { fd })
    }

    /// Pins it at `path` in a BPF file system. EEXIST: something is there.
    pub fn pin(&self, path: &Path) -> Result<()> {
        pin::pin(self.fd.as_fd(), path)
    }

    /// What the kernel says of it. ENODEV: it was offloaded to an interface that is gone, see
    /// [`is_orphaned`].
    pub fn info(&self) -> Result<ProgramInfo> {
        // Two steps: how many maps, then which. Programs can get maps bound in between
        // (BPF_PROG_BIND_MAP), so the second answer may count more than fit.
        let mut map_ids =
            vec![0; self.read_info(attr::ProgramInfo::default())?.nr_map_ids as usize];
        let info = self.read_info(attr::ProgramInfo {
            nr_map_ids: map_ids.len() as u32,
            map_ids: address_of_buffer(&mut map_ids),
            ..attr::ProgramInfo::default()
        })?;
        map_ids.truncate(info.nr_map_ids as usize);
        Ok(ProgramInfo {
            id: info.id,
            name: name::from_field(&info.name),
            kind: info.kind,
            tag: info.tag,
            gpl_compatible: info.gpl_compatible & 1 != 0,
            loaded_at: Duration::from_nanos(info.load_time),
            uid: info.created_by_uid,
            ifindex: (info.ifindex != 0).then_some(info.ifindex),
            netns_device: info.netns_dev,
            netns_inode: info.netns_ino,
            map_ids,
            btf_id: (info.btf_id != 0).then_some(info.btf_id),
            xlated_size: info.xlated_prog_len,
            jited_size: info.jited_prog_len,
            verified_insns: info.verified_insns,
            run_time: Duration::from_nanos(info.run_time_ns),
            run_count: info.run_cnt,
        })
    }

    /// The instructions after the kernel's rewriting, in the host's byte order; for an offloaded
    /// program after the driver's too. Empty where the caller may not see them.
    pub fn xlated(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![
            0;
            self.read_info(attr::ProgramInfo::default())?
                .xlated_prog_len as usize
        ];
        let info = self.read_info(attr::ProgramInfo {
            xlated_prog_len: bytes.len() as u32,
            xlated_prog_insns: address_of_buffer(&mut bytes),
            ..attr::ProgramInfo::default()
        })?;
        // The kernel withholds them (kernel.kptr_restrict and the like) by a null pointer.
        if info.xlated_prog_insns == 0 {
            bytes.clear();
        }
        bytes.truncate(info.xlated_prog_len as usize);
        Ok(bytes)
    }

    /// The machine code: the host's, for an offloaded program the NIC's. Empty where there is none
    /// or the caller may not see it.
    pub fn jited(&self) -> Result<Vec<u8>> {
        let mut bytes =
            vec![0; self.read_info(attr::ProgramInfo::default())?.jited_prog_len as usize];
        let info = self.read_info(attr::ProgramInfo {
            jited_prog_len: bytes.len() as u32,
            jited_prog_insns: address_of_buffer(&mut bytes),
            ..attr::ProgramInfo::default()
        })?;
        if info.jited_prog_insns == 0 {
            bytes.clear();
        }
        bytes.truncate(info.jited_prog_len as usize);
        Ok(bytes)
    }

    /// Reads the info into `info`, whose pointers must be null or have their lengths beside them.
    fn read_info(&self, mut info: attr::ProgramInfo) -> Result<attr::ProgramInfo> {
        // SAFETY: this module sets a pointer only together with the length of its live buffer.
        unsafe { object_info(self.fd.as_fd(), &mut info) }?;
        Ok(info)
    }
}

/// Calls `then` with the load as a function of the log's level and buffer.
fn with_load<T>(
    spec: &ProgramSpec<'_>,
    then: impl FnOnce(&mut dyn FnMut(u32, &mut [u8]) -> Attempt<OwnedFd>) -> Result<T>,
) -> Result<T> {
    if !spec.insns.len().is_multiple_of(INSN_SIZE) {
        return Err(Refusal::new(Operation::LoadProgram, Errno::EINVAL).into());
    }
    let license = c_string(spec.license.as_bytes(), Operation::LoadProgram)?;
    let fds: Vec<RawFd> = spec.fd_array.iter().map(AsRawFd::as_raw_fd).collect();
    let base = attr::ProgramLoad {
        prog_type: spec.kind,
        insn_cnt: (spec.insns.len() / INSN_SIZE) as u32,
        insns: address(spec.insns),
        license: license.as_ptr() as u64,
        kern_version: spec.kernel_version,
        prog_flags: spec.flags,
        prog_name: name::to_field(spec.name),
        prog_ifindex: spec.ifindex.unwrap_or(0),
        expected_attach_type: spec.expected_attach_type,
        prog_btf_fd: spec.btf.map_or(0, raw),
        func_info_rec_size: spec.func_info.record_size,
        func_info: address(spec.func_info.bytes),
        func_info_cnt: spec.func_info.count(),
        line_info_rec_size: spec.line_info.record_size,
        line_info: address(spec.line_info.bytes),
        line_info_cnt: spec.line_info.count(),
        attach_btf_id: spec.attach_btf_id,
        fd_array: if fds.is_empty() {
            0
        } else {
            fds.as_ptr() as u64
        },
        ..attr::ProgramLoad::default()
    };
    let mut load = |log_level: u32, log: &mut [u8]| {
        let mut attr = attr::ProgramLoad {
            log_level,
            log_size: log.len() as u32,
            log_buf: address_of_buffer(log),
            ..base
        };
        // SAFETY: instructions, records and log are null or have the length beside them; the
        // licence is a C string. The kernel reads `fd_array` by the indices in the instructions:
        // an index beyond its end makes it read, never write, some other bytes of this process
        // and take them for a descriptor. The command answers with a descriptor.
        let answer = unsafe { bpf_fd(Command::ProgramLoad, &mut attr) };
        Attempt {
            answer,
            true_size: attr.log_true_size as usize,
        }
    };
    then(&mut load)
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// struct bpf_prog_info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramInfo {
    /// The id, unique on the host as long as the program lives.
    pub id: u32,
    /// The name, at most 15 bytes.
    pub name: String,
    /// `prog_type`, such as [`XDP`].
    pub kind: u32,
    /// A hash over the instructions.
    pub tag: [u8; 8],
    /// Whether the licence opens GPL-only helpers.
    pub gpl_compatible: bool,
    /// When it was loaded, since boot.
    pub loaded_at: Duration,
    /// Who loaded it.
    pub uid: u32,
    /// The interface that it is offloaded to, as counted in its network namespace. For a program
    /// that is only bound to one ([`XDP_DEV_BOUND_ONLY`]) the kernel does not say which (6.18).
    pub ifindex: Option<u32>,
    /// Device number and inode of that network namespace's file; 0 where there is none.
    pub netns_device: u64,
    /// See `netns_device`.
    pub netns_inode: u64,
    /// The maps that it uses.
    pub map_ids: Vec<u32>,
    /// The BTF that it was loaded with.
    pub btf_id: Option<u32>,
    /// Bytes of [`Program::xlated`].
    pub xlated_size: u32,
    /// Bytes of [`Program::jited`].
    pub jited_size: u32,
    /// How many instructions the verifier walked (since 5.16).
    pub verified_insns: u32,
    /// Time spent in it while runs were counted ([`super::RunStatistics`], or the sysctl kernel.bpf_stats_enabled).
    pub run_time: Duration,
    /// Its runs while they were counted. 0 for an offloaded program.
    pub run_count: u64,
}

impl ProgramInfo {
    /// The tag as bpftool prints it, 16 hexadecimal digits.
    pub fn tag_text(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.tag))
    }
}

/// Whether an answer about a program or map means that its interface is gone: what was offloaded to
/// one survives it as an empty shell (`bpf_prog_offload_info_fill` in kernel/bpf/offload.c).
pub fn is_orphaned(error: &Error) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.operation == Operation::GetInfo && refusal.errno == Errno::ENODEV
    })
}
