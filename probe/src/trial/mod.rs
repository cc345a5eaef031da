//! Proves verdicts: attaches a minimal program in each mode, binds AF_XDP sockets, looks at what that changes, and
//! puts everything back.

mod bench;

use std::sync::atomic::{AtomicBool, Ordering};

use kernel::Refusal;
use kernel::netlink::link::Mode;

use self::bench::Bench;
use crate::facts::{Facts, Snapshot};
use crate::judge::explain::Explanation;
use crate::judge::{Evidence, EvidenceKind, Needs, Support, Verdicts, judge, permission};
use crate::settings::Change;
use crate::{Error, Result};

/// What can be tried on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// A plain program in native mode.
    Native,
    /// An xdp.frags program in native mode.
    NativeFrags,
    /// A plain program in generic mode.
    Generic,
    /// A program loaded for the NIC.
    Offload,
    /// An AF_XDP socket in copy mode on queue 0.
    #[value(name = "af-xdp-copy")]
    XskCopy,
    /// An AF_XDP socket in zero-copy mode on queue 0.
    #[value(name = "af-xdp-zerocopy")]
    XskZerocopy,
}

impl What {
    /// In the order in which they are tried.
    pub const ALL: [Self; 6] = [
        Self::Native,
        Self::NativeFrags,
        Self::Generic,
        Self::Offload,
        Self::XskCopy,
        Self::XskZerocopy,
    ];

    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeFrags => "native-frags",
            Self::Generic => "generic",
            Self::Offload => "offload",
            Self::XskCopy => "af-xdp-copy",
            Self::XskZerocopy => "af-xdp-zerocopy",
        }
    }

    fn mode(self) -> Option<Mode> {
        match self {
            Self::Native | Self::NativeFrags => Some(Mode::Native),
            Self::Generic => Some(Mode::Generic),
            Self::Offload => Some(Mode::Offload),
            Self::XskCopy | Self::XskZerocopy => None,
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What.
    pub what: What,
    /// How it ended.
    pub outcome: Outcome,
    /// The verdict from before the trial.
    pub foreseen: Support,
    /// What was different while it was attached or bound.
    pub changes: Vec<Change>,
}

impl Trial {
    /// Whether the interface went away meanwhile.
    pub fn vanished(&self) -> bool {
        matches!(self.outcome, Outcome::Vanished { .. })
    }

    /// Whether the verdict was right; `None` where there was none, or nothing was tried.
    pub fn agrees(&self) -> Option<bool> {
        match (&self.outcome, &self.foreseen) {
            (Outcome::Skipped { .. } | Outcome::Vanished { .. }, _)
            | (_, Support::Unknown { .. }) => None,
            (Outcome::Held { .. }, foreseen) => Some(foreseen.is_yes()),
            (Outcome::Refused { .. }, foreseen) => Some(foreseen.is_no()),
        }
    }
}

/// How a trial ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It worked.
    Held {
        /// What the kernel said about its success.
        warning: Option<String>,
    },
    /// The kernel refused.
    Refused {
        /// What was refused.
        step: Step,
        /// In the kernel's words.
        refusal: Box<Refusal>,
        /// In ours.
        explanation: Explanation,
    },
    /// The interface went away.
    Vanished {
        /// What was going on.
        step: Step,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        why: String,
    },
}

/// The steps of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Loading the program.
    Load,
    /// Attaching it.
    Attach,
    /// Binding the socket.
    Bind,
    /// Looking what has changed.
    Observe,
    /// Taking the program off, or putting back the one that was there.
    Detach,
}

impl Step {
    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Bind => "bind",
            Self::Observe => "observe",
            Self::Detach => "detach",
        }
    }
}

/// What came out of all trials of an interface.
#[derive(Debug, Clone)]
pub struct Report {
    /// In order.
    pub trials: Vec<Trial>,
    /// Settings that are not what they were before and could not be put back.
    pub lasting: Vec<Change>,
    /// The verdicts, with the trials as evidence.
    pub verdicts: Verdicts,
}

/// Why a trial would disturb what runs: a program is attached, or attaching takes down a link that is up.
pub fn objection(facts: &Facts) -> Option<Explanation> {
    let name = &facts.link.name;
    if let Some((mode, id)) = facts.link.xdp.iter().next() {
        return Some(Explanation {
            reason: format!(
                "program {id} is attached to {name} in {mode} mode, and a trial would take its place for a moment"
            ),
            remedy: Some(format!(
                "detach it, or say --force: xdp-probe try {name} --force"
            )),
        });
    }
    if !facts.link.is_up() {
        return None;
    }
    let reason = match facts.driver_row() {
        Some(row) if row.bounces => {
            format!(
                "{name} is up, and {} takes the link down for a moment when a program is attached",
                facts.driver_label()
            )
        }
        // A real device of a driver that nobody has tried: most drivers restart their queues.
        None if facts.link.parent_device.is_some() => {
            format!(
                "{name} is up, and {} may take the link down when a program is attached",
                facts.driver_label()
            )
        }
        _ => return None,
    };
    Some(Explanation {
        reason,
        remedy: Some(format!(
            "set it down first, or say --force: xdp-probe try {name} --force"
        )),
    })
}

