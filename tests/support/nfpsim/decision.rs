//! What the driver decided, and what we say that it decides, in one form to compare.

use std::fmt;

use nfp_target::accept::{Judgement, Reason, Stage, Subject};

use super::Answer;

/// What came of a program, with the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is loaded.
    Accepted,
    /// A map could not be created. The driver's words; empty where the kernel has none.
    Map(usize, String),
    /// The driver, asked by the verifier: its words.
    Driver(String),
    /// The verifier: its words.
    Verifier(String),
    /// The driver's translation: the instruction, or the whole program where the code store is full.
    Translation(Option<usize>),
    /// The driver reads outside of its memory, and what becomes of that is chance, or divides by zero. Theirs: the kernel
    /// crashed.
    Chance,
}

impl Decision {
    /// The driver's, or the verifier's beside it.
    pub fn theirs(answer: &Answer) -> Self {
        let words =
            |line: &str, prefix: &str| line.strip_prefix(prefix).map(|text| text.trim().to_owned());
        if let Some(map) = answer.map {
            let said = answer.kernel.lines().last().unwrap_or_default();
            return Self::Map(map, words(said, "NFP net bpf: ").unwrap_or_default());
        }
        if answer.crashed {
            return Self::Chance;
        }
        if answer.loaded {
            return Self::Accepted;
        }
        let said = answer.log.lines().rev().find(|line| !is_sum(line));
        let said = said.unwrap_or_default();
        // A warning is the last that the driver says of a program that the verifier then refuses.
        if let Some(text) = words(said, "[nfp] ")
            && !text.starts_with("warning")
        {
            return Self::Driver(text);
        }
        let failed = answer
            .kernel
            .lines()
            .find_map(|line| line.strip_prefix("nfpsim: translate error "));
        if let Some(failed) = failed {
            // "-22 after 7 of 9 insns, 31 words, 0"
            let words: Vec<&str> = failed.split(' ').collect();
            let full = words.last() == Some(&"-28");
            return Self::Translation(words.get(2).filter(|_| !full).and_then(|n| n.parse().ok()));
        }
        Self::Verifier(said.to_owned())
    }

    /// Ours; without a judgement, the program does not decode.
    pub fn ours(judgement: Option<&Judgement>) -> Self {
        let Some(judgement) = judgement else {
            return Self::Verifier("does not decode".to_owned());
        };
        match judgement.refusals.first() {
            Some(refusal) => {
                let text = refusal.reason.to_string();
                match refusal.subject {
                    Subject::Map(map) => Self::Map(map as usize, text),
                    _ if matches!(
                        refusal.reason,
                        Reason::DriverOverrun(_) | Reason::DivisorZero
                    ) =>
                    {
                        Self::Chance
                    }
                    Subject::Instruction(slot) if refusal.reason.stage() == Stage::Translation => {
                        Self::Translation(Some(slot))
                    }
                    Subject::Program if refusal.reason.stage() == Stage::Translation => {
                        Self::Translation(None)
                    }
                    _ => Self::Driver(text),
                }
            }
            None => match judgement.verdict.error() {
                Some(error) => Self::Verifier(error.to_string()),
                None => Self::Accepted,
            },
        }
    }

    /// Whether the program is loaded.
    pub fn is_accepted(&self) -> bool {
        *self == Self::Accepted
    }

    /// Whether the cause is the same. The kernel's verifier has words of its own, which are not compared; nor are
    /// those where a map's creation fails without any.
    pub fn same(&self, ours: &Self) -> bool {
        match (self, ours) {
            (Self::Map(map, theirs), Self::Map(at, words)) => {
                map == at && (theirs.is_empty() || words.starts_with(theirs))
            }
            (Self::Driver(theirs), Self::Driver(words)) => theirs.starts_with(words),
            (Self::Verifier(_), Self::Verifier(_)) => true,
            _ => self == ours,
        }
    }

    /// Who decided.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Map(..) => "map",
            Self::Driver(_) => "driver",
            Self::Verifier(_) => "verifier",
            Self::Translation(_) => "translation",
            Self::Chance => "crash",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Map(map, words) => write!(f, "map {map}: {words}"),
            Self::Driver(words) => write!(f, "driver: {words}"),
            Self::Verifier(words) => write!(f, "verifier: {words}"),
            Self::Translation(Some(at)) => write!(f, "translation of instruction {at}"),
            Self::Translation(None) => f.write_str("translation: the code store is full"),
            Self::Chance => f.write_str("the driver reads outside of its memory"),
        }
    }
}

/// A line of the verifier's statistics.
fn is_sum(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || ["processed ", "verification time ", "stack depth ", "func#"]
            .iter()
            .any(|begin| line.starts_with(begin))
}

/// Words of the driver that depend on the values of registers on each path that is walked.
const BY_PATH: [&str; 7] = [
    "multiplier is not",
    "multiplicand is not",
    "dividend is not",
    "divisor is not",
    "ptr type changed",
    "stack access changed location",
    "stack too large",
];

/// Why we are known to differ there.
pub fn known_difference(theirs: &Decision, ours: &Decision) -> Option<&'static str> {
    const PATHS: &str = "a path that one of us leaves earlier, as covered by another, and that has other values or calls";
    const STORE: &str = "how full the code store is, the driver's translation tells to the word";
    let driver = |decision: &Decision, begins: &str| matches!(decision, Decision::Driver(words) if words.starts_with(begins));
    let by_path = |decision: &Decision| match decision {
        // A shift whose amount is constant on all paths that were walked.
        Decision::Accepted | Decision::Translation(Some(_)) => true,
        decision => BY_PATH.iter().any(|words| driver(decision, words)),
    };
    match (theirs, ours) {
        (Decision::Translation(None), Decision::Accepted) => Some(STORE),
        _ if by_path(theirs) && by_path(ours) => Some(PATHS),
        _ => None,
    }
}
