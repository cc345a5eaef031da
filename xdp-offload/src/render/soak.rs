//! What became of many packets.

use crate::json::soak::Report;
use crate::output::{BAD, NAME, styled};
use kernel::netlink::link;

/// A line a count.
pub(crate) fn report(report: &Report, mode: link::Mode) -> String {
    let bad = |count: u64| {
        if count == 0 {
            count.to_string()
        } else {
            styled(BAD, count)
        }
    };
    let mut lines = vec![
        ("sent", report.sent.to_string()),
        (
            "passed",
            format!("{} of {}", report.passed, report.expected_pass),
        ),
        (
            "returned",
            format!("{} of {}", report.returned, report.expected_return),
        ),
        ("unprotected", bad(report.unprotected)),
        ("lost", bad(report.lost)),
    ];
    if report.missed > 0 {
        lines.push(("missed", report.missed.to_string()));
    }
    lines.push(("replaced", format!("{} times", report.replaced)));
    if let Some(runs) = report.runs {
        lines.push(("runs", runs.to_string()));
    }
    let mut out = format!(
        "{}: {} in {mode} mode\n",
        styled(NAME, &report.ifname),
        report.program
    );
    for (what, count) in lines {
        out += &format!("  {what:<11}  {count}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Mode;
    use crate::render::golden;

    #[test]
    fn every_count_has_a_line() {
        let soaked = Report {
            schema: "",
            ifname: "eth0".to_owned(),
            mode: Mode::Native,
            program: "firewall".to_owned(),
            sent: 5000,
            expected_pass: 2000,
            passed: 1998,
            expected_return: 0,
            returned: 0,
            unprotected: 3,
            lost: 2,
            missed: 0,
            replaced: 24,
            runs: Some(4997),
        };
        golden::check("soak", &report(&soaked, link::Mode::Native));
    }
}
