//! What came of an attach, rung by rung.

use crate::effects::Effects;
use crate::occupant::Holder;
use crate::plan::Wanted;
use kernel::Errno;
use kernel::netlink::link::Mode;
use std::fmt;

/// What came of attaching one program to one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The interface.
    pub ifname: String,
    /// The program's name in its object.
    pub program: String,
    /// What was asked for.
    pub wanted: Wanted,
    /// Where the program runs now; `None`: no rung held and the interface is as it was before.
    pub mode: Option<Mode>,
    /// Whether a better rung was tried, or asked for, and did not hold.
    pub fell_back: bool,
    /// Every rung that was reached, best first; the last one is the one that held.
    pub attempts: Vec<Attempt>,
    /// The kernel's id of the attached program.
    pub program_id: Option<u32>,
    /// The id of the program that was attached before and is not any more.
    pub replaced: Option<u32>,
    /// What keeps the program attached.
    pub holder: Option<Holder>,
    /// The host's half, where the NIC decides some packets only.
    pub beside: Option<Beside>,
    /// The other interface that did not hold, for whose sake this one was taken back (`--atomic`).
    pub taken_back_for: Option<String>,
    /// What the attach, or the attempt at one, did besides.
    pub effects: Effects,
}

/// The program itself, on the host beside a part of it on the NIC: it decides what that part passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Native or generic.
    pub mode: Mode,
    /// The kernel's id.
    pub program_id: u32,
    /// The id of the program that was there before and is not any more.
    pub replaced: Option<u32>,
}

/// How an outcome ends, for exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// A rung held.
    Held,
    /// Every rung that was allowed was refused or left out, for a reason.
    Refused,
    /// A capability is missing.
    NotPermitted,
    /// Something broke.
    Failed,
}

impl Outcome {
    /// How it ended.
    pub fn ending(&self) -> Ending {
        let failed = self
            .attempts
            .iter()
            .find(|attempt| attempt.result == AttemptResult::Failed);
        match failed {
            _ if self.mode.is_some() => Ending::Held,
            None => Ending::Refused,
            Some(attempt) if attempt.errno == Some(Errno::EPERM) => Ending::NotPermitted,
            Some(_) => Ending::Failed,
        }
    }

    /// Records that it held and was taken back, because `culprit` did not hold.
    pub fn take_back(&mut self, culprit: &str) {
        if self.mode.take().is_none() {
            return;
        }
        self.fell_back = false;
        self.program_id = None;
        self.replaced = None;
        self.holder = None;
        self.beside = None;
        self.effects = Effects::default();
        self.taken_back_for = Some(culprit.to_owned());
        for attempt in &mut self.attempts {
            if attempt.result != AttemptResult::Ok {
                continue;
            }
            attempt.result = AttemptResult::Refused;
            attempt.reason = Some(format!(
                "it held and was taken back, because {culprit} did not hold (--atomic)"
            ));
        }
    }

    /// Nothing done yet.
    pub(crate) fn new(ifname: &str, program: &str, wanted: Wanted) -> Self {
        Self {
            ifname: ifname.to_owned(),
            program: program.to_owned(),
            wanted,
            mode: None,
            fell_back: false,
            attempts: Vec::new(),
            program_id: None,
            replaced: None,
            holder: None,
            beside: None,
            taken_back_for: None,
            effects: Effects::default(),
        }
    }

    /// Whether holding in `mode` is less than what was asked for, or than what was tried.
    pub(crate) fn below_what_was_asked(&self, mode: Mode) -> bool {
        let tried_in_vain = self
            .attempts
            .iter()
            .any(|attempt| attempt.result != AttemptResult::Skipped);
        tried_in_vain || self.wanted != Wanted::Best && self.wanted != Wanted::Mode(mode)
    }
}

/// One rung of the ladder and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The rung.
    pub mode: Mode,
    /// How far it got.
    pub step: Step,
    /// How it ended.
    pub result: AttemptResult,
    /// The kernel's errno, where it gave one.
    pub errno: Option<Errno>,
    /// The kernel's own words: the extended ack, or the verifier's useful line. Present on success
    /// where the kernel added a warning.
    pub kernel_message: Option<String>,
    /// What the kernel wrote into its log about it meanwhile; empty too where the log may not be read.
    pub kernel_log: Vec<String>,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
}

impl Attempt {
    /// A rung that held. `warning`: what the kernel said all the same.
    pub fn held(mode: Mode, warning: Option<String>) -> Self {
        Self {
            mode,
            step: Step::Attach,
            result: AttemptResult::Ok,
            errno: None,
            kernel_message: warning,
            kernel_log: Vec::new(),
            reason: None,
            remedy: None,
        }
    }

    /// A program that no compiler could make fit the NIC.
    pub(crate) fn not_lowered(reason: String, remedy: Option<String>) -> Self {
        Self {
            step: Step::Lower,
            result: AttemptResult::Refused,
            ..Self::skipped(Mode::Offload, reason, remedy)
        }
    }

    /// A rung that was not tried.
    pub fn skipped(mode: Mode, reason: String, remedy: Option<String>) -> Self {
        Self {
            mode,
            step: Step::Plan,
            result: AttemptResult::Skipped,
            errno: None,
            kernel_message: None,
            kernel_log: Vec::new(),
            reason: Some(reason),
            remedy,
        }
    }
}

impl Attempt {
    /// Whether the program could not even be loaded.
    pub(crate) fn is_refused_load(&self) -> bool {
        self.step == Step::Load && self.result != AttemptResult::Ok
    }
}

/// The steps that a rung takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Deciding whether the rung is worth a try.
    Plan,
    /// Rewriting the program into what the target accepts.
    Lower,
    /// Creating maps and loading the program.
    Load,
    /// Attaching it.
    Attach,
}

/// How a rung ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// The program is attached.
    Ok,
    /// The kernel, the driver or the compiler said no.
    Refused,
    /// Something broke: out of memory, the interface vanished, no permission.
    Failed,
    /// Not tried, for the reason given.
    Skipped,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plan => "plan",
            Self::Lower => "lower",
            Self::Load => "load",
            Self::Attach => "attach",
        })
    }
}

impl fmt::Display for AttemptResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}
