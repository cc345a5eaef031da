//! What came of an attach, rung by rung.

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
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
}

impl Attempt {
    /// A rung that held.
    pub fn held(mode: Mode, warning: Option<String>) -> Self {
        Self {
            mode,
            step: Step::Attach,
            result: AttemptResult::Ok,
            errno: None,
            kernel_message: warning,
            reason: None,
            remedy: None,
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
            reason: Some(reason),
            remedy,
        }
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
