//! What is missing where the kernel answers EPERM.

use kernel::host::{Capabilities, KernelRelease};

/// What to do about an EPERM, with the capabilities that this process lacks.
pub fn remedy() -> String {
    let capabilities = Capabilities::read().unwrap_or_default();
    remedy_for(capabilities, KernelRelease::read().version)
}

/// CAP_BPF came with Linux 5.8; before, CAP_SYS_ADMIN stood for it, and it still does.
fn remedy_for(has: Capabilities, kernel: (u32, u32)) -> String {
    let mut missing = Vec::new();
    if !has.sys_admin && (kernel < (5, 8) || !has.bpf) {
        missing.push(if kernel < (5, 8) {
            "CAP_SYS_ADMIN"
        } else {
            "CAP_BPF"
        });
    }
    if !has.net_admin {
        missing.push("CAP_NET_ADMIN");
    }
    if missing.is_empty() {
        return "this process has CAP_BPF and CAP_NET_ADMIN, but perhaps only in a user namespace, or a \
                security module forbids it (lockdown, SELinux: see the audit log); other programs' \
                objects need CAP_SYS_ADMIN too"
            .to_owned();
    }
    format!("it needs {}: run it as root", missing.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_capability_is_named() {
        let none = Capabilities::default();
        assert_eq!(
            remedy_for(none, (6, 1)),
            "it needs CAP_BPF and CAP_NET_ADMIN: run it as root"
        );
        assert_eq!(
            remedy_for(none, (5, 4)),
            "it needs CAP_SYS_ADMIN and CAP_NET_ADMIN: run it as root"
        );
        let bpf = Capabilities { bpf: true, ..none };
        assert_eq!(
            remedy_for(bpf, (6, 1)),
            "it needs CAP_NET_ADMIN: run it as root"
        );
        let all = Capabilities {
            net_admin: true,
            ..bpf
        };
        assert!(remedy_for(all, (6, 1)).contains("user namespace"));
    }
}
