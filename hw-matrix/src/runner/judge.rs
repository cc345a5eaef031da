//! What came out of a cell's attempts, held against what was expected. Pure.

use std::time::Duration;

use super::scheduler::Ended;
use crate::cell::Cell;
use crate::checks::Report;
use crate::executor::SessionError;
use crate::results::{CellResult, Figure, Status};

/// How one attempt ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) report: Result<Report, SessionError>,
    pub(super) log: String,
    pub(super) kernel_log: Option<String>,
    pub(super) took: Duration,
}

impl Ending {
    pub(super) fn how(&self, cell: &Cell<'_>) -> Ended {
        match self.status(cell) {
            Status::Pass | Status::Skip => Ended::Well,
            Status::Crash => Ended::Died,
            _ => Ended::Badly,
        }
    }

    /// Of this attempt alone.
    fn status(&self, cell: &Cell<'_>) -> Status {
        let expected = cell.expected.map(|(outcome, _)| outcome);
        match &self.report {
            Err(_) => Status::Crash,
            Ok(Report { skipped: true, .. }) => Status::Skip,
            Ok(Report { outcome: None, .. }) => Status::Error,
            Ok(Report { outcome, .. }) if expected.is_none() || expected == *outcome => {
                Status::Pass
            }
            Ok(_) => Status::Fail,
        }
    }
}

/// The result of a cell from its last attempt and the one before it, if there was one.
pub(super) fn judge(
    cell: &Cell<'_>,
    id: &str,
    attempts: u32,
    first: Option<Ending>,
    last: Ending,
) -> CellResult {
    // A second attempt that found nothing to do takes nothing back.
    let (first, last) = match first {
        Some(first) if last.status(cell) == Status::Skip => (None, first),
        first => (first, last),
    };
    let status = match (last.status(cell), &first) {
        (Status::Pass, Some(_)) => Status::Flaky,
        (status, _) if cell.known_bad.is_some() && status.is_bad() => Status::KnownBad,
        (status, _) => status,
    };
    let duration_ms = u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX);
    // What is worth reading of a flaky cell is the attempt that did not pass.
    let (told, log) = match (status, first) {
        (Status::Pass | Status::Skip, _) => (last, None),
        (Status::Flaky, Some(first)) => {
            let log = format!("{}\nsecond attempt:\n{}", first.log, last.log);
            (first, Some(log))
        }
        (_, _) => {
            let log = last.log.clone();
            (last, Some(log))
        }
    };
    let kernel_log = told.kernel_log;
    let report = told
        .report
        .unwrap_or_else(|error| Report::failed(error.to_string()));
    CellResult {
        outcome: if status == Status::Flaky {
            cell.expected.map(|(outcome, _)| outcome)
        } else {
            report.outcome
        },
        expected: cell.expected.map(|(outcome, _)| outcome),
        ifname: report.ifname,
        driver: report.driver,
        driver_version: report.driver_version,
        firmware: report.firmware,
        reason: report.reason,
        remedy: report.remedy,
        found: report.found,
        figure: report.figure.map(|value| Figure {
            value,
            slower: cell.check.options.slower,
        }),
        known_bad: cell.known_bad.map(ToOwned::to_owned),
        attempts,
        duration_ms,
        log,
        kernel_log,
        ..CellResult::new(id.to_owned(), cell.mode, status)
    }
}

/// A cell that took its host down.
pub(super) fn crash(
    cell: &Cell<'_>,
    id: &str,
    reason: &str,
    kernel_log: Option<String>,
) -> CellResult {
    CellResult {
        expected: cell.expected.map(|(outcome, _)| outcome),
        reason: Some(reason.to_owned()),
        attempts: 1,
        kernel_log,
        ..CellResult::new(id.to_owned(), cell.mode, Status::Crash)
    }
}

/// A cell that was not run.
pub(super) fn not_run(cell: &Cell<'_>, id: &str, status: Status, reason: String) -> CellResult {
    CellResult {
        expected: cell.expected.map(|(outcome, _)| outcome),
        reason: Some(reason),
        ..CellResult::new(id.to_owned(), cell.mode, status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::matrix;
    use crate::spec::{Lab, Outcome};

    fn ending(outcome: Option<Outcome>) -> Ending {
        Ending {
            report: Ok(Report {
                outcome,
                reason: Some(format!("{outcome:?}")),
                ..Report::default()
            }),
            log: format!("log of {outcome:?}"),
            kernel_log: None,
            took: Duration::from_millis(5),
        }
    }

    #[test]
    fn each_pair_of_attempts_has_its_status() {
        let text = "[host.h]\nexecutor='local'\nnic.n.ifname='n'\n[program.p]\nobject='p.o'\n[check.attach]\nmodes=['native']";
        let lab = Lab::parse(text, "lab.toml").unwrap();
        let mut cell = matrix(&lab, jiff::civil::date(2026, 1, 1))
            .unwrap()
            .cells
            .remove(0);
        let (good, bad) = (Some(Outcome::Attached), Some(Outcome::Refused));

        let passed = judge(&cell, "id", 1, None, ending(good));
        assert_eq!((passed.status, passed.log), (Status::Pass, None));
        let flaky = judge(&cell, "id", 2, Some(ending(bad)), ending(good));
        assert_eq!((flaky.status, flaky.attempts), (Status::Flaky, 2));
        assert_eq!(flaky.reason.as_deref(), Some("Some(Refused)"));
        assert!(flaky.log.unwrap().contains("log of Some(Attached)"));
        let failed = judge(&cell, "id", 2, Some(ending(None)), ending(bad));
        assert_eq!(failed.status, Status::Fail);
        assert_eq!(
            judge(&cell, "id", 2, Some(ending(bad)), ending(None)).status,
            Status::Error
        );
        let died = || Ending {
            report: Err(SessionError::lost("panic")),
            ..ending(None)
        };
        assert_eq!(judge(&cell, "id", 1, None, died()).status, Status::Crash);

        let skip = |reason: &str| Ending {
            report: Ok(Report::skipped(reason)),
            ..ending(None)
        };
        let skipped = judge(&cell, "id", 1, None, skip("no peer"));
        assert_eq!((skipped.status, skipped.log), (Status::Skip, None));
        let bad_first = judge(&cell, "id", 2, Some(ending(bad)), skip("no peer"));
        assert_eq!(bad_first.status, Status::Fail);
        assert_eq!(bad_first.reason.as_deref(), Some("Some(Refused)"));

        cell.known_bad = Some("erratum 7");
        let known = judge(&cell, "id", 1, None, ending(bad));
        assert_eq!(known.status, Status::KnownBad);
        assert_eq!(known.known_bad.as_deref(), Some("erratum 7"));
        assert_eq!(judge(&cell, "id", 1, None, died()).status, Status::KnownBad);
        let passed = judge(&cell, "id", 1, None, ending(good));
        assert_eq!(passed.status, Status::Pass);
    }
}
