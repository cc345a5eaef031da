//! What this process may do, apart from what the interface can do.

use kernel::host::Lockdown;

use crate::drivers::Version;
use crate::facts::Host;

/// First kernel with CAP_BPF; before it, CAP_SYS_ADMIN.
const CAP_BPF_SINCE: Version = Version(5, 8);

/// The capabilities that loading and attaching an XDP program need and this process lacks, by name.
pub fn missing_to_attach(host: &Host) -> Vec<&'static str> {
    let capabilities = &host.capabilities;
    let load = if CAP_BPF_SINCE.reached_by(&host.release) {
        (capabilities.bpf || capabilities.sys_admin, "CAP_BPF")
    } else {
        (capabilities.sys_admin, "CAP_SYS_ADMIN")
    };
    missing(&[load, (capabilities.net_admin, "CAP_NET_ADMIN")])
}

/// What measuring an offload device needs besides loading: the programs and maps of others are found by id.
pub fn missing_to_measure(host: &Host) -> Vec<&'static str> {
    let mut missing = missing_to_attach(host);
    if !host.capabilities.sys_admin && !missing.contains(&"CAP_SYS_ADMIN") {
        missing.push("CAP_SYS_ADMIN");
    }
    missing
}

/// The capability that an AF_XDP socket needs, where this process lacks it.
pub fn missing_to_bind(host: &Host) -> Vec<&'static str> {
    missing(&[(host.capabilities.net_raw, "CAP_NET_RAW")])
}

fn missing(needed: &[(bool, &'static str)]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(held, _)| !held)
        .map(|(_, name)| *name)
        .collect()
}

/// What the kernel's lockdown means for XDP, where it means something.
pub fn lockdown_note(host: &Host) -> Option<&'static str> {
    match host.lockdown {
        Lockdown::None | Lockdown::Integrity => None,
        Lockdown::Confidentiality => Some(
            "lockdown=confidentiality: XDP attaches, but programs that read kernel memory (bpf_probe_read_kernel) are refused",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::host::{Capabilities, KernelRelease};

    #[test]
    fn before_cap_bpf_sys_admin_is_asked_for() {
        let host = |minor| Host {
            release: KernelRelease {
                text: String::new(),
                version: (5, minor),
                code: 0,
            },
            capabilities: Capabilities {
                net_admin: true,
                bpf: true,
                ..Capabilities::default()
            },
            ..Host::default()
        };
        assert_eq!(missing_to_attach(&host(4)), ["CAP_SYS_ADMIN"]);
        assert!(missing_to_attach(&host(8)).is_empty());
        assert_eq!(
            missing_to_attach(&Host::default()),
            ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]
        );
    }
}
