//! What this process and this host may do: kernel release, capabilities, lockdown.

use rustix::thread::CapabilitySet;

use crate::{Error, Operation, Refusal, Result};

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
        Self::parse(&rustix::system::uname().release().to_string_lossy())
    }

    /// Takes a release string apart; numbers that are missing count as 0.
    pub fn parse(text: &str) -> Self {
        let mut rest = text;
        let mut numbers = [0_u32; 3];
        for number in &mut numbers {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            *number = rest[..digits].parse().unwrap_or(0);
            match rest[digits..].strip_prefix('.') {
                Some(next) => rest = next,
                None => break,
            }
        }
        let [major, minor, patch] = numbers;
        Self {
            text: text.to_owned(),
            version: (major, minor),
            code: (major.min(0xff) << 16) | (minor.min(0xff) << 8) | patch.min(0xff),
        }
    }
}

impl Capabilities {
    /// The calling thread's effective set, by capget(2).
    pub fn read() -> Result<Self> {
        let effective = rustix::thread::capabilities(None)
            .map_err(|errno| Refusal::new(Operation::ReadSystem, errno.into()))?
            .effective;
        let has = |capability| effective.contains(capability);
        Ok(Self {
            bpf: has(CapabilitySet::BPF),
            net_admin: has(CapabilitySet::NET_ADMIN),
            sys_admin: has(CapabilitySet::SYS_ADMIN),
            net_raw: has(CapabilitySet::NET_RAW),
            perfmon: has(CapabilitySet::PERFMON),
        })
    }
}

impl Lockdown {
    /// The host's mode; `None` where there is no lockdown LSM or its file cannot be read.
    pub fn read() -> Self {
        std::fs::read_to_string("/sys/kernel/security/lockdown")
            .map_or(Self::None, |text| Self::parse(&text))
    }

    /// Reads the file's text, such as "none [integrity] confidentiality".
    fn parse(text: &str) -> Self {
        if text.contains("[integrity]") {
            Self::Integrity
        } else if text.contains("[confidentiality]") {
            Self::Confidentiality
        } else {
            Self::None
        }
    }
}

/// How many CPUs are online, at least 1.
pub fn online_cpus() -> Result<u32> {
    count_cpus("/sys/devices/system/cpu/online")
}

/// How many CPUs are possible, at least 1: the number of values in one element of a per-CPU map.
pub fn possible_cpus() -> Result<u32> {
    count_cpus("/sys/devices/system/cpu/possible")
}

/// Nanoseconds since boot, as `bpf_ktime_get_ns` gives them: without those in which the machine slept.
pub fn uptime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Bytes of a memory page, which the MTU limits of many drivers follow.
pub fn page_size() -> u32 {
    // SAFETY: sysconf(3) reads a constant and takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(size).unwrap_or(4096) // it never fails for this name
}

fn count_cpus(path: &str) -> Result<u32> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Refusal::new(Operation::ReadSystem, error.into()))?;
    cpus_in(&text).ok_or_else(|| Error::Malformed {
        operation: Operation::ReadSystem,
        detail: format!("{path} holds {:?}", text.trim()),
    })
}

/// The number of CPUs in a kernel CPU list such as "0-3,8".
fn cpus_in(list: &str) -> Option<u32> {
    let mut count: u32 = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// /proc/sys/kernel/unprivileged_bpf_disabled: 0 allowed, 1 refused until reboot, 2 refused; `None`
/// where the kernel has no such file.
pub fn unprivileged_bpf_disabled() -> Option<u8> {
    let text = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_taken_apart() {
        let check = |text: &str, version: (u32, u32), code: u32| {
            let release = KernelRelease::parse(text);
            assert_eq!((release.version, release.code), (version, code), "{text}");
            assert_eq!(release.text, text);
        };
        check("6.12.117+deb12-amd64", (6, 12), 0x06_0c_75);
        check("6.18.44-fc-v657", (6, 18), 0x06_12_2c);
        check("4.19.325", (4, 19), 0x04_13_ff); // the patch level is capped
        check("7.0-rc1", (7, 0), 0x07_00_00);
        check("", (0, 0), 0);
        check("99999999999.1.1", (0, 1), 0x00_01_01);
    }

    #[test]
    fn the_running_release_is_the_one_of_proc() {
        let proc = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(KernelRelease::read().text, proc.trim());
    }

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(
            Lockdown::parse("[none] integrity confidentiality\n"),
            Lockdown::None
        );
        assert_eq!(
            Lockdown::parse("none [integrity] confidentiality\n"),
            Lockdown::Integrity
        );
        assert_eq!(
            Lockdown::parse("none integrity [confidentiality]\n"),
            Lockdown::Confidentiality
        );
    }

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(cpus_in("0\n"), Some(1));
        assert_eq!(cpus_in("0-1\n"), Some(2));
        assert_eq!(cpus_in("0-3,8,10-11\n"), Some(7));
        assert_eq!(cpus_in(""), None);
        assert_eq!(cpus_in("3-1"), None);
        assert_eq!(cpus_in("0-4294967295"), None);
    }

    #[test]
    fn capabilities_agree_with_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:\t"))
            .map(|hex| u64::from_str_radix(hex, 16).unwrap())
            .unwrap();
        let bit = |number: u32| effective & (1 << number) != 0;
        let expected = Capabilities {
            net_admin: bit(12),
            net_raw: bit(13),
            sys_admin: bit(21),
            perfmon: bit(38),
            bpf: bit(39),
        };
        assert_eq!(Capabilities::read().unwrap(), expected);
    }
}
