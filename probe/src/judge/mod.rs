//! Verdicts from facts. Everything here is pure.

pub mod explain;

mod attached;
mod bond;
mod generic;
mod limits;
mod multi_buffer;
mod native;
mod offload;
pub mod permission;
mod redirect;
mod veth;
mod virtio;
mod xsk;

use std::fmt;

use kernel::host::KernelRelease;
use kernel::netlink::link::Mode;
use kernel::netlink::netdev::XdpFeature;

use crate::drivers::Driver;
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
    /// A program attached in another exclusive mode is detached first, so it is no obstacle.
    pub replace: bool,
}

/// Judges one interface of `snapshot` for a program with these `needs`.
pub fn judge(snapshot: &Snapshot, facts: &Facts, needs: &Needs) -> Verdicts {
    let case = Case::new(snapshot, facts, needs);
    let native = native::judge(&case);
    Verdicts {
        generic: generic::judge(&case),
        offload: offload::judge(&case),
        xsk_copy: xsk::judge_copy(&case),
        xsk_zerocopy: xsk::judge_zerocopy(&case),
        redirect_source: redirect::judge_source(&case, &native),
        redirect_target: redirect::judge_target(&case, &native),
        multi_buffer: multi_buffer::judge(&case, &native),
        native,
    }
}

/// What a judge looks at.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) facts: &'a Facts,
    pub(crate) needs: &'a Needs,
    /// The interface's row of the shipped table.
    pub(crate) row: Option<&'static Driver>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, facts: &'a Facts, needs: &'a Needs) -> Self {
        Self {
            snapshot,
            facts,
            needs,
            row: facts.driver_row(),
        }
    }

    fn release(&self) -> &KernelRelease {
        &self.snapshot.host.release
    }

    /// The interface's name.
    fn name(&self) -> &str {
        &self.facts.link.name
    }

    /// The driver, as a sentence names it.
    fn driver(&self) -> &str {
        self.facts.driver_label()
    }

    /// The evidence that the driver advertises `feature`, or that it does not.
    fn advertisement(&self, feature: XdpFeature) -> Evidence {
        let has = if self.facts.advertises(feature) {
            "has"
        } else {
            "lacks"
        };
        Evidence::new(
            EvidenceKind::Advertised,
            format!("xdp-features {has} {}", feature.name()),
        )
    }
}

/// Something that stands in the way: what a `No` is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) evidence: Evidence,
    pub(crate) reason: String,
    pub(crate) remedy: Option<String>,
}

impl Obstacle {
    /// An obstacle in the interface's present state.
    fn observed(detail: impl Into<String>, reason: String, remedy: impl Into<String>) -> Self {
        Self {
            evidence: Evidence::new(EvidenceKind::Observed, detail),
            reason,
            remedy: Some(remedy.into()),
        }
    }
}

impl Obstacle {
    /// One `No` of all obstacles; `None` where there is none.
    fn together(obstacles: Vec<Self>) -> Option<Support> {
        let mut all = obstacles.into_iter();
        let mut first = all.next()?;
        let mut evidence = vec![first.evidence];
        for other in all {
            evidence.push(other.evidence);
            first.reason = format!("{}; and {}", first.reason, other.reason);
            first.remedy = match (first.remedy, other.remedy) {
                (Some(one), Some(two)) => Some(format!("{one}; and {two}")),
                (one, two) => one.or(two),
            };
        }
        Some(Support::No {
            evidence,
            reason: first.reason,
            remedy: first.remedy,
        })
    }
}

impl From<Obstacle> for Support {
    fn from(obstacle: Obstacle) -> Self {
        Self::No {
            evidence: vec![obstacle.evidence],
            reason: obstacle.reason,
            remedy: obstacle.remedy,
        }
    }
}

impl Support {
    /// A plain yes.
    fn yes(evidence: Evidence) -> Self {
        Self::Yes {
            evidence: vec![evidence],
            notes: Vec::new(),
        }
    }

    /// A no with one piece of evidence.
    fn no(evidence: Evidence, reason: impl Into<String>, remedy: Option<String>) -> Self {
        Self::No {
            evidence: vec![evidence],
            reason: reason.into(),
            remedy,
        }
    }
}

impl Evidence {
    /// Evidence of this kind.
    pub fn new(kind: EvidenceKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// What a row of the shipped table says.
    fn table(row: &Driver, what: impl fmt::Display) -> Self {
        Self::new(
            EvidenceKind::Table,
            format!("driver table, {}: {what} ({})", row.name, row.best_source()),
        )
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trial => "trial",
            Self::Attached => "attached",
            Self::Observed => "observed",
            Self::Advertised => "advertised",
            Self::Table => "table",
        })
    }
}
