//! What this process and this host may do: kernel release, capabilities, lockdown.

/// A kernel release as `uname -r` gives it, with its leading numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRelease {
    /// The whole string, such as "6.12.117+deb12-amd64".
    pub text: String,
    /// Major and minor number.
    pub version: (u32, u32),
    /// The `LINUX_VERSION_CODE` form, `(major << 16) + (minor << 8) + min(patch, 255)`.
    pub code: u32,
}

/// The capabilities that XDP needs, from the effective set (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// CAP_BPF (since 5.8).
    pub bpf: bool,
    /// CAP_NET_ADMIN.
    pub net_admin: bool,
    /// CAP_SYS_ADMIN, which stands for CAP_BPF on older kernels.
    pub sys_admin: bool,
    /// CAP_NET_RAW, which AF_XDP and packet sockets ask for.
    pub net_raw: bool,
    /// CAP_PERFMON, for programs that read pointers as numbers.
    pub perfmon: bool,
}

/// /sys/kernel/security/lockdown: the mode in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    /// Not locked down, or the LSM is absent.
    None,
    /// Integrity: does not touch bpf(2).
    Integrity,
    /// Confidentiality: refuses reading kernel memory from BPF.
    Confidentiality,
}

impl KernelRelease {
    /// The running kernel's, by uname(2).
    pub fn read() -> Self {
        todo!()
    }
}

impl Capabilities {
    /// The calling thread's effective set, by capget(2).
    pub fn read() -> crate::Result<Self> {
        todo!()
    }
}

impl Lockdown {
    /// The host's mode; `None` where there is no lockdown LSM or it cannot be read.
    pub fn read() -> Self {
        todo!()
    }
}

/// How many CPUs are online (/sys/devices/system/cpu/online), at least 1.
pub fn online_cpus() -> crate::Result<u32> {
    todo!()
}

/// How many CPUs are possible (/sys/devices/system/cpu/possible), which is the number of values of a per-CPU map's
/// element; at least 1.
pub fn possible_cpus() -> crate::Result<u32> {
    todo!()
}

/// /proc/sys/kernel/unprivileged_bpf_disabled: 0 allowed, 1 refused until reboot, 2 refused; `None` where the kernel
/// has no such file.
pub fn unprivileged_bpf_disabled() -> Option<u8> {
    todo!()
}
