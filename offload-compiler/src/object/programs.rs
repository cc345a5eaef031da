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