/// Tries those things on one interface, in the order of [`What::ALL`]. Ends early, with everything put back, once `stop`
/// is set.
pub fn run(
    snapshot: &Snapshot,
    facts: &Facts,
    tried: &[What],
    stop: &AtomicBool,
) -> Result<Report> {
    let mut bench = Bench::open(snapshot, facts)?;
    let before = bench.settings()?;
    let mut verdicts = judge(snapshot, facts, &Needs::default());
    let with_frags = judge(
        snapshot,
        facts,
        &Needs {
            frags: true,
            ..Needs::default()
        },
    );
    let mut trials = Vec::new();
    for what in What::ALL.into_iter().filter(|what| tried.contains(what)) {
        let foreseen = match what {
            What::Native => &verdicts.native,
            What::NativeFrags => &with_frags.native,
            What::Generic => &verdicts.generic,
            What::Offload => &verdicts.offload,
            What::XskCopy => &verdicts.xsk_copy,
            What::XskZerocopy => &verdicts.xsk_zerocopy,
        }
        .clone();
        let skipped = |why: &str| {
            let why = why.to_owned();
            (Outcome::Skipped { why }, None)
        };
        let (outcome, during) = if stop.load(Ordering::Relaxed) {
            skipped("interrupted")
        } else if trials.iter().any(Trial::vanished) {
            skipped("the interface is gone")
        } else {
            let attempt = bench.attempt(what, &before).and_then(|attempt| {
                if attempt.1.is_some() {
                    // So that what the next one changes is its own doing.
                    bench.restore(&before)?;
                }
                Ok(attempt)
            });
            match attempt {
                Err(error) if error.is_gone() => (Outcome::Vanished { step: bench.step() }, None),
                attempt => attempt?,
            }
        };
        let changes = during.map_or_else(Vec::new, |during| before.changes(&during));
        trials.push(Trial {
            what,
            outcome,
            foreseen,
            changes,
        });
    }
    let lasting = if trials.iter().any(Trial::vanished) {
        Vec::new()
    } else {
        bench.restore(&before)?
    };
    for trial in &trials {
        prove(&mut verdicts, trial);
    }
    Ok(Report {
        trials,
        lasting,
        verdicts,
    })
}

/// Makes a trial the first evidence of its verdict.
fn prove(verdicts: &mut Verdicts, trial: &Trial) {
    let verdict = match trial.what {
        What::Native => &mut verdicts.native,
        What::Generic => &mut verdicts.generic,
        What::Offload => &mut verdicts.offload,
        What::XskCopy => &mut verdicts.xsk_copy,
        What::XskZerocopy => &mut verdicts.xsk_zerocopy,
        What::NativeFrags => return,
    };
    let (mut evidence, notes) =
        match std::mem::replace(verdict, Support::Unknown { why: String::new() }) {
            Support::Yes { evidence, notes } => (evidence, notes),
            Support::No { evidence, .. } => (evidence, Vec::new()),
            Support::Unknown { .. } => (Vec::new(), Vec::new()),
        };
    *verdict = match &trial.outcome {
        Outcome::Held { warning } => {
            let said = warning.as_ref().map_or_else(String::new, |warning| {
                format!(" (the kernel says: {warning})")
            });
            evidence.insert(
                0,
                Evidence::new(
                    EvidenceKind::Trial,
                    format!("{} held{said}", trial.what.name()),
                ),
            );
            Support::Yes { evidence, notes }
        }
        Outcome::Refused {
            step,
            refusal,
            explanation,
        } => {
            let said = refusal
                .ext_ack
                .as_ref()
                .map_or_else(String::new, |text| format!(": {text}"));
            evidence.insert(
                0,
                Evidence::new(
                    EvidenceKind::Trial,
                    format!(
                        "{} refused at {}: {}{said}",
                        trial.what.name(),
                        step.name(),
                        refusal.errno
                    ),
                ),
            );
            Support::No {
                evidence,
                reason: explanation.reason.clone(),
                remedy: explanation.remedy.clone(),
            }
        }
        Outcome::Vanished { step } => Support::Unknown {
            why: format!("the interface vanished at {}", step.name()),
        },
        Outcome::Skipped { .. } => trial.foreseen.clone(),
    };
}

/// Refuses where a trial would disturb what runs, unless `force`d; names what is not permitted.
pub fn check(snapshot: &Snapshot, facts: &Facts, force: bool) -> Result<()> {
    let mut missing = permission::missing_to_attach(&snapshot.host);
    missing.extend(permission::missing_to_bind(&snapshot.host));
    if !missing.is_empty() {
        return Err(Error::NotPermitted {
            missing: missing.join(", "),
        });
    }
    match objection(facts).filter(|_| !force) {
        Some(objection) => Err(Error::WouldDisturb(Box::new(objection))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Errno, Operation};

    #[test]
    fn a_trial_is_the_first_evidence_and_may_contradict() {
        let snapshot = Snapshot::default();
        let mut verdicts = judge(&snapshot, &Facts::default(), &Needs::default());
        let foreseen = Support::Yes {
            evidence: vec![Evidence::new(
                EvidenceKind::Advertised,
                "xdp-features has basic",
            )],
            notes: Vec::new(),
        };
        verdicts.native = foreseen.clone();
        let refusal = Refusal {
            ext_ack: Some("no".to_owned()),
            ..Refusal::new(Operation::AttachXdp, Errno::EINVAL)
        };
        let explanation = Explanation {
            reason: "it says no".to_owned(),
            remedy: None,
        };
        let trial = Trial {
            what: What::Native,
            outcome: Outcome::Refused {
                step: Step::Attach,
                refusal: Box::new(refusal),
                explanation,
            },
            foreseen,
            changes: Vec::new(),
        };
        assert_eq!(trial.agrees(), Some(false));
        prove(&mut verdicts, &trial);
        let Support::No {
            evidence, reason, ..
        } = verdicts.native
        else {
            panic!("the kernel is right")
        };
        assert_eq!(reason, "it says no");
        assert_eq!(
            evidence[0].detail,
            "native refused at attach: Invalid argument (EINVAL): no"
        );
        assert_eq!(evidence[1].kind, EvidenceKind::Advertised);
    }
}
