//! Verdicts from facts. Everything here is pure.

pub mod explain;

use kernel::netlink::link::Mode;

use crate::facts::{Facts, Snapshot};

/// Whether something works, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Yes {
        /// What says so, strongest first; never empty.
        evidence: Vec<Evidence>,
        /// What the user should know all the same, such as "XDP_TX will be slower".
        notes: Vec<String>,
    },
    /// It does not work as things stand.
    No {
        /// What says so, strongest first; never empty.
        evidence: Vec<Evidence>,
        /// Why, in one sentence.
        reason: String,
        /// What would change it; `None` where nothing would.
        remedy: Option<String>,
    },
    /// Nothing says yes or no.
    Unknown {
        /// What is missing.
        why: String,
    },
}

impl Support {
    /// Whether this is a `Yes`.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes { .. })
    }

    /// Whether this is a `No`.
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No { .. })
    }
}

/// One thing that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What sort of evidence.
    pub kind: EvidenceKind,
    /// Names the attribute, table row, errno or extended ack.
    pub detail: String,
}

/// Sorts of evidence, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvidenceKind {
    /// A trial was made just now.
    Trial,
    /// A program is attached in this mode now.
    Attached,
    /// The interface's state (MTU, queues, features, slaves) was read.
    Observed,
    /// The driver advertises it over the netdev family.
    Advertised,
    /// The shipped driver table says so.
    Table,
}

/// The verdicts about one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// Attach in native (driver) mode.
    pub native: Support,
    /// Attach in generic (skb) mode.
    pub generic: Support,
    /// Load for and attach to the NIC itself.
    pub offload: Support,
    /// AF_XDP bind in copy mode.
    pub xsk_copy: Support,
    /// AF_XDP bind in zero-copy mode.
    pub xsk_zerocopy: Support,
    /// XDP_REDIRECT of packets that arrive here, in native mode.
    pub redirect_source: Support,
    /// XDP_REDIRECT of packets to this interface.
    pub redirect_target: Support,
    /// Packets of more than one buffer reach a native `xdp.frags` program.
    pub multi_buffer: Support,
}

impl Verdicts {
    /// The verdict about attaching in `mode`.
    pub fn mode(&self, mode: Mode) -> &Support {
        match mode {
            Mode::Offload => &self.offload,
            Mode::Native => &self.native,
            Mode::Generic => &self.generic,
        }
    }

    /// The best mode whose verdict is `Yes`.
    pub fn best(&self) -> Option<Mode> {
        Mode::ALL.into_iter().find(|&mode| self.mode(mode).is_yes())
    }
}

/// What a program (or its user) needs; the default is a plain program on an interface without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The program was loaded with `BPF_F_XDP_HAS_FRAGS`, which lifts MTU limits on drivers with rx-sg.
    pub frags: bool,
    /// Offload: the program is bound to the device (`prog_ifindex`).
    pub device_bound: bool,
    /// A program attached in another exclusive mode is detached first, so it is no obstacle.
    pub replace: bool,
}

/// Judges one interface of `snapshot` for a program with these `needs`.
pub fn judge(snapshot: &Snapshot, facts: &Facts, needs: &Needs) -> Verdicts {
    let _ = (snapshot, facts, needs);
    todo!()
}
