//! Programs: what section names say (libbpf's grammar, tools/lib/bpf/libbpf.c, Linux 6.12).

/// A function that the kernel can load as a program: a global function in an executable section
/// other than `.text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The function's name.
    pub name: String,
    /// The section's name, whole.
    pub section: String,
    /// What the section name says. May be overwritten where the user knows better, before loading.
    pub kind: ProgramKind,
    /// False where the section name starts with `?`: loaded only when asked for by name.
    pub autoload: bool,
    /// Instruction slots of the function itself, without what it calls.
    pub len: usize,
    pub(crate) function: usize,
}

/// The kind of a program, as its section name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProgramKind {
    /// Runs on an interface: `xdp`, `xdp.frags`, and the legacy `xdp_foo`, `xdp/foo`.
    Xdp {
        /// Takes packets of several buffers (`BPF_F_XDP_HAS_FRAGS`).
        frags: bool,
    },
    /// Runs after a redirect into a devmap: `xdp/devmap`, `xdp.frags/devmap`.
    XdpDevmap {
        /// As in [`ProgramKind::Xdp`].
        frags: bool,
    },
    /// Runs on the CPU that a cpumap redirected to: `xdp/cpumap`, `xdp.frags/cpumap`.
    XdpCpumap {
        /// As in [`ProgramKind::Xdp`].
        frags: bool,
    },
    /// Not XDP, or not known.
    Other {
        /// `enum bpf_prog_type` where the section name is one of libbpf's.
        program_type: Option<u32>,
    },
}

impl ProgramKind {
    /// `BPF_PROG_TYPE_XDP`.
    pub const XDP: u32 = 6;

    /// `enum bpf_prog_type` for `BPF_PROG_LOAD`; `None` where the section name is unknown.
    pub fn program_type(self) -> Option<u32> {
        match self {
            Self::Xdp { .. } | Self::XdpDevmap { .. } | Self::XdpCpumap { .. } => Some(Self::XDP),
            Self::Other { program_type } => program_type,
        }
    }

    /// `enum bpf_attach_type` for `expected_attach_type`, 0 for other than XDP programs. Before
    /// Linux 5.9 the kernel takes only 0 for a plain XDP program, so retry with 0 there.
    pub fn expected_attach_type(self) -> u32 {
        match self {
            Self::Xdp { .. } => 37,       // BPF_XDP
            Self::XdpDevmap { .. } => 33, // BPF_XDP_DEVMAP
            Self::XdpCpumap { .. } => 35, // BPF_XDP_CPUMAP
            Self::Other { .. } => 0,
        }
    }

    /// `prog_flags` for `BPF_PROG_LOAD`.
    pub fn load_flags(self) -> u32 {
        const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
        if self.frags() { BPF_F_XDP_HAS_FRAGS } else { 0 }
    }

    /// Whether the program says that it can handle packets of several buffers.
    pub fn frags(self) -> bool {
        match self {
            Self::Xdp { frags } | Self::XdpDevmap { frags } | Self::XdpCpumap { frags } => frags,
            Self::Other { .. } => false,
        }
    }

    /// Whether the program is made to be attached to an interface as XDP.
    pub fn is_attachable_xdp(self) -> bool {
        matches!(self, Self::Xdp { .. })
    }

    /// Whether the program is XDP of any sort, also for a devmap or cpumap entry.
    pub fn is_xdp(self) -> bool {
        self.program_type() == Some(Self::XDP)
    }
}

/// What a section name says, and whether it is loaded without being asked for (no `?` in front).
pub(super) fn kind_of_section(section: &str) -> (ProgramKind, bool) {
    let (name, autoload) = match section.strip_prefix('?') {
        Some(rest) => (rest, false),
        None => (section, true),
    };
    (kind_of_name(name), autoload)
}

fn kind_of_name(name: &str) -> ProgramKind {
    match name {
        "xdp" => ProgramKind::Xdp { frags: false },
        "xdp.frags" => ProgramKind::Xdp { frags: true },
        "xdp/devmap" => ProgramKind::XdpDevmap { frags: false },
        "xdp.frags/devmap" => ProgramKind::XdpDevmap { frags: true },
        "xdp/cpumap" => ProgramKind::XdpCpumap { frags: false },
        "xdp.frags/cpumap" => ProgramKind::XdpCpumap { frags: true },
        // libbpf before 1.0 took prefixes; objects in the field still have such names.
        _ if name.starts_with("xdp_devmap/") => ProgramKind::XdpDevmap { frags: false },
        _ if name.starts_with("xdp_cpumap/") => ProgramKind::XdpCpumap { frags: false },
        _ if name.starts_with("xdp.frags/") => ProgramKind::Xdp { frags: true },
        _ if name.starts_with("xdp") => ProgramKind::Xdp { frags: false },
        _ => ProgramKind::Other {
            program_type: type_of_name(name),
        },
    }
}

