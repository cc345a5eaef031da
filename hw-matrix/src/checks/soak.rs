//! `soak` and `replace`: packets go through the attached program for a while, and with `replace` another copy of it takes
//! its place again and again. No packet may pass by the program, and no more may be lost than the lab file allows.

use serde::Deserialize;

use super::files;
use super::nic::{self, Peer};
use super::program::{self, RESTORE_TIME, Subject};
use super::status::status_within;
use super::{Attempt, Report, Stop, packets};
use crate::executor::Output;
use crate::spec::Outcome;

/// How often the program is replaced.
const EVERY: &str = "200ms";

pub(super) fn run(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    replace: bool,
) -> Result<Report, Stop> {
    let peer = match nic::peer(attempt, subject.cell, subject.interface)? {
        Peer::Interface(peer) => peer,
        Peer::None => return Ok(Report::skipped(nic::NO_PEER)),
        Peer::OutOfReach(reason) => return Ok(Report::skipped(reason)),
    };
    program::attached(attempt, subject, |attempt, id| {
        let files = Vec::from_iter(packets::file(subject));
        let soaked = files::with(attempt, files, |attempt, folder| {
            let packets = packets::path(attempt, subject, folder)?;
            soak(attempt, subject, &packets, &peer, replace)
        });
        if let Err(Stop::Lost(error)) = soaked {
            return Err(Stop::Lost(error));
        }
        if replace {
            // The one to take off is the last that was put in its place.
            let status = status_within(attempt, RESTORE_TIME, Some(subject.ifname()))?;
            *id = status.program(subject.cell.mode).unwrap_or(*id);
        }
        Ok(judge(&soaked?, subject.cell.check.options.lost, replace))
    })
}

fn soak(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    packets: &str,
    peer: &str,
    replace: bool,
) -> Result<Output, Stop> {
    let options = &subject.cell.check.options;
    let time = program::duration(options.time);
    let (rate, lost) = (options.rate.to_string(), options.lost.to_string());
    let mut soak = vec!["soak", subject.ifname(), "--packets", packets];
    soak.extend(["--peer", peer, "--for", &time, "--rate", &rate]);
    if replace {
        soak.push("--replace");
        soak.extend(subject.named());
        soak.extend(["--every", EVERY]);
    }
    soak.extend(["--lost", &lost, "--json"]);
    attempt.command("xdp-offload", &soak)
}

#[derive(Debug, Deserialize)]
struct Soaked {
    sent: u64,
    /// Packets that the program did not see.
    unprotected: u64,
    /// Packets that neither passed nor came back where they should have.
    lost: u64,
    /// How often the program was replaced.
    #[serde(default)]
    replaced: u64,
}

fn judge(output: &Output, lost: u64, replace: bool) -> Report {
    // Code 3 is a reasoned no: too many were lost, which is judged here.
    if !matches!(output.code, Some(0 | 3)) {
        return Report::failed(output.complaint());
    }
    let Ok(soaked) = output.json::<Soaked>() else {
        return Report::failed(output.complaint());
    };
    let sent = soaked.sent;
    if soaked.unprotected > 0 {
        let count = soaked.unprotected;
        return Report::wrong(format!("{count} of {sent} packets passed by the program"));
    }
    if soaked.lost > lost {
        let count = soaked.lost;
        return Report::wrong(format!(
            "{count} of {sent} packets were lost, {lost} may be"
        ));
    }
    if replace && soaked.replaced == 0 {
        return Report::failed("the program was never replaced");
    }
    if !output.is_success() {
        return Report {
            remedy: output.advice(),
            ..Report::wrong(output.error_words())
        };
    }
    Report::of(Outcome::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: i32, json: &str) -> Report {
        let output = Output {
            program: "xdp-offload".into(),
            code: Some(code),
            stdout: json.into(),
            ..Output::default()
        };
        judge(&output, 2, true)
    }

    #[test]
    fn no_packet_passes_by_and_few_are_lost() {
        let good = r#"{"sent":600,"passed":500,"returned":100,"unprotected":0,"lost":2,"replaced":14,"runs":600}"#;
        assert_eq!(judged(0, good).outcome, Some(Outcome::Held));
        let lost = good.replace("\"lost\":2", "\"lost\":3");
        let report = judged(3, &lost);
        assert_eq!(report.outcome, Some(Outcome::Wrong));
        assert_eq!(
            report.reason.as_deref(),
            Some("3 of 600 packets were lost, 2 may be")
        );
        let open = good.replace("\"unprotected\":0", "\"unprotected\":1");
        assert_eq!(
            judged(3, &open).reason.as_deref(),
            Some("1 of 600 packets passed by the program")
        );
        let never = good.replace("\"replaced\":14", "\"replaced\":0");
        assert_eq!(judged(0, &never).outcome, None);
        assert_eq!(judged(1, "").outcome, None);
    }
}
