//! BPF_ENABLE_STATS: counting the runs of programs.

use std::os::fd::OwnedFd;

use super::attr;
use super::syscall::{Command, bpf_fd};
use crate::error::{Operation, Refusal, Result};

/// enum bpf_stats_type (include/uapi/linux/bpf.h)
const BPF_STATS_RUN_TIME: u32 = 0;

/// As long as this lives the kernel counts and times the runs of all programs of the host, which costs each run some
/// 10 ns: `run_count` and `run_time` of [`super::program::ProgramInfo`].
#[derive(Debug)]
pub struct RunStatistics {
    _fd: OwnedFd,
}

impl RunStatistics {
    /// Begins to count. Since 5.8. EPERM: needs CAP_SYS_ADMIN.
    pub fn enable() -> Result<Self> {
        let mut attr = attr::EnableStats {
            kind: BPF_STATS_RUN_TIME,
        };
        // SAFETY: the attribute has no pointers, and the command answers with a descriptor.
        let fd = unsafe { bpf_fd(Command::EnableStats, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::EnableStatistics, errno))?;
        Ok(Self { _fd: fd })
    }
}