/// `enum bpf_prog_type` of the section names that are not XDP's; the part before a `/` decides, except for
/// the families that are listed with it.
fn type_of_name(name: &str) -> Option<u32> {
    let family = name.split('/').next().unwrap_or(name);
    Some(match (family, name) {
        ("socket", _) => 1,
        (
            "kprobe" | "kretprobe" | "uprobe" | "uprobe.s" | "uretprobe" | "uretprobe.s"
            | "kprobe.multi" | "kretprobe.multi" | "kprobe.session" | "uprobe.multi"
            | "uretprobe.multi" | "uprobe.multi.s" | "uretprobe.multi.s" | "ksyscall"
            | "kretsyscall" | "usdt" | "usdt.s",
            _,
        ) => 2,
        ("tc" | "tcx" | "classifier" | "netkit", _) => 3,
        ("action", _) => 4,
        ("tracepoint" | "tp", _) => 5,
        ("perf_event", _) => 7,
        ("cgroup_skb", _) | (_, "cgroup/skb") => 8,
        (
            _,
            "cgroup/sock"
            | "cgroup/sock_create"
            | "cgroup/sock_release"
            | "cgroup/post_bind4"
            | "cgroup/post_bind6",
        ) => 9,
        ("lwt_in", _) => 10,
        ("lwt_out", _) => 11,
        ("lwt_xmit", _) => 12,
        ("sockops", _) => 13,
        ("sk_skb", _) => 14,
        (_, "cgroup/dev") => 15,
        ("sk_msg", _) => 16,
        ("raw_tracepoint" | "raw_tp", _) => 17,
        ("lwt_seg6local", _) => 19,
        ("lirc_mode2", _) => 20,
        ("sk_reuseport", _) => 21,
        ("flow_dissector", _) => 22,
        (_, "cgroup/sysctl") => 23,
        ("raw_tracepoint.w" | "raw_tp.w", _) => 24,
        (_, "cgroup/getsockopt" | "cgroup/setsockopt") => 25,
        ("cgroup", _) => 18, // the rest of the family are socket addresses: bind4, connect6, ...
        (
            "tp_btf" | "fentry" | "fentry.s" | "fexit" | "fexit.s" | "fmod_ret" | "fmod_ret.s"
            | "iter" | "iter.s",
            _,
        ) => 26,
        ("struct_ops" | "struct_ops.s", _) => 27,
        ("freplace", _) => 28,
        ("lsm" | "lsm.s" | "lsm_cgroup", _) => 29,
        ("sk_lookup", _) => 30,
        ("syscall", _) => 31,
        ("netfilter", _) => 32,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{ProgramKind, kind_of_section};

    #[test]
    fn section_names_say_what_libbpf_says() {
        let xdp = |frags| ProgramKind::Xdp { frags };
        let other = |program_type| ProgramKind::Other { program_type };
        for (section, kind, autoload) in [
            ("xdp", xdp(false), true),
            ("?xdp", xdp(false), false),
            ("xdp.frags", xdp(true), true),
            ("xdp/devmap", ProgramKind::XdpDevmap { frags: false }, true),
            (
                "xdp.frags/devmap",
                ProgramKind::XdpDevmap { frags: true },
                true,
            ),
            ("xdp/cpumap", ProgramKind::XdpCpumap { frags: false }, true),
            (
                "?xdp.frags/cpumap",
                ProgramKind::XdpCpumap { frags: true },
                false,
            ),
            (
                "xdp_devmap/egress",
                ProgramKind::XdpDevmap { frags: false },
                true,
            ),
            ("xdp_filter", xdp(false), true),
            ("xdp/main", xdp(false), true),
            ("tc", other(Some(3)), true),
            ("cgroup/connect4", other(Some(18)), true),
            ("fentry/vfs_read", other(Some(26)), true),
            ("freplace", other(Some(28)), true),
            ("prog", other(None), true),
        ] {
            assert_eq!(kind_of_section(section), (kind, autoload), "{section}");
        }
    }

    #[test]
    fn frags_is_a_load_flag_and_only_plain_xdp_attaches_to_an_interface() {
        assert_eq!(ProgramKind::Xdp { frags: true }.load_flags(), 32);
        assert_eq!(ProgramKind::Xdp { frags: false }.load_flags(), 0);
        assert!(ProgramKind::Xdp { frags: true }.is_attachable_xdp());
        assert!(!ProgramKind::XdpDevmap { frags: false }.is_attachable_xdp());
        assert!(ProgramKind::XdpDevmap { frags: false }.is_xdp());
    }
}
