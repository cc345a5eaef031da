//! `attach --json`: one object a line for each interface.

use super::{Attachment, Mode};
use generic_fallback::outcome::{self, Outcome};
use generic_fallback::plan::{Action, Decision, Plan};
use probe::settings;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What came of attaching a program to an interface.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/attach/v1")]
pub struct Report {
    /// "xdp-offload/attach/v1"
    pub schema: &'static str,
    /// The interface.
    pub ifname: String,
    /// The program's name in its object.
    pub program: String,
    /// "best", or the mode that was asked for.
    pub requested: String,
    /// Where it runs now; null: nowhere, the interface is as it was before.
    pub mode: Option<Mode>,
    /// Whether a better rung was asked for or tried.
    pub fell_back: bool,
    /// Every rung that was reached, best first.
    pub attempts: Vec<Attempt>,
    /// The kernel's id of the attached program.
    pub prog_id: Option<u32>,
    /// The id of the program that it replaced.
    pub replaced: Option<u32>,
    /// What keeps it attached.
    pub attachment: Option<Attachment>,
    /// The program itself on the host, where the NIC runs a part of it and passes it the other packets.
    pub beside: Option<Beside>,
    /// Settings of the interface that are not what they were before.
    pub changes: Vec<Change>,
    /// For how many milliseconds the attach took the link down; null: it did not.
    pub link_down_ms: Option<u64>,
}

/// A setting that took another value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// Which, such as "xdp-features", "channels", "rx-lro".
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// Now.
    pub to: String,
}

/// The host's half.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Beside {
    /// "native" or "generic".
    pub mode: Mode,
    /// The kernel's id of the program.
    pub prog_id: u32,
    /// The id of the program that it replaced.
    pub replaced: Option<u32>,
}

/// One rung.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// The rung.
    pub mode: Mode,
    /// How far it got: "plan", "lower", "load", "attach".
    pub step: String,
    /// "ok", "refused", "failed", "skipped".
    pub result: String,
    /// The kernel's errno, as a positive number.
    pub errno: Option<i32>,
    /// The kernel's own words: extended ack or verifier complaint.
    pub kernel_message: Option<String>,
    /// Lines that the kernel wrote into its log about it meanwhile, warnings and errors. Empty too without the permission to
    /// read the log.
    pub kernel_log: Vec<String>,
    /// Why.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
}

impl From<&Outcome> for Report {
    fn from(outcome: &Outcome) -> Self {
        Self {
            schema: "xdp-offload/attach/v1",
            ifname: outcome.ifname.clone(),
            program: outcome.program.clone(),
            requested: outcome.wanted.to_string(),
            mode: outcome.mode.map(Mode::from),
            fell_back: outcome.fell_back,
            attempts: outcome.attempts.iter().map(Attempt::from).collect(),
            prog_id: outcome.program_id,
            replaced: outcome.replaced,
            attachment: outcome.holder.as_ref().map(Attachment::from),
            beside: outcome.beside.as_ref().map(|beside| Beside {
                mode: beside.mode.into(),
                prog_id: beside.program_id,
                replaced: beside.replaced,
            }),
            changes: outcome.effects.changes.iter().map(Change::from).collect(),
            link_down_ms: outcome.effects.link_down.map(milliseconds),
        }
    }
}

/// Milliseconds; a wait takes seconds at most.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<&settings::Change> for Change {
    fn from(change: &settings::Change) -> Self {
        Self {
            what: change.what,
            from: change.from.clone(),
            to: change.to.clone(),
        }
    }
}

impl From<&outcome::Attempt> for Attempt {
    fn from(attempt: &outcome::Attempt) -> Self {
        Self {
            mode: attempt.mode.into(),
            step: attempt.step.to_string(),
            result: attempt.result.to_string(),
            errno: attempt.errno.map(|errno| errno.0),
            kernel_message: attempt.kernel_message.clone(),
            kernel_log: attempt.kernel_log.clone(),
            reason: attempt.reason.clone(),
            remedy: attempt.remedy.clone(),
        }
    }
}

/// What would be tried: `attach --dry-run --json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/attach-plan/v1")]
pub struct PlanReport {
    /// "xdp-offload/attach-plan/v1"
    pub schema: &'static str,
    /// The interface.
    pub ifname: String,
    /// The program's name in its object.
    pub program: String,
    /// "best", or the mode that was asked for.
    pub requested: String,
    /// The rungs, best first.
    pub rungs: Vec<PlannedRung>,
}

/// What would be done at a rung.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlannedRung {
    /// The rung.
    pub mode: Mode,
    /// Whether it would be tried.
    pub tried: bool,
    /// The id of the program that it would replace.
    pub replaces: Option<u32>,
    /// What would be done to the program for it.
    pub notes: Vec<String>,
    /// Why it would be left out.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
}

impl PlanReport {
    /// The report about one interface.
    pub fn new(ifname: &str, program: &str, plan: &Plan) -> Self {
        Self {
            schema: "xdp-offload/attach-plan/v1",
            ifname: ifname.to_owned(),
            program: program.to_owned(),
            requested: plan.wanted.to_string(),
            rungs: plan
                .rungs
                .iter()
                .map(|rung| {
                    let (action, reason, remedy) = match &rung.decision {
                        Decision::Try(action) => (Some(action), None, None),
                        Decision::Skip { reason, remedy } => {
                            (None, Some(reason.clone()), remedy.clone())
                        }
                    };
                    PlannedRung {
                        mode: rung.mode.into(),
                        tried: action.is_some(),
                        replaces: action
                            .and_then(Action::replaces)
                            .map(|occupant| occupant.program_id),
                        notes: rung.notes.clone(),
                        reason,
                        remedy,
                    }
                })
                .collect(),
        }
    }
}
