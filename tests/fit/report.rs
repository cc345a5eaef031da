//! docs/offload-report.md: how many programs fit, what keeps the others off, and each program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use tests::kernel_answer::KernelAnswer;
use tests::real_programs::{RealProgram, Source};
use tests::workspace;

use crate::left::reason;
use crate::stage::{Outcome, Stage};

const YES: &str = "yes";

/// All that was found.
pub(crate) struct Report<'a> {
    driver: &'a str,
    native: &'a [RealProgram],
    others: &'a [RealProgram],
    stages: &'a [Stage],
    /// By stage and program, on the full card.
    full: &'a [Vec<Outcome>],
    /// The same on a card that keeps little.
    small: &'a [Vec<Outcome>],
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        driver: &'a str,
        native: &'a [RealProgram],
        others: &'a [RealProgram],
        stages: &'a [Stage],
        outcomes: &'a [Vec<Vec<Outcome>>],
    ) -> Self {
        let [full, small] = outcomes else {
            panic!("two profiles are asked for");
        };
        Self {
            driver,
            native,
            others,
            stages,
            full,
            small,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.counts(&mut text);
        for (stage, outcomes) in self.stages.iter().zip(self.full) {
            Self::reasons(&mut text, stage, outcomes);
        }
        self.left(&mut text);
        self.programs(&mut text);
        self.left_out(&mut text);
        text
    }

    fn counts(&self, text: &mut String) {
        text.push_str("| programs | natively |");
        for stage in self.stages {
            let _ = write!(text, " {0}, full | {0}, card64 |", stage.title);
        }
        text.push_str("\n|---|---|");
        text.push_str(&"---|---|".repeat(self.stages.len()));
        text.push('\n');
        let mut row = |title: &str, counts: &dyn Fn(&RealProgram) -> bool| {
            let chosen: Vec<bool> = self.native.iter().map(counts).collect();
            let count = |outcomes: &[Outcome]| {
                let fitting = outcomes.iter().zip(&chosen);
                fitting
                    .filter(|(outcome, chosen)| **chosen && outcome.fits)
                    .count()
            };
            let natively = chosen.iter().filter(|chosen| **chosen).count();
            let _ = write!(text, "| {title} | {natively} |");
            for (full, small) in self.full.iter().zip(self.small) {
                let _ = write!(text, " {} | {} |", count(full), count(small));
            }
            text.push('\n');
        };
        for source in Source::ALL {
            row(source.title(), &|program| program.source == source);
        }
        row("all", &|_| true);
    }

    fn reasons(text: &mut String, stage: &Stage, outcomes: &[Outcome]) {
        let refused: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.fits).collect();
        let _ = writeln!(
            text,
            "\n## What keeps programs off the card, {}\n\n\
             {} programs. *First*: what the driver says, as it stops there; *only*: nothing else stands in the way.\n\n\
             | reason | programs | first | only |\n|---|---|---|---|",
            stage.title,
            refused.len()
        );
        let mut reasons: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for outcome in refused {
            for (index, blocker) in outcome.blockers.iter().enumerate() {
                let counts = reasons.entry(blocker).or_default();
                counts[0] += 1;
                counts[1] += usize::from(index == 0);
                counts[2] += usize::from(outcome.blockers.len() == 1);
            }
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, [programs, ..])| std::cmp::Reverse(*programs));
        for (reason, [programs, first, only]) in reasons {
            let _ = writeln!(text, "| {reason} | {programs} | {first} | {only} |");
        }
    }

    /// Why programs fit no card with all that can be allowed.
    fn left(&self, text: &mut String) {
        text.push_str("\n## What is left, and why\n\n| program | why |\n|---|---|\n");
        let outcomes = self.full.last().into_iter().flatten();
        for (program, outcome) in self.native.iter().zip(outcomes) {
            if !outcome.fits {
                let why = reason(&program.name).unwrap_or("nobody has looked yet");
                let _ = writeln!(text, "| {} | {why} |", program.name);
            }
        }
    }

    /// One line a program: what of it fits, and why not.
    fn programs(&self, text: &mut String) {
        text.push_str("\n## Programs\n\n| program | slots |");
        for stage in self.stages {
            let _ = write!(text, " {} |", stage.title);
        }
        text.push_str("\n|---|---|");
        text.push_str(&"---|".repeat(self.stages.len()));
        text.push('\n');
        for (index, program) in self.native.iter().enumerate() {
            let slots = program.prepared.as_ref().map_or(0, |it| it.code.len());
            let _ = write!(text, "| {} | {slots} |", program.name);
            for outcomes in self.full {
                let outcome = &outcomes[index];
                if outcome.fits {
                    let _ = match outcome.share {
                        Some(share) => write!(
                            text,
                            " {YES}, {} of {} paths |",
                            number(share.decided),
                            number(share.paths)
                        ),
                        None => write!(text, " {YES} |"),
                    };
                } else {
                    let _ = write!(text, " {} |", outcome.blockers.join("; "));
                }
            }
            text.push('\n');
        }
    }

    fn left_out(&self, text: &mut String) {
        text.push_str("\n## Not accepted natively, and not counted\n\n");
        for program in self.others {
            let why = match (&program.kernel, &program.prepared) {
                (KernelAnswer::Refuses(words), _) => format!("the kernel says: {words}"),
                (KernelAnswer::NotAsked(why), _) | (KernelAnswer::Accepts, Err(why)) => why.clone(),
                (KernelAnswer::Accepts, Ok(_)) => unreachable!("it is counted"),
            };
            let _ = writeln!(text, "- {}: {why}", program.name);
        }
    }

    /// Prints the counts, writes the committed report with `BLESS=1`, and fails if a promise is broken.
    pub(crate) fn finish(&self) {
        let text = self.text();
        let head = text.split("\n## What is left").next().unwrap_or_default();
        // Past the harness' capture: the counts are what a reader of the log looks for.
        let _ = writeln!(std::io::stderr(), "{head}");
        if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
            let release = kernel::host::KernelRelease::read().text;
            let head = format!(
                "# Programs that fit the card\n\n\
                 Each program was loaded natively on Linux {release}, and given to the NFP driver of Linux {} in\n\
                 hw-matrix/lab/nfpsim. Made by `BLESS=1 cargo test -p tests --test fit`.\n\n\
                 *As it is*: as compiled; *pure*: lowered, meaning kept on every packet; *allowed*: lowered with\n\
                 `--allow counters,globals,stores`; *all*: with all names that can be allowed. Lowered for the card `full` and an\n\
                 interface whose index and MTU are known.\n\n\
                 What counts: the driver loads and attaches what was made of the program. Where that is the whole program, the card\n\
                 decides every packet. Where it is a part (`split`), a path is decided if it ends in `XDP_DROP`, `XDP_TX` or\n\
                 `XDP_ABORTED` on the card. One that ends in `XDP_PASS` is not counted as decided: the original program on the host\n\
                 sees that packet again. A part that decides no path does not count.\n\n",
                self.driver
            );
            fs::write(path(), head + &text).expect("docs can be written");
        }
        self.nothing_unexplained();
        self.nothing_lost();
    }

    /// Each refusal has a reason, and it is the driver's.
    fn nothing_unexplained(&self) {
        let mut wrong = Vec::new();
        for outcomes in [self.full, self.small] {
            for (stage, outcomes) in self.stages.iter().zip(outcomes) {
                for (program, outcome) in self.native.iter().zip(outcomes) {
                    let name = format!("{}, {}", program.name, stage.title);
                    if let Some(differs) = &outcome.differs {
                        wrong.push(format!("{name}: the driver: {differs}"));
                    }
                    if !outcome.fits && outcome.blockers.is_empty() {
                        wrong.push(format!("{name}: refused without a reason"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What fits in the committed report fits still, where the running kernel takes it natively.
    fn nothing_lost(&self) {
        let report = fs::read_to_string(path()).expect("BLESS=1 writes it");
        let heads = report
            .lines()
            .find_map(|line| line.strip_prefix("| program | slots |"))
            .unwrap_or_default();
        let heads: Vec<&str> = heads.split('|').map(str::trim).collect();
        let mut lost = Vec::new();
        let mut found = BTreeSet::new();
        for line in report.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let position = self
                .native
                .iter()
                .position(|program| program.name == cells[0]);
            let Some(position) = position else { continue };
            found.insert(position);
            for (head, cell) in heads.iter().zip(&cells[2..]) {
                let stage = self.stages.iter().position(|stage| stage.title == *head);
                if let Some(stage) = stage
                    && cell.starts_with(YES)
                    && !self.full[stage][position].fits
                {
                    let blockers = self.full[stage][position].blockers.join("; ");
                    lost.push(format!("{}, {head}: {blockers}", cells[0]));
                }
            }
        }
        assert!(
            lost.is_empty(),
            "fits in docs/offload-report.md, and no more:\n{}",
            lost.join("\n")
        );
        assert!(
            !found.is_empty(),
            "docs/offload-report.md names no program that was tried"
        );
    }
}

/// A number of paths; what is too long to read is rounded.
fn number(paths: f64) -> String {
    if paths < 1e6 {
        format!("{paths}")
    } else {
        format!("{paths:.0e}")
    }
}

fn path() -> PathBuf {
    workspace().join("docs/offload-report.md")
}
