//! What the driver said beside what we say.

use std::collections::BTreeMap;
use std::fmt;

use nfp_target::accept::{Judgement, Reason, Stage, Subject};
use nfp_target::profile::Profile;
use tests::nfpsim::{Answer, Program};

/// What came of a program, with the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Accepted,
    /// A map could not be created. The driver's words; empty where the kernel has none.
    Map(usize, String),
    /// The driver, asked by the verifier: its words.
    Driver(String),
    /// The verifier: its words.
    Verifier(String),
    /// The driver's translation: the instruction, or the whole program where the code store is full.
    Translation(Option<usize>),
    /// The driver reads outside of its memory, and what becomes of that is chance. Theirs: the kernel crashed.
    Chance,
}

impl Decision {
    /// The driver's.
    fn theirs(answer: &Answer) -> Self {
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

    fn ours(judgement: Option<&Judgement>) -> Self {
        let Some(judgement) = judgement else {
            return Self::Verifier("does not decode".to_owned());
        };
        match judgement.refusals.first() {
            Some(refusal) => {
                let text = refusal.reason.to_string();
                match refusal.subject {
                    Subject::Map(map) => Self::Map(map as usize, text),
                    _ if matches!(refusal.reason, Reason::DriverOverrun(_)) => Self::Chance,
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

    fn is_accepted(&self) -> bool {
        *self == Self::Accepted
    }

    /// Whether the cause is the same. The kernel's verifier has words of its own, which are not compared; nor are
    /// those where a map's creation fails without any.
    fn same(&self, ours: &Self) -> bool {
        match (self, ours) {
            (Self::Map(map, theirs), Self::Map(at, words)) => {
                map == at && (theirs.is_empty() || words.starts_with(theirs))
            }
            (Self::Driver(theirs), Self::Driver(words)) => theirs.starts_with(words),
            (Self::Verifier(_), Self::Verifier(_)) => true,
            _ => self == ours,
        }
    }

    fn kind(&self) -> &'static str {
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

/// What is counted for a profile.
#[derive(Debug, Default)]
struct Row {
    /// Programs by what the driver decided.
    theirs: BTreeMap<&'static str, usize>,
    programs: usize,
    /// Those where the driver reads outside of its memory, as we say: nothing is compared.
    chance: usize,
    other_decision: usize,
    other_cause: usize,
    other_attachment: usize,
}

/// All comparisons so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    kernel: String,
    rows: BTreeMap<String, Row>,
    /// Differences by their known reason.
    explained: BTreeMap<&'static str, Vec<String>>,
    unexplained: Vec<String>,
}

impl Table {
    pub(crate) fn new(kernel: String) -> Self {
        Self {
            kernel,
            ..Self::default()
        }
    }

    pub(crate) fn add(
        &mut self,
        profile: &Profile,
        program: &Program,
        answer: &Answer,
        judgement: Option<&Judgement>,
    ) {
        let theirs = Decision::theirs(answer);
        let ours = Decision::ours(judgement);
        let row = self.rows.entry(profile.name.clone()).or_default();
        row.programs += 1;
        *row.theirs.entry(theirs.kind()).or_default() += 1;
        let attaches = judgement.is_some_and(|judgement| judgement.attaches(profile, 1500));
        let attachment = theirs.is_accepted() && ours.is_accepted() && answer.attached != attaches;
        if ours == Decision::Chance {
            row.chance += 1;
            return;
        }
        if theirs.is_accepted() != ours.is_accepted() {
            row.other_decision += 1;
        } else if !theirs.same(&ours) {
            row.other_cause += 1;
        } else if attachment {
            row.other_attachment += 1;
        } else {
            return;
        }
        let mut line = format!("{}/{}: {theirs}; ours: {ours}", profile.name, program.id);
        if attachment {
            line.push_str(" (attachment differs)");
        }
        match reason(&theirs, &ours) {
            Some(reason) => self.explained.entry(reason).or_default().push(line),
            None => self.unexplained.push(line),
        }
    }

    /// How many decisions are the driver's, with its cause, in percent.
    #[allow(clippy::cast_precision_loss)] // some 10,000 programs
    pub(crate) fn share(&self) -> f64 {
        let sum = |count: fn(&Row) -> usize| self.rows.values().map(count).sum::<usize>() as f64;
        let differ = sum(|row| row.other_decision + row.other_cause + row.other_attachment);
        100.0 * (1.0 - differ / sum(|row| row.programs))
    }

    /// Differences that no known reason explains.
    pub(crate) fn unexplained(&self) -> &[String] {
        &self.unexplained
    }
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
fn reason(theirs: &Decision, ours: &Decision) -> Option<&'static str> {
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

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KINDS: [&str; 6] = [
            "accepted",
            "map",
            "verifier",
            "driver",
            "translation",
            "crash",
        ];
        writeln!(f, "the driver of Linux {}, and what we say", self.kernel)?;
        write!(f, "{:<12}{:>9}", "profile", "programs")?;
        for kind in KINDS {
            write!(f, "{kind:>12}")?;
        }
        writeln!(
            f,
            "{:>8}{:>15}{:>13}{:>13}",
            "chance", "other decision", "other cause", "attachment"
        )?;
        for (profile, row) in &self.rows {
            write!(f, "{profile:<12}{:>9}", row.programs)?;
            for kind in KINDS {
                write!(f, "{:>12}", row.theirs.get(kind).unwrap_or(&0))?;
            }
            writeln!(
                f,
                "{:>8}{:>15}{:>13}{:>13}",
                row.chance, row.other_decision, row.other_cause, row.other_attachment
            )?;
        }
        writeln!(f, "as the driver's: {:.3} %", self.share())?;
        for (reason, lines) in &self.explained {
            writeln!(f, "{} differ: {reason}", lines.len())?;
            for line in lines {
                writeln!(f, "  {line}")?;
            }
        }
        for line in &self.unexplained {
            writeln!(f, "not known to differ: {line}")?;
        }
        Ok(())
    }
}
