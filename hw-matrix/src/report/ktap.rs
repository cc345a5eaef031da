//! KTAP, version 1 (Documentation/dev-tools/ktap.rst of the kernel): a test a host, its cells as subtests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{measured, one_line};
use crate::results::{CellResult, Results, Status};

/// The whole run as KTAP.
///
/// What is flaky or known to be bad is `not ok` with the directive TODO: no reader takes it for a pass, and none for a
/// new failure.
pub fn ktap(results: &Results) -> String {
    let mut hosts: BTreeMap<&str, Vec<&CellResult>> = BTreeMap::new();
    for result in results.cells.values() {
        hosts.entry(result.parts()[0]).or_default().push(result);
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "KTAP version 1\n1..{}", hosts.len());
    for (number, (host, cells)) in (1..).zip(&hosts) {
        let _ = writeln!(
            text,
            "  KTAP version 1\n  # Subtest: {host}\n  1..{}",
            cells.len()
        );
        for (number, result) in (1..).zip(cells) {
            for line in test(number, result).lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        let ok = !cells.iter().any(|result| result.status.is_bad());
        let _ = writeln!(text, "{}ok {number} {host}", if ok { "" } else { "not " });
    }
    let count = |of: fn(Status) -> bool| {
        let statuses = results.cells.values().map(|result| result.status);
        statuses.filter(|&status| of(status)).count()
    };
    let _ = writeln!(
        text,
        "# Totals: pass:{} fail:{} xfail:{} xpass:0 skip:{} error:{}",
        count(|status| status == Status::Pass),
        count(|status| status == Status::Fail),
        count(|status| matches!(status, Status::KnownBad | Status::Flaky)),
        count(|status| status == Status::Skip),
        count(|status| status.is_bad() && status != Status::Fail),
    );
    text
}

/// A cell's test line, its explanation as diagnostic lines before it.
fn test(number: usize, result: &CellResult) -> String {
    let reason = one_line(result.reason.as_deref().unwrap_or_default());
    let mut text = String::new();
    if result.status.is_bad() {
        let explanation = crate::progress::line(result);
        for line in explanation.lines() {
            let _ = writeln!(text, "# {}", one_line(line));
        }
        for line in result.kernel_log.iter().flat_map(|log| log.lines()) {
            let _ = writeln!(text, "# kernel: {}", one_line(line));
        }
    }
    if let Some(found) = measured(result).filter(|_| !result.status.is_bad()) {
        let _ = writeln!(text, "# {}", one_line(&found));
    }
    let known = one_line(result.known_bad.as_deref().unwrap_or_default());
    let (ok, directive) = match result.status {
        Status::Pass => ("ok", String::new()),
        Status::Skip => ("ok", format!(" # SKIP {reason}")),
        Status::Flaky => ("not ok", format!(" # TODO flaky, first attempt: {reason}")),
        Status::KnownBad => ("not ok", format!(" # TODO known bad: {known}")),
        Status::Fail => ("not ok", String::new()),
        Status::Error => ("not ok", format!(" # ERROR {reason}")),
        Status::Crash => ("not ok", format!(" # ERROR crash: {reason}")),
        Status::Interrupted => ("not ok", format!(" # ERROR interrupted: {reason}")),
    };
    let _ = write!(
        text,
        "{ok} {number} {}{}",
        result.cell,
        directive.trim_end()
    );
    text
}
