//! The matrix: which cells a lab has. Pure; the same file gives the same ids in the same order.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::Date;

use crate::filter::{Filter, Key};
use crate::spec::{Check, Host, Lab, Mode, Nic, Outcome, Program};

/// Most cells that one lab may have: a slip (a glob of hosts) should not become hours.
pub const MAX_CELLS: usize = 1_000_000;

/// One question to one NIC.
#[derive(Debug, Clone)]
pub struct Cell<'lab> {
    /// The machine.
    pub host: &'lab Host,
    /// The NIC.
    pub nic: &'lab Nic,
    /// The program; none where the check takes none.
    pub program: Option<&'lab Program>,
    /// The mode.
    pub mode: Mode,
    /// The check.
    pub check: &'lab Check,
    /// What should come out, and why if the lab file says it.
    pub expected: Option<(Outcome, Option<&'lab str>)>,
    /// Why it is not run, if it is excluded.
    pub excluded: Option<&'lab str>,
    /// Why it does not pass, if that is known.
    pub known_bad: Option<&'lab str>,
}

/// The id: `host/nic/program/mode/check`, `-` for no program. Stable across runs and across other changes of the
/// lab file, so baselines keep their meaning.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}/{}",
            self.host.name,
            self.nic.name,
            self.program_name(),
            self.mode.name(),
            self.check.name
        )
    }
}

impl<'lab> Cell<'lab> {
    /// The program's name, `-` for none.
    pub fn program_name(&self) -> &'lab str {
        self.program.map_or("-", |program| &program.name)
    }

    /// Whether the filter means this cell.
    pub fn is_in(&self, filter: &Filter) -> bool {
        filter.matches(&|key| match key {
            Key::Id => Cow::Owned(self.to_string()),
            Key::Host => Cow::Borrowed(&*self.host.name),
            Key::Nic => Cow::Borrowed(&*self.nic.name),
            Key::Program => Cow::Borrowed(self.program_name()),
            Key::Mode => Cow::Borrowed(self.mode.name()),
            Key::Check => Cow::Borrowed(&*self.check.name),
        })
    }
}

/// All cells of a lab, and the lab file's checks, exclusions and expectations that fit no cell.
#[derive(Debug)]
pub struct Matrix<'lab> {
    /// The cells, by host, NIC, check, program, mode.
    pub cells: Vec<Cell<'lab>>,
    /// `[check.*]`, `[[exclude]]`, `[[known-bad]]` and `[[expect]]` sections without effect, as (line, what).
    pub idle: Vec<(usize, String)>,
}

/// The lab has more cells than [`MAX_CELLS`].
#[derive(Debug, thiserror::Error)]
#[error(
    "the lab has {0} cells, more than {MAX_CELLS}\n  help: split the lab file, or give checks fewer programs"
)]
pub struct TooMany(pub usize);

/// Enumerates the cells of a lab, as they are to be judged on the day `today`.
pub fn matrix(lab: &Lab, today: Date) -> Result<Matrix<'_>, TooMany> {
    let nics: usize = lab.hosts.iter().map(|host| host.nics.len()).sum();
    let each: usize = lab
        .checks
        .iter()
        .map(|check| check.modes.len() * check.programs.len().max(1))
        .sum();
    let count = nics.saturating_mul(each);
    if count > MAX_CELLS {
        return Err(TooMany(count));
    }
    let mut known = vec![false; lab.known_bad.len()];
    let mut asks = vec![false; lab.checks.len()];
    let mut excludes = vec![false; lab.exclusions.len()];
    let mut expects = vec![false; lab.expectations.len()];
    let mut cells = Vec::with_capacity(count);
    for host in &lab.hosts {
        for nic in &host.nics {
            for (asks, check) in asks.iter_mut().zip(&lab.checks) {
                let programs = if check.kind.takes_program() {
                    check
                        .programs
                        .iter()
                        .map(|&index| Some(&lab.programs[index]))
                        .collect()
                } else {
                    vec![None]
                };
                for program in programs {
                    for &mode in &check.modes {
                        let expected = check.kind.expected().map(|outcome| (outcome, None));
                        let mut cell = Cell {
                            host,
                            nic,
                            program,
                            mode,
                            check,
                            expected,
                            excluded: None,
                            known_bad: None,
                        };
                        if !cell.is_in(&check.cells) {
                            continue;
                        }
                        *asks = true;
                        for (used, expectation) in expects.iter_mut().zip(&lab.expectations) {
                            if check.kind.outcomes().contains(&expectation.outcome)
                                && cell.is_in(&expectation.cells)
                            {
                                cell.expected =
                                    Some((expectation.outcome, expectation.reason.as_deref()));
                                *used = true;
                            }
                        }
                        for (used, exclusion) in excludes.iter_mut().zip(&lab.exclusions) {
                            if cell.is_in(&exclusion.cells) {
                                cell.excluded.get_or_insert(&exclusion.reason);
                                *used = true;
                            }
                        }
                        for (used, known) in known.iter_mut().zip(&lab.known_bad) {
                            if today <= known.until && cell.is_in(&known.cells) {
                                cell.known_bad.get_or_insert(&known.reason);
                                *used = true;
                            }
                        }
                        cells.push(cell);
                    }
                }
            }
        }
    }
    let mut idle: Vec<(usize, String)> = Vec::new();
    for (asks, check) in asks.iter().zip(&lab.checks) {
        if !asks && count > 0 {
            idle.push((check.line, "this check has no cell".to_owned()));
        }
    }
    for (used, exclusion) in excludes.iter().zip(&lab.exclusions) {
        if !used {
            idle.push((exclusion.line, "excludes no cell".to_owned()));
        }
    }
    for (used, expectation) in expects.iter().zip(&lab.expectations) {
        if !used {
            let what = "fits no cell that can have this outcome".to_owned();
            idle.push((expectation.line, what));
        }
    }
    for (used, known) in known.iter().zip(&lab.known_bad) {
        if today > known.until {
            let what = format!(
                "counts no more: it was known to be bad until {}",
                known.until
            );
            idle.push((known.line, what));
        } else if !used {
            idle.push((known.line, "fits no cell".to_owned()));
        }
    }
    idle.sort_unstable();
    Ok(Matrix { cells, idle })
}
