//! What can be asked of a NIC, in which modes, and what can come out.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::filter::Filter;

/// A kind of question, and where it is asked.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name in cell ids.
    pub name: String,
    /// What is asked.
    pub kind: CheckKind,
    /// In which modes.
    pub modes: Vec<Mode>,
    /// With which programs (indices into [`super::Lab::programs`]); empty where the kind takes none.
    pub programs: Vec<usize>,
    /// Of which of these cells it is asked; [`Filter::All`] if the file does not say it.
    pub cells: Filter,
    /// Line of the lab file where that stands, for messages.
    pub line: usize,
    /// Time limit of one cell.
    pub timeout: Duration,
    /// How it is asked.
    pub options: Options,
}

/// How a check is asked: each kind looks at those that [`CheckKind::takes`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The MTUs of a sweep, in bytes, ascending.
    pub mtus: Vec<u32>,
    /// How long packets are sent.
    pub time: Duration,
    /// Packets a second.
    pub rate: u32,
    /// Most packets that may be lost.
    pub lost: u64,
    /// A figure that is worse than before by more than this factor counts as slower.
    pub slower: f64,
}

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Whether the prober says that the mode works: `yes`, `no` or `unknown`. Takes no program.
    Probe,
    /// Whether the program attaches in just this mode, and detaches again: `attached` or `refused`.
    Attach,
    /// Whether each packet gets the verdict and the bytes that the interpreter gives it: sent by the peer, or where there
    /// is none, by the kernel's test run.
    Verdicts,
    /// At which MTUs the program attaches, and whether the prober says the same.
    Mtu,
    /// With which numbers of channels the program attaches.
    Queues,
    /// Whether a program is replaced under traffic without a packet that sees none, and without losses.
    Replace,
    /// Whether traffic goes through the program for a while without losses.
    Soak,
    /// Whether an AF_XDP socket binds in copy mode, as the prober says. Takes no program.
    AfXdpCopy,
    /// Whether an AF_XDP socket binds in zero-copy mode, as the prober says. Takes no program.
    AfXdpZerocopy,
    /// How much faster native mode is than generic mode, measured in one run.
    Throughput,
    /// Whether `xdp-offload check` says of the card what the card does.
    Acceptance,
    /// Whether entries of the attached program's maps are written, read and deleted, and maps and program are gone after it.
    Maps,
    /// Whether the program goes with the driver, and the interface comes back.
    Reload,
}

impl CheckKind {
    /// All kinds.
    pub const ALL: [CheckKind; 13] = [
        CheckKind::Probe,
        CheckKind::Attach,
        CheckKind::Verdicts,
        CheckKind::Mtu,
        CheckKind::Queues,
        CheckKind::Replace,
        CheckKind::Soak,
        CheckKind::AfXdpCopy,
        CheckKind::AfXdpZerocopy,
        CheckKind::Throughput,
        CheckKind::Acceptance,
        CheckKind::Maps,
        CheckKind::Reload,
    ];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            CheckKind::Probe => "probe",
            CheckKind::Attach => "attach",
            CheckKind::Verdicts => "verdicts",
            CheckKind::Mtu => "mtu",
            CheckKind::Queues => "queues",
            CheckKind::Replace => "replace",
            CheckKind::Soak => "soak",
            CheckKind::AfXdpCopy => "af-xdp-copy",
            CheckKind::AfXdpZerocopy => "af-xdp-zerocopy",
            CheckKind::Throughput => "throughput",
            CheckKind::Acceptance => "acceptance",
            CheckKind::Maps => "maps",
            CheckKind::Reload => "reload",
        }
    }

    /// Whether a cell of this kind has a program.
    pub fn takes_program(self) -> bool {
        !matches!(
            self,
            CheckKind::Probe | CheckKind::AfXdpCopy | CheckKind::AfXdpZerocopy
        )
    }

    /// The modes in which it can be asked.
    pub fn modes(self) -> &'static [Mode] {
        match self {
            CheckKind::AfXdpCopy => &[Mode::Native, Mode::Generic],
            // Only drivers have zero-copy. A throughput is that of native beside generic mode.
            CheckKind::AfXdpZerocopy | CheckKind::Throughput => &[Mode::Native],
            CheckKind::Acceptance => &[Mode::Offload],
            _ => &Mode::ALL,
        }
    }

    /// What can come out.
    pub fn outcomes(self) -> &'static [Outcome] {
        match self {
            CheckKind::Probe => &[Outcome::Yes, Outcome::No, Outcome::Unknown],
            CheckKind::Attach => &[Outcome::Attached, Outcome::Refused],
            _ => &[Outcome::Held, Outcome::Wrong, Outcome::Refused],
        }
    }

    /// What is expected where the lab file says nothing: a program attaches, what is demanded holds; a prober may say
    /// what it finds.
    pub fn expected(self) -> Option<Outcome> {
        match self {
            CheckKind::Probe => None,
            CheckKind::Attach => Some(Outcome::Attached),
            _ => Some(Outcome::Held),
        }
    }

    /// The keys of its section that it looks at, besides those that all kinds have.
    pub fn takes(self) -> &'static [&'static str] {
        match self {
            CheckKind::Mtu => &["mtus"],
            CheckKind::Replace | CheckKind::Soak => &["for", "rate", "lost"],
            CheckKind::Throughput => &["for", "slower"],
            _ => &[],
        }
    }

    /// How it is asked where the lab file says nothing.
    pub fn defaults(self) -> Options {
        Options {
            // Below 1280 an interface loses its IPv6 addresses (RFC 8200).
            mtus: vec![1280, 1500, 2000, 3000, 3498, 3506, 4000, 9000],
            time: Duration::from_secs(match self {
                CheckKind::Replace => 3,
                CheckKind::Soak => 10,
                _ => 1,
            }),
            rate: 200,
            lost: 0,
            slower: 1.5,
        }
    }
}

/// What a check found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Probe: the mode works.
    Yes,
    /// Probe: the mode does not work.
    No,
    /// Probe: it cannot be told.
    Unknown,
    /// Attach: the program was attached in the mode, and detached.
    Attached,
    /// All others: what the check demands holds.
    Held,
    /// All others: what the check demands does not hold, with a reason.
    Wrong,
    /// All but probe: the program was not attached, or the socket not bound, with a reason.
    Refused,
}

impl Outcome {
    /// All of them, in the order of reports.
    pub const ALL: [Outcome; 7] = [
        Outcome::Yes,
        Outcome::No,
        Outcome::Unknown,
        Outcome::Attached,
        Outcome::Held,
        Outcome::Wrong,
        Outcome::Refused,
    ];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Yes => "yes",
            Outcome::No => "no",
            Outcome::Unknown => "unknown",
            Outcome::Attached => "attached",
            Outcome::Held => "held",
            Outcome::Wrong => "wrong",
            Outcome::Refused => "refused",
        }
    }
}
