//! `throughput`: how many times as fast the program is in native mode as in generic mode, both measured in one run, so
//! that a busy or another machine changes both.

use serde::Deserialize;

use super::nic::{self, Peer};
use super::program::{self, Subject};
use super::{Attempt, Report, Stop, packets};
use crate::spec::{Mode, Outcome};

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let peer = match nic::peer(attempt, subject.cell, subject.interface)? {
        Peer::Interface(peer) => peer,
        Peer::None => return Ok(Report::skipped(nic::NO_PEER)),
        Peer::OutOfReach(reason) => return Ok(Report::skipped(reason)),
    };
    let time = program::duration(subject.cell.check.options.time);
    let packets = packets::own(attempt, subject)?;
    let mut bench = vec!["bench"];
    bench.extend(subject.named());
    bench.extend([subject.ifname(), "--peer", &peer, "--for", &time]);
    if let Some(packets) = &packets {
        bench.extend(["--packets", packets]);
    }
    bench.push("--json");
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
    /// Packets a second in native mode to those in generic mode.
    ratio: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    mode: Mode,
    held: bool,
    reason: Option<String>,
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
    match bench.ratio {
        Some(ratio) if ratio.is_finite() && ratio > 0.0 => Report {
            figure: Some(ratio),
            ..Report::of(Outcome::Held)
        },
        _ => Report::failed("xdp-offload measured nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_mode_is_measured_beside_generic_mode() {
        let judged = |modes: &str, ratio: &str| {
            let text = format!(r#"{{"modes":[{modes}],"ratio":{ratio}}}"#);
            judge(&serde_json::from_str(&text).unwrap())
        };
        let mode = |mode: &str, held: bool| {
            format!(r#"{{"mode":"{mode}","held":{held},"reason":"too large"}}"#)
        };
        let both = format!("{},{}", mode("native", true), mode("generic", true));
        let report = judged(&both, "2.5");
        assert_eq!(
            (report.outcome, report.figure),
            (Some(Outcome::Held), Some(2.5))
        );
        for nothing in ["null", "0"] {
            let report = judged(&both, nothing);
            assert_eq!((report.outcome, report.figure), (None, None));
        }
        let one = format!("{},{}", mode("native", false), mode("generic", true));
        let report = judged(&one, "null");
        assert!(report.skipped);
        assert_eq!(
            report.reason.as_deref(),
            Some("native mode does not hold: too large")
        );
        assert_eq!(judged(&mode("generic", true), "null").outcome, None);
    }
}
