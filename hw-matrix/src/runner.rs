//! Runs cells one after the other and writes down what happens as it happens.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cell::Cell;
use crate::executor::{Execute, Report};
use crate::results::{CellResult, Line, Status, Writer};
use crate::spec::Executor;

/// Runs the cells in order; `seen` is called with each result. Ends early if the results cannot be written, or
/// before the next cell once `stop` is set: then the file has no [`Line::Done`].
pub fn run(
    cells: &[Cell<'_>],
    local: &mut dyn Execute,
    writer: &mut Writer,
    stop: &AtomicBool,
    mut seen: impl FnMut(&CellResult),
) -> io::Result<BTreeMap<Status, usize>> {
    let mut counts = BTreeMap::new();
    for cell in cells {
        if stop.load(Ordering::Relaxed) {
            return Ok(counts);
        }
        let id = cell.to_string();
        let begun = Instant::now();
        let report = match (cell.excluded, &cell.host.executor) {
            (Some(reason), _) => Report::skipped(format!("excluded: {reason}")),
            (None, Executor::Local) => {
                writer.line(&Line::Started { cell: id.clone() })?;
                local.run(cell, cell.check.timeout)
            }
            (None, other) => Report::skipped(format!(
                "this version runs local hosts only, not {}",
                other.name()
            )),
        };
        let result = judge(cell, id, report, begun.elapsed());
        writer.line(&Line::Result(result.clone()))?;
        *counts.entry(result.status).or_insert(0) += 1;
        seen(&result);
    }
    writer.line(&Line::Done {
        counts: counts.clone(),
    })?;
    Ok(counts)
}

/// Holds what came out against what was expected. Pure.
fn judge(cell: &Cell<'_>, id: String, report: Report, duration: Duration) -> CellResult {
    let expected = cell.expected.map(|(outcome, _)| outcome);
    let status = match report.outcome {
        _ if report.skipped => Status::Skip,
        None => Status::Error,
        Some(outcome) if expected.is_none_or(|expected| expected == outcome) => Status::Pass,
        Some(_) => Status::Fail,
    };
    CellResult {
        cell: id,
        status,
        outcome: report.outcome,
        expected,
        mode: cell.mode,
        ifname: report.ifname,
        driver: report.driver,
        reason: report.reason,
        remedy: report.remedy,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    }
}
