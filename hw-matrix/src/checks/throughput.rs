//! `throughput`: how many times as fast the program is in native mode as in generic mode, both measured in one run, so
//! that a busy or another machine changes both.

use serde::Deserialize;

use super::nic::{self, Peer};
use super::program::{self, Subject};
use super::{Attempt, Report, Stop};
use crate::spec::{Mode, Outcome};

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let peer = match nic::peer(attempt, subject.cell, subject.interface)? {
        Peer::Interface(peer) => peer,
        Peer::None => return Ok(Report::skipped(nic::NO_PEER)),
        Peer::OutOfReach(reason) => return Ok(Report::skipped(reason)),
    };
    let time = program::duration(subject.cell.check.options.time);
    let mut bench = vec!["bench"];
    bench.extend(subject.named());
    bench.extend([subject.ifname(), "--peer", &peer, "--for", &time, "--json"]);
    let output = attempt.command("xdp-offload", &bench)?;
    // Code 3: a mode did not hold, and the report says which.
    Ok(match output.json() {
        Ok(bench) if matches!(output.code, Some(0 | 3)) => judge(&bench),
        _ => Report::failed(output.complaint()),
    })
}

#[derive(Debug, Deserialize)]
struct Bench {
    modes: Vec<Measured>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    mode: Mode,
    held: bool,
    reason: Option<String>,
    packets_per_second: Option<f64>,
    ns_per_packet: Option<f64>,
}

fn judge(bench: &Bench) -> Report {
    let measured = |mode| bench.modes.iter().find(|measured| measured.mode == mode);
    let (Some(native), Some(generic)) = (measured(Mode::Native), measured(Mode::Generic)) else {
        return Report::failed("xdp-offload measured not both modes");
    };
    for measured in [native, generic] {
        if !measured.held {
            let why = measured.reason.as_deref().unwrap_or("no reason is told");
            return Report::skipped(format!(
                "{} mode does not hold: {why}",
                measured.mode.name()
            ));
        }
    }
    let ratio = |more: Option<f64>, less: Option<f64>| {
        let ratio = more? / less?;
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    };
    // Time in the program alone where it is known; the sender may be slower than either mode.
    let figure = ratio(generic.ns_per_packet, native.ns_per_packet)
        .or_else(|| ratio(native.packets_per_second, generic.packets_per_second));
    match figure {
        Some(figure) => Report {
            figure: Some(figure),
            ..Report::of(Outcome::Held)
        },
        None => Report::failed("xdp-offload measured nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_mode_is_measured_beside_generic_mode() {
        let judged = |modes: &str| {
            judge(&serde_json::from_str(&format!(r#"{{"modes":[{modes}]}}"#)).unwrap())
        };
        let mode = |mode: &str, held: bool, rate: &str, time: &str| {
            format!(
                r#"{{"mode":"{mode}","held":{held},"reason":"too large","packets_per_second":{rate},"ns_per_packet":{time}}}"#
            )
        };
        let generic = mode("generic", true, "1000", "600");
        let report = judged(&format!(
            "{},{generic}",
            mode("native", true, "1000", "200.0")
        ));
        assert_eq!(
            (report.outcome, report.figure),
            (Some(Outcome::Held), Some(3.0))
        );
        let report = judged(&format!(
            "{},{generic}",
            mode("native", true, "2500", "null")
        ));
        assert_eq!(report.figure, Some(2.5));
        let report = judged(&format!(
            "{},{generic}",
            mode("native", false, "null", "null")
        ));
        assert!(report.skipped);
        assert_eq!(
            report.reason.as_deref(),
            Some("native mode does not hold: too large")
        );
        let report = judged(&format!("{},{generic}", mode("native", true, "0", "0")));
        assert_eq!((report.outcome, report.figure), (None, None));
        assert_eq!(judged(&generic).outcome, None);
    }
}
