//! What the driver said beside what we say.

use std::collections::BTreeMap;
use std::fmt;

use nfp_target::accept::Judgement;
use nfp_target::profile::Profile;
use tests::nfpsim::{Answer, Decision, Program, known_difference};

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
        match known_difference(&theirs, &ours) {
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
